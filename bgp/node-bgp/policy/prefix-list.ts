/**
 * Prefix lists: `10.0.0.0/8 ge 16 le 24` and thousands of the like, answered in a handful of steps.
 *
 * A trie of four bits a step. What an entry allows is a set of prefix lengths; where entries lie inside each other, the set of the inner one is
 * united with what the outer ones allow when the list is made. A lookup is then one walk to the longest entry that covers the route and one
 * look whether its set has the route's length: at most 8 steps for IPv4 and 32 for IPv6, with 10 entries or with 10,000.
 *
 * Of a node's two rows of 16, `child` is by the next four bits; `allowed` is by the part of them a route or entry may end in: 1 for none, then one
 * bit more at 2 and 3, 4 to 7, 8 to 15. Zero is no child and no entry.
 */

import { parsePrefix } from "../address.ts";
import { OptionError } from "../errors.ts";
import { Family } from "../route.ts";

export type PrefixTest = (address: Uint8Array, offset: number, length: number) => boolean;

export interface PrefixEntry {
  readonly family: Family;
  readonly address: Uint8Array;
  readonly length: number;
  /** Lengths a route inside the prefix may have. */
  readonly ge: number;
  readonly le: number;
}

const ENTRY = /^(\S+)(?: +ge +(\d{1,3}))?(?: +le +(\d{1,3}))?$/;
const EXPECTED = 'a prefix such as "10.0.0.0/8" or "10.0.0.0/8 ge 16 le 24"';

/** Throws {@link OptionError}, naming `path`. */
export function parsePrefixEntry(text: unknown, path: string): PrefixEntry {
  const [, prefixText = "", geText, leText] = (typeof text === "string" && ENTRY.exec(text)) || [];
  const prefix = parsePrefix(prefixText);
  if (prefix === undefined) throw new OptionError(path, text, EXPECTED);
  const { family, address, length } = prefix;
  const longest = address.length * 8;
  const ge = geText === undefined ? length : Number(geText);
  const le = leText === undefined ? (geText === undefined ? length : longest) : Number(leText);
  if (ge < length || le > longest || ge > le)
    throw new OptionError(path, text, `lengths with ${length} <= ge <= le <= ${longest}`);
  return { family, address, length, ge, le };
}

/** `text` with every route inside it. */
export function parseInside(text: unknown, path: string): PrefixEntry {
  const prefix = typeof text === "string" ? parsePrefix(text) : undefined;
  if (prefix === undefined) throw new OptionError(path, text, 'a prefix such as "10.0.0.0/8"');
  return { ...prefix, ge: prefix.length, le: prefix.address.length * 8 };
}

/** The test for one family; undefined where the list has no entry of it. */
export function compilePrefixList(entries: Iterable<PrefixEntry>, family: Family): PrefixTest | undefined {
  const trie = new Trie(family === Family.ipv4Unicast ? 32 : 128);
  for (const entry of entries) if (entry.family === family) trie.insert(entry);
  return trie.finish();
}

const NONE = 0n;

class Trie {
  readonly #longest: number;
  #child = new Uint32Array(16 * 16);
  /** Bit sets of lengths by node and place. */
  readonly #own = new Map<number, bigint>();
  #nodes = 1;

  constructor(longest: number) {
    this.#longest = longest;
  }

  insert({ address, length, ge, le }: PrefixEntry): void {
    let node = 0;
    let depth = 0;
    for (; length - depth >= 4; depth += 4) node = this.#childOf(node, nibble(address, 0, depth));
    const rest = length - depth;
    const bits = rest === 0 ? 0 : nibble(address, 0, depth) >> (4 - rest);
    const place = node * 16 + ((1 << rest) | bits);
    const lengths = (1n << BigInt(le + 1)) - (1n << BigInt(ge));
    this.#own.set(place, (this.#own.get(place) ?? NONE) | lengths);
  }

  finish(): PrefixTest | undefined {
    if (this.#own.size === 0) return undefined;
    const child = this.#child.slice(0, this.#nodes * 16);
    const allowed = new Uint32Array(this.#nodes * 16);
    const width = this.#longest + 1;
    const sets: bigint[] = [NONE];
    const numbers = new Map<bigint, number>([[NONE, 0]]);
    const numberOf = (set: bigint): number => {
      const known = numbers.get(set);
      if (known !== undefined) return known;
      numbers.set(set, sets.length);
      return sets.push(set) - 1;
    };
    // A child is always made after its parent, so what is above is known when a node's turn comes.
    const above = new Uint32Array(this.#nodes);
    for (let node = 0; node < this.#nodes; node++) {
      for (let place = 1; place < 16; place++) {
        const inherited = place === 1 ? above[node]! : allowed[node * 16 + (place >> 1)]!;
        const own = this.#own.get(node * 16 + place);
        allowed[node * 16 + place] = own === undefined ? inherited : numberOf(own | sets[inherited]!);
      }
      for (let bits = 0; bits < 16; bits++) {
        const next = child[node * 16 + bits]!;
        if (next !== 0) above[next] = allowed[node * 16 + (8 | (bits >> 1))]!;
      }
    }
    const hasLength = new Uint8Array(sets.length * width);
    sets.forEach((set, number) => {
      for (let length = 0; length < width; length++) {
        if ((set >> BigInt(length)) & 1n) hasLength[number * width + length] = 1;
      }
    });
    return (address, offset, length) => {
      let node = 0;
      for (let depth = 0; ; depth += 4) {
        const rest = length - depth;
        if (rest === 0) return hasLength[allowed[node * 16 + 1]! * width + length] === 1;
        const bits = nibble(address, offset, depth);
        if (rest < 4) {
          const place = (1 << rest) | (bits >> (4 - rest));
          return hasLength[allowed[node * 16 + place]! * width + length] === 1;
        }
        const next = child[node * 16 + bits]!;
        if (next === 0) return hasLength[allowed[node * 16 + (8 | (bits >> 1))]! * width + length] === 1;
        node = next;
      }
    };
  }

  #childOf(node: number, bits: number): number {
    const known = this.#child[node * 16 + bits]!;
    if (known !== 0) return known;
    const made = this.#nodes++;
    if (made * 16 >= this.#child.length) {
      const larger = new Uint32Array(this.#child.length * 2);
      larger.set(this.#child);
      this.#child = larger;
    }
    this.#child[node * 16 + bits] = made;
    return made;
  }
}

function nibble(address: Uint8Array, offset: number, depth: number): number {
  const byte = address[offset + (depth >> 3)]!;
  return (depth & 4) === 0 ? byte >> 4 : byte & 15;
}
