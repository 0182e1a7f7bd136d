/**
 * Communities as policies write them, standard (RFC 1997), large (RFC 8092) and extended (RFC 4360), to find them on a route and to put them
 * there. The kind is told from the form: two numbers, three numbers, or `rt:`/`soo:` before two numbers, or the 16 hexadecimal
 * digits of an extended community.
 *
 * Route targets and sites of origin are numbered in three ways (RFC 4360 3.1, 3.2, RFC 5668); a value is put in the shortest that holds it, and a
 * pattern finds it in each.
 */

import { formatIpv4, parseIpv4 } from "../address.ts";
import { OptionError } from "../errors.ts";
import { type PathAttributes, WellKnownCommunity } from "../route.ts";
import { listAt, MAX_UINT32, type NumberRange, readRange } from "./numbers.ts";

export const WELL_KNOWN_COMMUNITIES: Readonly<Record<string, string>> = {
  "graceful-shutdown": WellKnownCommunity.gracefulShutdown,
  "no-export": WellKnownCommunity.noExport,
  "no-advertise": WellKnownCommunity.noAdvertise,
  "no-export-subconfed": WellKnownCommunity.noExportSubconfed,
  /** RFC 7999. */
  blackhole: "65535:666",
  /** RFC 3765. */
  "no-peer": "65535:65284",
};

/** The attribute each kind is in. */
export const COMMUNITY_KINDS = ["communities", "largeCommunities", "extendedCommunities"] as const;
export type CommunityKind = (typeof COMMUNITY_KINDS)[number];

export interface Community {
  readonly kind: CommunityKind;
  /** As in the path attributes. */
  readonly value: string;
}

export interface CommunityTest {
  readonly kind: CommunityKind;
  readonly test: (value: string) => boolean;
}

const MAX_UINT16 = 0xffff;
const EXPECTED =
  '"64512:100", "64512:1:2", "rt:64512:100", "soo:192.0.2.1:7", 16 hexadecimal digits or a well-known name';
/** Sub-types of RFC 4360. */
const SUBTYPES: Readonly<Record<string, number>> = { rt: 2, soo: 3 };

/** One community. Throws {@link OptionError}, naming `path`. */
export function parseCommunity(value: unknown, path: string): Community {
  const text = typeof value === "string" ? (WELL_KNOWN_COMMUNITIES[value] ?? value) : "";
  const numbers = text.split(":");
  if (/^[0-9a-f]{16}$/i.test(text)) return { kind: "extendedCommunities", value: text.toLowerCase() };
  const [name = "", global = "", local = ""] = numbers;
  const subtype = SUBTYPES[name];
  if (subtype !== undefined && numbers.length === 3) {
    const encoded = encodeExtended(subtype, global, local);
    if (encoded !== undefined) return { kind: "extendedCommunities", value: encoded };
  } else if (numbers.length === 2 && numbers.every(part => isNumber(part, MAX_UINT16))) {
    return { kind: "communities", value: numbers.map(Number).join(":") };
  } else if (numbers.length === 3 && numbers.every(part => isNumber(part, MAX_UINT32))) {
    return { kind: "largeCommunities", value: numbers.map(Number).join(":") };
  }
  throw new OptionError(path, value, EXPECTED);
}

/** One that {@link Edits.communities} can add. */
export function isCommunity(value: unknown): boolean {
  try {
    parseCommunity(value, "");
    return true;
  } catch {
    return false;
  }
}

/** Tests for the patterns, those without a `*` or range of one kind put together. Throws {@link OptionError}, naming `path`. */
export function parseCommunityPatterns(value: unknown, path: string): CommunityTest[] {
  const exact = new Map<CommunityKind, Set<string>>();
  const tests: CommunityTest[] = [];
  for (const [item, itemPath] of listAt(value, path)) {
    const pattern = typeof item === "string" && /[*-]/.test(item) ? parsePattern(item) : undefined;
    if (pattern !== undefined) {
      tests.push(pattern);
      continue;
    }
    const { kind, value: community } = parseCommunity(item, itemPath);
    exact.set(kind, (exact.get(kind) ?? new Set()).add(community));
  }
  const sets = [...exact].map(([kind, set]): CommunityTest => ({ kind, test: set.has.bind(set) }));
  return [...sets, ...tests];
}

/** One of the communities of a route passes one of the tests. */
export function hasCommunity(attributes: PathAttributes, tests: readonly CommunityTest[]): boolean {
  for (const { kind, test } of tests) {
    const values = attributes[kind];
    if (values !== undefined) for (const value of values) if (test(value)) return true;
  }
  return false;
}

function isNumber(text: string, max: number): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= max;
}

/** Undefined where it is no pattern (but may be a well-known name). */
function parsePattern(text: string): CommunityTest | undefined {
  if (/^[0-9a-f*]{16}$/i.test(text)) {
    const digits = new RegExp(`^${text.toLowerCase().replaceAll("*", ".")}$`);
    return { kind: "extendedCommunities", test: value => digits.test(value) };
  }
  const parts = text.split(":");
  const subtype = SUBTYPES[parts[0]!];
  if (subtype !== undefined && parts.length === 3) return extendedPattern(subtype, parts[1]!, parts[2]!);
  if (parts.length !== 2 && parts.length !== 3) return undefined;
  const ranges = parts.map(part => readPart(part, parts.length === 2 ? MAX_UINT16 : MAX_UINT32));
  if (!ranges.every(range => range !== undefined)) return undefined;
  const kind = parts.length === 2 ? "communities" : "largeCommunities";
  return { kind, test: value => value.split(":").every((part, i) => isIn(ranges[i]!, Number(part))) };
}

function readPart(text: string, max: number): NumberRange | undefined {
  return text === "*" ? { low: 0, high: max } : readRange(text, max);
}

function isIn({ low, high }: NumberRange, value: number): boolean {
  return value >= low && value <= high;
}

/** AS or IPv4 address and number, as the 8 bytes in hexadecimal. */
function encodeExtended(subtype: number, global: string, local: string): string | undefined {
  const address = parseIpv4(global);
  const hex = (number: number, bytes: number) => number.toString(16).padStart(bytes * 2, "0");
  const whole = (type: number, front: string, back: string) => hex(type, 1) + hex(subtype, 1) + front + back;
  if (address !== undefined) {
    const front = Array.from(address, byte => hex(byte, 1)).join("");
    return isNumber(local, MAX_UINT16) ? whole(1, front, hex(Number(local), 2)) : undefined;
  }
  if (!isNumber(global, MAX_UINT32)) return undefined;
  if (Number(global) <= MAX_UINT16) {
    return isNumber(local, MAX_UINT32) ? whole(0, hex(Number(global), 2), hex(Number(local), 4)) : undefined;
  }
  return isNumber(local, MAX_UINT16) ? whole(2, hex(Number(global), 4), hex(Number(local), 2)) : undefined;
}

interface ExtendedValue {
  /** Whether the global part is an address. */
  readonly isAddress: boolean;
  readonly global: number;
  readonly local: number;
}

/** Of a transitive two-octet AS, IPv4 address or four-octet AS specific community. */
function decodeExtended(value: string, subtype: number): ExtendedValue | undefined {
  const type = Number.parseInt(value.slice(0, 2), 16);
  if (type > 2 || Number.parseInt(value.slice(2, 4), 16) !== subtype) return undefined;
  const split = type === 0 ? 8 : 12;
  const global = Number.parseInt(value.slice(4, split), 16);
  return { isAddress: type === 1, global, local: Number.parseInt(value.slice(split), 16) };
}

function extendedPattern(subtype: number, globalText: string, localText: string): CommunityTest | undefined {
  const address = parseIpv4(globalText);
  const global = address === undefined ? readPart(globalText, MAX_UINT32) : undefined;
  const local = readPart(localText, MAX_UINT32);
  if ((global === undefined && address === undefined) || local === undefined) return undefined;
  const test = (value: string): boolean => {
    const found = decodeExtended(value, subtype);
    if (found === undefined || !isIn(local, found.local)) return false;
    if (global === undefined) return found.isAddress && formatGlobal(found.global) === globalText;
    // A range of AS numbers means no address; `*` means any.
    return globalText === "*" || (!found.isAddress && isIn(global, found.global));
  };
  return { kind: "extendedCommunities", test };
}

function formatGlobal(number: number): string {
  return formatIpv4(Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number));
}
