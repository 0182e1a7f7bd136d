import assert from "node:assert/strict";
import fc from "fast-check";
import { type Cidr, cidr, cidrOf, contains } from "../../../../net/cidr.ts";
import { bigIntToIp, type Ip, ip } from "../../../../net/ip.ts";
import { outsideAddresses } from "../../../../policy/flows/outside-addresses.ts";

function outside(blocks: readonly string[], taken: readonly string[] = [], version: 4 | 6 = 4) {
  return outsideAddresses(blocks.map(cidr), version, new Set(taken.map(ip))).map(
    ({ block, address }) => `${block ?? "elsewhere"}: ${address}`,
  );
}

describe("policy/flows: addresses outside", () => {
  it("are one anywhere where no rule names a block", () =>
    assert.deepEqual(outside([]), ["elsewhere: 0.0.0.1"]));

  it("lie in a block, but in none of the blocks within it", () =>
    assert.deepEqual(outside(["10.0.0.0/8", "10.0.0.0/24", "192.168.1.1/32"]), [
      "elsewhere: 0.0.0.1",
      "10.0.0.0/8: 10.0.1.0",
      "10.0.0.0/24: 10.0.0.1",
      "192.168.1.1/32: 192.168.1.1",
    ]));

  it("are nobody's, and there is none where all are somebody's", () =>
    assert.deepEqual(outside(["10.0.0.0/30", "10.0.1.1/32"], ["10.0.0.1", "10.0.0.2", "10.0.1.1"]), [
      "elsewhere: 0.0.0.1",
      "10.0.0.0/30: 10.0.0.3",
    ]));

  it("are none in a block that smaller ones fill", () =>
    assert.deepEqual(outside(["10.0.0.0/31", "10.0.0.0/32", "10.0.0.1/32"]), [
      "elsewhere: 0.0.0.1",
      "10.0.0.0/32: 10.0.0.0",
      "10.0.0.1/32: 10.0.0.1",
    ]));

  it("are of one version", () =>
    assert.deepEqual(outside(["fd00::/64", "10.0.0.0/8"], [], 6), ["elsewhere: ::1", "fd00::/64: fd00::1"]));

  it("name the whole space where a rule does", () =>
    assert.deepEqual(outside(["0.0.0.0/0"]), ["0.0.0.0/0: 0.0.0.1"]));

  it("stand for every address there is", () => {
    // A small space, so that blocks nest and touch.
    const address = fc.integer({ min: 0, max: 31 }).map(n => bigIntToIp(BigInt(n), 4));
    const block = fc
      .tuple(address, fc.integer({ min: 27, max: 32 }))
      .map(([within, length]): Cidr => cidrOf(within, length));
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.array(address, { maxLength: 8 }), (blocks, owned) => {
        const taken = new Set<Ip>(owned);
        const found = outsideAddresses(blocks, 4, taken);
        const seenBy = (one: Ip): string =>
          blocks
            .filter(b => contains(b, one))
            .sort()
            .join();
        const seen = new Set(found.map(one => seenBy(one.address)));
        for (const one of found) assert(!taken.has(one.address));
        assert.equal(found.length, new Set(found.map(one => one.address)).size);
        for (let n = 0; n < 32; n++) {
          const one = bigIntToIp(BigInt(n), 4);
          if (!taken.has(one)) assert(seen.has(seenBy(one)), `nobody stands for ${one}`);
        }
      }),
    );
  });
});
