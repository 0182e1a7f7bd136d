/**
 * Prefixes of one family, named by an integer: an open-addressing hash table over typed arrays, no object per prefix.
 *
 * Deleting moves later entries of the probe sequence back (no tombstones), so lookups stay short under churn. Ids are
 * reused; the table's owner decides when nothing refers to one any more.
 */

import { formatAddress } from "../address.ts";
import { addressBytes } from "../message/constants.ts";
import type { Family } from "../route.ts";

const FIRST_CAPACITY = 256;

export class PrefixTable {
  readonly family: Family;
  /** Bytes per address. */
  readonly size: 4 | 16;
  /** Addresses by id: `size` bytes each, host bits zero. */
  #addresses: Uint8Array;
  /** Prefix lengths by id; 255: free. */
  #lengths: Uint8Array;
  #hashes: Uint32Array;
  #slots: Uint32Array;
  readonly #free: number[] = [];
  /** First id never used. */
  #next = 1;
  #count = 0;
  readonly #scratch: Uint8Array;

  constructor(family: Family) {
    this.family = family;
    this.size = addressBytes(family);
    this.#addresses = new Uint8Array(FIRST_CAPACITY * this.size);
    this.#lengths = new Uint8Array(FIRST_CAPACITY).fill(255);
    this.#hashes = new Uint32Array(FIRST_CAPACITY);
    this.#slots = new Uint32Array(FIRST_CAPACITY * 2);
    this.#scratch = new Uint8Array(this.size);
  }

  get count(): number {
    return this.#count;
  }

  /** One more than the highest id ever given out: the bound for a walk over all prefixes. */
  get end(): number {
    return this.#next;
  }

  /** How many ids fit before the arrays grow; arrays indexed by prefix id follow it. */
  get capacity(): number {
    return this.#lengths.length;
  }

  has(id: number): boolean {
    return this.#lengths[id] !== 255;
  }

  lengthOf(id: number): number {
    return this.#lengths[id]!;
  }

  /** For writing: the bytes of the address of `id` start at `id * size`. */
  get addresses(): Uint8Array {
    return this.#addresses;
  }

  format(id: number): string {
    const at = id * this.size;
    return `${formatAddress(this.#addresses.subarray(at, at + this.size))}/${this.#lengths[id]}`;
  }

  /** The prefix of `length` bits whose first ceil(length/8) bytes are at `offset`; 0 where it is not in the table. */
  find(bytes: Uint8Array, offset: number, length: number): number {
    const hash = this.#load(bytes, offset, length);
    return this.#slots[this.#probe(hash, length)]!;
  }

  /** Like {@link find}, and adds it. */
  ensure(bytes: Uint8Array, offset: number, length: number): number {
    const hash = this.#load(bytes, offset, length);
    const slot = this.#probe(hash, length);
    const known = this.#slots[slot]!;
    if (known !== 0) return known;
    const id = this.#free.pop() ?? this.#next++;
    if (id >= this.#lengths.length) this.#grow();
    this.#addresses.set(this.#scratch, id * this.size);
    this.#lengths[id] = length;
    this.#hashes[id] = hash;
    this.#count++;
    if (this.#count * 2 > this.#slots.length) this.#rehash();
    this.#slots[this.#probe(hash, length)] = id;
    return id;
  }

  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#hashes[id]! & mask;
    while (slots[hole] !== id) hole = (hole + 1) & mask;
    for (let slot = (hole + 1) & mask; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#hashes[slots[slot]!]! & mask;
      // May it move to the hole? Not when its home lies behind the hole on the way to where it is.
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole] = slots[slot]!;
        hole = slot;
      }
    }
    slots[hole] = 0;
    this.#lengths[id] = 255;
    this.#free.push(id);
    this.#count--;
  }

  /** Copies the masked address into the scratch buffer and hashes it. */
  #load(bytes: Uint8Array, offset: number, length: number): number {
    const scratch = this.#scratch;
    const used = (length + 7) >> 3;
    let hash = 0x811c9dc5 ^ length;
    for (let i = 0; i < used; i++) {
      let byte = bytes[offset + i]!;
      if (i === used - 1 && (length & 7) !== 0) byte &= 0xff00 >> (length & 7);
      scratch[i] = byte;
      hash = Math.imul(hash ^ byte, 0x01000193);
    }
    for (let i = used; i < scratch.length; i++) scratch[i] = 0;
    hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }

  /** The slot of the loaded prefix, or the empty slot where it belongs. */
  #probe(hash: number, length: number): number {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let id = this.#slots[slot]!; id !== 0; id = this.#slots[slot]!) {
      if (this.#hashes[id] === hash && this.#lengths[id] === length && this.#isLoaded(id)) return slot;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #isLoaded(id: number): boolean {
    const at = id * this.size;
    for (let i = 0; i < this.size; i++) if (this.#addresses[at + i] !== this.#scratch[i]) return false;
    return true;
  }

  #grow(): void {
    const capacity = this.#lengths.length * 2;
    this.#addresses = grown(this.#addresses, capacity * this.size);
    const from = this.#lengths.length;
    this.#lengths = grown(this.#lengths, capacity).fill(255, from);
    this.#hashes = grown(this.#hashes, capacity);
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let id = 1; id < this.#next; id++) {
      if (this.#lengths[id] === 255) continue;
      let slot = this.#hashes[id]! & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = id;
    }
  }
}

/** A longer copy of a typed array, zero behind the old end. */
export function grown<T extends Uint8Array | Uint32Array>(array: T, length: number): T {
  const bigger = new (array.constructor as new (length: number) => T)(length);
  bigger.set(array);
  return bigger;
}
