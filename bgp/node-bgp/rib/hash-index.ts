/**
 * Gives out ids and finds them by hash: the index of both big tables (prefixes, attribute sets), whose columns are typed arrays by id.
 *
 * Open addressing, at most half full. The index grows fourfold without stopping for it: new ids go into the new slots, and each of them
 * brings some old ones along (a table that doubled in one go stopped the event loop for 26 ms at a million entries). Until
 * all have moved, a search looks at both. Removing moves later entries of the new slots back, so that no holes are left to step over.
 *
 *   for (let id = index.first(hash); id !== 0; id = index.next()) if (it is the one) ...
 */

import { capacityAbove, grown } from "./column.ts";

const FIRST_SLOTS = 64;
const GROWTH = 4;
/** Old slots emptied with each id added: they are empty long before the new ones are half full. */
const MOVED_PER_ADD = 16;
/** In the old slots: the id has moved, or is gone. */
const MOVED = -1;
const NO_SLOTS = new Int32Array(0);

export class HashIndex {
  /** First id never used: one more than the highest. */
  end = 1;
  count = 0;
  /** How many ids fit before arrays must grow; columns by id follow it. */
  capacity = FIRST_SLOTS;
  readonly #hashOf: (id: number) => number;
  #slots = new Int32Array(FIRST_SLOTS);
  #old: Int32Array = NO_SLOTS;
  /** Old slots before this are empty. */
  #moved = 0;
  /** Ids given back. */
  #free = new Int32Array(FIRST_SLOTS);
  #freeCount = 0;
  // The search that is going on.
  #hash = 0;
  #slot = 0;
  #isInOld = false;

  /** `hashOf` recalls the hash an id was added with. */
  constructor(hashOf: (id: number) => number) {
    this.#hashOf = hashOf;
  }

  /** The first id that may have this hash; 0: none. */
  first(hash: number): number {
    this.#hash = hash;
    this.#slot = hash & (this.#slots.length - 1);
    this.#isInOld = false;
    const id = this.#slots[this.#slot]!;
    return id === 0 && this.#old.length > 0 ? this.#firstOld() : id;
  }

  /** The next one after that; 0: none. */
  next(): number {
    if (this.#isInOld) return this.#nextOld();
    this.#slot = (this.#slot + 1) & (this.#slots.length - 1);
    const id = this.#slots[this.#slot]!;
    return id === 0 && this.#old.length > 0 ? this.#firstOld() : id;
  }

  add(hash: number): number {
    if (this.#old.length > 0) this.#moveSome();
    else if (this.count * 2 >= this.#slots.length) this.#growSlots();
    const id = this.#freeCount > 0 ? this.#free[--this.#freeCount]! : this.end++;
    if (id >= this.capacity) this.capacity = capacityAbove(this.capacity);
    this.#put(id, hash);
    this.count++;
    return id;
  }

  /** Before what `hashOf` reads is changed. */
  remove(id: number): void {
    const hash = this.#hashOf(id);
    if (!this.#removeNew(id, hash)) this.#removeOld(id, hash);
    if (this.#freeCount === this.#free.length) this.#free = grown(this.#free, this.#free.length * 2);
    this.#free[this.#freeCount++] = id;
    this.count--;
  }

  #put(id: number, hash: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hash & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = id;
  }

  #firstOld(): number {
    this.#isInOld = true;
    this.#slot = (this.#hash - 1) & (this.#old.length - 1);
    return this.#nextOld();
  }

  #nextOld(): number {
    const old = this.#old;
    const mask = old.length - 1;
    do this.#slot = (this.#slot + 1) & mask;
    while (old[this.#slot] === MOVED);
    return old[this.#slot]!;
  }

  #growSlots(): void {
    this.#old = this.#slots;
    this.#slots = new Int32Array(this.#old.length * GROWTH);
    this.#moved = 0;
  }

  #moveSome(): void {
    const old = this.#old;
    const end = Math.min(this.#moved + MOVED_PER_ADD, old.length);
    for (let slot = this.#moved; slot < end; slot++) {
      const id = old[slot]!;
      if (id <= 0) continue;
      old[slot] = MOVED;
      this.#put(id, this.#hashOf(id));
    }
    this.#moved = end;
    if (end === old.length) this.#old = NO_SLOTS;
  }

  #removeNew(id: number, hash: number): boolean {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = hash & mask;
    while (slots[hole] !== id) {
      if (slots[hole] === 0) return false;
      hole = (hole + 1) & mask;
    }
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#hashOf(slots[slot]!) & mask;
      // May it move to the hole? Not when its home lies behind the hole on the way to where it is.
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole] = slots[slot]!;
        hole = slot;
      }
    }
    slots[hole] = 0;
    return true;
  }

  #removeOld(id: number, hash: number): void {
    const old = this.#old;
    const mask = old.length - 1;
    let slot = hash & mask;
    while (old[slot] !== id) slot = (slot + 1) & mask;
    old[slot] = MOVED;
  }
}
