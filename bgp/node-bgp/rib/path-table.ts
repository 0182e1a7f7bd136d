/**
 * The paths of one family by prefix: the Adj-RIBs-In of all neighbors in one structure.
 *
 * The first path of a prefix is one word in a column; only further ones, and those with a path identifier (RFC 7911), are entries of a list.
 * A path is an attribute set, which says whose it is. Adj-RIB-In of a neighbor is the paths whose set has its source.
 *
 * A source has a *generation*, and a path the generation in which it was last received. What happens to all routes of a neighbor at once
 * moves the generation and touches no path: those of an earlier one are then *stale* (kept for a restart, RFC 4724) or
 * *doomed*, to be removed by a sweep that takes its time. A neighbor that is back before the sweep is through loses nothing.
 */

import type { AttributeTable } from "./attribute-table.ts";
import { capacityAbove, grown } from "./column.ts";

/** One path of a prefix, as a value for those who look at several. */
export interface Path {
  readonly set: number;
  /** The neighbor's identifier for it (RFC 7911); 0 where it sends none. */
  readonly pathId: number;
  /** Ours: unique among the paths of the prefix, the same as long as the path is there. */
  readonly sendId: number;
  readonly isStale: boolean;
  /** Refused by the import policy, and kept for soft reconfiguration. */
  readonly isHidden: boolean;
  /** As it was received, where the import policy has changed it and that is kept; otherwise `set`. */
  readonly received: number;
}

interface SourcePaths {
  /** 8 bits; paths received now get it. */
  generation: number;
  /** The oldest generation that is not doomed. */
  kept: number;
  /** Paths of the current generation. */
  fresh: number;
  stale: number;
  doomed: number;
}

/** Words of an entry of the list. */
const NEXT = 0;
const SET = 1;
const PATH_ID = 2;
const SEND_ID = 3;
/** Generation in the low 8 bits. */
const STATE = 4;
const HIDDEN = 0x100;
/** The set as received, where the policy has made another of it and it is kept; 0: nothing besides SET. */
const RECEIVED = 5;
const STRIDE = 6;
/** {@link Path.sendId} of a path with an identifier of its own begin here; the others are known by their source. */
const FIRST_LISTED_SEND_ID = 0x10000;

export class PathTable {
  readonly #sets: AttributeTable;
  readonly #onChange: (id: number) => void;
  // By prefix.
  #first = new Int32Array(64);
  #firstGeneration = new Uint8Array(64);
  #more = new Int32Array(64);
  // The list; entry 0 is none.
  #list = new Int32Array(64 * STRIDE);
  #listEnd = 1;
  #listFree = 0;
  readonly #bySource: SourcePaths[] = [];
  #doomed = 0;

  /** `onChange` is told of each prefix whose paths are others now. */
  constructor(sets: AttributeTable, onChange: (id: number) => void) {
    this.#sets = sets;
    this.#onChange = onChange;
  }

  /** Prefix ids below this have their columns. */
  reserve(capacity: number): void {
    if (capacity <= this.#first.length) return;
    this.#first = grown(this.#first, capacity);
    this.#firstGeneration = grown(this.#firstGeneration, capacity);
    this.#more = grown(this.#more, capacity);
  }

  // --- looking

  has(id: number): boolean {
    return this.#first[id] !== 0 || this.#more[id] !== 0;
  }

  /** The set of the only path of a prefix; 0: it has none; -1: see {@link pathsOf}. */
  onlySetOf(id: number): number {
    return this.#more[id] === 0 ? this.#first[id]! : -1;
  }

  /** In no order; hidden ones included. */
  pathsOf(id: number): Path[] {
    const paths: Path[] = [];
    const first = this.#first[id]!;
    if (first !== 0) {
      const source = this.#sets.sourceOf(first);
      const isStale = this.#isOld(source, this.#firstGeneration[id]!);
      paths.push({ set: first, pathId: 0, sendId: source + 1, isStale, isHidden: false, received: first });
    }
    for (let entry = this.#more[id]! * STRIDE; entry !== 0; entry = this.#list[entry + NEXT]! * STRIDE) {
      const set = this.#list[entry + SET]!;
      const state = this.#list[entry + STATE]!;
      paths.push({
        set,
        pathId: this.#list[entry + PATH_ID]! >>> 0,
        sendId: this.#list[entry + SEND_ID]!,
        isStale: this.#isOld(this.#sets.sourceOf(set), state & 0xff),
        isHidden: (state & HIDDEN) !== 0,
        received: this.#list[entry + RECEIVED]! || set,
      });
    }
    return paths;
  }

  /** A path of this source is stale; cheap where no path of it is. */
  isStale(id: number, source: number): boolean {
    if (this.#of(source).stale === 0) return false;
    return this.pathsOf(id).some(({ set, isStale }) => isStale && this.#sets.sourceOf(set) === source);
  }

  /** Paths of a source, and how many of them are stale. */
  countOf(source: number): { paths: number; stale: number } {
    const { fresh, stale } = this.#of(source);
    return { paths: fresh + stale, stale };
  }

  /** Names every attribute set that a prefix's paths refer to. */
  markSets(id: number): void {
    if (this.#first[id] !== 0) this.#sets.mark(this.#first[id]!);
    for (let entry = this.#more[id]! * STRIDE; entry !== 0; entry = this.#list[entry + NEXT]! * STRIDE) {
      this.#sets.mark(this.#list[entry + SET]!);
      if (this.#list[entry + RECEIVED] !== 0) this.#sets.mark(this.#list[entry + RECEIVED]!);
    }
  }

  // --- changing

  /** The source of `set` has this path now: replaces the one it had under the same identifier. */
  put(id: number, set: number, pathId = 0): void {
    const source = this.#sets.sourceOf(set);
    const of = this.#of(source);
    if (pathId === 0) {
      const first = this.#first[id]!;
      if (first !== 0 && this.#sets.sourceOf(first) === source) {
        this.#refresh(of, this.#firstGeneration[id]!);
        this.#firstGeneration[id] = of.generation;
        if (first === set) return;
        this.#first[id] = set;
        this.#sets.released++;
        this.#onChange(id);
        return;
      }
      if (first === 0 && this.#more[id] === 0) {
        this.#first[id] = set;
        this.#firstGeneration[id] = of.generation;
        of.fresh++;
        this.#onChange(id);
        return;
      }
    }
    this.#putListed(id, set, source, pathId, 0, 0);
  }

  /** Like {@link put}, and what was received is kept where the import policy has made another set of it, or refuses it: `set` is 0. */
  putKept(id: number, set: number, received: number, pathId: number): void {
    if (set === received) {
      this.put(id, set, pathId);
      return;
    }
    const source = this.#sets.sourceOf(received);
    const first = this.#first[id]!;
    // The column has no room for both.
    if (pathId === 0 && first !== 0 && this.#sets.sourceOf(first) === source) this.remove(id, source);
    if (set === 0) this.#putListed(id, received, source, pathId, HIDDEN, 0);
    else this.#putListed(id, set, source, pathId, 0, received);
  }

  /** The import policy of a source answers differently: `accept` says what becomes of a received set; 0: it is refused. */
  reconsider(id: number, source: number, accept: (received: number) => number): void {
    const of = this.#of(source);
    const first = this.#first[id]!;
    if (first !== 0 && this.#sets.sourceOf(first) === source && !isDoomed(of, this.#firstGeneration[id]!)) {
      const set = accept(first);
      if (set === first) return;
      this.#first[id] = 0;
      this.#link(id, first, 0, source + 1, this.#firstGeneration[id]!);
      this.#reconsiderEntry(this.#more[id]!, first, set);
      this.#onChange(id);
      return;
    }
    for (let entry = this.#more[id]!; entry !== 0; entry = this.#list[entry * STRIDE + NEXT]!) {
      const at = entry * STRIDE;
      const known = this.#list[at + SET]!;
      if (this.#sets.sourceOf(known) !== source || isDoomed(of, this.#list[at + STATE]! & 0xff)) continue;
      const received = this.#list[at + RECEIVED]! || known;
      if (this.#reconsiderEntry(entry, received, accept(received))) this.#onChange(id);
    }
  }

  remove(id: number, source: number, pathId = 0): void {
    const first = this.#first[id]!;
    if (pathId === 0 && first !== 0 && this.#sets.sourceOf(first) === source) {
      this.#forget(this.#of(source), this.#firstGeneration[id]!);
      this.#first[id] = 0;
      this.#sets.released++;
      this.#onChange(id);
      return;
    }
    let before = 0;
    for (let entry = this.#more[id]!; entry !== 0; entry = this.#list[entry * STRIDE + NEXT]!) {
      if (this.#isPath(entry, source, pathId)) {
        this.#unlink(id, entry, before);
        this.#onChange(id);
        return;
      }
      before = entry;
    }
  }

  /** The source is gone for a restart, or about to send everything again: what it has sent is stale. */
  markStale(source: number): void {
    const of = this.#of(source);
    of.generation = (of.generation + 1) & 0xff;
    of.stale += of.fresh;
    of.fresh = 0;
  }

  /** All paths of a source, or those still stale, are to go: see {@link sweep}. */
  doom(source: number, which: "all" | "stale"): void {
    const of = this.#of(source);
    let count = of.stale;
    of.stale = 0;
    if (which === "all") {
      count += of.fresh;
      of.fresh = 0;
      of.generation = (of.generation + 1) & 0xff;
    }
    of.kept = of.generation;
    of.doomed += count;
    this.#doomed += count;
  }

  /** Paths that a sweep is to remove. */
  get doomedCount(): number {
    return this.#doomed;
  }

  /** Doomed paths of this source: its index must not be used for another yet. */
  isSweeping(source: number): boolean {
    return this.#of(source).doomed > 0;
  }

  /** Removes what is doomed of one prefix. */
  sweep(id: number): void {
    const first = this.#first[id]!;
    if (first !== 0) {
      const of = this.#of(this.#sets.sourceOf(first));
      if (of.doomed > 0 && isDoomed(of, this.#firstGeneration[id]!)) {
        this.#forget(of, this.#firstGeneration[id]!);
        this.#first[id] = 0;
        this.#sets.released++;
        this.#onChange(id);
      }
    }
    let before = 0;
    for (let entry = this.#more[id]!; entry !== 0; ) {
      const next = this.#list[entry * STRIDE + NEXT]!;
      const of = this.#of(this.#sets.sourceOf(this.#list[entry * STRIDE + SET]!));
      if (of.doomed > 0 && isDoomed(of, this.#list[entry * STRIDE + STATE]! & 0xff)) {
        this.#unlink(id, entry, before);
        this.#onChange(id);
      } else before = entry;
      entry = next;
    }
  }

  /** What paths received now are of; earlier ones are stale. */
  generationOf(source: number): number {
    return this.#of(source).generation;
  }

  /** The stale paths of a source get the set that `replace` answers; 0: they go. Paths of the generation `spared`, and hidden ones, do not. */
  replaceStale(id: number, source: number, spared: number, replace: (set: number) => number): void {
    const of = this.#of(source);
    if (of.stale === 0) return;
    const isMeant = (set: number, generation: number) =>
      this.#sets.sourceOf(set) === source &&
      generation !== of.generation &&
      generation !== spared &&
      !isDoomed(of, generation);
    const first = this.#first[id]!;
    if (first !== 0 && isMeant(first, this.#firstGeneration[id]!)) {
      const set = replace(first);
      if (set === 0) this.#forget(of, this.#firstGeneration[id]!);
      this.#first[id] = set;
      if (set !== first) {
        this.#sets.released++;
        this.#onChange(id);
      }
    }
    let before = 0;
    for (let entry = this.#more[id]!; entry !== 0; ) {
      const at = entry * STRIDE;
      const next = this.#list[at + NEXT]!;
      const known = this.#list[at + SET]!;
      const state = this.#list[at + STATE]!;
      const isOne = (state & HIDDEN) === 0 && isMeant(known, state & 0xff);
      const set = isOne ? replace(known) : known;
      if (set !== known) {
        this.#sets.released++;
        this.#onChange(id);
      }
      if (set === 0) this.#unlink(id, entry, before);
      else {
        this.#list[at + SET] = set;
        before = entry;
      }
      entry = next;
    }
  }

  // --- inside

  #of(source: number): SourcePaths {
    let of = this.#bySource[source];
    if (of === undefined) {
      for (let i = this.#bySource.length; i <= source; i++)
        this.#bySource.push({ generation: 0, kept: 0, fresh: 0, stale: 0, doomed: 0 });
      of = this.#bySource[source]!;
    }
    return of;
  }

  #isOld(source: number, generation: number): boolean {
    return this.#of(source).generation !== generation;
  }

  /** Returns true where the path is another to those who do not look at hidden ones. */
  #reconsiderEntry(entry: number, received: number, set: number): boolean {
    const at = entry * STRIDE;
    const state = this.#list[at + STATE]!;
    const before = (state & HIDDEN) === 0 ? this.#list[at + SET]! : 0;
    this.#list[at + SET] = set === 0 ? received : set;
    this.#list[at + RECEIVED] = set === 0 || set === received ? 0 : received;
    this.#list[at + STATE] = set === 0 ? state | HIDDEN : state & ~HIDDEN;
    if (before === set) return false;
    this.#sets.released++;
    return true;
  }

  #putListed(
    id: number,
    set: number,
    source: number,
    pathId: number,
    hidden: number,
    received: number,
  ): void {
    const of = this.#of(source);
    const visible = hidden === 0 ? set : 0;
    for (let entry = this.#more[id]!; entry !== 0; entry = this.#list[entry * STRIDE + NEXT]!) {
      if (!this.#isPath(entry, source, pathId)) continue;
      const at = entry * STRIDE;
      const state = this.#list[at + STATE]!;
      const before = (state & HIDDEN) === 0 ? this.#list[at + SET]! : 0;
      this.#refresh(of, state & 0xff);
      this.#list[at + SET] = set;
      this.#list[at + STATE] = of.generation | hidden;
      this.#list[at + RECEIVED] = received;
      this.#sets.released++;
      if (before !== visible) this.#onChange(id);
      return;
    }
    const sendId = pathId === 0 ? source + 1 : this.#newSendId(id);
    this.#link(id, set, pathId, sendId, of.generation | hidden);
    this.#list[this.#more[id]! * STRIDE + RECEIVED] = received;
    of.fresh++;
    this.#onChange(id);
  }

  #isPath(entry: number, source: number, pathId: number): boolean {
    const at = entry * STRIDE;
    return this.#list[at + PATH_ID] === (pathId | 0) && this.#sets.sourceOf(this.#list[at + SET]!) === source;
  }

  /** The lowest one that no path of the prefix has. */
  #newSendId(id: number): number {
    const taken = new Set(this.pathsOf(id).map(({ sendId }) => sendId));
    let sendId = FIRST_LISTED_SEND_ID;
    while (taken.has(sendId)) sendId++;
    return sendId;
  }

  #link(id: number, set: number, pathId: number, sendId: number, state: number): void {
    let entry = this.#listFree;
    if (entry !== 0) this.#listFree = this.#list[entry * STRIDE + NEXT]!;
    else {
      entry = this.#listEnd++;
      const capacity = this.#list.length / STRIDE;
      if (entry >= capacity) this.#list = grown(this.#list, capacityAbove(capacity) * STRIDE);
    }
    const at = entry * STRIDE;
    this.#list[at + NEXT] = this.#more[id]!;
    this.#list[at + SET] = set;
    this.#list[at + PATH_ID] = pathId;
    this.#list[at + SEND_ID] = sendId;
    this.#list[at + STATE] = state;
    this.#list[at + RECEIVED] = 0;
    this.#more[id] = entry;
  }

  #unlink(id: number, entry: number, before: number): void {
    const at = entry * STRIDE;
    this.#sets.released++;
    this.#forget(this.#of(this.#sets.sourceOf(this.#list[at + SET]!)), this.#list[at + STATE]! & 0xff);
    if (before === 0) this.#more[id] = this.#list[at + NEXT]!;
    else this.#list[before * STRIDE + NEXT] = this.#list[at + NEXT]!;
    this.#list[at + NEXT] = this.#listFree;
    this.#listFree = entry;
  }

  /** A path of this generation has been received again. */
  #refresh(of: SourcePaths, generation: number): void {
    if (generation === of.generation) return;
    this.#forget(of, generation);
    of.fresh++;
  }

  /** A path of this generation is no longer counted as such. */
  #forget(of: SourcePaths, generation: number): void {
    if (generation === of.generation) of.fresh--;
    else if (isDoomed(of, generation)) {
      of.doomed--;
      this.#doomed--;
    } else of.stale--;
  }
}

function isDoomed({ generation, kept }: SourcePaths, of: number): boolean {
  return ((generation - of) & 0xff) > ((generation - kept) & 0xff);
}
