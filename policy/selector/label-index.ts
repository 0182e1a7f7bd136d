/**
 * Which items match which selectors, kept up to date change by change.
 *
 * Items (endpoints, network sets) have labels of their own and inherit those of their parents (profiles): an
 * own label hides inherited ones, an earlier parent hides later ones. Every change is answered with exactly the
 * matches that started and stopped because of it, so that IP sets and policy activeness need no recomputation.
 *
 * How it stays cheap with 100,000 items and 1,000 selectors, in both directions an inverted index:
 *
 *   item changed      -> only selectors filed under one of its labels are evaluated
 *   selector changed  -> only items that carry the label it is filed under are evaluated
 *   parent changed    -> its items, each as above
 *
 * A selector is filed under one label it cannot match without (restrictions.ts): under `label=value` pairs, or
 * under the label where any value may do, or, where it demands nothing (`all()`, `!has(x)`), among those that
 * every item must try. Of several demands the rarest at that moment is taken, and among equally rare ones the
 * emptiest drawer, which spreads selectors that arrive before any item does.
 *
 * Memory: a `label=value` pair is one shared object however many items carry it; an item holds an array of
 * pairs and an array of the selectors it matches, and nothing is kept for a pair of item and selector that do
 * not match. Guarded by test/unit/policy/selector/label-index.test.ts against a brute-force model.
 */

import type { Labels } from "./evaluate.ts";
import type { Selector } from "./index.ts";
import { Entry, Item, Label, type LabelRecord, Pair, Parent, sameLabels } from "./match-records.ts";
import { ANY, NEVER } from "./restrictions.ts";

export type { LabelRecord } from "./match-records.ts";

/** Hears of every match once; must not change the index from within. Order within one change is not defined. */
export interface MatchListener<S, I> {
  matchStarted(selector: S, item: I): void;
  matchStopped(selector: S, item: I): void;
}

interface Load {
  items: number;
  selectors: number;
}

export class LabelIndex<S = string, I = string> {
  readonly #listener: MatchListener<S, I>;
  readonly #items = new Map<I, Item<S, I>>();
  readonly #parents = new Map<string, Parent<S, I>>();
  readonly #selectors = new Map<S, Entry<S, I>>();
  readonly #labels = new Map<string, Label<S, I>>();
  /** Selectors that demand no label. */
  readonly #undemanding = new Set<Entry<S, I>>();
  #epoch = 0;

  constructor(listener: MatchListener<S, I>) {
    this.#listener = listener;
  }

  /** Adds the item or replaces its labels and parents; parents that are not known yet have no labels. */
  setItem(id: I, labels: LabelRecord, parents: readonly string[] = []): void {
    let item = this.#items.get(id);
    if (item === undefined) {
      item = new Item(id);
      this.#items.set(id, item);
    } else if (sameLabels(item.own, labels) && sameNames(item.parents, parents)) {
      return;
    }
    const { own: oldLabels, parents: oldParents } = item;
    item.own = this.#pairs(labels);
    item.parents = parents.map(name => this.#parent(name));
    for (const pair of item.own) pair.attachItem(item);
    for (const parent of item.parents) parent.items.add(item);
    for (const pair of oldLabels) if (!item.own.includes(pair)) this.#releaseItem(pair, item);
    for (const parent of oldParents) if (!item.parents.includes(parent)) this.#releaseParent(parent, item);
    this.#rematch(item);
  }

  deleteItem(id: I): void {
    const item = this.#items.get(id);
    if (item === undefined) return;
    this.#items.delete(id);
    for (const pair of item.own) this.#releaseItem(pair, item);
    for (const parent of item.parents) this.#releaseParent(parent, item);
    for (const entry of item.matches) this.#listener.matchStopped(entry.id, id);
  }

  /** Gives the parent these labels to pass on; none is the same as no such parent. */
  setParent(name: string, labels: LabelRecord): void {
    const known = this.#parents.get(name);
    if (sameLabels(known?.labels ?? [], labels)) return;
    const parent = known ?? this.#parent(name);
    const oldLabels = parent.labels;
    parent.labels = this.#pairs(labels);
    for (const pair of parent.labels) pair.attachParent(parent);
    for (const pair of oldLabels) {
      if (parent.labels.includes(pair)) continue;
      pair.detachParent(parent);
      this.#collectPair(pair);
    }
    for (const item of parent.items) this.#rematch(item);
    this.#collectParent(parent);
  }

  deleteParent(name: string): void {
    this.setParent(name, {});
  }

  /** Adds the selector or replaces the one of this id; only the difference is announced. */
  setSelector(id: S, selector: Selector): void {
    const old = this.#selectors.get(id);
    if (old?.selector.text === selector.text) return;
    const before = new Set<Item<S, I>>();
    if (old !== undefined) {
      for (const item of this.#matching(old)) before.add(item);
      for (const item of before) item.forget(old);
      this.#unfile(old);
    }
    const entry = new Entry<S, I>(id, selector);
    this.#selectors.set(id, entry);
    this.#file(entry);
    for (const item of this.#candidates(entry)) {
      // One that is reached by two ways has got the entry already, as its latest.
      if (item.matches.at(-1) === entry || !selector.matches(item)) continue;
      item.matches.push(entry);
      if (!before.delete(item)) this.#listener.matchStarted(id, item.id);
    }
    for (const item of before) this.#listener.matchStopped(id, item.id);
  }

  deleteSelector(id: S): void {
    const entry = this.#selectors.get(id);
    if (entry === undefined) return;
    this.#selectors.delete(id);
    const matching = [...this.#matching(entry)];
    this.#unfile(entry);
    for (const item of matching) {
      if (item.forget(entry)) this.#listener.matchStopped(id, item.id);
    }
  }

  /** The ids of the selectors that match the item. */
  *selectorsMatching(item: I): Generator<S> {
    for (const entry of this.#items.get(item)?.matches ?? []) yield entry.id;
  }

  /** The ids of the items the selector matches; costs as much as adding the selector again. */
  itemsMatching(selector: S): Set<I> {
    const result = new Set<I>();
    const entry = this.#selectors.get(selector);
    if (entry !== undefined) for (const item of this.#matching(entry)) result.add(item.id);
    return result;
  }

  /** The item's labels, inherited ones included; a view that follows later changes. */
  labelsOf(item: I): Labels | undefined {
    return this.#items.get(item);
  }

  /** What is held; a leak would show here. */
  get size(): { items: number; selectors: number; parents: number; labels: number; pairs: number } {
    let pairs = 0;
    for (const label of this.#labels.values()) pairs += label.pairs.size;
    return {
      items: this.#items.size,
      selectors: this.#selectors.size,
      parents: this.#parents.size,
      labels: this.#labels.size,
      pairs,
    };
  }

  /** Evaluates the selectors that can match the item and announces what changed. */
  #rematch(item: Item<S, I>): void {
    const before = item.matches;
    const matchedBefore = ++this.#epoch;
    const matchesNow = ++this.#epoch;
    for (const entry of before) entry.mark = matchedBefore;
    const after: Entry<S, I>[] = [];
    const evaluate = (entries: Iterable<Entry<S, I>>): void => {
      for (const entry of entries) {
        if (entry.mark === matchesNow || !entry.selector.matches(item)) continue;
        after.push(entry);
        if (entry.mark !== matchedBefore) this.#listener.matchStarted(entry.id, item.id);
        entry.mark = matchesNow;
      }
    };
    const evaluateUnder = (pair: Pair<S, I>): void => {
      evaluate(pair.selectors);
      evaluate(pair.label.selectors);
    };
    evaluate(this.#undemanding);
    for (const pair of item.own) evaluateUnder(pair);
    for (const parent of item.parents) for (const pair of parent.labels) evaluateUnder(pair);
    for (const entry of before) {
      if (entry.mark !== matchesNow) this.#listener.matchStopped(entry.id, item.id);
    }
    item.matches = after;
  }

  /** Chooses the demand the selector is filed under. */
  #file(entry: Entry<S, I>): void {
    const restrictions = entry.selector.restrictions();
    if (restrictions === NEVER) {
      entry.drawers = [];
      return;
    }
    // Demands for values first: they are mostly the rarest, and give the count of the others a limit.
    const demands = [...restrictions].sort(([, a], [, b]) => Number(a === ANY) - Number(b === ANY));
    let best: (typeof demands)[number] | undefined;
    let fewest = { items: Number.POSITIVE_INFINITY, selectors: 0 };
    for (const demand of demands) {
      const load = this.#load(...demand, fewest.items);
      if (load.items < fewest.items || (load.items === fewest.items && load.selectors < fewest.selectors)) {
        best = demand;
        fewest = load;
      }
    }
    if (best === undefined) {
      this.#undemanding.add(entry);
      return;
    }
    const [name, values] = best;
    const label = this.#label(name);
    entry.drawers = values === ANY ? [label] : [...values].map(value => this.#pair(label, value));
    for (const drawer of entry.drawers) drawer.file(entry);
  }

  /**
   * How many items would have to try a selector that is filed under this demand (counted up to just above
   * `limit`), and how many selectors they try there already.
   */
  #load(name: string, values: ReadonlySet<string> | typeof ANY, limit: number): Load {
    const load = { items: 0, selectors: 0 };
    const label = this.#labels.get(name);
    if (label === undefined) return load;
    if (values === ANY) load.selectors = label.selectors.size;
    for (const value of values === ANY ? label.pairs.keys() : values) {
      const pair = label.pairs.get(value);
      if (pair === undefined) continue;
      load.items += pair.items.size;
      for (const parent of pair.parents) load.items += parent.items.size;
      if (values !== ANY) load.selectors += pair.selectors.size;
      if (load.items > limit) break;
    }
    return load;
  }

  #unfile(entry: Entry<S, I>): void {
    this.#undemanding.delete(entry);
    for (const drawer of entry.drawers ?? []) {
      drawer.unfile(entry);
      if (drawer instanceof Pair) this.#collectPair(drawer);
      else this.#collectLabel(drawer);
    }
  }

  /** Items that can match the selector, some perhaps more than once. */
  *#candidates(entry: Entry<S, I>): Generator<Item<S, I>> {
    if (entry.drawers === undefined) {
      yield* this.#items.values();
      return;
    }
    for (const drawer of entry.drawers) {
      for (const pair of drawer instanceof Pair ? [drawer] : drawer.pairs.values()) {
        yield* pair.items;
        for (const parent of pair.parents) yield* parent.items;
      }
    }
  }

  *#matching(entry: Entry<S, I>): Generator<Item<S, I>> {
    for (const item of this.#candidates(entry)) if (item.matches.includes(entry)) yield item;
  }

  #pairs(labels: LabelRecord): Pair<S, I>[] {
    return Object.entries(labels).map(([name, value]) => this.#pair(this.#label(name), value));
  }

  #label(name: string): Label<S, I> {
    let label = this.#labels.get(name);
    if (label === undefined) {
      label = new Label(name);
      this.#labels.set(name, label);
    }
    return label;
  }

  #pair(label: Label<S, I>, value: string): Pair<S, I> {
    let pair = label.pairs.get(value);
    if (pair === undefined) {
      pair = new Pair(label, value);
      label.pairs.set(value, pair);
    }
    return pair;
  }

  #parent(name: string): Parent<S, I> {
    let parent = this.#parents.get(name);
    if (parent === undefined) {
      parent = new Parent(name);
      this.#parents.set(name, parent);
    }
    return parent;
  }

  #releaseItem(pair: Pair<S, I>, item: Item<S, I>): void {
    pair.detachItem(item);
    this.#collectPair(pair);
  }

  #releaseParent(parent: Parent<S, I>, item: Item<S, I>): void {
    parent.items.delete(item);
    this.#collectParent(parent);
  }

  #collectParent(parent: Parent<S, I>): void {
    if (parent.items.size === 0 && parent.labels.length === 0) this.#parents.delete(parent.name);
  }

  #collectPair(pair: Pair<S, I>): void {
    if (!pair.unused) return;
    pair.label.pairs.delete(pair.value);
    this.#collectLabel(pair.label);
  }

  #collectLabel(label: Label<S, I>): void {
    if (label.pairs.size === 0 && label.selectors.size === 0) this.#labels.delete(label.name);
  }
}

function sameNames(parents: readonly { readonly name: string }[], names: readonly string[]): boolean {
  return parents.length === names.length && parents.every((parent, i) => parent.name === names[i]);
}
