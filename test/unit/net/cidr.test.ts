import assert from "node:assert/strict";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  cidr,
  cidrOf,
  cidrSize,
  contains,
  nthAddress,
  ordinalOf,
  overlaps,
  parseCidr,
  parseInterfaceAddress,
} from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { linkLocalAddress, mac } from "../../../net/mac.ts";

describe("net/cidr", () => {
  it("masks host bits", () => {
    assert.equal(cidr("10.65.23.70/26"), "10.65.23.64/26");
    assert.equal(cidr("fd00::ffff/122"), "fd00::ffc0/122");
    assert.equal(cidr("10.0.0.1"), "10.0.0.1/32");
    assert.equal(cidr("1.2.3.4/0"), "0.0.0.0/0");
  });

  it("keeps host bits of an interface address", () => {
    assert.deepEqual(parseInterfaceAddress("10.0.0.1/24"), { ip: "10.0.0.1", prefixLength: 24 });
  });

  it("refuses bad lengths", () => {
    for (const text of ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "::/129", "10.0.0.0/-1", "x/8"]) {
      assert.equal(parseCidr(text), undefined, text);
    }
  });

  it("knows what contains and overlaps what", () => {
    assert.ok(contains(cidr("10.0.0.0/8"), ip("10.255.0.1")));
    assert.ok(!contains(cidr("10.0.0.0/8"), cidr("0.0.0.0/0")));
    assert.ok(!contains(cidr("::/0"), ip("10.0.0.1")));
    assert.ok(overlaps(cidr("10.0.0.0/8"), cidr("10.1.0.0/16")));
    assert.ok(!overlaps(cidr("10.0.0.0/9"), cidr("10.128.0.0/9")));
  });

  it("counts addresses", () => {
    const block = cidr("10.65.0.64/26");
    assert.equal(cidrSize(block), 64n);
    assert.equal(nthAddress(block, 63), "10.65.0.127");
    assert.equal(ordinalOf(block, ip("10.65.0.65")), 1);
    assert.throws(() => ordinalOf(block, ip("10.65.0.63")), /10\.65\.0\.64\/26/);
  });

  it("agrees with ipaddr.js about masking and membership", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (a, b, length) => {
        const block = cidrOf(ip(a), length);
        assert.equal(block, `${ipaddr.IPv4.networkAddressFromCIDR(`${a}/${length}`)}/${length}`);
        assert.equal(contains(block, ip(b)), ipaddr.IPv4.parse(b).match(ipaddr.IPv4.parse(a), length));
      }),
    );
  });
});

describe("net/mac", () => {
  it("derives the link-local address of Calico's host veths", () => {
    assert.equal(linkLocalAddress(mac("EE:EE:EE:EE:EE:EE")), "fe80::ecee:eeff:feee:eeee");
  });
});
