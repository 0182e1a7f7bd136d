/** Which prefixes the clients announce, with which attributes. The same in every run. */

import type { Attributes, Prefixes } from "./wire.ts";

export const DEVICE_ADDRESS = "10.99.0.1";
export const ASN = 64512;
const FIRST_CLIENT = (10 << 24) | (99 << 16) | (1 << 8) | 1;

/** The address of a client, as a number. */
export const clientAddress = (index: number): number => (FIRST_CLIENT + index) >>> 0;

export function addressText(address: number): string {
  return [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join(".");
}

/** Away from 10.0.0.0/8, where the devices look for next hops. */
const TABLE_BASE = 20 << 24;
const BLOCK_BASE = (100 << 24) | (64 << 16);

/** mulberry32: small, fast, and the same everywhere. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * A table as the internet has one: every prefix a /24 or, where its address allows, something shorter down to /16; 60 of 100 are /24.
 * The number of a prefix is `(address - base) >>> 8`.
 */
export function tablePrefixes(count: number): Prefixes {
  const next = random(1);
  const addresses = new Uint32Array(count);
  const lengths = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    addresses[i] = TABLE_BASE + i * 256;
    const zeros = i === 0 ? 8 : Math.min(8, 31 - Math.clz32(i & -i));
    lengths[i] = 24 - (next() < 0.8 ? zeros : 0);
  }
  return { addresses, lengths };
}

/** A path with our own AS in it would be a loop. */
const foreignAs = (asn: number) => (asn === ASN ? asn + 1 : asn);

export const tableNumber = (address: number): number => (address - TABLE_BASE) >>> 8;

/** 1 to 19 prefixes share their attributes, 10 on average; path of 1 to 6, MED 30 %, communities 60 %. Ends where each set ends. */
export function tableSets(count: number, nextHop: number): { ends: number[]; attributes: Attributes[] } {
  const next = random(2);
  const upTo = (limit: number) => 1 + Math.floor(next() * limit);
  const ends: number[] = [];
  const attributes: Attributes[] = [];
  for (let end = 0; end < count; ) {
    end = Math.min(count, end + upTo(19));
    ends.push(end);
    attributes.push({
      nextHop,
      asPath: Array.from({ length: upTo(6) }, () => foreignAs(upTo(400_000))),
      ...(next() < 0.3 && { med: upTo(1000) }),
      ...(next() < 0.6 && { communities: Array.from({ length: upTo(4) }, () => upTo(0x7fffffff)) }),
    });
  }
  return { ends, attributes };
}

/** /26 blocks as hosts have them; client `c` has those from `c * each` on. The number of a prefix is `(address - base) >>> 6`. */
export function blockPrefixes(count: number): Prefixes {
  const addresses = Uint32Array.from({ length: count }, (_, i) => BLOCK_BASE + i * 64);
  return { addresses, lengths: new Uint8Array(count).fill(26) };
}

export const blockNumber = (address: number): number => (address - BLOCK_BASE) >>> 6;
