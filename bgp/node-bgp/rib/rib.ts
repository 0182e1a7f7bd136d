/**
 * The Adj-RIBs-In and the Loc-RIB of one family, in one structure.
 *
 * A path is an entry of three parallel arrays (attribute set id, next path of the prefix, stale flag); the paths of a
 * prefix are a linked list from `head`. Adj-RIB-In of a neighbor is the paths whose set has its source. A
 * change puts the prefix on the dirty list; {@link Rib.decide} works the list off, once per turn of the event loop, however often a prefix
 * changed meanwhile. `best` is the Loc-RIB as last decided: what everybody outside has been told.
 *
 * Cost: 9 bytes a path, 17 (IPv4) to 29 (IPv6) a prefix plus its hash slots; a walk over everything for the loss of a neighbor.
 */

import type { Nlri } from "../message/nlri.ts";
import type { Family } from "../route.ts";
import type { AttributeSet, AttributeTable } from "./attribute-table.ts";
import { type Decision, decide } from "./decision.ts";
import { grown, PrefixTable } from "./prefix-table.ts";
import type { SourceTable } from "./source.ts";

export class Rib {
  readonly family: Family;
  readonly prefixes: PrefixTable;
  readonly #sets: AttributeTable;
  readonly #sources: SourceTable;
  // By path; 0 is no path.
  #pathSet = new Uint32Array(256);
  #pathNext = new Uint32Array(256);
  #pathStale = new Uint8Array(256);
  #nextPath = 1;
  readonly #freePaths: number[] = [];
  // By prefix.
  #head: Uint32Array;
  #best: Uint32Array;
  #isDirty: Uint8Array;
  /** Set ids of the equally good paths, for the few prefixes that have more than one. */
  readonly #equal = new Map<number, readonly number[]>();
  #dirty: number[] = [];
  /** Decided to have no path. */
  #unused: number[] = [];
  /** Paths and stale paths by source. */
  readonly #pathCount = new Map<number, number>();
  readonly #staleCount = new Map<number, number>();

  constructor(family: Family, sets: AttributeTable, sources: SourceTable) {
    this.family = family;
    this.#sets = sets;
    this.#sources = sources;
    this.prefixes = new PrefixTable(family);
    this.#head = new Uint32Array(this.prefixes.capacity);
    this.#best = new Uint32Array(this.prefixes.capacity);
    this.#isDirty = new Uint8Array(this.prefixes.capacity);
  }

  get dirtyCount(): number {
    return this.#dirty.length;
  }

  pathCount(source: number): number {
    return this.#pathCount.get(source) ?? 0;
  }

  staleCount(source: number): number {
    return this.#staleCount.get(source) ?? 0;
  }

  /** The set of the best path as last decided; 0: none. */
  bestOf(id: number): number {
    return this.#best[id] ?? 0;
  }

  /** Set ids of the equally good paths as last decided, the best first. */
  equalOf(id: number): readonly number[] {
    return this.#equal.get(id) ?? (this.#best[id] ? [this.#best[id]!] : []);
  }

  /** Every path of a prefix, in no order. */
  pathsOf(id: number): AttributeSet[] {
    const paths: AttributeSet[] = [];
    for (let path = this.#head[id]!; path !== 0; path = this.#pathNext[path]!) {
      paths.push(this.#sets.get(this.#pathSet[path]!));
    }
    return paths;
  }

  isStale(id: number, source: number): boolean {
    const path = this.#find(id, source);
    return path !== 0 && this.#pathStale[path] === 1;
  }

  /** The prefixes of a received list, as ids; `add` decides what happens to those not known yet. */
  *idsOf(nlri: Nlri, add: boolean): Generator<number> {
    const { bytes } = nlri;
    for (let offset = 0; offset < bytes.length; offset += 1 + ((bytes[offset]! + 7) >> 3)) {
      const length = bytes[offset]!;
      const id = add ? this.ensure(bytes, offset + 1, length) : this.prefixes.find(bytes, offset + 1, length);
      if (id !== 0) yield id;
    }
  }

  ensure(bytes: Uint8Array, offset: number, length: number): number {
    const id = this.prefixes.ensure(bytes, offset, length);
    if (id >= this.#head.length) this.#growPrefixes();
    return id;
  }

  /** The source of `set` has this path now: replaces the one it had. */
  put(id: number, set: AttributeSet): void {
    const known = this.#find(id, set.source);
    if (known !== 0) {
      this.#unstale(known, set.source);
      if (this.#pathSet[known] === set.id) return;
      this.#pathSet[known] = set.id;
    } else {
      const path = this.#freePaths.pop() ?? this.#nextPath++;
      if (path >= this.#pathSet.length) this.#growPaths();
      this.#pathSet[path] = set.id;
      this.#pathNext[path] = this.#head[id]!;
      this.#head[id] = path;
      count(this.#pathCount, set.source, 1);
    }
    this.touch(id);
  }

  remove(id: number, source: number): void {
    let before = 0;
    for (let path = this.#head[id]!; path !== 0; path = this.#pathNext[path]!) {
      if (this.#sourceOf(path) === source) {
        if (before === 0) this.#head[id] = this.#pathNext[path]!;
        else this.#pathNext[before] = this.#pathNext[path]!;
        this.#unstale(path, source);
        this.#pathSet[path] = 0;
        this.#freePaths.push(path);
        count(this.#pathCount, source, -1);
        this.touch(id);
        return;
      }
      before = path;
    }
  }

  /** All paths of a source, or those still stale. */
  removeAll(source: number, which: "all" | "stale"): void {
    if (which === "stale" ? this.staleCount(source) === 0 : this.pathCount(source) === 0) return;
    for (let id = 1; id < this.prefixes.end; id++) {
      const path = this.#find(id, source);
      if (path !== 0 && (which === "all" || this.#pathStale[path] === 1)) this.remove(id, source);
    }
  }

  /** The source has gone for a restart: what it sent stays until it is sent again or swept. */
  markStale(source: number): void {
    if (this.pathCount(source) === 0) return;
    for (let id = 1; id < this.prefixes.end; id++) {
      const path = this.#find(id, source);
      if (path === 0 || this.#pathStale[path] === 1) continue;
      this.#pathStale[path] = 1;
      count(this.#staleCount, source, 1);
    }
  }

  /** The prefix is to be decided again. */
  touch(id: number): void {
    if (this.#isDirty[id] === 1) return;
    this.#isDirty[id] = 1;
    this.#dirty.push(id);
  }

  /** Decides up to `limit` dirty prefixes and returns those whose best path, or set of equal paths, is another now. */
  decide(limit: number): number[] {
    const batch = this.#dirty.splice(0, limit);
    return batch.filter(id => {
      this.#isDirty[id] = 0;
      const hasChanged = this.#decideOne(id);
      if (this.#head[id] === 0) this.#unused.push(id);
      return hasChanged;
    });
  }

  /** Gives back the ids of prefixes without paths. Only when nobody outside refers to them any more. */
  releaseUnused(): void {
    for (const id of this.#unused) {
      if (this.#head[id] === 0 && this.#isDirty[id] === 0 && this.prefixes.has(id)) this.prefixes.delete(id);
    }
    this.#unused = [];
  }

  /** Names every attribute set the RIB refers to. */
  mark(keep: (id: number) => void): void {
    for (let path = 1; path < this.#nextPath; path++)
      if (this.#pathSet[path] !== 0) keep(this.#pathSet[path]!);
    for (let id = 1; id < this.prefixes.end; id++) if (this.#best[id] !== 0) keep(this.#best[id]!);
    for (const equal of this.#equal.values()) equal.forEach(keep);
  }

  #decideOne(id: number): boolean {
    const head = this.#head[id]!;
    const before = this.#best[id]!;
    if (head === 0 || this.#pathNext[head] === 0) {
      // The usual case, without making anything: no path or one.
      const best = head === 0 ? 0 : this.#pathSet[head]!;
      const hadMore = this.#equal.delete(id);
      this.#best[id] = best;
      return hadMore || best !== before;
    }
    const decision: Decision = decide(this.pathsOf(id), index => this.#sources.get(index));
    const equal = decision.equal.map(set => set.id);
    const equalBefore = this.equalOf(id);
    this.#best[id] = decision.best.id;
    if (equal.length > 1) this.#equal.set(id, equal);
    else this.#equal.delete(id);
    return equal.length !== equalBefore.length || equal.some((set, i) => set !== equalBefore[i]);
  }

  #find(id: number, source: number): number {
    for (let path = this.#head[id]!; path !== 0; path = this.#pathNext[path]!) {
      if (this.#sourceOf(path) === source) return path;
    }
    return 0;
  }

  #sourceOf(path: number): number {
    return this.#sets.get(this.#pathSet[path]!).source;
  }

  #unstale(path: number, source: number): void {
    if (this.#pathStale[path] === 0) return;
    this.#pathStale[path] = 0;
    count(this.#staleCount, source, -1);
  }

  #growPaths(): void {
    const length = this.#pathSet.length * 2;
    this.#pathSet = grown(this.#pathSet, length);
    this.#pathNext = grown(this.#pathNext, length);
    this.#pathStale = grown(this.#pathStale, length);
  }

  #growPrefixes(): void {
    const length = this.prefixes.capacity;
    this.#head = grown(this.#head, length);
    this.#best = grown(this.#best, length);
    this.#isDirty = grown(this.#isDirty, length);
  }
}

function count(counts: Map<number, number>, source: number, by: number): void {
  counts.set(source, (counts.get(source) ?? 0) + by);
}
