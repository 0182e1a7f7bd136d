import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addressesOf,
  assignAny,
  assignIp,
  countFree,
  freeCooled,
  isEmpty,
  newBlock,
  nextVersion,
  release,
  releaseHandle,
  reservedIn,
  usage,
} from "../../../ipam/block.ts";
import type { AllocationBlock } from "../../../ipam/records.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { ips } from "./cluster.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const none = () => false;
const block = () => newBlock(cidr("10.0.0.0/29"), "host:a", NOW);
const holder = (handle: string) => ({ handle_id: handle, secondary: { node: "a" } });

describe("an allocation block", () => {
  it("gives the address that has been free for the longest", () => {
    const first = assignAny(block(), 2, holder("h1"), none);
    assert.deepEqual(first.ips, ips("10.0.0.0", "10.0.0.1"));
    const freed = freeCooled(releaseHandle(first.block, "h1", NOW).block, 0, NOW);
    const second = assignAny(freed, 7, holder("h2"), none);
    assert.deepEqual(second.ips, ips(...[2, 3, 4, 5, 6, 7, 0].map(n => `10.0.0.${n}`)));
  });

  it("gives what it has when asked for more", () => {
    const { ips: got, block: full } = assignAny(block(), 20, holder("h"), none);
    assert.equal(got.length, 8);
    assert.deepEqual(assignAny(full, 1, holder("h"), none).ips, []);
  });

  it("skips reserved addresses, which stay in their place", () => {
    const reserved = reservedIn(cidr("10.0.0.0/29"), [cidr("10.0.0.0/31"), cidr("10.0.0.4/32")]);
    const { ips: got, block: after } = assignAny(block(), 3, holder("h"), reserved);
    assert.deepEqual(got, ips("10.0.0.2", "10.0.0.3", "10.0.0.5"));
    assert.deepEqual(after.unallocated, [0, 1, 4, 6, 7]);
    assert.equal(countFree(after, reserved), 2);
  });

  it("can be reserved as a whole", () => {
    assert.equal(countFree(block(), reservedIn(cidr("10.0.0.0/29"), [cidr("10.0.0.0/8")])), 0);
    assert.equal(countFree(block(), reservedIn(cidr("10.0.0.0/29"), [cidr("11.0.0.0/8")])), 8);
  });

  it("stores equal attributes once, however their fields are ordered", () => {
    const a = assignAny(block(), 1, { handle_id: "h", secondary: { node: "a", pod: "p" } }, none).block;
    const b = assignAny(a, 1, { secondary: { pod: "p", node: "a" }, handle_id: "h" }, none).block;
    assert.equal(b.attributes.length, 1);
    assert.deepEqual(b.allocations.slice(0, 3), [0, 0, null]);
  });

  it("remembers the block's sequence number of each assignment", () => {
    const start = block();
    const a = nextVersion(assignAny(start, 1, holder("h"), none).block);
    const b = assignAny(a, 1, holder("h"), none).block;
    assert.equal(b.sequenceNumberForAllocation.get(0), start.sequenceNumber);
    assert.equal(b.sequenceNumberForAllocation.get(1), start.sequenceNumber + 1n);
  });

  it("assigns one address on request, once", () => {
    const one = assignIp(block(), ip("10.0.0.5"), holder("h"));
    assert.deepEqual(addressesOf(one, "h"), ips("10.0.0.5"));
    assert.throws(() => assignIp(one, ip("10.0.0.5"), holder("other")), { code: "ALREADY_ASSIGNED" });
  });

  it("refuses the whole release when one handle or sequence number does not match", () => {
    const { block: two } = assignAny(block(), 2, holder("h"), none);
    const bad = [
      { ip: ip("10.0.0.0"), handle: "h" },
      { ip: ip("10.0.0.1"), handle: "x" },
    ];
    assert.throws(() => release(two, bad, NOW), { code: "BAD_HANDLE" });
    const stale = [{ ip: ip("10.0.0.0"), sequenceNumber: two.sequenceNumber - 1n }];
    assert.throws(() => release(two, stale, NOW), { code: "BAD_SEQUENCE_NUMBER" });
    assert.deepEqual(release(two, [{ ip: ip("10.0.0.7") }], NOW).notAssigned, ips("10.0.0.7"));
  });

  it("keeps a released address back until it has cooled", () => {
    const { block: one } = assignAny(block(), 1, holder("h"), none);
    const { block: cooling } = release(one, [{ ip: ip("10.0.0.0") }], NOW);
    assert.equal(cooling.unallocated.length, 7);
    assert.deepEqual(addressesOf(cooling, "h"), []);
    assert.deepEqual(usage(cooling, none), { size: 8, inUse: 0, cooling: 1, reserved: 0, free: 7 });
    assert.equal(freeCooled(cooling, 60, NOW + 59_999), cooling);
    assert.ok(isEmpty(freeCooled(cooling, 60, NOW + 60_000)));
    assert.throws(() => assignIp(cooling, ip("10.0.0.0"), holder("x")), { code: "ALREADY_ASSIGNED" });
    assert.deepEqual(release(cooling, [{ ip: ip("10.0.0.0") }], NOW).notAssigned, ips("10.0.0.0"));
  });

  it("never holds an ordinal both free and assigned, whatever is done to it", () => {
    const handles = fc.constantFrom("h1", "h2", "h3");
    const step = fc.oneof(
      fc.record({
        do: fc.constant("assign" as const),
        handle: handles,
        count: fc.integer({ min: 1, max: 4 }),
      }),
      fc.record({ do: fc.constant("assignIp" as const), handle: handles, ordinal: fc.nat(7) }),
      fc.record({ do: fc.constant("release" as const), handle: handles }),
      fc.record({ do: fc.constant("wait" as const), seconds: fc.nat(40) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.constantFrom(0, 30), (steps, cooldown) => {
        let now = NOW;
        let current: AllocationBlock = block();
        const held = new Map<string, string>();
        for (const each of steps) {
          current = freeCooled(current, cooldown, now);
          if (each.do === "wait") now += each.seconds * 1000;
          else if (each.do === "assign") {
            const result = assignAny(current, each.count, holder(each.handle), none);
            current = result.block;
            for (const address of result.ips) {
              assert.ok(!held.has(address), `${address} given twice`);
              held.set(address, each.handle);
            }
          } else if (each.do === "assignIp") {
            const address = ip(`10.0.0.${each.ordinal}`);
            try {
              current = assignIp(current, address, holder(each.handle));
              assert.ok(!held.has(address));
              held.set(address, each.handle);
            } catch (error) {
              assert.equal((error as { code?: string }).code, "ALREADY_ASSIGNED");
            }
          } else {
            const result = releaseHandle(current, each.handle, now);
            current = result.block;
            const mine = [...held].filter(([, handle]) => handle === each.handle).map(([address]) => address);
            assert.deepEqual(result.released.map(released => released.ip).sort(), mine.sort());
            for (const address of mine) held.delete(address);
          }
          const free = new Set(current.unallocated);
          assert.equal(free.size, current.unallocated.length);
          current.allocations.forEach((index, ordinal) => {
            assert.equal(index === null, free.has(ordinal));
            if (index !== null) assert.ok(current.attributes[index]);
          });
          for (const handle of ["h1", "h2", "h3"]) {
            const mine = [...held].filter(([, of]) => of === handle).map(([address]) => address);
            assert.deepEqual(addressesOf(current, handle).sort(), mine.sort());
          }
        }
      }),
    );
  });
});
