/**
 * Gives out ids and finds them by hash: the index of both big tables (prefixes, attribute sets), whose columns are typed arrays by id.
 *
 * Linear hashing with chains: one bucket is split for each id added, so the index grows by itself without ever rehashing
 * as a whole (a table that doubled in one go stopped the event loop for 26 ms at a million entries). Measured beside open addressing in
 * a thousand shards and with gradual rehashing: the same time, less memory. Ids given back are chained and used again.
 */

import { capacityAbove, grown } from "./column.ts";

const FIRST_CAPACITY = 64;

export class HashIndex {
  /** First id never used: one more than the highest. */
  end = 1;
  count = 0;
  /** How many ids fit before arrays must grow; columns by id follow it. */
  capacity = FIRST_CAPACITY;
  readonly #hashOf: (id: number) => number;
  /** The next id in the same bucket, or in the list of free ones. */
  #next = new Int32Array(FIRST_CAPACITY);
  #free = 0;
  /** First id of each bucket; 0: none. */
  #heads = new Int32Array(FIRST_CAPACITY);
  /** Buckets before `#split` are told apart by one bit more than `#mask` has. */
  #mask = 15;
  #split = 0;

  /** `hashOf` recalls the hash an id was added with. */
  constructor(hashOf: (id: number) => number) {
    this.#hashOf = hashOf;
  }

  /** The first id that may have this hash; 0: none. */
  first(hash: number): number {
    const bucket = hash & this.#mask;
    return this.#heads[bucket < this.#split ? hash & (this.#mask * 2 + 1) : bucket]!;
  }

  next(id: number): number {
    return this.#next[id]!;
  }

  add(hash: number): number {
    if (this.count > this.#mask + this.#split) this.#splitOne();
    let id = this.#free;
    if (id !== 0) this.#free = this.#next[id]!;
    else {
      id = this.end++;
      if (id >= this.capacity) this.#grow();
    }
    const bucket = this.#bucket(hash);
    this.#next[id] = this.#heads[bucket]!;
    this.#heads[bucket] = id;
    this.count++;
    return id;
  }

  /** Before what `hashOf` reads is changed. */
  remove(id: number): void {
    const next = this.#next;
    const bucket = this.#bucket(this.#hashOf(id));
    let before = this.#heads[bucket]!;
    if (before === id) this.#heads[bucket] = next[id]!;
    else {
      while (next[before] !== id) before = next[before]!;
      next[before] = next[id]!;
    }
    next[id] = this.#free;
    this.#free = id;
    this.count--;
  }

  #bucket(hash: number): number {
    const bucket = hash & this.#mask;
    return bucket < this.#split ? hash & (this.#mask * 2 + 1) : bucket;
  }

  /** The ids of one bucket whose hash has the next bit set move to a new bucket at the end. */
  #splitOne(): void {
    const next = this.#next;
    const low = this.#split;
    const bit = this.#mask + 1;
    const high = low + bit;
    if (high >= this.#heads.length) this.#heads = grown(this.#heads, capacityAbove(this.#heads.length));
    let kept = 0;
    let moved = 0;
    for (let id = this.#heads[low]!; id !== 0; ) {
      const following = next[id]!;
      if ((this.#hashOf(id) & bit) === 0) {
        next[id] = kept;
        kept = id;
      } else {
        next[id] = moved;
        moved = id;
      }
      id = following;
    }
    this.#heads[low] = kept;
    this.#heads[high] = moved;
    this.#split++;
    if (this.#split > this.#mask) {
      this.#mask = this.#mask * 2 + 1;
      this.#split = 0;
    }
  }

  #grow(): void {
    this.capacity = capacityAbove(this.capacity);
    this.#next = grown(this.#next, this.capacity);
  }
}
