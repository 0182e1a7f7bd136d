/**
 * Bytes of many small records in a few big arrays, for the attribute sets: no object and no allocation per record.
 *
 * An address is segment and offset in one number. What is released leaves a hole; a segment that is mostly holes is *sparse*, its owner
 * moves the rest out of it ({@link ByteArena.move}), and a segment with nothing left is used again.
 */

const SEGMENT_BITS = 20;
const SEGMENT_SIZE = 1 << SEGMENT_BITS;
const OFFSET_MASK = SEGMENT_SIZE - 1;

export class ByteArena {
  readonly #segments: Uint8Array[] = [];
  /** Bytes in use, by segment. */
  readonly #used: number[] = [];
  readonly #empty: number[] = [];
  /** The segment being filled, and how far it is. */
  #current = -1;
  #at = SEGMENT_SIZE;

  /** How many there are, in use or waiting to be. */
  get segments(): number {
    return this.#segments.length;
  }

  /** Copies the first `length` bytes, at most a segment's worth. Returns their address. */
  add(bytes: Uint8Array, length: number): number {
    const address = this.#take(length);
    const segment = this.#segments[address >>> SEGMENT_BITS]!;
    const to = address & OFFSET_MASK;
    for (let i = 0; i < length; i++) segment[to + i] = bytes[i]!;
    return address;
  }

  /** The array that holds an address: its bytes begin at {@link ByteArena.offset}. */
  segment(address: number): Uint8Array {
    return this.#segments[address >>> SEGMENT_BITS]!;
  }

  offset(address: number): number {
    return address & OFFSET_MASK;
  }

  release(address: number, length: number): void {
    const segment = address >>> SEGMENT_BITS;
    this.#used[segment]! -= length;
    if (this.#used[segment] === 0 && segment !== this.#current) this.#empty.push(segment);
  }

  /** Not worth keeping for what is left in it. */
  isSparse(address: number): boolean {
    const segment = address >>> SEGMENT_BITS;
    return segment !== this.#current && this.#used[segment]! < SEGMENT_SIZE / 2;
  }

  /** Copies a record to where there is room now, and returns its new address. */
  move(address: number, length: number): number {
    const from = address & OFFSET_MASK;
    const moved = this.add(this.segment(address).subarray(from, from + length), length);
    this.release(address, length);
    return moved;
  }

  #take(length: number): number {
    if (this.#at + length > SEGMENT_SIZE) {
      const full = this.#current;
      this.#current = this.#empty.pop() ?? this.#segments.push(new Uint8Array(SEGMENT_SIZE)) - 1;
      this.#used[this.#current] = 0;
      this.#at = 0;
      if (full >= 0 && this.#used[full] === 0) this.#empty.push(full);
    }
    const address = this.#current * SEGMENT_SIZE + this.#at;
    this.#at += length;
    this.#used[this.#current]! += length;
    return address;
  }
}
