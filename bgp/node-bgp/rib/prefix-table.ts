/**
 * Prefixes of one family, named by an integer: columns of typed arrays, no object per prefix.
 *
 * An address is one (IPv4) or four (IPv6) 32-bit words. Ids are reused; the table's owner decides when nothing refers to
 * one any more. The hash is seeded: nobody outside can choose prefixes that collide.
 */

import { formatAddress } from "../address.ts";
import { addressBytes } from "../message/constants.ts";
import type { Family } from "../route.ts";
import { grown } from "./column.ts";
import { HashIndex } from "./hash-index.ts";

/** In the place of a length: the id is not in use. */
const FREE = 255;

export class PrefixTable {
  readonly family: Family;
  /** Bytes per address. */
  readonly size: 4 | 16;
  readonly #index: HashIndex;
  /** Addresses by id, `size / 4` words each, host bits zero. */
  #words: Int32Array<ArrayBuffer>;
  #lengths: Uint8Array<ArrayBuffer>;
  readonly #seed = (Math.random() * 0x1_0000_0000) | 0;
  /** The IPv6 address being looked for. */
  readonly #wanted = new Int32Array(4);

  constructor(family: Family) {
    this.family = family;
    this.size = addressBytes(family);
    this.#index =
      this.size === 4
        ? new HashIndex(id => this.#hash4(this.#words[id]!, this.#lengths[id]!))
        : new HashIndex(id => this.#hash16(this.#words, id * 4, this.#lengths[id]!));
    this.#words = new Int32Array((this.#index.capacity * this.size) / 4);
    this.#lengths = new Uint8Array(this.#index.capacity);
  }

  get count(): number {
    return this.#index.count;
  }

  /** One more than the highest id ever given out: the bound for a walk over all prefixes. */
  get end(): number {
    return this.#index.end;
  }

  /** How many ids fit before columns must grow. */
  get capacity(): number {
    return this.#index.capacity;
  }

  has(id: number): boolean {
    return this.#lengths[id] !== FREE;
  }

  lengthOf(id: number): number {
    return this.#lengths[id]!;
  }

  format(id: number): string {
    const address = new Uint8Array(this.size);
    const length = this.read(id, address);
    return `${formatAddress(address)}/${length}`;
  }

  /** Writes the address of `id` to the front of `into` and returns the prefix length. */
  read(id: number, into: Uint8Array): number {
    const { size } = this;
    for (let at = 0, word = (id * size) / 4; at < size; at += 4, word++) {
      const value = this.#words[word]!;
      into[at] = value >>> 24;
      into[at + 1] = value >>> 16;
      into[at + 2] = value >>> 8;
      into[at + 3] = value;
    }
    return this.#lengths[id]!;
  }

  /** The prefix of `length` bits whose first ceil(length/8) bytes are at `offset`; 0 where it is not in the table. */
  find(bytes: Uint8Array, offset: number, length: number): number {
    if (this.size === 4) {
      const address = addressWord(bytes, offset, length);
      return this.#find4(address, length, this.#hash4(address, length));
    }
    this.#want(bytes, offset, length);
    return this.#find16(length, this.#hash16(this.#wanted, 0, length));
  }

  /** Like {@link find}, and adds it. */
  ensure(bytes: Uint8Array, offset: number, length: number): number {
    if (this.size === 4) {
      const address = addressWord(bytes, offset, length);
      const hash = this.#hash4(address, length);
      const known = this.#find4(address, length, hash);
      if (known !== 0) return known;
      const id = this.#add(hash, length);
      this.#words[id] = address;
      return id;
    }
    this.#want(bytes, offset, length);
    const hash = this.#hash16(this.#wanted, 0, length);
    const known = this.#find16(length, hash);
    if (known !== 0) return known;
    const id = this.#add(hash, length);
    this.#words.set(this.#wanted, id * 4);
    return id;
  }

  delete(id: number): void {
    this.#index.remove(id);
    this.#lengths[id] = FREE;
  }

  #add(hash: number, length: number): number {
    const id = this.#index.add(hash);
    if (id >= this.#lengths.length) {
      this.#words = grown(this.#words, (this.capacity * this.size) / 4);
      this.#lengths = grown(this.#lengths, this.capacity);
    }
    this.#lengths[id] = length;
    return id;
  }

  #find4(address: number, length: number, hash: number): number {
    for (let id = this.#index.first(hash); id !== 0; id = this.#index.next()) {
      if (this.#words[id] === address && this.#lengths[id] === length) return id;
    }
    return 0;
  }

  #find16(length: number, hash: number): number {
    const words = this.#words;
    const wanted = this.#wanted;
    for (let id = this.#index.first(hash); id !== 0; id = this.#index.next()) {
      const at = id * 4;
      const isSame =
        words[at] === wanted[0] &&
        words[at + 1] === wanted[1] &&
        words[at + 2] === wanted[2] &&
        words[at + 3] === wanted[3];
      if (isSame && this.#lengths[id] === length) return id;
    }
    return 0;
  }

  #want(bytes: Uint8Array, offset: number, length: number): void {
    for (let word = 0; word < 4; word++) {
      const bits = Math.min(Math.max(length - word * 32, 0), 32);
      this.#wanted[word] = addressWord(bytes, offset + word * 4, bits);
    }
  }

  #hash4(address: number, length: number): number {
    return finish(mix(this.#seed ^ length, address));
  }

  #hash16(words: Int32Array, at: number, length: number): number {
    let hash = this.#seed ^ length;
    for (let word = at; word < at + 4; word++) hash = mix(hash, words[word]!);
    return finish(hash);
  }
}

/** The first `length` (0..32) bits of an address, the rest zero; reads no byte beyond them. */
function addressWord(bytes: Uint8Array, offset: number, length: number): number {
  if (length === 0) return 0;
  let word = bytes[offset]! << 24;
  if (length > 8) word |= bytes[offset + 1]! << 16;
  if (length > 16) word |= bytes[offset + 2]! << 8;
  if (length > 24) word |= bytes[offset + 3]!;
  return word & (-1 << (32 - length));
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

function finish(hash: number): number {
  const mixed = Math.imul(hash, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
