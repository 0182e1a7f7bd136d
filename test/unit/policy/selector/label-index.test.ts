import assert from "node:assert/strict";
import fc from "fast-check";
import { parseSelector, Selector } from "../../../../policy/selector/index.ts";
import { LabelIndex, type LabelRecord } from "../../../../policy/selector/label-index.ts";
import { labelSet, labelsOf, selectorNode } from "./arbitrary.ts";

/** Records events as text, in order. */
function recorded(): { index: LabelIndex; events: () => string[] } {
  let log: string[] = [];
  const index = new LabelIndex({
    matchStarted: (s, i) => log.push(`+${s}/${i}`),
    matchStopped: (s, i) => log.push(`-${s}/${i}`),
  });
  return {
    index,
    events: () => {
      const seen = log.sort();
      log = [];
      return seen;
    },
  };
}

const EMPTY = { items: 0, selectors: 0, parents: 0, labels: 0, pairs: 0 };

describe("policy/selector/label-index", () => {
  it("announces a match whichever comes first, the item or the selector", () => {
    const { index, events } = recorded();
    index.setSelector("web", parseSelector("app == 'web'"));
    index.setItem("w1", { app: "web" });
    index.setItem("d1", { app: "db" });
    assert.deepEqual(events(), ["+web/w1"]);
    index.setSelector("db", parseSelector("app in {'db', 'cache'}"));
    assert.deepEqual(events(), ["+db/d1"]);
    index.setItem("d1", { app: "web" });
    assert.deepEqual(events(), ["+web/d1", "-db/d1"]);
    index.deleteItem("w1");
    index.deleteSelector("web");
    assert.deepEqual(events(), ["-web/d1", "-web/w1"]);
  });

  it("announces only the difference when a selector or an item is replaced", () => {
    const { index, events } = recorded();
    for (const n of ["1", "2", "3"]) index.setItem(`i${n}`, { n });
    index.setSelector("s", parseSelector("n in {'1', '2'}"));
    events();
    index.setSelector("s", parseSelector("n in {'2', '3'}"));
    assert.deepEqual(events(), ["+s/i3", "-s/i1"]);
    index.setSelector("s", parseSelector("n in {'3','2'}"));
    index.setItem("i2", { n: "2" });
    index.setItem("i2", { n: "2", other: "x" });
    assert.deepEqual(events(), []);
  });

  it("inherits labels: own ones win, then those of the earlier parent", () => {
    const { index, events } = recorded();
    index.setSelector("s", parseSelector("net == 'a'"));
    index.setItem("i", {}, ["p1", "p2"]);
    index.setParent("p2", { net: "a" });
    assert.deepEqual(events(), ["+s/i"]);
    index.setParent("p1", { net: "b" });
    assert.deepEqual(events(), ["-s/i"]);
    index.setItem("i", { net: "a" }, ["p1", "p2"]);
    assert.deepEqual(events(), ["+s/i"]);
    index.deleteParent("p2");
    index.setItem("i", {}, ["p2", "p1"]);
    assert.deepEqual(events(), ["-s/i"]);
    assert.equal(index.labelsOf("i")!.get("net"), "b");
  });

  it("announces a match once although two parents carry the label", () => {
    const { index, events } = recorded();
    index.setParent("p1", { net: "a" });
    index.setParent("p2", { net: "a" });
    index.setItem("i", { net: "a" }, ["p1", "p2", "p1"]);
    index.setSelector("s", parseSelector("net == 'a'"));
    index.setItem("i", {}, ["p1", "p2"]);
    assert.deepEqual(events(), ["+s/i"]);
  });

  it("evaluates only selectors that could match the changed item", () => {
    const { index } = recorded();
    let evaluations = 0;
    class Counted extends Selector {
      override matches(labels: Parameters<Selector["matches"]>[0]): boolean {
        evaluations++;
        return super.matches(labels);
      }
    }
    for (let i = 0; i < 200; i++) {
      const text = `orchestrator == 'k8s' && ns == 'ns${i}' && has(role)`;
      index.setSelector(`s${i}`, new Counted(parseSelector(text).ast));
    }
    index.setItem("i", { orchestrator: "k8s", ns: "ns7", role: "db" });
    assert(evaluations <= 3, `${evaluations} evaluations`);
    assert.deepEqual([...index.selectorsMatching("i")], ["s7"]);
  });

  it("agrees with a brute-force model after any sequence of changes, and holds nothing once all is gone", () => {
    const name = (prefix: string) => fc.nat(3).map(n => `${prefix}${n}`);
    const change = fc.oneof(
      fc.record({
        do: fc.constant("setItem" as const),
        id: name("i"),
        labels: labelSet,
        parents: fc.array(name("p"), { maxLength: 3 }),
      }),
      fc.record({ do: fc.constant("deleteItem" as const), id: name("i") }),
      fc.record({ do: fc.constant("setParent" as const), id: name("p"), labels: labelSet }),
      fc.record({ do: fc.constant("deleteParent" as const), id: name("p") }),
      fc.record({ do: fc.constant("setSelector" as const), id: name("s"), node: selectorNode }),
      fc.record({ do: fc.constant("deleteSelector" as const), id: name("s") }),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40, size: "max" }), changes => {
        const items = new Map<string, { labels: LabelRecord; parents: string[] }>();
        const parents = new Map<string, LabelRecord>();
        const selectors = new Map<string, Selector>();
        const expected = (): string[] => {
          const matches: string[] = [];
          for (const [id, item] of items) {
            const inherited = item.parents.map(p => parents.get(p) ?? {}).reverse();
            const labels = labelsOf(Object.assign({}, ...inherited, item.labels));
            for (const [s, selector] of selectors) if (selector.matches(labels)) matches.push(`${s}/${id}`);
          }
          return matches.sort();
        };
        const matches = new Set<string>();
        const index = new LabelIndex({
          matchStarted: (s, i) => {
            assert(!matches.has(`${s}/${i}`), "started twice");
            matches.add(`${s}/${i}`);
          },
          matchStopped: (s, i) => assert(matches.delete(`${s}/${i}`), "stopped without start"),
        });
        for (const c of changes) {
          if (c.do === "setItem") {
            items.set(c.id, c);
            index.setItem(c.id, c.labels, c.parents);
          } else if (c.do === "setParent") {
            parents.set(c.id, c.labels);
            index.setParent(c.id, c.labels);
          } else if (c.do === "setSelector") {
            selectors.set(c.id, new Selector(c.node));
            index.setSelector(c.id, new Selector(c.node));
          } else {
            ({ deleteItem: items, deleteParent: parents, deleteSelector: selectors })[c.do].delete(c.id);
            index[c.do](c.id);
          }
          assert.deepEqual([...matches].sort(), expected());
        }
        for (const s of selectors.keys()) {
          const found = [...index.itemsMatching(s)].map(i => `${s}/${i}`);
          assert.deepEqual(
            found.sort(),
            expected().filter(m => m.startsWith(`${s}/`)),
          );
        }
        for (const id of items.keys()) index.deleteItem(id);
        for (const id of parents.keys()) index.deleteParent(id);
        for (const id of selectors.keys()) index.deleteSelector(id);
        assert.equal(matches.size, 0);
        assert.deepEqual(index.size, EMPTY);
      }),
      { numRuns: 400 },
    );
  });
});
