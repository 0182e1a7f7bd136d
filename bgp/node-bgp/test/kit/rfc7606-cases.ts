/**
 * RFC 7606 as a table: the path attributes and NLRI of an UPDATE -> what becomes of its routes and of the session. The codec is
 * held to it byte for byte (message/revised-errors.test.ts), a live session too (rfc7606.interop.test.ts).
 *
 * ok: the routes are announced; discard: announced without the attribute; withdraw: treated as withdrawn; disable: the family is
 * given up until the next session; reset CODE: NOTIFICATION 3/CODE. The speaker under test is AS 65001.
 */

export type Outcome = "ok" | "discard" | "withdraw" | "disable" | `reset ${number}`;

export interface MalformedCase {
  /** Of RFC 7606, unless it says otherwise. */
  readonly section: string;
  readonly what: string;
  /** Hexadecimal, spaces ignored. */
  readonly attributes: string;
  /** The NLRI field; default {@link PREFIX}. */
  readonly nlri?: string;
  /** The Withdrawn Routes field; default empty. */
  readonly withdrawn?: string;
  /** From a neighbor of another AS; default: of ours. */
  readonly external?: boolean;
  /** From a neighbor that knows two-byte AS numbers only. */
  readonly twoOctet?: boolean;
  /** About {@link PREFIX6} instead of {@link PREFIX}. */
  readonly ipv6?: boolean;
  readonly outcome: Outcome;
}

/** 192.168.1.0/24 and fd00:1::/32, which all cases are about. */
export const PREFIX = "18 c0a801";
export const PREFIX6 = "20 fd000001";

const ORIGIN = "400101 00";
const PATH = "400206 02010000fc00";
const HOP = "400304 0a630002";
const PREF = "400504 00000064";
/** What a sound UPDATE carries. */
export const SOUND = `${ORIGIN} ${PATH} ${HOP} ${PREF}`;
/** The same for a neighbor that knows two-byte AS numbers only. */
export const SOUND_TWO_OCTET = `${ORIGIN} 400204 0201fc00 ${HOP} ${PREF}`;
const NEXT_HOP6 = "fd990000000000000000000000000002";
const REACH = `800e1a 0002 01 10 ${NEXT_HOP6} 00 ${PREFIX6}`;
/** A sound announcement of {@link PREFIX6}. */
export const SOUND6 = `${REACH} ${ORIGIN} ${PATH} ${PREF}`;
const UNREACH = `800f08 0002 01 ${PREFIX6}`;
/** An IPv6 prefix nobody announced. */
const OTHER_UNREACH = "800f08 0002 01 20 fd00ffff";

export const MALFORMED_CASES: readonly MalformedCase[] = [
  { section: "-", what: "nothing wrong", attributes: SOUND, outcome: "ok" },
  { section: "-", what: "nothing wrong, IPv6", attributes: SOUND6, nlri: "", ipv6: true, outcome: "ok" },

  // 3.c: flags
  {
    section: "3.c",
    what: "ORIGIN flagged optional",
    attributes: `c00101 00 ${PATH} ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "ORIGIN flagged non-transitive",
    attributes: `000101 00 ${PATH} ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "AS_PATH flagged optional",
    attributes: `${ORIGIN} c00206 02010000fc00 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "NEXT_HOP flagged optional",
    attributes: `${ORIGIN} ${PATH} c00304 0a630002`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "MULTI_EXIT_DISC flagged transitive",
    attributes: `${SOUND} c00404 00000001`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "MULTI_EXIT_DISC flagged well-known",
    attributes: `${SOUND} 400404 00000001`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "LOCAL_PREF flagged optional",
    attributes: `${ORIGIN} ${PATH} ${HOP} c00504 00000064`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "COMMUNITIES flagged non-transitive",
    attributes: `${SOUND} 800804 fc000001`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "ORIGINATOR_ID flagged transitive",
    attributes: `${SOUND} c00904 0a630003`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "CLUSTER_LIST flagged well-known",
    attributes: `${SOUND} 400a04 0a630003`,
    outcome: "withdraw",
  },
  {
    section: "3.c",
    what: "AGGREGATOR flagged well-known",
    attributes: `${SOUND} 400708 0000fc000a630002`,
    outcome: "discard",
  },
  {
    section: "3.c",
    what: "ATOMIC_AGGREGATE flagged optional",
    attributes: `${SOUND} c00600`,
    outcome: "discard",
  },
  {
    section: "3.c",
    what: "the extended length flag where one byte would do",
    attributes: `50010001 00 ${PATH} ${HOP}`,
    outcome: "ok",
  },
  { section: "3.c", what: "the unused flag bits set", attributes: `4f0101 00 ${PATH} ${HOP}`, outcome: "ok" },

  // 3.d: missing well-known mandatory attributes
  { section: "3.d", what: "no ORIGIN", attributes: `${PATH} ${HOP}`, outcome: "withdraw" },
  { section: "3.d", what: "no AS_PATH", attributes: `${ORIGIN} ${HOP}`, outcome: "withdraw" },
  { section: "3.d", what: "no NEXT_HOP", attributes: `${ORIGIN} ${PATH}`, outcome: "withdraw" },
  { section: "3.d", what: "no attributes at all", attributes: "", outcome: "withdraw" },
  {
    section: "3.d",
    what: "IPv6 without ORIGIN",
    attributes: `${REACH} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "withdraw",
  },
  {
    section: "3.d",
    what: "IPv6 without AS_PATH",
    attributes: `${REACH} ${ORIGIN}`,
    nlri: "",
    ipv6: true,
    outcome: "withdraw",
  },
  {
    section: "3.d",
    what: "IPv6 without NEXT_HOP, which it does not need",
    attributes: `${REACH} ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "ok",
  },

  // 3.g: the same attribute twice
  { section: "3.g", what: "a second ORIGIN", attributes: `${SOUND} 400101 01`, outcome: "discard" },
  {
    section: "3.g",
    what: "a second AS_PATH, malformed",
    attributes: `${SOUND} 400201 ff`,
    outcome: "discard",
  },
  {
    section: "3.g",
    what: "a second unknown attribute",
    attributes: `${SOUND} c063020102 c063020304`,
    outcome: "discard",
  },
  {
    section: "3.g",
    what: "MP_REACH_NLRI twice",
    attributes: `${REACH} ${REACH} ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "reset 1",
  },
  {
    section: "3.g",
    what: "MP_UNREACH_NLRI twice",
    attributes: `${UNREACH} ${UNREACH}`,
    nlri: "",
    ipv6: true,
    outcome: "reset 1",
  },

  // 3.h: several errors, the strongest answer
  {
    section: "3.h",
    what: "a discard and a withdraw",
    attributes: `${SOUND} 400601 00 c00805 0000000000`,
    outcome: "withdraw",
  },
  {
    section: "3.h",
    what: "a withdraw and a discard",
    attributes: `${SOUND} c00805 0000000000 400601 00`,
    outcome: "withdraw",
  },
  {
    section: "3.h",
    what: "two withdraws",
    attributes: `400101 07 ${PATH} 400303 0a6300`,
    outcome: "withdraw",
  },
  {
    section: "3.h",
    what: "a withdraw and a reset",
    attributes: `${SOUND} c00805 0000000000 4063020102`,
    outcome: "reset 2",
  },

  // 3.i, 5.3: NLRI and Withdrawn Routes
  {
    section: "5.3",
    what: "a prefix longer than 32",
    attributes: SOUND,
    nlri: "21 c0a8010203",
    outcome: "reset 10",
  },
  { section: "5.3", what: "a prefix that overruns", attributes: SOUND, nlri: "18 c0a8", outcome: "reset 10" },
  {
    section: "5.3",
    what: "a second prefix that overruns",
    attributes: SOUND,
    nlri: `${PREFIX} 18 c0a8`,
    outcome: "reset 10",
  },
  {
    section: "3.i",
    what: "a withdrawn prefix longer than 32",
    attributes: SOUND,
    withdrawn: "ff c0a8010203",
    outcome: "reset 10",
  },
  {
    section: "3.i",
    what: "a withdrawn prefix that overruns",
    attributes: SOUND,
    withdrawn: "20 c0a801",
    outcome: "reset 10",
  },

  // 4: attribute lengths against the total
  {
    section: "4",
    what: "an attribute that overruns the list",
    attributes: `${SOUND} c008ff 0000`,
    outcome: "withdraw",
  },
  {
    section: "4",
    what: "an extended length that overruns the list",
    attributes: `${SOUND} d008ffff 0000`,
    outcome: "withdraw",
  },
  { section: "4", what: "one byte after the last attribute", attributes: `${SOUND} c0`, outcome: "withdraw" },
  {
    section: "4",
    what: "two bytes after the last attribute",
    attributes: `${SOUND} c008`,
    outcome: "withdraw",
  },
  { section: "4", what: "half an extended length", attributes: `${SOUND} d00800`, outcome: "withdraw" },
  { section: "4", what: "ORIGIN of no bytes", attributes: `400100 ${PATH} ${HOP}`, outcome: "withdraw" },
  { section: "4", what: "NEXT_HOP of no bytes", attributes: `${ORIGIN} ${PATH} 400300`, outcome: "withdraw" },
  { section: "4", what: "MULTI_EXIT_DISC of no bytes", attributes: `${SOUND} 800400`, outcome: "withdraw" },
  { section: "4", what: "COMMUNITIES of no bytes", attributes: `${SOUND} c00800`, outcome: "withdraw" },
  { section: "4", what: "CLUSTER_LIST of no bytes", attributes: `${SOUND} 800a00`, outcome: "withdraw" },
  {
    section: "4",
    what: "EXTENDED COMMUNITIES of no bytes",
    attributes: `${SOUND} c01000`,
    outcome: "withdraw",
  },
  {
    section: "4",
    what: "AS_PATH of no bytes, which may be",
    attributes: `${ORIGIN} 400200 ${HOP} ${PREF}`,
    outcome: "ok",
  },

  // 5.1, 5.2: where reachability is
  {
    section: "5.1",
    what: "MP_REACH_NLRI as the last attribute",
    attributes: `${ORIGIN} ${PATH} ${PREF} ${REACH}`,
    nlri: "",
    ipv6: true,
    outcome: "ok",
  },
  {
    section: "5.1",
    what: "IPv4 and IPv6 prefixes in one message",
    attributes: `${SOUND} ${REACH}`,
    outcome: "ok",
  },
  {
    section: "5.1",
    what: "announced and withdrawn prefixes in one message",
    attributes: `${OTHER_UNREACH} ${SOUND}`,
    withdrawn: "18 c63364",
    outcome: "ok",
  },
  {
    section: "5.2",
    what: "an attribute error and nothing reachable",
    attributes: `${ORIGIN} c00805 0000000000`,
    nlri: "",
    outcome: "reset 1",
  },
  {
    section: "5.2",
    what: "an overrun and nothing reachable",
    attributes: `${ORIGIN} c008ff 00`,
    nlri: "",
    outcome: "reset 1",
  },

  // 7.1 - 7.10
  {
    section: "7.1",
    what: "ORIGIN of two bytes",
    attributes: `400102 0000 ${PATH} ${HOP}`,
    outcome: "withdraw",
  },
  { section: "7.1", what: "ORIGIN 3", attributes: `400101 03 ${PATH} ${HOP}`, outcome: "withdraw" },
  {
    section: "7.2",
    what: "AS_PATH with an unknown segment type",
    attributes: `${ORIGIN} 400206 07010000fc00 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "7.2",
    what: "AS_PATH with a segment that overruns",
    attributes: `${ORIGIN} 400206 02020000fc00 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "7.2",
    what: "AS_PATH with half a segment header",
    attributes: `${ORIGIN} 400207 02010000fc00 02 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "7.2",
    what: "AS_PATH with an empty segment",
    attributes: `${ORIGIN} 400202 0200 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "RFC 7607",
    what: "AS_PATH with AS 0",
    attributes: `${ORIGIN} 400206 020100000000 ${HOP}`,
    outcome: "withdraw",
  },
  {
    section: "7.3",
    what: "NEXT_HOP of five bytes",
    attributes: `${ORIGIN} ${PATH} 400305 0a63000200`,
    outcome: "withdraw",
  },
  {
    section: "7.3",
    what: "NEXT_HOP of three bytes",
    attributes: `${ORIGIN} ${PATH} 400303 0a6300`,
    outcome: "withdraw",
  },
  {
    section: "RFC 4271 6.3",
    what: "NEXT_HOP 0.0.0.0",
    attributes: `${ORIGIN} ${PATH} 400304 00000000`,
    outcome: "withdraw",
  },
  {
    section: "RFC 4271 6.3",
    what: "NEXT_HOP multicast",
    attributes: `${ORIGIN} ${PATH} 400304 e0000001`,
    outcome: "withdraw",
  },
  {
    section: "7.4",
    what: "MULTI_EXIT_DISC of three bytes",
    attributes: `${SOUND} 800403 000001`,
    outcome: "withdraw",
  },
  {
    section: "7.5",
    what: "LOCAL_PREF of three bytes",
    attributes: `${ORIGIN} ${PATH} ${HOP} 400503 000001`,
    outcome: "withdraw",
  },
  {
    section: "7.5",
    what: "LOCAL_PREF of three bytes, external",
    attributes: `${ORIGIN} ${PATH} ${HOP} 400503 000001`,
    external: true,
    outcome: "ok",
  },
  {
    section: "7.6",
    what: "ATOMIC_AGGREGATE with a value",
    attributes: `${SOUND} 400601 00`,
    outcome: "discard",
  },
  {
    section: "7.7",
    what: "AGGREGATOR of six bytes with 4-byte AS",
    attributes: `${SOUND} c00706 fc000a630002`,
    outcome: "discard",
  },
  {
    section: "7.7",
    what: "AGGREGATOR of eight bytes with 2-byte AS",
    attributes: `${ORIGIN} 400204 0201fc00 ${HOP} c00708 0000fc000a630002`,
    twoOctet: true,
    outcome: "discard",
  },
  {
    section: "RFC 7607",
    what: "AGGREGATOR with AS 0",
    attributes: `${SOUND} c00708 000000000a630002`,
    outcome: "discard",
  },
  {
    section: "7.8",
    what: "COMMUNITIES of five bytes",
    attributes: `${SOUND} c00805 0000000000`,
    outcome: "withdraw",
  },
  {
    section: "7.9",
    what: "ORIGINATOR_ID of three bytes",
    attributes: `${SOUND} 800903 000001`,
    outcome: "withdraw",
  },
  {
    section: "7.9",
    what: "ORIGINATOR_ID of three bytes, external",
    attributes: `${SOUND} 800903 000001`,
    external: true,
    outcome: "ok",
  },
  {
    section: "7.10",
    what: "CLUSTER_LIST of five bytes",
    attributes: `${SOUND} 800a05 0000000100`,
    outcome: "withdraw",
  },
  {
    section: "7.10",
    what: "CLUSTER_LIST of five bytes, external",
    attributes: `${SOUND} 800a05 0000000100`,
    external: true,
    outcome: "ok",
  },

  // 7.11, 7.12
  {
    section: "7.11",
    what: "MP_REACH_NLRI with a next hop of five bytes",
    attributes: `800e0b 0002 01 05 0000000000 00 00 ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "disable",
  },
  {
    section: "7.11",
    what: "MP_REACH_NLRI with a next hop that overruns",
    attributes: `800e0b 0002 01 10 0000000000 00 00 ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "disable",
  },
  {
    section: "5.3",
    what: "MP_REACH_NLRI with a prefix that overruns",
    attributes: `800e16 0002 01 10 ${NEXT_HOP6} 00 40 ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "disable",
  },
  {
    section: "5.3",
    what: "MP_REACH_NLRI with a prefix longer than 128",
    attributes: `800e1a 0002 01 10 ${NEXT_HOP6} 00 81 fd000001 ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "disable",
  },
  {
    section: "5.3",
    what: "MP_UNREACH_NLRI with a prefix longer than 128",
    attributes: "800f05 0002 01 81 fd",
    nlri: "",
    ipv6: true,
    outcome: "disable",
  },
  {
    section: "7.11",
    what: "MP_REACH_NLRI of two bytes",
    attributes: `800e02 0002 ${ORIGIN} ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "reset 9",
  },
  {
    section: "7.12",
    what: "MP_UNREACH_NLRI of two bytes",
    attributes: "800f02 0002",
    nlri: "",
    ipv6: true,
    outcome: "reset 9",
  },
  {
    section: "7.11",
    what: "MP_REACH_NLRI with bad ORIGIN",
    attributes: `${REACH} 400101 09 ${PATH}`,
    nlri: "",
    ipv6: true,
    outcome: "withdraw",
  },
  {
    section: "7.11",
    what: "MP_REACH_NLRI of a family nobody knows",
    attributes: `800e09 4004 47 04 0a630002 00 ${SOUND}`,
    outcome: "ok",
  },

  // 7.14, RFC 8092, RFC 6793, RFC 4271 6.3
  {
    section: "7.14",
    what: "EXTENDED COMMUNITIES of four bytes",
    attributes: `${SOUND} c01004 00000000`,
    outcome: "withdraw",
  },
  {
    section: "RFC 8092 5",
    what: "LARGE_COMMUNITY of eleven bytes",
    attributes: `${SOUND} c0200b ${"00".repeat(11)}`,
    outcome: "withdraw",
  },
  {
    section: "RFC 6793 6",
    what: "AS4_PATH malformed, 2-byte AS",
    attributes: `${ORIGIN} 400204 0201fc00 ${HOP} c01103 020100`,
    twoOctet: true,
    outcome: "discard",
  },
  {
    section: "RFC 4271 9",
    what: "an unknown optional transitive attribute",
    attributes: `${SOUND} c063020102`,
    outcome: "ok",
  },
  {
    section: "RFC 4271 9",
    what: "an unknown optional non-transitive attribute",
    attributes: `${SOUND} 8063020102`,
    outcome: "ok",
  },
  {
    section: "RFC 4271 6.3",
    what: "an unknown well-known attribute",
    attributes: `${SOUND} 4063020102`,
    outcome: "reset 2",
  },
  { section: "-", what: "attributes without routes", attributes: SOUND, nlri: "", outcome: "ok" },
];

/** The body of the UPDATE. */
export function updateBody({
  attributes,
  nlri = PREFIX,
  withdrawn = "",
}: Pick<MalformedCase, "attributes" | "nlri" | "withdrawn">): Uint8Array {
  const field = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");
  const length = (bytes: Buffer) => Buffer.from([bytes.length >> 8, bytes.length & 0xff]);
  const gone = field(withdrawn);
  const list = field(attributes);
  return Buffer.concat([length(gone), gone, length(list), list, field(nlri)]);
}
