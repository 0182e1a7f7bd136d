/** Values as registers and keys hold them ({@link Data}). */

import { type Cidr, cidrVersion, networkAddress, prefixLength } from "../../net/cidr.ts";
import { addressBits, type Ip, ipToBytes } from "../../net/ip.ts";
import { type Mac, macToBytes } from "../../net/mac.ts";
import type { Data } from "./expression.ts";

const IFNAMSIZ = 16;

export const u8 = (value: number): Data => value.toString(16).padStart(2, "0");

/** Network order: ports. */
export const u16 = (value: number): Data => value.toString(16).padStart(4, "0");

/** Host order: marks, and what meta, ct and fib load as numbers. */
export function hostU32(value: number): Data {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString("hex");
}

export const addressData = (address: Ip): Data => hexOf(ipToBytes(address));

export const macData = (address: Mac): Data => hexOf(macToBytes(address));

/** As meta loads it, and as keys of maps have it. */
export const interfaceData = (name: string): Data =>
  Buffer.from(name)
    .toString("hex")
    .padEnd(2 * IFNAMSIZ, "0");

/** Compared with the beginning of what meta loads: all interfaces whose names begin like this. */
export const interfacePrefixData = (prefix: string): Data => Buffer.from(prefix).toString("hex");

export const firstAddress = (block: Cidr): Data => addressData(networkAddress(block));

export function lastAddress(block: Cidr): Data {
  const bytes = ipToBytes(networkAddress(block)).slice();
  fillFrom(bytes, prefixLength(block), 0xff);
  return hexOf(bytes);
}

/** Ones for the network's bits. */
export function maskData(block: Cidr): Data {
  const bytes = new Uint8Array(addressBits(cidrVersion(block)) / 8).fill(0xff);
  fillFrom(bytes, prefixLength(block), 0);
  return hexOf(bytes);
}

/** A key of several fields: each begins at a multiple of four bytes. */
export const concatenation = (...fields: readonly Data[]): Data =>
  fields.map(field => field.padEnd(Math.ceil(field.length / 8) * 8, "0")).join("");

/** The value that comes after, of the same length; undefined after the last. */
export function successor(data: Data): Data | undefined {
  const next = (BigInt(`0x${data}`) + 1n).toString(16).padStart(data.length, "0");
  return next.length > data.length ? undefined : next;
}

/** The value that comes before. */
export const predecessor = (data: Data): Data =>
  (BigInt(`0x${data}`) - 1n).toString(16).padStart(data.length, "0");

export const hexOf = (bytes: Uint8Array): Data =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");

/** All bits from the `bit`th on become those of `value` (0 or 0xff). */
function fillFrom(bytes: Uint8Array, bit: number, value: number): void {
  for (let i = bit >> 3; i < bytes.length; i++) {
    const keep = i === bit >> 3 ? (0xff00 >> (bit & 7)) & 0xff : 0;
    bytes[i] = ((bytes[i] as number) & keep) | (value & ~keep & 0xff);
  }
}
