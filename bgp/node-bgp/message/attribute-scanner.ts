/**
 * Path attributes read in place: whether they are sound, what the decision process compares, and the bytes by which the RIB knows
 * them. Nothing is made per UPDATE; this is the hot path of receiving.
 *
 * The scanner only knows the sound case. Whatever is not plainly so - malformed, repeated, to be dropped, of a kind that must be
 * rewritten - makes it answer false, and attribute-decoder.ts, which knows RFC 7606, is asked instead. A test holds the two together:
 * what the scanner accepts, the decoder reads without a complaint and as the same values.
 *
 * {@link AttributeScanner.key} is the form the RIB keeps: one byte with the length of the next hop, the next hop, and the attribute
 * list as it was received without NEXT_HOP, MP_REACH_NLRI and MP_UNREACH_NLRI, so that a route is known by the
 * same bytes however it came.
 */

import { readUint16, readUint32 } from "../address.ts";
import { AttributeFlag, AttributeType, MAX_EXTENDED_LENGTH } from "./constants.ts";

/** What an attribute set says besides numbers, as bits. */
export const Trait = {
  noExport: 1,
  noAdvertise: 2,
  noExportSubconfed: 4,
  gracefulShutdown: 8,
  llgrStale: 16,
  noLlgr: 32,
  hasLocalPref: 64,
  hasOriginatorId: 128,
  hasOrigin: 256,
  hasAsPath: 512,
} as const;

/** What the scanner must know of the session. */
export interface ScanContext {
  readonly ebgp: boolean;
  /** Our AS on the session, looked for in AS_PATH. */
  readonly localAsn: number;
  /** Looked for in CLUSTER_LIST; unsigned. */
  readonly clusterId: number;
  /** IPv4 routes may come with IPv6 next hops (RFC 8950). */
  readonly ipv6NextHop: boolean;
}

/** For attribute lists that come from ourselves. */
export const NO_SESSION: ScanContext = { ebgp: false, localAsn: -1, clusterId: -1, ipv6NextHop: true };

const WELL_KNOWN = AttributeFlag.transitive;
const OPTIONAL_TRANSITIVE = AttributeFlag.optional | AttributeFlag.transitive;
const OPTIONAL = AttributeFlag.optional;
const CATEGORY = OPTIONAL_TRANSITIVE;
/** Next hops of at most 32 bytes and their length go in front of the attributes. */
const LONGEST_KEY = 1 + 32 + MAX_EXTENDED_LENGTH;
/** The high half of the well-known communities (RFC 1997, 8326, 9494). */
const WELL_KNOWN_COMMUNITY = 0xffff;

export class AttributeScanner {
  traits = 0;
  localPref = 0;
  med = 0;
  origin = 0;
  asPathLength = 0;
  /** First AS of a leading sequence; 0: none. */
  neighborAs = 0;
  /** How often our own AS is in the path. */
  ownAsCount = 0;
  /** Unsigned; meaningful with {@link Trait.hasOriginatorId}. */
  originatorId = 0;
  clusterListLength = 0;
  /** Our own cluster is in CLUSTER_LIST. */
  hasOwnCluster = false;
  /** NEXT_HOP: where its 4 bytes are; 0: there is none. */
  nextHopAt = 0;
  /** MP_REACH_NLRI: its AFI (1 or 2); 0: there is none. */
  reachAfi = 0;
  reachNextHopAt = 0;
  reachNextHopLength = 0;
  reachNlriAt = 0;
  reachNlriEnd = 0;
  /** MP_UNREACH_NLRI: its AFI; 0: there is none. */
  unreachAfi = 0;
  unreachNlriAt = 0;
  unreachNlriEnd = 0;
  /** Anything besides MP_UNREACH_NLRI. */
  hasOther = false;
  readonly key = new Uint8Array(LONGEST_KEY);
  keyLength = 0;
  /** The attribute list in the key, before the next hop is known. */
  readonly #list = new Uint8Array(MAX_EXTENDED_LENGTH);
  #listLength = 0;
  /** A bit per type. */
  readonly #seen = new Int32Array(8);

  /** Reads the attribute list from `start` to `end`. False: not plainly sound, ask the decoder; the fields are then only partly set. */
  scan(bytes: Uint8Array, start: number, end: number, context: ScanContext): boolean {
    this.#reset();
    let at = start;
    while (at < end) {
      if (at + 3 > end) return false;
      const flags = bytes[at]!;
      const type = bytes[at + 1]!;
      const isLong = (flags & AttributeFlag.extendedLength) !== 0;
      if (isLong && at + 4 > end) return false;
      const value = at + (isLong ? 4 : 3);
      const next = value + (isLong ? readUint16(bytes, at + 2) : bytes[at + 2]!);
      // Unused flag bits are ignored when received and must not be sent on.
      if (next > end || (flags & 0x0f) !== 0 || !this.#isNew(type)) return false;
      const category = flags & CATEGORY;
      if ((flags & AttributeFlag.partial) !== 0 && category !== OPTIONAL_TRANSITIVE) return false;
      if (!this.#attribute(type, category, bytes, value, next, context)) return false;
      if (type !== AttributeType.mpUnreach) this.hasOther = true;
      const isKept =
        type !== AttributeType.nextHop && type !== AttributeType.mpReach && type !== AttributeType.mpUnreach;
      if (isKept) this.#keep(bytes, at, next);
      at = next;
    }
    return true;
  }

  /** Completes the key with the next hop of `length` bytes at `at`. */
  makeKey(bytes: Uint8Array, at: number, length: number): void {
    const { key } = this;
    const list = this.#list;
    let to = 0;
    key[to++] = length;
    for (let i = at; i < at + length; i++) key[to++] = bytes[i]!;
    for (let i = 0; i < this.#listLength; i++) key[to++] = list[i]!;
    this.keyLength = to;
  }

  #reset(): void {
    this.traits = 0;
    this.localPref = 0;
    this.med = 0;
    this.origin = 0;
    this.asPathLength = 0;
    this.neighborAs = 0;
    this.ownAsCount = 0;
    this.originatorId = 0;
    this.clusterListLength = 0;
    this.hasOwnCluster = false;
    this.nextHopAt = 0;
    this.reachAfi = 0;
    this.unreachAfi = 0;
    this.hasOther = false;
    this.keyLength = 0;
    this.#listLength = 0;
    this.#seen.fill(0);
  }

  #isNew(type: number): boolean {
    const bit = 1 << (type & 31);
    const word = type >>> 5;
    if ((this.#seen[word]! & bit) !== 0) return false;
    this.#seen[word] = this.#seen[word]! | bit;
    return true;
  }

  #keep(bytes: Uint8Array, from: number, to: number): void {
    const list = this.#list;
    let length = this.#listLength;
    for (let i = from; i < to; i++) list[length++] = bytes[i]!;
    this.#listLength = length;
  }

  /** One attribute whose value is from `at` to `end`. */
  #attribute(
    type: number,
    category: number,
    bytes: Uint8Array,
    at: number,
    end: number,
    context: ScanContext,
  ): boolean {
    const length = end - at;
    switch (type) {
      case AttributeType.origin:
        this.origin = bytes[at]!;
        this.traits |= Trait.hasOrigin;
        return category === WELL_KNOWN && length === 1 && this.origin <= 2;
      case AttributeType.asPath:
        this.traits |= Trait.hasAsPath;
        return category === WELL_KNOWN && this.#asPath(bytes, at, end, context.localAsn);
      case AttributeType.nextHop:
        this.nextHopAt = at;
        return category === WELL_KNOWN && length === 4 && isUsableIpv4(bytes[at]!);
      case AttributeType.med:
        if (category !== OPTIONAL || length !== 4) return false;
        this.med = readUint32(bytes, at);
        return true;
      case AttributeType.localPref:
        if (category !== WELL_KNOWN || length !== 4 || context.ebgp) return false;
        this.localPref = readUint32(bytes, at);
        this.traits |= Trait.hasLocalPref;
        return true;
      case AttributeType.atomicAggregate:
        return category === WELL_KNOWN && length === 0;
      case AttributeType.aggregator:
        return category === OPTIONAL_TRANSITIVE && length === 8 && readUint32(bytes, at) !== 0;
      case AttributeType.communities:
        if (category !== OPTIONAL_TRANSITIVE || !isListOf(4, length)) return false;
        this.#communities(bytes, at, end);
        return true;
      case AttributeType.originatorId:
        if (category !== OPTIONAL || length !== 4 || context.ebgp) return false;
        this.originatorId = readUint32(bytes, at);
        this.traits |= Trait.hasOriginatorId;
        return true;
      case AttributeType.clusterList:
        if (category !== OPTIONAL || !isListOf(4, length) || context.ebgp) return false;
        this.clusterListLength = length / 4;
        for (let i = at; i < end; i += 4) {
          if (readUint32(bytes, i) === context.clusterId) this.hasOwnCluster = true;
        }
        return true;
      case AttributeType.mpReach:
        return category === OPTIONAL && this.#mpReach(bytes, at, end, context);
      case AttributeType.mpUnreach:
        if (category !== OPTIONAL || length < 3 || !isUnicast(bytes, at)) return false;
        this.unreachAfi = bytes[at + 1]!;
        this.unreachNlriAt = at + 3;
        this.unreachNlriEnd = end;
        return true;
      case AttributeType.extendedCommunities:
        return category === OPTIONAL_TRANSITIVE && isListOf(8, length);
      case AttributeType.largeCommunities:
        return category === OPTIONAL_TRANSITIVE && isListOf(12, length);
      case AttributeType.as4Path:
      case AttributeType.as4Aggregator:
        // A speaker of 4-byte ASes must not send these; they are not to be passed on (RFC 6793 4.1).
        return false;
      default:
        // Unknown: passed on where transitive, forgotten or answered otherwise.
        return category === OPTIONAL_TRANSITIVE;
    }
  }

  #asPath(bytes: Uint8Array, start: number, end: number, localAsn: number): boolean {
    for (let at = start; at < end; ) {
      const type = bytes[at]!;
      const count = at + 1 < end ? bytes[at + 1]! : 0;
      const next = at + 2 + count * 4;
      if (type < 1 || type > 4 || count === 0 || next > end) return false;
      for (let i = at + 2; i < next; i += 4) {
        const asn = readUint32(bytes, i);
        if (asn === 0) return false;
        if (asn === localAsn) this.ownAsCount++;
      }
      if (type === 2) {
        if (at === start) this.neighborAs = readUint32(bytes, at + 2);
        this.asPathLength += count;
      } else if (type === 1) this.asPathLength++;
      at = next;
    }
    return true;
  }

  #communities(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += 4) {
      if (readUint16(bytes, at) !== WELL_KNOWN_COMMUNITY) continue;
      switch (readUint16(bytes, at + 2)) {
        case 0:
          this.traits |= Trait.gracefulShutdown;
          break;
        case 6:
          this.traits |= Trait.llgrStale;
          break;
        case 7:
          this.traits |= Trait.noLlgr;
          break;
        case 0xff01:
          this.traits |= Trait.noExport;
          break;
        case 0xff02:
          this.traits |= Trait.noAdvertise;
          break;
        case 0xff03:
          this.traits |= Trait.noExportSubconfed;
      }
    }
  }

  #mpReach(bytes: Uint8Array, at: number, end: number, context: ScanContext): boolean {
    if (end - at < 5 || !isUnicast(bytes, at)) return false;
    const afi = bytes[at + 1]!;
    const length = bytes[at + 3]!;
    const nextHop = at + 4;
    if (nextHop + length + 1 > end) return false;
    let hopAt = nextHop;
    let hopLength = length;
    if (length === 16 || length === 32) {
      if (afi === 1 && !context.ipv6NextHop) return false;
      // A second address that is no link-local one is left out (RFC 2545 3): that makes other bytes.
      if (length === 32 && (bytes[nextHop + 16] !== 0xfe || (bytes[nextHop + 17]! & 0xc0) !== 0x80))
        return false;
      // Between link-local addresses bird sends `::` for the global one it does not have.
      if (length === 32 && isUnspecified(bytes, nextHop)) {
        hopAt = nextHop + 16;
        hopLength = 16;
      }
      if (!isUsableIpv6(bytes, hopAt)) return false;
    } else if (length !== 4 || afi !== 1 || !isUsableIpv4(bytes[nextHop]!)) return false;
    this.reachAfi = afi;
    this.reachNextHopAt = hopAt;
    this.reachNextHopLength = hopLength;
    this.reachNlriAt = nextHop + length + 1;
    this.reachNlriEnd = end;
    return true;
  }
}

function isListOf(size: number, length: number): boolean {
  return length > 0 && length % size === 0;
}

function isUnicast(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0 && (bytes[at + 1] === 1 || bytes[at + 1] === 2) && bytes[at + 2] === 1;
}

/** Neither unspecified, loopback, multicast nor reserved (RFC 4271 6.3). */
function isUsableIpv4(first: number): boolean {
  return first !== 0 && first !== 127 && first < 224;
}

function isUnspecified(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 16; i++) if (bytes[i] !== 0) return false;
  return true;
}

function isUsableIpv6(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] === 0xff) return false;
  for (let i = at; i < at + 15; i++) if (bytes[i] !== 0) return true;
  return bytes[at + 15]! > 1;
}
