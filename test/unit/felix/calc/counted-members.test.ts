import assert from "node:assert/strict";
import fc from "fast-check";
import { CountedMembers } from "../../../../felix/calc/counted-members.ts";
import { ip } from "../../../../net/ip.ts";

describe("felix/calc/counted-members", () => {
  it("hands over a new set whole, then differences", () => {
    const sets = new CountedMembers();
    sets.create("s", "net");
    sets.add("s", "10.0.0.1");
    assert.deepEqual(
      [...sets.drain()],
      [["s", { kind: "whole", type: "net", members: new Set(["10.0.0.1"]) }]],
    );
    sets.add("s", "10.0.0.2");
    sets.remove("s", "10.0.0.1");
    assert.deepEqual(
      [...sets.drain()],
      [["s", { kind: "delta", added: new Set(["10.0.0.2"]), removed: new Set(["10.0.0.1"]) }]],
    );
  });

  it("keeps a member while it has a reason", () => {
    const sets = new CountedMembers();
    sets.create("s", "net");
    sets.add("s", "10.0.0.1");
    sets.add("s", "10.0.0.1");
    sets.drain();
    sets.remove("s", "10.0.0.1");
    assert.equal(sets.drain().size, 0);
    sets.remove("s", "10.0.0.1");
    assert.equal(sets.drain().size, 1);
  });

  it("counts a set that is not shown, and hands it over whole when it is", () => {
    const sets = new CountedMembers();
    sets.create("s", "net", false);
    sets.add("s", "10.0.0.1");
    assert.equal(sets.covers("s", ip("10.0.0.1")), true);
    assert.equal(sets.drain().size, 0);
    const whole = { kind: "whole", type: "net", members: new Set(["10.0.0.1", "10.0.0.2"]) };
    sets.setShown("s", true);
    sets.add("s", "10.0.0.2");
    assert.deepEqual([...sets.drain()], [["s", whole]]);
    sets.add("s", "10.0.0.3");
    sets.setShown("s", false);
    assert.deepEqual([...sets.drain()], [["s", undefined]]);
    sets.delete("s");
    assert.equal(sets.drain().size, 0);
  });

  it("adds up to the truth whatever the order of changes and hand-overs", () => {
    const step = fc.record({
      what: fc.constantFrom("add", "remove", "drain", "recreate"),
      member: fc.constantFrom("a", "b", "c"),
    });
    fc.assert(
      fc.property(fc.array(step), steps => {
        const sets = new CountedMembers();
        sets.create("s", "net");
        let seen = new Set<string>();
        const take = () => {
          const change = sets.drain().get("s");
          if (change?.kind === "whole") seen = new Set(change.members);
          if (change?.kind === "delta") {
            for (const m of change.removed) assert.ok(seen.delete(m), `${m} was there to remove`);
            for (const m of change.added) assert.ok(!seen.has(m) && seen.add(m), `${m} was not there yet`);
          }
        };
        for (const { what, member } of steps) {
          if (what === "add") sets.add("s", member);
          else if (what === "remove") sets.remove("s", member);
          else if (what === "drain") take();
          else {
            sets.delete("s");
            sets.create("s", "net");
          }
        }
        take();
        assert.deepEqual(seen, sets.members("s"));
      }),
    );
  });
});
