/** Ids first in, first out, in a typed array: lists of dirty prefixes, up to millions of them. */

import { grown } from "./column.ts";

export class IdQueue {
  #ids = new Int32Array(1024);
  #first = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#first;
  }

  push(id: number): void {
    if (this.#end === this.#ids.length) this.#makeRoom();
    this.#ids[this.#end++] = id;
  }

  /** The queue must not be empty. */
  shift(): number {
    const id = this.#ids[this.#first++]!;
    if (this.#first === this.#end) {
      this.#first = 0;
      this.#end = 0;
    }
    return id;
  }

  #makeRoom(): void {
    if (this.#first > this.#ids.length / 2) {
      this.#ids.copyWithin(0, this.#first, this.#end);
      this.#end -= this.#first;
      this.#first = 0;
    } else this.#ids = grown(this.#ids, this.#ids.length * 2);
  }
}
