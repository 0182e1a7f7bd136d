/** A set of ids as bits: a member that has stopped reading may miss every prefix there is, and that must cost little. */

import { grown } from "./column.ts";

export class IdSet {
  #words = new Int32Array(64);
  #count = 0;
  /** No id below this word is in. */
  #from = 0;

  get size(): number {
    return this.#count;
  }

  has(id: number): boolean {
    return (this.#words[id >>> 5]! & (1 << (id & 31))) !== 0;
  }

  add(id: number): void {
    const word = id >>> 5;
    if (word >= this.#words.length)
      this.#words = grown(this.#words, Math.max(this.#words.length * 2, word + 1));
    const bit = 1 << (id & 31);
    if ((this.#words[word]! & bit) !== 0) return;
    this.#words[word] = this.#words[word]! | bit;
    this.#count++;
    if (word < this.#from) this.#from = word;
  }

  /** Takes out the lowest id; the set must not be empty. */
  shift(): number {
    while (this.#words[this.#from] === 0) this.#from++;
    const word = this.#words[this.#from]!;
    const lowest = word & -word;
    this.#words[this.#from] = word ^ lowest;
    this.#count--;
    return this.#from * 32 + (31 - Math.clz32(lowest));
  }
}
