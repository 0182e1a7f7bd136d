/**
 * What the label index keeps: items, the parents they inherit from, the `label=value` pairs that tie them to
 * selectors, and the selectors. Plain records; label-index.ts keeps them consistent.
 *
 * Most pairs are carried by few items and asked for by no selector, so their sets are made at first use.
 */

import type { Labels } from "./evaluate.ts";
import type { Selector } from "./index.ts";

export type LabelRecord = Readonly<Record<string, string>>;

const NOTHING: ReadonlySet<never> = new Set<never>();

/** Where selectors are filed. */
export class Drawer<S, I> {
  selectors: ReadonlySet<Entry<S, I>> = NOTHING;

  file(entry: Entry<S, I>): void {
    this.selectors = withMember(this.selectors, entry);
  }

  unfile(entry: Entry<S, I>): void {
    this.selectors = withoutMember(this.selectors, entry);
  }
}

/** A label name; holds the selectors that want it with any value. */
export class Label<S, I> extends Drawer<S, I> {
  readonly name: string;
  readonly pairs = new Map<string, Pair<S, I>>();

  constructor(name: string) {
    super();
    this.name = name;
  }
}

/** A label with a value, shared by all who carry it. */
export class Pair<S, I> extends Drawer<S, I> {
  readonly label: Label<S, I>;
  readonly value: string;
  items: ReadonlySet<Item<S, I>> = NOTHING;
  parents: ReadonlySet<Parent<S, I>> = NOTHING;

  constructor(label: Label<S, I>, value: string) {
    super();
    this.label = label;
    this.value = value;
  }

  get unused(): boolean {
    return this.items.size === 0 && this.parents.size === 0 && this.selectors.size === 0;
  }

  attachItem(item: Item<S, I>): void {
    this.items = withMember(this.items, item);
  }

  detachItem(item: Item<S, I>): void {
    this.items = withoutMember(this.items, item);
  }

  attachParent(parent: Parent<S, I>): void {
    this.parents = withMember(this.parents, parent);
  }

  detachParent(parent: Parent<S, I>): void {
    this.parents = withoutMember(this.parents, parent);
  }
}

/** A profile: passes its labels on to its items. */
export class Parent<S, I> {
  readonly name: string;
  labels: readonly Pair<S, I>[] = [];
  readonly items = new Set<Item<S, I>>();

  constructor(name: string) {
    this.name = name;
  }
}

export class Item<S, I> implements Labels {
  readonly id: I;
  own: readonly Pair<S, I>[] = [];
  parents: readonly Parent<S, I>[] = [];
  matches: Entry<S, I>[] = [];

  constructor(id: I) {
    this.id = id;
  }

  /** An own label hides inherited ones, an earlier parent hides later ones. */
  get(label: string): string | undefined {
    let value = valueIn(this.own, label);
    for (let i = 0; value === undefined && i < this.parents.length; i++) {
      value = valueIn(this.parents[i]!.labels, label);
    }
    return value;
  }

  forget(entry: Entry<S, I>): boolean {
    const at = this.matches.indexOf(entry);
    if (at < 0) return false;
    const last = this.matches.pop()!;
    if (at < this.matches.length) this.matches[at] = last;
    return true;
  }
}

/** A selector under the id its owner gave it. */
export class Entry<S, I> {
  readonly id: S;
  readonly selector: Selector;
  /** Where it is filed; undefined where it demands no label and every item must try it. */
  drawers: readonly (Label<S, I> | Pair<S, I>)[] | undefined;
  /** Scratch of LabelIndex while it compares an item's matches before and after. */
  mark = 0;

  constructor(id: S, selector: Selector) {
    this.id = id;
    this.selector = selector;
  }
}

export function sameLabels<S, I>(pairs: readonly Pair<S, I>[], labels: LabelRecord): boolean {
  const names = Object.keys(labels);
  return pairs.length === names.length && names.every(name => valueIn(pairs, name) === labels[name]);
}

/** Label sets are small: a walk beats a Map in time and in memory. */
function valueIn<S, I>(pairs: readonly Pair<S, I>[], label: string): string | undefined {
  for (const pair of pairs) if (pair.label.name === label) return pair.value;
  return undefined;
}

function withMember<T>(set: ReadonlySet<T>, member: T): ReadonlySet<T> {
  return set === NOTHING ? new Set([member]) : (set as Set<T>).add(member);
}

function withoutMember<T>(set: ReadonlySet<T>, member: T): ReadonlySet<T> {
  (set as Set<T>).delete(member);
  return set.size === 0 ? NOTHING : set;
}
