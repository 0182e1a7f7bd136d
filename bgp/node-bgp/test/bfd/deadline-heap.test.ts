import assert from "node:assert/strict";
import fc from "fast-check";
import { DeadlineHeap, type HeapMember } from "../../bfd/deadline-heap.ts";

describe("the deadline heap", () => {
  it("has the earliest first, whatever is placed, moved and removed", () => {
    const step = fc.record({
      do: fc.constantFrom("place", "place", "place", "remove"),
      member: fc.nat(30),
      deadline: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(step), steps => {
        const heap = new DeadlineHeap<HeapMember>();
        const members = Array.from({ length: 31 }, () => ({ deadline: 0, heapIndex: -1 }));
        const inside = new Set<HeapMember>();
        for (const { do: what, member: index, deadline } of steps) {
          const member = members[index]!;
          if (what === "place") {
            member.deadline = deadline;
            heap.place(member);
            inside.add(member);
          } else {
            heap.remove(member);
            inside.delete(member);
          }
          const earliest = Math.min(...[...inside].map(m => m.deadline));
          assert.equal(heap.first?.deadline ?? Number.POSITIVE_INFINITY, earliest);
        }
        const drained: number[] = [];
        for (let first = heap.first; first !== undefined; first = heap.first) {
          drained.push(first.deadline);
          heap.remove(first);
        }
        assert.deepEqual(
          drained,
          [...inside].map(m => m.deadline).sort((a, b) => a - b),
        );
      }),
      { numRuns: 300 },
    );
  });
});
