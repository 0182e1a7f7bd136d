/** A growing byte buffer, big endian, for encoding one message after the other. */

export class Writer {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  u16(value: number): this {
    this.#reserve(2);
    this.#bytes[this.#length++] = value >>> 8;
    this.#bytes[this.#length++] = value;
    return this;
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value & 0xffff);
  }

  bytes(source: Uint8Array): this {
    this.#reserve(source.length);
    this.#bytes.set(source, this.#length);
    this.#length += source.length;
    return this;
  }

  /** Overwrites a length field written earlier as a placeholder. */
  patch16(offset: number, value: number): void {
    this.#bytes[offset] = value >>> 8;
    this.#bytes[offset + 1] = value;
  }

  patch8(offset: number, value: number): void {
    this.#bytes[offset] = value;
  }

  /** Starts over in the same buffer. */
  reset(): this {
    this.#length = 0;
    return this;
  }

  /** From `start` to `end` of `source`, byte by byte: for pieces too short for a native copy to pay. */
  copyFrom(source: Uint8Array, start: number, end: number): this {
    this.#reserve(end - start);
    const bytes = this.#bytes;
    let to = this.#length;
    for (let i = start; i < end; i++) bytes[to++] = source[i]!;
    this.#length = to;
    return this;
  }

  append(other: Writer): this {
    return this.copyFrom(other.#bytes, 0, other.#length);
  }

  /** What was written, in place: only until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** A copy of what was written; the writer can go on. */
  copy(from = 0): Uint8Array {
    return this.#bytes.slice(from, this.#length);
  }

  /** Hands the buffer over and starts a new one. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(Math.max(4096, this.#length));
    this.#length = 0;
    return taken;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const bigger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    bigger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bigger;
  }
}
