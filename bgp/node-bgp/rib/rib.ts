/**
 * Adj-RIBs-In and Loc-RIB of one family: prefixes, their paths, and the best one as last decided.
 *
 * A change puts the prefix on the dirty list; {@link Rib.decide} works the list off in batches, however often a prefix
 * changed meanwhile. `best` is the Loc-RIB: what everybody outside has been told.
 *
 * Cost per prefix: 27 (IPv4) or 39 (IPv6) bytes, with one path; nothing on the JavaScript heap.
 */

import { readUint32 } from "../address.ts";
import type { Family } from "../route.ts";
import { grown } from "./column.ts";
import { type DecisionContext, decide, ranked } from "./decision.ts";
import { IdQueue } from "./id-queue.ts";
import { LongLivedStale } from "./long-lived-stale.ts";
import { type Path, PathTable } from "./path-table.ts";
import { PrefixTable } from "./prefix-table.ts";

/** Prefixes as they are on the wire: a sound list, each behind a path identifier where `addPath`. */
export interface NlriRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly addPath: boolean;
}

/** Prefixes that were decided together. */
export interface Decided {
  readonly ids: Int32Array;
  count: number;
  /** Those among them whose best path, or set of equal paths, is another now. */
  readonly changed: Int32Array;
  /** Their best sets before. */
  readonly before: Int32Array;
  changedCount: number;
}

export function decidedBatch(capacity: number): Decided {
  return {
    ids: new Int32Array(capacity),
    count: 0,
    changed: new Int32Array(capacity),
    before: new Int32Array(capacity),
    changedCount: 0,
  };
}

interface Reconsideration {
  readonly source: number;
  readonly accept: (id: number, received: number) => number;
  /** The next prefix. */
  at: number;
}

export class Rib {
  readonly family: Family;
  readonly prefixes: PrefixTable;
  readonly paths: PathTable;
  readonly longLived: LongLivedStale;
  readonly #context: DecisionContext;
  // By prefix.
  #best: Int32Array<ArrayBuffer>;
  #isDirty: Uint8Array<ArrayBuffer>;
  /** Sets of the equally good paths, where somebody wants to know and there are several. */
  readonly #equal = new Map<number, readonly number[]>();
  readonly #dirty = new IdQueue();
  /** Decided to have no path. */
  readonly #unused = new IdQueue();
  #reconsiderations: Reconsideration[] = [];
  /** Prefixes the sweep has still to look at, and the next one. */
  #sweepLeft = 0;
  #sweepAt = 1;

  constructor(family: Family, context: DecisionContext) {
    this.family = family;
    this.#context = context;
    this.prefixes = new PrefixTable(family);
    this.paths = new PathTable(context.sets, id => this.touch(id));
    this.paths.reserve(this.prefixes.capacity);
    this.longLived = new LongLivedStale(context.sets, this.prefixes, this.paths);
    this.#best = new Int32Array(this.prefixes.capacity);
    this.#isDirty = new Uint8Array(this.prefixes.capacity);
  }

  get dirtyCount(): number {
    return this.#dirty.length;
  }

  /** The set of the best path as last decided; 0: none. */
  bestOf(id: number): number {
    return this.#best[id]!;
  }

  /** Sets of the equally good paths, the best first. */
  equalOf(id: number): readonly number[] {
    const best = this.#best[id]!;
    if (best === 0) return [];
    return this.#equal.get(id) ?? (this.paths.onlySetOf(id) === -1 ? this.#equalNow(id) : [best]);
  }

  /** The paths of a prefix as they are now, the best first. */
  rankedPaths(id: number): Generator<Path> {
    return ranked(this.#visible(id), this.#context);
  }

  // --- paths

  /** The id of a prefix, which need not have been known. */
  ensure(bytes: Uint8Array, offset: number, length: number): number {
    const id = this.prefixes.ensure(bytes, offset, length);
    if (id >= this.#best.length) this.#grow();
    return id;
  }

  /** The prefixes of a list, as ids; those not known yet are added. */
  *idsOf({ bytes, start, end, addPath }: NlriRange): Generator<{ id: number; pathId: number }> {
    for (let at = start; at < end; ) {
      const pathId = addPath ? readUint32(bytes, at) : 0;
      if (addPath) at += 4;
      const length = bytes[at]!;
      yield { id: this.ensure(bytes, at + 1, length), pathId };
      at += 1 + ((length + 7) >> 3);
    }
  }

  /** All prefixes of a list have this path now. */
  putAll({ bytes, start, end, addPath }: NlriRange, set: number): void {
    const { paths } = this;
    for (let at = start; at < end; ) {
      const pathId = addPath ? readUint32(bytes, at) : 0;
      if (addPath) at += 4;
      const length = bytes[at]!;
      paths.put(this.ensure(bytes, at + 1, length), set, pathId);
      at += 1 + ((length + 7) >> 3);
    }
  }

  /** All prefixes of a list lose their path of `source`. */
  removeAll({ bytes, start, end, addPath }: NlriRange, source: number): void {
    const { paths, prefixes } = this;
    for (let at = start; at < end; ) {
      const pathId = addPath ? readUint32(bytes, at) : 0;
      if (addPath) at += 4;
      const length = bytes[at]!;
      const id = prefixes.find(bytes, at + 1, length);
      if (id !== 0) paths.remove(id, source, pathId);
      at += 1 + ((length + 7) >> 3);
    }
  }

  /** All paths of a source, or those still stale, go: by and by, see {@link sweep}. */
  doom(source: number, which: "all" | "stale"): void {
    this.paths.doom(source, which);
    if (this.paths.doomedCount > 0) this.#sweepLeft = this.prefixes.end;
  }

  /** Removes doomed paths from up to `count` prefixes. Returns false where there is nothing to do. */
  sweep(count: number): boolean {
    if (this.#sweepLeft === 0) return false;
    const stop = Math.max(0, this.#sweepLeft - count);
    while (this.#sweepLeft > stop && this.paths.doomedCount > 0) {
      if (this.#sweepAt >= this.prefixes.end) this.#sweepAt = 1;
      this.paths.sweep(this.#sweepAt++);
      this.#sweepLeft--;
    }
    if (this.paths.doomedCount === 0) this.#sweepLeft = 0;
    return true;
  }

  /** The import policy of a source answers differently: `accept` says what becomes of a received set, prefix by prefix, in steps. */
  reconsider(source: number, accept: (id: number, received: number) => number): void {
    const others = this.#reconsiderations.filter(other => other.source !== source);
    this.#reconsiderations = [...others, { source, accept, at: 1 }];
  }

  get isReconsidering(): boolean {
    return this.#reconsiderations.length > 0;
  }

  /** Looks at up to `count` prefixes. Returns false where there is nothing to do. */
  reconsiderStep(count: number): boolean {
    const [job] = this.#reconsiderations;
    if (job === undefined) return false;
    const end = Math.min(job.at + count, this.prefixes.end);
    for (; job.at < end; job.at++) {
      if (this.prefixes.has(job.at))
        this.paths.reconsider(job.at, job.source, received => job.accept(job.at, received));
    }
    if (job.at >= this.prefixes.end) this.#reconsiderations.shift();
    return true;
  }

  /** The prefix is to be decided again. */
  touch(id: number): void {
    if (this.#isDirty[id] === 1) return;
    this.#isDirty[id] = 1;
    this.#dirty.push(id);
  }

  // --- best paths

  /** Decides dirty prefixes, as many as `into` has room for. `tracksEqual`: equally good paths are of interest. */
  decide(into: Decided, tracksEqual: boolean): void {
    into.count = 0;
    into.changedCount = 0;
    while (this.#dirty.length > 0 && into.count < into.ids.length) {
      const id = this.#dirty.shift();
      this.#isDirty[id] = 0;
      into.ids[into.count++] = id;
      const before = this.#best[id]!;
      if (this.#decideOne(id, tracksEqual)) {
        into.changed[into.changedCount] = id;
        into.before[into.changedCount++] = before;
      }
      if (!this.paths.has(id)) this.#unused.push(id);
    }
  }

  /** Gives back ids of prefixes without paths, at most `limit`. Only when nobody outside refers to them any more. */
  releaseUnused(limit: number): boolean {
    for (let left = limit; left > 0 && this.#unused.length > 0; left--) {
      const id = this.#unused.shift();
      if (!this.paths.has(id) && this.#isDirty[id] === 0 && this.prefixes.has(id)) this.prefixes.delete(id);
    }
    return this.#unused.length > 0;
  }

  /** Names every attribute set that one prefix refers to. */
  markSets(id: number): void {
    const { sets } = this.#context;
    this.paths.markSets(id);
    if (this.#best[id] !== 0) sets.mark(this.#best[id]!);
    if (this.#equal.size > 0) for (const set of this.#equal.get(id) ?? []) sets.mark(set);
  }

  #decideOne(id: number, tracksEqual: boolean): boolean {
    const only = this.paths.onlySetOf(id);
    const before = this.#best[id]!;
    if (only >= 0) {
      // The usual case, without making anything: no path or one.
      this.#best[id] = only;
      const hadMore = this.#equal.size > 0 && this.#equal.delete(id);
      return hadMore || only !== before;
    }
    const visible = this.#visible(id);
    if (visible.length === 0) {
      this.#best[id] = 0;
      return before !== 0;
    }
    const decision = decide(visible, this.#context);
    this.#best[id] = decision.best.set;
    if (!tracksEqual) return before !== decision.best.set;
    const equal = decision.equal.map(({ set }) => set);
    const equalBefore = this.#equal.get(id) ?? [before];
    if (equal.length > 1) this.#equal.set(id, equal);
    else this.#equal.delete(id);
    return equal.length !== equalBefore.length || equal.some((set, i) => set !== equalBefore[i]);
  }

  #visible(id: number): Path[] {
    return this.paths.pathsOf(id).filter(({ isHidden }) => !isHidden);
  }

  #equalNow(id: number): readonly number[] {
    const visible = this.#visible(id);
    return visible.length === 0 ? [] : decide(visible, this.#context).equal.map(({ set }) => set);
  }

  #grow(): void {
    const { capacity } = this.prefixes;
    this.paths.reserve(capacity);
    this.#best = grown(this.#best, capacity);
    this.#isDirty = grown(this.#isDirty, capacity);
  }
}
