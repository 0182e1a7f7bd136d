/**
 * Attribute sets, interned by (source, bytes) and named by an integer.
 *
 * A path in the RIB is one such integer: it says which neighbor sent it and with which attributes. Two sets are the same exactly when
 * source and encoded bytes are, so comparing routes is comparing integers. Lookup hashes the bytes in an open-addressing
 * table; there is one object per set (about one for ten routes in a full table), none per route.
 *
 * Sets are not counted. {@link AttributeTable.sweep} marks what the RIBs still refer to and frees the rest; it is called when the table
 * has doubled, so its cost is spread thin, and no path of the code can forget to release.
 */

import { parseRouterId } from "../address.ts";
import { asPathLength, neighborAs } from "../message/as-path.ts";
import { encodeAttributes, encodeNextHop } from "../message/attribute-encoder.ts";
import { Origin, type PathAttributes } from "../route.ts";

export const DEFAULT_LOCAL_PREF = 100;

export interface AttributeSet {
  /** From 1. */
  readonly id: number;
  readonly source: number;
  readonly attributes: PathAttributes;
  /** The encoding by which the set is known: 4-byte AS, with the next hop in front. */
  readonly key: Uint8Array;
  readonly hash: number;
  // What the decision process compares.
  readonly localPref: number;
  readonly asPathLength: number;
  readonly originRank: number;
  readonly med: number;
  readonly neighborAs: number;
  /** ORIGINATOR_ID as unsigned 32 bit; -1 where absent. */
  readonly originatorId: number;
  readonly clusterListLength: number;
  /** Encoded attribute lists for sending, by {@link wireAttributes}'s form. */
  readonly wire: (Uint8Array | undefined)[];
}

const ORIGIN_RANK: Record<Origin, number> = { [Origin.igp]: 0, [Origin.egp]: 1, [Origin.incomplete]: 2 };
const FIRST_SLOTS = 1024;
const FIRST_SWEEP = 4096;

export class AttributeTable {
  readonly #sets: (AttributeSet | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #slots = new Uint32Array(FIRST_SLOTS);
  #size = 0;
  #sweepAt = FIRST_SWEEP;

  get size(): number {
    return this.#size;
  }

  /** True when enough sets were added that looking for unused ones pays. */
  get wantsSweep(): boolean {
    return this.#size >= this.#sweepAt;
  }

  get(id: number): AttributeSet {
    return this.#sets[id]!;
  }

  intern(source: number, attributes: PathAttributes): AttributeSet {
    const key = encodeKey(attributes);
    const hash = hashBytes(source, key);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let id = this.#slots[slot]!; id !== 0; id = this.#slots[slot]!) {
      const set = this.#sets[id]!;
      if (set.hash === hash && set.source === source && sameBytes(set.key, key)) return set;
      slot = (slot + 1) & mask;
    }
    const set = this.#create(source, attributes, key, hash);
    this.#slots[slot] = set.id;
    this.#size++;
    if (this.#size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2);
    return set;
  }

  /** Frees every set that `mark` does not name. Nobody may hold an id it does not mark across this call. */
  sweep(mark: (keep: (id: number) => void) => void): void {
    const used = new Uint8Array(this.#sets.length);
    mark(id => {
      used[id] = 1;
    });
    for (let id = 1; id < this.#sets.length; id++) {
      if (used[id] === 1 || this.#sets[id] === undefined) continue;
      this.#sets[id] = undefined;
      this.#free.push(id);
      this.#size--;
    }
    let slots = FIRST_SLOTS;
    while (slots < this.#size * 2) slots *= 2;
    this.#rehash(slots * 2);
    this.#sweepAt = Math.max(FIRST_SWEEP, this.#size * 2);
  }

  #create(source: number, attributes: PathAttributes, key: Uint8Array, hash: number): AttributeSet {
    const id = this.#free.pop() ?? this.#sets.length;
    const { originatorId } = attributes;
    const set: AttributeSet = {
      id,
      source,
      attributes,
      key,
      hash,
      localPref: attributes.localPref ?? DEFAULT_LOCAL_PREF,
      asPathLength: asPathLength(attributes.asPath),
      originRank: ORIGIN_RANK[attributes.origin],
      med: attributes.med ?? 0,
      neighborAs: neighborAs(attributes.asPath),
      originatorId: originatorId === undefined ? -1 : (parseRouterId(originatorId) ?? -1),
      clusterListLength: attributes.clusterList?.length ?? 0,
      wire: [],
    };
    this.#sets[id] = set;
    return set;
  }

  #rehash(size: number): void {
    this.#slots = new Uint32Array(size);
    const mask = size - 1;
    for (let id = 1; id < this.#sets.length; id++) {
      const set = this.#sets[id];
      if (set === undefined) continue;
      let slot = set.hash & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = id;
    }
  }
}

/** The attribute list to send, encoded once per set: with NEXT_HOP for IPv4, without for MP_REACH. */
export function wireAttributes(set: AttributeSet, withNextHop: boolean, fourOctetAs: boolean): Uint8Array {
  const form = (withNextHop ? 1 : 0) + (fourOctetAs ? 2 : 0);
  const known = set.wire[form];
  if (known !== undefined) return known;
  const encoded = encodeAttributes(set.attributes, { withNextHop, fourOctetAs });
  set.wire[form] = encoded;
  return encoded;
}

function encodeKey(attributes: PathAttributes): Uint8Array {
  const nextHop = encodeNextHop(attributes);
  const list = encodeAttributes(attributes, { withNextHop: false, fourOctetAs: true });
  const key = new Uint8Array(1 + (nextHop?.length ?? 0) + list.length);
  key[0] = nextHop?.length ?? 0;
  if (nextHop !== undefined) key.set(nextHop, 1);
  key.set(list, key.length - list.length);
  return key;
}

/** FNV-1a. */
function hashBytes(source: number, bytes: Uint8Array): number {
  let hash = 0x811c9dc5 ^ source;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
