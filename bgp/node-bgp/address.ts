/**
 * Addresses and prefixes between canonical text and bytes. Text is what users and policies see (IPv6 as in RFC 5952),
 * bytes are what is on the wire and in the RIB; nothing else is ever compared.
 */

import { isIPv6 } from "node:net";
import { Family } from "./route.ts";

const DOT = 46;

/** By hand, for every attribute set encoded passes here: four decimal numbers up to 255 without leading zeros. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  let part = 0;
  let value = -1;
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? DOT : text.charCodeAt(i);
    if (code === DOT) {
      if (value < 0 || part > 3) return undefined;
      bytes[part++] = value;
      value = -1;
    } else {
      const digit = code - 48;
      if (digit < 0 || digit > 9 || value === 0) return undefined;
      value = value < 0 ? digit : value * 10 + digit;
      if (value > 255) return undefined;
    }
  }
  return part === 4 ? bytes : undefined;
}

export function parseIpv6(text: string): Uint8Array | undefined {
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const bytes = new Uint8Array(16);
  const dotted = text.includes(".") ? parseIpv4(text.slice(text.lastIndexOf(":") + 1)) : undefined;
  // An embedded IPv4 tail becomes its two groups; isIPv6 has already vouched for the shape.
  const groupsText =
    dotted === undefined
      ? text
      : `${text.slice(0, text.lastIndexOf(":") + 1)}${word(dotted, 0).toString(16)}:${word(dotted, 2).toString(16)}`;
  const [head = "", tail] = groupsText.split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail === undefined || tail === "" ? [] : tail.split(":");
  const put = (group: string, index: number) => {
    const value = Number.parseInt(group, 16);
    bytes[index * 2] = value >> 8;
    bytes[index * 2 + 1] = value & 0xff;
  };
  before.forEach(put);
  after.forEach((group, i) => {
    put(group, 8 - after.length + i);
  });
  return bytes;
}

/** 4 or 16 bytes; undefined where the text is no address. A zone (`%eth0`) is not accepted here. */
export function parseAddress(text: string): Uint8Array | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

export function formatIpv4(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

export function formatIpv6(bytes: Uint8Array, offset = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(word(bytes, offset + i));
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = (list: number[]) => list.map(group => group.toString(16)).join(":");
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}

export function formatAddress(bytes: Uint8Array): string {
  return bytes.length === 4 ? formatIpv4(bytes) : formatIpv6(bytes);
}

/**
 * The one spelling under which a neighbor is looked up: RFC 5952 text, `::ffff:10.0.0.1` as `10.0.0.1`, a zone kept
 * on link-local addresses only. Undefined where it is no address.
 */
export function canonicalAddress(text: string): string | undefined {
  const percent = text.indexOf("%");
  const bytes = parseAddress(percent < 0 ? text : text.slice(0, percent));
  if (bytes === undefined) return undefined;
  if (bytes.length === 16 && isMapped(bytes)) return formatIpv4(bytes, 12);
  const address = formatAddress(bytes);
  return percent < 0 || !isLinkLocal(bytes) ? address : `${address}${text.slice(percent)}`;
}

/** `fe80::1%eth0` without its interface. */
export function withoutZone(address: string): string {
  const percent = address.indexOf("%");
  return percent < 0 ? address : address.slice(0, percent);
}

export function familyOfAddress(address: string): Family {
  return address.includes(":") ? Family.ipv6Unicast : Family.ipv4Unicast;
}

export function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80;
}

function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false;
  return bytes[10] === 0xff && bytes[11] === 0xff;
}

/** A prefix as bytes: `address` is 4 or 16 bytes with all host bits zero. */
export interface Prefix {
  readonly family: Family;
  readonly address: Uint8Array;
  readonly length: number;
}

export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined;
  const length = Number(lengthText);
  if (length > address.length * 8) return undefined;
  maskHostBits(address, 0, address.length, length);
  return { family: address.length === 4 ? Family.ipv4Unicast : Family.ipv6Unicast, address, length };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** Of one version, and within. */
export function prefixContains({ address, length }: Prefix, other: Uint8Array): boolean {
  if (address.length !== other.length) return false;
  const whole = length >> 3;
  for (let i = 0; i < whole; i++) if (address[i] !== other[i]) return false;
  const rest = length & 7;
  return rest === 0 || ((address[whole]! ^ other[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}

/** Zeroes the bits behind `length` in the `size` bytes at `offset`. */
export function maskHostBits(bytes: Uint8Array, offset: number, size: number, length: number): void {
  const whole = length >> 3;
  if (whole >= size) return;
  bytes[offset + whole] = bytes[offset + whole]! & (0xff00 >> (length & 7));
  bytes.fill(0, offset + whole + 1, offset + size);
}

/** Dotted quad <-> unsigned 32 bit, for router and cluster ids. */
export function parseRouterId(text: string): number | undefined {
  const bytes = parseIpv4(text);
  return bytes === undefined ? undefined : readUint32(bytes, 0);
}

export function formatRouterId(id: number): string {
  return `${id >>> 24}.${(id >>> 16) & 0xff}.${(id >>> 8) & 0xff}.${id & 0xff}`;
}

export function readUint16(bytes: Uint8Array, offset: number): number {
  return word(bytes, offset);
}

export function readUint32(bytes: Uint8Array, offset: number): number {
  return (word(bytes, offset) * 65536 + word(bytes, offset + 2)) >>> 0;
}

function word(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}
