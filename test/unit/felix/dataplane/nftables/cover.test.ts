import assert from "node:assert/strict";
import fc from "fast-check";
import { CidrCover, coverOf } from "../../../../../felix/dataplane/nftables/cover.ts";
import { type Cidr, cidr, cidrOf, contains } from "../../../../../net/cidr.ts";
import { bigIntToIp } from "../../../../../net/ip.ts";

/** Few addresses and all lengths, so that they lie in each other. */
const block = fc
  .record({ version: fc.constantFrom(4 as const, 6 as const), bits: fc.nat(15), length: fc.nat(32) })
  .map(({ version, bits, length }) => {
    const address = bigIntToIp(BigInt(bits) << (version === 4 ? 28n : 124n), version);
    return cidrOf(address, length % 6);
  });

/** Those that no other one holds. */
const naive = (blocks: Iterable<Cidr>): Cidr[] =>
  [...blocks].filter(one => ![...blocks].some(other => other !== one && contains(other, one))).sort();

describe("felix/dataplane/nftables/cover", () => {
  it("keeps those that no other one holds, whatever comes and goes, and says the difference", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.array(block), fc.array(block)), { maxLength: 12 }), steps => {
        const cover = new CidrCover();
        const members = new Set<Cidr>();
        const told = new Set<Cidr>();
        for (const [added, removed] of steps) {
          const change = cover.update(added, removed);
          for (const one of removed) members.delete(one);
          for (const one of added) members.add(one);
          for (const one of change.removed) assert.ok(told.delete(one), `${one} was not there`);
          for (const one of change.added) {
            assert.ok(!told.has(one), `${one} was there`);
            told.add(one);
          }
          assert.deepEqual([...cover].sort(), naive(members));
          assert.deepEqual([...told].sort(), naive(members));
          assert.equal(cover.size, members.size);
        }
      }),
    );
  });

  it("knows nets of everything", () => {
    assert.deepEqual(coverOf(["10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32"].map(cidr)), ["0.0.0.0/0"]);
  });
});
