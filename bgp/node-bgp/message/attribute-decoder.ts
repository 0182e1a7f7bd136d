/**
 * Path attributes from bytes to values, judged by RFC 7606.
 *
 * Each known attribute is one entry of {@link DECODERS}: which flags it must have, what to do when it is malformed,
 * and how to read it. An entry returns a complaint instead of throwing. Three severities are kept here: `discard` (the attribute is
 * dropped), `withdraw` (the routes of the UPDATE are treated as withdrawn) and `disable-family`; the worst decides. What must
 * end the session is thrown as {@link MessageError}, which is worse than all of them.
 */

import { formatAddress, formatIpv4, isLinkLocal, readUint16, readUint32 } from "../address.ts";
import { MessageError } from "../errors.ts";
import {
  type Aggregator,
  type AsPathSegment,
  Family,
  Origin,
  type PathAttributes,
  type RawAttribute,
} from "../route.ts";
import { countInAsPath, decodeAsPath, mergeAs4Path } from "./as-path.ts";
import {
  AS_TRANS,
  AttributeFlag,
  AttributeType,
  familyOf,
  NotificationCode,
  UpdateError,
} from "./constants.ts";

export type ProblemAction = "discard" | "withdraw" | "disable-family";

export interface UpdateProblem {
  readonly action: ProblemAction;
  /** Attribute type; 0 for the attribute list as a whole. */
  readonly attribute: number;
  readonly text: string;
  readonly family?: Family;
}

/** What the session has settled about reading and writing attributes. */
export interface AttributeContext {
  readonly ebgp: boolean;
  readonly fourOctetAs: boolean;
  /** Families whose prefixes come with path identifiers (RFC 7911). Default: none. */
  readonly addPathReceive?: readonly Family[];
  /** Families whose routes may have IPv6 next hops although they are IPv4 (RFC 8950). Default: none. */
  readonly extendedNextHop?: readonly Family[];
}

export interface MpReach {
  readonly family: Family;
  readonly nextHop: string;
  readonly linkLocalNextHop: string | undefined;
  readonly nlri: Uint8Array;
}

export interface MpUnreach {
  readonly family: Family;
  readonly nlri: Uint8Array;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface DecodedAttributes {
  /** As far as they could be read. */
  readonly values: Partial<Mutable<PathAttributes>>;
  reach?: MpReach;
  unreach?: MpUnreach;
  /** MP_REACH_NLRI was there, of whatever family. */
  hasReach: boolean;
  /** Anything besides MP_UNREACH_NLRI was there. */
  hasOther: boolean;
  as4Path?: AsPathSegment[];
  as4Aggregator?: Aggregator;
  readonly problems: UpdateProblem[];
}

type Complaint = string | { readonly action: ProblemAction; readonly text: string; readonly family?: Family };

interface Decoder {
  readonly name: string;
  /** The Optional and Transitive bits it must have. */
  readonly flags: number;
  readonly onError: ProblemAction;
  /** Dropped without a word when an external neighbor sends it (RFC 7606 7.5, 7.9, 7.10). */
  readonly internalOnly?: boolean;
  /** Returns a complaint where the value is malformed. */
  decode(value: Uint8Array, into: DecodedAttributes, context: AttributeContext): Complaint | undefined;
}

const WELL_KNOWN = AttributeFlag.transitive;
const OPTIONAL_TRANSITIVE = AttributeFlag.optional | AttributeFlag.transitive;
const OPTIONAL = AttributeFlag.optional;
const KEPT_FLAGS = AttributeFlag.optional | AttributeFlag.transitive | AttributeFlag.partial;
const ORIGINS: readonly Origin[] = [Origin.igp, Origin.egp, Origin.incomplete];

const DECODERS: Partial<Record<number, Decoder>> = {
  [AttributeType.origin]: {
    name: "ORIGIN",
    flags: WELL_KNOWN,
    onError: "withdraw",
    decode(value, into) {
      const origin = value.length === 1 ? ORIGINS[value[0]!] : undefined;
      if (origin === undefined) return "is not 0, 1 or 2";
      into.values.origin = origin;
    },
  },
  [AttributeType.asPath]: {
    name: "AS_PATH",
    flags: WELL_KNOWN,
    onError: "withdraw",
    decode(value, into, { fourOctetAs }) {
      const path = decodeAsPath(value, fourOctetAs);
      if (path === undefined) return "has a malformed segment";
      // RFC 7607: nobody has AS 0.
      if (countInAsPath(path, 0) > 0) return "has AS 0";
      into.values.asPath = path;
    },
  },
  [AttributeType.nextHop]: {
    name: "NEXT_HOP",
    flags: WELL_KNOWN,
    onError: "withdraw",
    decode(value, into) {
      if (value.length !== 4) return badLength(value);
      const address = formatIpv4(value);
      if (!isUsableNextHop(value)) return `${address} is no host address`;
      into.values.nextHop = address;
    },
  },
  [AttributeType.med]: {
    name: "MULTI_EXIT_DISC",
    flags: OPTIONAL,
    onError: "withdraw",
    decode(value, into) {
      if (value.length !== 4) return badLength(value);
      into.values.med = readUint32(value, 0);
    },
  },
  [AttributeType.localPref]: {
    name: "LOCAL_PREF",
    flags: WELL_KNOWN,
    onError: "withdraw",
    internalOnly: true,
    decode(value, into) {
      if (value.length !== 4) return badLength(value);
      into.values.localPref = readUint32(value, 0);
    },
  },
  [AttributeType.atomicAggregate]: {
    name: "ATOMIC_AGGREGATE",
    flags: WELL_KNOWN,
    onError: "discard",
    decode(value, into) {
      if (value.length !== 0) return badLength(value);
      into.values.atomicAggregate = true;
    },
  },
  [AttributeType.aggregator]: {
    name: "AGGREGATOR",
    flags: OPTIONAL_TRANSITIVE,
    onError: "discard",
    decode(value, into, { fourOctetAs }) {
      if (value.length !== (fourOctetAs ? 8 : 6)) return badLength(value);
      const aggregator = fourOctetAs
        ? { asn: readUint32(value, 0), address: formatIpv4(value, 4) }
        : { asn: readUint16(value, 0), address: formatIpv4(value, 2) };
      if (aggregator.asn === 0) return "has AS 0";
      into.values.aggregator = aggregator;
    },
  },
  [AttributeType.communities]: {
    name: "COMMUNITIES",
    flags: OPTIONAL_TRANSITIVE,
    onError: "withdraw",
    decode(value, into) {
      if (!isListOf(value, 4)) return badLength(value);
      into.values.communities = items(
        value,
        4,
        at => `${readUint16(value, at)}:${readUint16(value, at + 2)}`,
      );
    },
  },
  [AttributeType.originatorId]: {
    name: "ORIGINATOR_ID",
    flags: OPTIONAL,
    onError: "withdraw",
    internalOnly: true,
    decode(value, into) {
      if (value.length !== 4) return badLength(value);
      into.values.originatorId = formatIpv4(value);
    },
  },
  [AttributeType.clusterList]: {
    name: "CLUSTER_LIST",
    flags: OPTIONAL,
    onError: "withdraw",
    internalOnly: true,
    decode(value, into) {
      if (!isListOf(value, 4)) return badLength(value);
      into.values.clusterList = items(value, 4, at => formatIpv4(value, at));
    },
  },
  [AttributeType.mpReach]: {
    name: "MP_REACH_NLRI",
    flags: OPTIONAL,
    onError: "disable-family",
    decode: decodeMpReach,
  },
  [AttributeType.mpUnreach]: {
    name: "MP_UNREACH_NLRI",
    flags: OPTIONAL,
    onError: "disable-family",
    decode(value, into) {
      if (value.length < 3) throw mpError("MP_UNREACH_NLRI is cut off");
      const family = familyOf(readUint16(value, 0), value[2]!);
      if (family !== undefined) into.unreach = { family, nlri: value.subarray(3) };
      return undefined;
    },
  },
  [AttributeType.extendedCommunities]: {
    name: "EXTENDED COMMUNITIES",
    flags: OPTIONAL_TRANSITIVE,
    onError: "withdraw",
    decode(value, into) {
      if (!isListOf(value, 8)) return badLength(value);
      into.values.extendedCommunities = items(value, 8, at =>
        Buffer.from(value.subarray(at, at + 8)).toString("hex"),
      );
    },
  },
  [AttributeType.as4Path]: {
    name: "AS4_PATH",
    flags: OPTIONAL_TRANSITIVE,
    onError: "discard",
    decode(value, into) {
      const path = decodeAsPath(value, true);
      if (path === undefined) return "has a malformed segment";
      into.as4Path = path;
    },
  },
  [AttributeType.as4Aggregator]: {
    name: "AS4_AGGREGATOR",
    flags: OPTIONAL_TRANSITIVE,
    onError: "discard",
    decode(value, into) {
      if (value.length !== 8) return badLength(value);
      into.as4Aggregator = { asn: readUint32(value, 0), address: formatIpv4(value, 4) };
    },
  },
  [AttributeType.largeCommunities]: {
    name: "LARGE_COMMUNITY",
    flags: OPTIONAL_TRANSITIVE,
    onError: "withdraw",
    decode(value, into) {
      if (!isListOf(value, 12)) return badLength(value);
      into.values.largeCommunities = items(
        value,
        12,
        at => `${readUint32(value, at)}:${readUint32(value, at + 4)}:${readUint32(value, at + 8)}`,
      );
    },
  },
};

/** Reads an attribute list. Values do not refer to `bytes` afterwards, except the NLRI of MP_REACH and MP_UNREACH. */
export function decodeAttributes(bytes: Uint8Array, context: AttributeContext): DecodedAttributes {
  const into: DecodedAttributes = { values: {}, hasReach: false, hasOther: false, problems: [] };
  const seen = new Set<number>();
  let offset = 0;
  while (offset < bytes.length) {
    const flags = bytes[offset]!;
    const headerLength = flags & AttributeFlag.extendedLength ? 4 : 3;
    const type = bytes[offset + 1] ?? 0;
    const start = offset + headerLength;
    const length = headerLength === 4 ? readUint16(bytes, offset + 2) : bytes[offset + 2]!;
    if (start > bytes.length || start + length > bytes.length) {
      // Nothing behind this can be trusted: stop reading attributes; the NLRI field has a length of its own (RFC 7606 4).
      into.hasOther = true;
      into.problems.push({
        action: "withdraw",
        attribute: type,
        text: `attribute ${type} runs out of the attribute list`,
      });
      break;
    }
    offset = start + length;
    if (type !== AttributeType.mpUnreach) into.hasOther = true;
    if (type === AttributeType.mpReach) into.hasReach = true;
    if (seen.has(type)) {
      if (type === AttributeType.mpReach || type === AttributeType.mpUnreach) {
        throw mpError(`attribute ${type} appears twice`, UpdateError.malformedAttributeList);
      }
      into.problems.push({ action: "discard", attribute: type, text: `attribute ${type} appears again` });
      continue;
    }
    seen.add(type);
    decodeOne(flags, type, bytes.subarray(start, offset), into, context);
  }
  if (!context.fourOctetAs) mergeFourOctet(into);
  return into;
}

function decodeOne(
  flags: number,
  type: number,
  value: Uint8Array,
  into: DecodedAttributes,
  context: AttributeContext,
): void {
  const decoder = DECODERS[type];
  if (decoder === undefined) {
    keepUnknown(flags, type, value, into);
    return;
  }
  if (decoder.internalOnly && context.ebgp) return;
  const flagsWrong = (flags & OPTIONAL_TRANSITIVE) !== decoder.flags;
  const complaint = decoder.decode(value, into, context);
  if (complaint !== undefined) {
    const { action, text, ...rest } =
      typeof complaint === "string" ? { action: decoder.onError, text: complaint } : complaint;
    into.problems.push({ action, attribute: type, text: `${decoder.name} ${text}`, ...rest });
  } else if (flagsWrong) {
    // RFC 7606 3.c. MP_REACH has been read nevertheless: its prefixes are what is to be withdrawn.
    const action = decoder.onError === "discard" ? "discard" : "withdraw";
    into.problems.push({
      action,
      attribute: type,
      text: `${decoder.name} has flags 0x${flags.toString(16)}`,
    });
    if (action === "discard") dropValue(type, into);
  }
}

function dropValue(type: number, into: DecodedAttributes): void {
  if (type === AttributeType.atomicAggregate) delete into.values.atomicAggregate;
  if (type === AttributeType.aggregator) delete into.values.aggregator;
  if (type === AttributeType.as4Path) delete into.as4Path;
  if (type === AttributeType.as4Aggregator) delete into.as4Aggregator;
}

/** Optional transitive is passed on, optional non-transitive forgotten, well-known must be known (RFC 4271 6.3, 9). */
function keepUnknown(flags: number, type: number, value: Uint8Array, into: DecodedAttributes): void {
  if ((flags & AttributeFlag.optional) === 0) {
    throw new MessageError(
      NotificationCode.update,
      UpdateError.unrecognizedWellKnown,
      `well-known attribute ${type} is unknown`,
      Uint8Array.of(
        flags | AttributeFlag.extendedLength,
        type,
        value.length >>> 8,
        value.length & 0xff,
        ...value,
      ),
    );
  }
  if ((flags & AttributeFlag.transitive) === 0) return;
  // The unused bits are not sent on (RFC 4271 4.3).
  const kept: RawAttribute = { flags: flags & KEPT_FLAGS, type, value: Buffer.from(value).toString("hex") };
  into.values.unknown = [...(into.values.unknown ?? []), kept];
}

function decodeMpReach(
  value: Uint8Array,
  into: DecodedAttributes,
  { extendedNextHop = [] }: AttributeContext,
): Complaint | undefined {
  if (value.length < 5) throw mpError("MP_REACH_NLRI is cut off");
  const family = familyOf(readUint16(value, 0), value[2]!);
  if (family === undefined) return undefined;
  const nextHopLength = value[3]!;
  const nlriAt = 4 + nextHopLength + 1;
  const isIpv4 = family === Family.ipv4Unicast && nextHopLength === 4;
  const mayBeIpv6 = family === Family.ipv6Unicast || extendedNextHop.includes(family);
  const allowed = isIpv4 || (mayBeIpv6 && (nextHopLength === 16 || nextHopLength === 32));
  if (!allowed || nlriAt > value.length) {
    return { action: "disable-family", text: `has a next hop of ${nextHopLength} bytes`, family };
  }
  const second = nextHopLength === 32 ? value.slice(20, 36) : undefined;
  const linkLocal = second !== undefined && isLinkLocal(second) ? second : undefined;
  const first = value.slice(4, 4 + (isIpv4 ? 4 : 16));
  // Between link-local addresses bird sends `::` for the global one that it does not have.
  const isAlone = linkLocal !== undefined && first.every(byte => byte === 0);
  const nextHop = isAlone ? linkLocal : first;
  into.reach = {
    family,
    nextHop: formatAddress(nextHop),
    linkLocalNextHop: linkLocal === undefined || isAlone ? undefined : formatAddress(linkLocal),
    nlri: value.subarray(nlriAt),
  };
  if (!isUsableNextHop(nextHop))
    return { action: "withdraw", text: `next hop ${formatAddress(nextHop)} is no host address` };
  return undefined;
}

/** RFC 6793 4.2.3. */
function mergeFourOctet(into: DecodedAttributes): void {
  const { values, as4Path, as4Aggregator } = into;
  if (values.aggregator !== undefined && as4Aggregator !== undefined) {
    if (values.aggregator.asn !== AS_TRANS) return;
    values.aggregator = as4Aggregator;
  }
  if (values.asPath !== undefined && as4Path !== undefined)
    values.asPath = mergeAs4Path(values.asPath, as4Path);
}

/** Neither unspecified, loopback, multicast nor reserved (RFC 4271 6.3, 5.1.3). */
function isUsableNextHop(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] !== 0 && address[0] !== 127 && address[0]! < 224;
  const isLow = address.subarray(0, 15).every(byte => byte === 0) && address[15]! <= 1;
  return !isLow && address[0] !== 0xff;
}

function badLength(value: Uint8Array): string {
  return `has ${value.length} bytes`;
}

function isListOf(value: Uint8Array, size: number): boolean {
  return value.length > 0 && value.length % size === 0;
}

function items(value: Uint8Array, size: number, read: (offset: number) => string): string[] {
  const list: string[] = [];
  for (let offset = 0; offset < value.length; offset += size) list.push(read(offset));
  return list;
}

function mpError(text: string, subcode: number = UpdateError.optionalAttribute): MessageError {
  return new MessageError(NotificationCode.update, subcode, text);
}
