import assert from "node:assert/strict";
import fc from "fast-check";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { decide } from "../../rib/decision.ts";
import { type Source, SourceTable } from "../../rib/source.ts";
import type { PathAttributes } from "../../route.ts";

interface Path extends Partial<PathAttributes> {
  readonly from: "local" | "ibgp1" | "ibgp2" | "ebgp1" | "ebgp2";
}

function world() {
  const sources = new SourceTable();
  const sets = new AttributeTable();
  const neighbor = (type: Source["type"], last: number, routerId: number) =>
    sources.add({
      type,
      address: `10.0.0.${last}`,
      addressBytes: Uint8Array.of(10, 0, 0, last),
      reflectorClient: false,
      routerId,
    }).index;
  const index = {
    local: 0,
    ibgp1: neighbor("internal", 1, 100),
    ibgp2: neighbor("internal", 2, 200),
    ebgp1: neighbor("external", 3, 300),
    ebgp2: neighbor("external", 4, 300),
  };
  const multipath = { maxPaths: 64, relaxAsPath: true };
  const sourceOf = (source: number) => sources.get(source);
  return {
    decide: (...paths: Path[]) => {
      const names = Object.fromEntries(paths.map(({ from }) => [index[from], from]));
      const candidates = paths.map(({ from, ...attributes }) => ({
        set: sets.internAttributes(index[from], {
          origin: "igp",
          asPath: [],
          nextHop: "10.9.9.9",
          ...attributes,
        }),
        pathId: 0,
      }));
      const decision = decide(candidates, { sets, sourceOf, multipath });
      const nameOf = ({ set }: { set: number }) => names[sets.sourceOf(set)];
      return { best: nameOf(decision.best), equal: decision.equal.map(nameOf) };
    },
  };
}

const path = (...asns: number[]) => [{ type: "sequence" as const, asns }];

describe("the best path", () => {
  const { decide: choose } = world();
  const cases: [string, Path, Path][] = [
    ["has the highest LOCAL_PREF, ours or not", { from: "ibgp1", localPref: 101 }, { from: "local" }],
    ["is local", { from: "local" }, { from: "ibgp1", originatorId: "0.0.0.1" }],
    ["has the highest LOCAL_PREF", { from: "ibgp2", localPref: 101, asPath: path(1, 2) }, { from: "ibgp1" }],
    ["has the shortest AS_PATH", { from: "ebgp2", asPath: path(1) }, { from: "ebgp1", asPath: path(1, 2) }],
    [
      "counts an AS_SET as one",
      { from: "ebgp2", asPath: [{ type: "set", asns: [1, 2, 3] }] },
      { from: "ebgp1", asPath: path(1, 2) },
    ],
    ["has the lowest ORIGIN", { from: "ibgp2" }, { from: "ibgp1", origin: "incomplete" }],
    [
      "has the lowest MED from one AS",
      { from: "ebgp2", asPath: path(7), med: 1 },
      { from: "ebgp1", asPath: path(7), med: 2 },
    ],
    [
      "has no MED rather than one",
      { from: "ebgp2", asPath: path(7) },
      { from: "ebgp1", asPath: path(7), med: 2 },
    ],
    [
      "is external rather than internal",
      { from: "ebgp1", asPath: path(7) },
      { from: "ibgp1", asPath: path(7) },
    ],
    ["has the lowest router id", { from: "ibgp1" }, { from: "ibgp2" }],
    [
      "has the lowest ORIGINATOR_ID, where there is one",
      { from: "ibgp2", originatorId: "0.0.0.1" },
      { from: "ibgp1" },
    ],
    [
      "has the shortest CLUSTER_LIST",
      { from: "ibgp2", originatorId: "0.0.0.1", clusterList: ["1.1.1.1"] },
      { from: "ibgp1", originatorId: "0.0.0.1", clusterList: ["1.1.1.1", "2.2.2.2"] },
    ],
    [
      "has the lowest neighbor address",
      { from: "ebgp1", asPath: path(7) },
      { from: "ebgp2", asPath: path(8) },
    ],
  ];
  for (const [what, better, worse] of cases) {
    it(what, () => {
      assert.equal(choose(better, worse).best, better.from);
      assert.equal(choose(worse, better).best, better.from);
    });
  }

  it("does not compare MED between neighboring ASes", () => {
    const outcome = choose(
      { from: "ebgp1", asPath: path(7), med: 9 },
      { from: "ebgp2", asPath: path(8), med: 1 },
    );
    assert.deepEqual(outcome, { best: "ebgp1", equal: ["ebgp1", "ebgp2"] });
  });
  it("is one of several equal ones up to the tie-breakers", () => {
    assert.deepEqual(choose({ from: "ibgp2" }, { from: "ibgp1" }).equal, ["ibgp1", "ibgp2"]);
    assert.deepEqual(choose({ from: "ibgp2", med: 3 }, { from: "ibgp1" }).equal, ["ibgp1"]);
  });
  it("does not depend on the order of arrival", () => {
    const anyPath = (from: Path["from"]) =>
      fc.record({
        from: fc.constant(from),
        localPref: fc.constantFrom(100, 200),
        asPath: fc.constantFrom(path(7), path(8), path(7, 8)),
        med: fc.constantFrom(0, 1, 2),
      });
    const four = fc.tuple(anyPath("ibgp1"), anyPath("ibgp2"), anyPath("ebgp1"), anyPath("ebgp2"));
    fc.assert(
      fc.property(four, fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), (paths, order) => {
        assert.deepEqual(choose(...order.map(i => paths[i]!)), choose(...paths));
      }),
    );
  });
});
