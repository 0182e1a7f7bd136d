/** Tables and what is in them, as values: what a batch writes and what a dump reads. */

import type { Family } from "./constants.ts";
import type { Data, Expression, Verdict } from "./expression.ts";

export interface TableRef {
  readonly family: Family;
  readonly name: string;
}

export interface Table extends TableRef {
  /** TableFlag. Owned: only the socket that made or adopted it may change it; persistent: it outlives that socket. */
  readonly flags: number;
}

/** In a dump. */
export interface TableEntry extends Table {
  /** The port of the owning socket. */
  readonly owner?: number;
}

/** NF_INET_* */
export const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export type Hook = keyof typeof HOOKS;

/** Where the kernel calls a chain. */
export interface BaseChain {
  readonly type: "filter" | "nat" | "route";
  readonly hook: Hook;
  /** Lower is earlier: raw -300, mangle -150, dstnat -100, filter 0, srcnat 100. */
  readonly priority: number;
  readonly policy: "accept" | "drop";
}

export interface Chain {
  readonly name: string;
  readonly base?: BaseChain;
}

export interface Rule {
  readonly expressions: readonly Expression[];
  /** At most 253 bytes; nft shows it. */
  readonly comment?: string;
}

/** In a dump. */
export interface RuleEntry extends Rule {
  readonly chain: string;
  readonly handle: bigint;
}

/**
 * What a field of a key or a value is, by nft's names: its number, by which nft knows how to print it, its length in bytes,
 * and whether it stands in network order (2) or in the host's (1).
 */
export const DATA_TYPES = {
  ipv4_addr: { number: 7, length: 4, byteOrder: 2 },
  ipv6_addr: { number: 8, length: 16, byteOrder: 2 },
  ether_addr: { number: 9, length: 6, byteOrder: 2 },
  inet_proto: { number: 12, length: 1, byteOrder: 2 },
  inet_service: { number: 13, length: 2, byteOrder: 2 },
  mark: { number: 19, length: 4, byteOrder: 1 },
  ct_state: { number: 26, length: 4, byteOrder: 1 },
  ifname: { number: 41, length: 16, byteOrder: 1 },
} as const;
export type DataType = keyof typeof DATA_TYPES;

export interface NftSet {
  readonly name: string;
  /** More than one: a concatenation, each field padded to four bytes. Empty in a dump: of types that we never use. */
  readonly key: readonly DataType[];
  /** Elements may be ranges. */
  readonly interval?: boolean;
  /** A map: what its elements stand for. */
  readonly data?: "verdict" | DataType;
  /** The elements count what matched them. */
  readonly counters?: boolean;
  /** The most elements it may have. */
  readonly size?: number;
}

export interface Element {
  readonly key: Data;
  /** The last key that belongs to it, of an interval set. */
  readonly keyEnd?: Data;
  /** Of a map. */
  readonly verdict?: Verdict;
  readonly data?: Data;
}

/** In a dump. */
export interface ElementEntry extends Element {
  readonly packets?: bigint;
  readonly bytes?: bigint;
}
