/** The paths of prefixes beside a plain model: maps from prefix to source and identifier. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { PathTable } from "../../rib/path-table.ts";

const IDS = 8;
const SOURCES = 4;

type Command =
  | {
      readonly do: "put";
      readonly id: number;
      readonly source: number;
      readonly pathId: number;
      readonly med: number;
    }
  | { readonly do: "remove"; readonly id: number; readonly source: number; readonly pathId: number }
  | { readonly do: "stale" | "doom-all" | "doom-stale"; readonly source: number }
  | { readonly do: "sweep"; readonly id: number };

const id = fc.integer({ min: 1, max: IDS - 1 });
const source = fc.nat(SOURCES - 1);
const pathId = fc.constantFrom(0, 0, 0, 1, 0xffffffff);
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    arbitrary: fc.record({ do: fc.constant("put" as const), id, source, pathId, med: fc.nat(2) }),
    weight: 6,
  },
  { arbitrary: fc.record({ do: fc.constant("remove" as const), id, source, pathId }), weight: 3 },
  {
    arbitrary: fc.record({
      do: fc.constantFrom("stale" as const, "doom-all" as const, "doom-stale" as const),
      source,
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ do: fc.constant("sweep" as const), id }), weight: 3 },
);

describe("the path table", () => {
  it("behaves like maps in which stale and doomed paths are marked one by one", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), commands => {
        const sets = new AttributeTable();
        const setOf = (from: number, med: number) =>
          sets.internAttributes(from, { origin: "igp", asPath: [], nextHop: "10.0.0.9", med });
        const changed = new Set<number>();
        const table = new PathTable(sets, prefix => changed.add(prefix));
        table.reserve(IDS);
        const model = new Map<string, { set: number; state: "fresh" | "stale" | "doomed" }>();
        const key = (...parts: number[]) => parts.join(" ");
        const of = (from: number) =>
          [...model].filter(([name]) => name.split(" ")[1] === String(from)).map(([, path]) => path);
        for (const step of commands) {
          changed.clear();
          if (step.do === "put") {
            const set = setOf(step.source, step.med);
            const before = model.get(key(step.id, step.source, step.pathId));
            model.set(key(step.id, step.source, step.pathId), { set, state: "fresh" });
            table.put(step.id, set, step.pathId);
            assert.deepEqual([...changed], before?.set === set ? [] : [step.id]);
          } else if (step.do === "remove") {
            const had = model.delete(key(step.id, step.source, step.pathId));
            table.remove(step.id, step.source, step.pathId);
            assert.deepEqual([...changed], had ? [step.id] : []);
          } else if (step.do === "stale") {
            for (const path of of(step.source)) if (path.state === "fresh") path.state = "stale";
            table.markStale(step.source);
          } else if (step.do === "sweep") {
            const doomed = [...model].filter(
              ([name, { state }]) => name.startsWith(`${step.id} `) && state === "doomed",
            );
            for (const [name] of doomed) model.delete(name);
            table.sweep(step.id);
            assert.deepEqual([...changed], doomed.length > 0 ? [step.id] : []);
          } else {
            const dooms = step.do === "doom-all" ? ["fresh", "stale"] : ["stale"];
            for (const path of of(step.source)) if (dooms.includes(path.state)) path.state = "doomed";
            table.doom(step.source, step.do === "doom-all" ? "all" : "stale");
          }
        }
        for (let prefix = 1; prefix < IDS; prefix++) {
          const paths = table
            .pathsOf(prefix)
            .map(path => [sets.sourceOf(path.set), path.pathId, path.set, path.isStale]);
          const expected = [...model]
            .filter(([name]) => name.startsWith(`${prefix} `))
            .map(([name, { set, state }]) => [
              ...name.split(" ").slice(1).map(Number),
              set,
              state !== "fresh",
            ]);
          const order = (a: unknown[], b: unknown[]) =>
            Number(a[0]) - Number(b[0]) || Number(a[1]) - Number(b[1]);
          assert.deepEqual(paths.sort(order), expected.sort(order));
          assert.equal(table.has(prefix), expected.length > 0);
        }
        for (let from = 0; from < SOURCES; from++) {
          const states = of(from).map(({ state }) => state);
          const stale = states.filter(state => state === "stale").length;
          const paths = stale + states.filter(state => state === "fresh").length;
          assert.deepEqual(table.countOf(from), { paths, stale });
          assert.equal(table.isSweeping(from), states.includes("doomed"));
        }
        assert.equal(table.doomedCount, [...model.values()].filter(({ state }) => state === "doomed").length);
      }),
      { numRuns: 400 },
    );
  });

  it("names each path of a prefix by an identifier that is its own as long as it is there (RFC 7911)", () => {
    const sets = new AttributeTable();
    const table = new PathTable(sets, () => {});
    const set = (from: number, med: number) =>
      sets.internAttributes(from, { origin: "igp", asPath: [], nextHop: "10.0.0.9", med });
    const named = () =>
      new Map(table.pathsOf(1).map(path => [`${sets.sourceOf(path.set)}/${path.pathId}`, path.sendId]));
    table.put(1, set(1, 0));
    table.put(1, set(2, 0), 5);
    table.put(1, set(2, 0), 6);
    table.put(1, set(3, 0), 5);
    const before = named();
    assert.equal(new Set(before.values()).size, 4);
    table.remove(1, 2, 5);
    table.put(1, set(1, 9));
    table.put(1, set(3, 9), 5);
    for (const [path, sendId] of named()) assert.equal(sendId, before.get(path), path);
    table.put(1, set(2, 0), 7);
    assert.equal(new Set(named().values()).size, 4);
  });

  it("keeps what a flapping neighbor has sent last, however often it comes and goes", () => {
    const sets = new AttributeTable();
    const table = new PathTable(sets, () => {});
    const set = sets.internAttributes(1, { origin: "igp", asPath: [], nextHop: "10.0.0.9" });
    for (let flap = 0; flap < 1000; flap++) {
      table.put(1, set);
      table.markStale(1);
      assert.deepEqual(table.countOf(1), { paths: 1, stale: 1 });
      if (flap % 3 === 0) table.put(1, set);
      table.doom(1, "stale");
      table.sweep(1);
      assert.equal(table.has(1), flap % 3 === 0);
    }
  });
});
