import assert from "node:assert/strict";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { bigIntToIp, bytesToIp, compareIps, ip, ipToBigInt, ipToBytes, parseIp } from "../../../net/ip.ts";

describe("net/ip", () => {
  it("gives IPv6 in the text form of RFC 5952", () => {
    assert.equal(ip("FD00:0:0:0:0:0:0:1"), "fd00::1");
    assert.equal(ip("2001:db8:0:0:1:0:0:1"), "2001:db8::1:0:0:1");
    assert.equal(ip("2001:db8:0:1:1:1:1:1"), "2001:db8:0:1:1:1:1:1");
    assert.equal(ip("::ffff:10.0.0.1"), "::ffff:10.0.0.1");
    assert.equal(ip("::"), "::");
  });

  it("refuses what only looks like an address", () => {
    for (const text of [
      "",
      "1.2.3",
      "1.2.3.4.5",
      "01.2.3.4",
      "1.2.3.256",
      "1::2::3",
      "fe80::1%eth0",
      "1:2:3:4:5:6:7:8:9",
      ":1",
      "1:",
      "::1.2.3",
      "a.b.c.d",
      " 1.2.3.4",
    ]) {
      assert.equal(parseIp(text), undefined, text);
    }
  });

  it("agrees with ipaddr.js on every IPv6 address", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), bytes => {
        const text = bytesToIp(bytes);
        assert.deepEqual(ipaddr.parse(text).toByteArray(), [...bytes]);
        assert.deepEqual(ipToBytes(ip(ipaddr.fromByteArray([...bytes]).toString())), bytes);
      }),
    );
  });

  it("round-trips through bytes and bigints", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text => {
        const address = ip(text);
        assert.equal(bytesToIp(ipToBytes(address)), address);
        assert.equal(bigIntToIp(ipToBigInt(address), address.includes(":") ? 6 : 4), address);
      }),
    );
  });

  it("orders numerically", () => {
    const sorted = ["10.0.0.2", "fd00::1", "10.0.0.10", "9.0.0.1"].map(ip).sort(compareIps);
    assert.deepEqual(sorted, ["9.0.0.1", "10.0.0.2", "10.0.0.10", "fd00::1"]);
  });
});
