import assert from "node:assert/strict";
import { allocateMarks } from "../../../../felix/dataplane/marks.ts";

describe("felix/dataplane/marks", () => {
  it("takes the lowest bits of the mask", () => {
    const marks = allocateMarks(0xffff0000);
    assert.deepEqual(
      [marks.accept, marks.pass, marks.scratch0, marks.scratch1],
      [0x10000, 0x20000, 0x80000, 0x100000],
    );
  });

  it("refuses a mask too small", () => {
    assert.throws(() => allocateMarks(0xf), /fewer than 5/);
  });
});
