/**
 * Attribute sets, interned by (source, bytes) and named by an integer.
 *
 * A path in the RIB is one such integer: it says which neighbor sent it and with which attributes. Two sets are the same exactly when
 * source and bytes are, so comparing routes is comparing integers. The bytes ({@link AttributeScanner.key}) lie in an arena, what the decision
 * process compares in columns; a {@link PathAttributes} object is decoded only when somebody asks for one.
 *
 * A set is either *received* (or local), to be transformed for each kind of neighbor when it is sent, or *ready-made*: what
 * an export policy has turned a route into, to be sent as it stands.
 *
 * Sets are not counted. The sweep marks what is still referred to and frees the rest ({@link AttributeTable.mark}). Whoever gives up a
 * reference says so ({@link AttributeTable.released}), but not which: as many as that may be unused, and when that is as many as
 * there are, a sweep pays. It runs in steps: a set that is asked for meanwhile is kept.
 */

import { formatAddress } from "../address.ts";
import { decodeAttributes } from "../message/attribute-decoder.ts";
import { encodeAttributes, encodeNextHop } from "../message/attribute-encoder.ts";
import { AttributeScanner, NO_SESSION, Trait } from "../message/attribute-scanner.ts";
import type { PathAttributes } from "../route.ts";
import { ByteArena } from "./byte-arena.ts";
import { grown } from "./column.ts";
import { HashIndex } from "./hash-index.ts";

export const DEFAULT_LOCAL_PREF = 100;
/** In the traits of a set, beside {@link Trait}: ready-made, and found in use by the sweep. */
const READY_MADE = 1 << 16;
const MARKED = 1 << 17;

/** Fewer unused sets than this are not looked for. */
const LEAST_RELEASED = 4096;
const DECODED_KEPT = 1024;
/** An attribute set longer than this fits no message. */
const LONGEST_LIST = 65_000;
const NO_HOPS: readonly string[] = [];

/** A set as values for people and policies; shared by all routes of the set. */
export interface DecodedSet {
  readonly attributes: PathAttributes;
  /** The next hop, or nothing. */
  readonly nextHops: readonly string[];
}

export class AttributeTable {
  readonly #index = new HashIndex(id => this.#hash[id]!);
  readonly #arena = new ByteArena();
  readonly #own = new AttributeScanner();
  #hash = new Int32Array(this.#index.capacity);
  #source = new Int32Array(this.#index.capacity);
  #address = new Int32Array(this.#index.capacity);
  /** Of the bytes; 0: the id is not in use. */
  #length = new Int32Array(this.#index.capacity);
  #traits = new Int32Array(this.#index.capacity);
  // Unsigned numbers in signed words: read with >>> 0.
  #localPref = new Int32Array(this.#index.capacity);
  #med = new Int32Array(this.#index.capacity);
  #neighborAs = new Int32Array(this.#index.capacity);
  #originatorId = new Int32Array(this.#index.capacity);
  /** AS_PATH length, CLUSTER_LIST length (saturated at 12 bits) and ORIGIN in one word: see {@link asPathLengthOf}. */
  #lengths = new Int32Array(this.#index.capacity);
  readonly #decoded = new Map<number, DecodedSet>();
  /** References given up since the last sweep began: no more sets than these can be unused. */
  released = 0;
  #isSweeping = false;
  /** Moves whenever ids may have been freed: who remembers sets by id must forget them then. */
  epoch = 0;

  get size(): number {
    return this.#index.count;
  }

  /** One more than the highest id ever given out. */
  get end(): number {
    return this.#index.end;
  }

  // --- sets in

  /** The set of what was just scanned. */
  intern(source: number, scan: AttributeScanner, isReadyMade = false): number {
    const { key, keyLength } = scan;
    const hash = hashBytes(source + (isReadyMade ? 0x10000 : 0), key, keyLength);
    for (let id = this.#index.first(hash); id !== 0; id = this.#index.next()) {
      if (this.#hash[id] !== hash || this.#source[id] !== source || this.isReadyMade(id) !== isReadyMade)
        continue;
      if (!this.#hasBytes(id, key, keyLength)) continue;
      if (this.#isSweeping) this.mark(id);
      return id;
    }
    return this.#create(source, scan, hash, isReadyMade);
  }

  /** The set of these attributes; 0 where they cannot stand in a message (AS 0, too long). */
  internAttributes(source: number, attributes: PathAttributes, isReadyMade = false): number {
    const list = encodeAttributes(attributes, { withNextHop: false, fourOctetAs: true });
    const scan = this.#own;
    if (list.length > LONGEST_LIST || !scan.scan(list, 0, list.length, NO_SESSION)) return 0;
    const nextHop = encodeNextHop(attributes);
    scan.makeKey(nextHop ?? list, 0, nextHop?.length ?? 0);
    return this.intern(source, scan, isReadyMade);
  }

  // --- what is known of a set

  sourceOf(id: number): number {
    return this.#source[id]!;
  }

  /** {@link Trait} bits. */
  traitsOf(id: number): number {
    return this.#traits[id]!;
  }

  isReadyMade(id: number): boolean {
    return (this.#traits[id]! & READY_MADE) !== 0;
  }

  localPrefOf(id: number): number {
    return (this.#traits[id]! & Trait.hasLocalPref) === 0 ? DEFAULT_LOCAL_PREF : this.#localPref[id]! >>> 0;
  }

  medOf(id: number): number {
    return this.#med[id]! >>> 0;
  }

  neighborAsOf(id: number): number {
    return this.#neighborAs[id]! >>> 0;
  }

  /** ORIGINATOR_ID as unsigned 32 bit; -1 where absent. */
  originatorIdOf(id: number): number {
    return (this.#traits[id]! & Trait.hasOriginatorId) === 0 ? -1 : this.#originatorId[id]! >>> 0;
  }

  asPathLengthOf(id: number): number {
    return this.#lengths[id]! & 0xffff;
  }

  clusterListLengthOf(id: number): number {
    return (this.#lengths[id]! >>> 16) & 0xfff;
  }

  /** 0: IGP, 1: EGP, 2: incomplete. */
  originOf(id: number): number {
    return this.#lengths[id]! >>> 28;
  }

  /** Bytes of the next hop: 0, 4, 16 or 32. */
  nextHopLengthOf(id: number): number {
    const address = this.#address[id]!;
    return this.#arena.segment(address)[this.#arena.offset(address)]!;
  }

  /** The array that holds the bytes of a set, from {@link offsetOf}, {@link lengthOf} long; only until the next set is made. */
  bytesOf(id: number): Uint8Array {
    return this.#arena.segment(this.#address[id]!);
  }

  offsetOf(id: number): number {
    return this.#arena.offset(this.#address[id]!);
  }

  lengthOf(id: number): number {
    return this.#length[id]!;
  }

  decode(id: number): DecodedSet {
    const known = this.#decoded.get(id);
    if (known !== undefined) return known;
    const decoded = decodeKey(this.bytesOf(id), this.offsetOf(id), this.lengthOf(id));
    if (this.#decoded.size >= DECODED_KEPT) this.#decoded.clear();
    this.#decoded.set(id, decoded);
    return decoded;
  }

  attributesOf(id: number): PathAttributes {
    return this.decode(id).attributes;
  }

  // --- the sweep

  /** So many may be unused that looking for them pays. */
  get wantsSweep(): boolean {
    return !this.#isSweeping && this.released >= Math.max(LEAST_RELEASED, this.size);
  }

  /** From now on {@link mark} every set that is referred to, then {@link sweep} from 1 to the end. */
  beginSweep(): void {
    this.#isSweeping = true;
    this.released = 0;
    this.epoch++;
  }

  mark(id: number): void {
    this.#traits[id] = this.#traits[id]! | MARKED;
  }

  /** Frees what is not marked among `count` ids from `from` on, and moves what is left out of sparse memory. Returns where to go on; 0: done. */
  sweep(from: number, count: number): number {
    const end = Math.min(from + count, this.end);
    this.epoch++;
    for (let id = from; id < end; id++) {
      if (this.#length[id] === 0) continue;
      if ((this.#traits[id]! & MARKED) !== 0) {
        this.#traits[id] = this.#traits[id]! & ~MARKED;
        const address = this.#address[id]!;
        if (this.#arena.isSparse(address)) this.#address[id] = this.#arena.move(address, this.#length[id]!);
      } else this.#free(id);
    }
    if (end < this.end) return end;
    this.#isSweeping = false;
    return 0;
  }

  #free(id: number): void {
    this.#arena.release(this.#address[id]!, this.#length[id]!);
    this.#index.remove(id);
    this.#length[id] = 0;
    this.#decoded.delete(id);
  }

  #create(source: number, scan: AttributeScanner, hash: number, isReadyMade: boolean): number {
    const id = this.#index.add(hash);
    if (id >= this.#hash.length) this.#grow(this.#index.capacity);
    this.#hash[id] = hash;
    this.#source[id] = source;
    this.#address[id] = this.#arena.add(scan.key, scan.keyLength);
    this.#length[id] = scan.keyLength;
    this.#traits[id] = scan.traits | (isReadyMade ? READY_MADE : 0) | (this.#isSweeping ? MARKED : 0);
    this.#localPref[id] = scan.localPref;
    this.#med[id] = scan.med;
    this.#neighborAs[id] = scan.neighborAs;
    this.#originatorId[id] = scan.originatorId;
    this.#lengths[id] =
      Math.min(scan.asPathLength, 0xffff) |
      (Math.min(scan.clusterListLength, 0xfff) << 16) |
      (scan.origin << 28);
    return id;
  }

  #hasBytes(id: number, key: Uint8Array, length: number): boolean {
    if (this.#length[id] !== length) return false;
    const bytes = this.bytesOf(id);
    const from = this.offsetOf(id);
    for (let i = 0; i < length; i++) if (bytes[from + i] !== key[i]) return false;
    return true;
  }

  #grow(capacity: number): void {
    this.#hash = grown(this.#hash, capacity);
    this.#source = grown(this.#source, capacity);
    this.#address = grown(this.#address, capacity);
    this.#length = grown(this.#length, capacity);
    this.#traits = grown(this.#traits, capacity);
    this.#localPref = grown(this.#localPref, capacity);
    this.#med = grown(this.#med, capacity);
    this.#neighborAs = grown(this.#neighborAs, capacity);
    this.#originatorId = grown(this.#originatorId, capacity);
    this.#lengths = grown(this.#lengths, capacity);
  }
}

function decodeKey(bytes: Uint8Array, from: number, length: number): DecodedSet {
  const hopLength = bytes[from]!;
  const hopAt = from + 1;
  const list = bytes.subarray(hopAt + hopLength, from + length);
  const { values } = decodeAttributes(list, { ebgp: false, fourOctetAs: true });
  if (hopLength === 0) return { attributes: values as PathAttributes, nextHops: NO_HOPS };
  values.nextHop = formatAddress(bytes.subarray(hopAt, hopAt + (hopLength === 4 ? 4 : 16)));
  if (hopLength === 32) values.linkLocalNextHop = formatAddress(bytes.subarray(hopAt + 16, hopAt + 32));
  return { attributes: values as PathAttributes, nextHops: [values.nextHop] };
}

/** FNV-1a, a word at a time. */
function hashBytes(seed: number, bytes: Uint8Array, length: number): number {
  let hash = 0x811c9dc5 ^ seed;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x01000193);
    hash ^= hash >>> 15;
  }
  for (; i < length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}
