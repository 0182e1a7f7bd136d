/**
 * `node test/bench/label-index.ts [ITEMS...]`: what one change costs the label index while the cluster around it grows:
 * microseconds per change with 1,000, 10,000 and 100,000 items and as many selectors as a tenth of them. The curve must be
 * flat: a change pays for what it matches, not for what there is.
 *
 * Changes: `item`, an endpoint gets another label; `selector`, a policy comes that selects one app of one namespace;
 * `parent`, a namespace of ten endpoints gets another label. `floor` is what remembering the item in a Map costs.
 */

import { parseSelector } from "../../policy/selector/index.ts";
import { LabelIndex } from "../../policy/selector/label-index.ts";

const PER_NAMESPACE = 10;
const ROUNDS = 2_000;

interface Result {
  items: number;
  selectors: number;
  fillMs: number;
  itemUs: number;
  selectorUs: number;
  parentUs: number;
  floorUs: number;
}

const labelsOf = (i: number, version: number) => ({
  orchestrator: "k8s",
  namespace: `ns${Math.floor(i / PER_NAMESPACE)}`,
  app: `app${i % PER_NAMESPACE}`,
  version: `v${version}`,
});
const selectorOf = (i: number) =>
  parseSelector(`orchestrator == 'k8s' && namespace == 'ns${i}' && app in {'app1', 'app2'}`);

function microseconds(change: (i: number) => void): number {
  for (let i = 0; i < ROUNDS / 10; i++) change(i);
  const begin = performance.now();
  for (let i = 0; i < ROUNDS; i++) change(i + 1);
  return ((performance.now() - begin) * 1000) / ROUNDS;
}

function measure(items: number): Result {
  let matches = 0;
  const index = new LabelIndex({
    matchStarted: () => matches++,
    matchStopped: () => matches--,
  });
  const namespaces = items / PER_NAMESPACE;
  const begin = performance.now();
  for (let n = 0; n < namespaces; n++) index.setParent(`kns.ns${n}`, { team: `t${n % 50}` });
  for (let n = 0; n < namespaces; n++) index.setSelector(`s${n}`, selectorOf(n));
  for (let i = 0; i < items; i++)
    index.setItem(`i${i}`, labelsOf(i, 0), [`kns.ns${Math.floor(i / PER_NAMESPACE)}`]);
  const fillMs = performance.now() - begin;
  if (matches !== 2 * namespaces) throw new Error(`${matches} matches`);

  // Spread over the cluster, so that no cache holds the answer.
  const some = (i: number, of: number) => (i * 7919) % of;
  const itemUs = microseconds(i => {
    const which = some(i, items);
    index.setItem(`i${which}`, labelsOf(which, i), [`kns.ns${Math.floor(which / PER_NAMESPACE)}`]);
  });
  const selectorUs = microseconds(i => {
    index.setSelector("new", selectorOf(some(i, namespaces)));
    index.deleteSelector("new");
  });
  const parentUs = microseconds(i => index.setParent(`kns.ns${some(i, namespaces)}`, { team: `t${i}` }));
  const map = new Map(Array.from({ length: items }, (_, i) => [`i${i}`, labelsOf(i, 0)]));
  const floorUs = microseconds(i => map.set(`i${some(i, items)}`, labelsOf(some(i, items), i)));
  return { items, selectors: namespaces, fillMs, itemUs, selectorUs, parentUs, floorUs };
}

const sizes = process.argv.slice(2).map(Number);
const results = (sizes.length > 0 ? sizes : [1_000, 10_000, 100_000]).map(measure);
const row = (cells: (string | number)[]) => cells.map(cell => String(cell).padStart(12)).join("");
const print = (text: string) => process.stdout.write(`${text}\n`);
print(row(["items", "selectors", "fill ms", "item us", "selector us", "parent us", "floor us"]));
for (const { items, selectors, fillMs, ...change } of results)
  print(row([items, selectors, Math.round(fillMs), ...Object.values(change).map(value => value.toFixed(1))]));
const rounded = (_: string, value: unknown) =>
  typeof value === "number" ? Math.round(value * 10) / 10 : value;
print(JSON.stringify({ benchmark: "label-index", rounds: ROUNDS, results }, rounded));
