import assert from "node:assert/strict";
import fc from "fast-check";
import { ALL_PORTS, portIntervals, portRangeText } from "../../../../policy/flows/port-intervals.ts";

const range = fc
  .tuple(fc.integer({ min: 0, max: 65535 }), fc.integer({ min: 0, max: 65535 }))
  .map(([a, b]) => ({ low: Math.min(a, b), high: Math.max(a, b) }));

describe("policy/flows: port intervals", () => {
  it("are one where nothing cuts", () => assert.deepEqual(portIntervals([]), [ALL_PORTS]));

  it("begin and end where ranges do", () =>
    assert.deepEqual(
      portIntervals([
        { low: 80, high: 80 },
        { low: 443, high: 500 },
      ]).map(portRangeText),
      ["1-79", "80", "81-442", "443-500", "501-65535"],
    ));

  it("cover every port once, and no range divides one", () =>
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), ranges => {
        const intervals = portIntervals(ranges);
        let next = ALL_PORTS.low;
        for (const { low, high } of intervals) {
          assert.equal(low, next);
          assert(high >= low);
          next = high + 1;
          for (const one of ranges) {
            const inside = (port: number) => one.low <= port && port <= one.high;
            assert.equal(inside(low), inside(high));
          }
        }
        assert.equal(next, ALL_PORTS.high + 1);
      }),
    ));
});
