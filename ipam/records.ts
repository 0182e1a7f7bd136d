/**
 * Calico's IPAM records as values, and their JSON. The spelling is Calico's to the letter, because Calico's own
 * nodes read and write the same keys; fields we do not know travel along in `extra`, or they would be lost the
 * first time we write a block that a newer Calico wrote.
 *
 * Sequence numbers are bigints: Calico starts them at the time in nanoseconds, which no JavaScript number holds
 * exactly. In JSON they are written digit by digit; a store that reads them exactly gives bigints. Blocks that
 * we create start at the time in microseconds instead, which is exact in either form and just as unique.
 */

import { type Cidr, cidrSize, parseCidr } from "../net/cidr.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";

/** Whom a block belongs to: a host, or something that is none (`virtual:load-balancer`). */
export type Affinity = `host:${string}` | `virtual:${string}`;

export function hostAffinity(node: string): Affinity {
  return `host:${node}`;
}

/** The host's name, or undefined for a virtual affinity. */
export function nodeOf(affinity: Affinity): string | undefined {
  return affinity.startsWith("host:") ? affinity.slice("host:".length) : undefined;
}

/** Who holds an address. Spelled as stored; absent and null mean the same. Released but still cooling: only `releasedAt`. */
export interface AllocationAttribute {
  readonly handle_id?: string | null;
  /** `node`, `pod`, `namespace`, `type`, `timestamp` and what else the owner wants known. */
  readonly secondary?: Readonly<Record<string, string>> | null;
  /** RFC 3339. */
  readonly releasedAt?: string | null;
  readonly [other: string]: unknown;
}

export interface AllocationBlock {
  readonly cidr: Cidr;
  readonly affinity: Affinity | null;
  /** RFC 3339. */
  readonly affinityClaimTime: string | undefined;
  /** By ordinal: index into `attributes`, or null where free. */
  readonly allocations: readonly (number | null)[];
  /** Free ordinals, longest free first. */
  readonly unallocated: readonly number[];
  readonly attributes: readonly AllocationAttribute[];
  /** Counts the writes. */
  readonly sequenceNumber: bigint;
  /** By ordinal: the block's sequence number when it was assigned. */
  readonly sequenceNumberForAllocation: ReadonlyMap<number, bigint>;
  readonly extra: Readonly<Record<string, unknown>>;
}

export type AffinityState = "pending" | "confirmed" | "pendingDeletion";

export interface BlockAffinity {
  readonly state: AffinityState;
  readonly extra: Readonly<Record<string, unknown>>;
}

/** How many addresses of which blocks carry a handle: an upper bound, exact while nobody is in the middle of a write. */
export interface IpamHandle {
  readonly block: Readonly<Record<string, number>>;
  readonly extra: Readonly<Record<string, unknown>>;
}

export interface IpamConfig {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  /** 0: no limit asked for, 20 apply. */
  readonly maxBlocksPerHost: number;
  /** How long a released address rests before it is given out again. */
  readonly ipCooldownSeconds: number;
  /** Whether a KubeVirt machine keeps its address over restarts; nothing here acts on it. */
  readonly kubeVirtVMAddressPersistence?: "Enabled" | "Disabled" | undefined;
  readonly extra: Readonly<Record<string, unknown>>;
}

export const DEFAULT_CONFIG: IpamConfig = {
  strictAffinity: false,
  autoAllocateBlocks: true,
  maxBlocksPerHost: 0,
  ipCooldownSeconds: 0,
  extra: {},
};

type Json = Record<string, unknown>;

/** Undefined where the record is marked deleted, which counts as absent. @throws IpamError CORRUPT */
export function parseBlock(value: Json): AllocationBlock | undefined {
  const {
    cidr,
    affinity,
    hostAffinity: legacyHost,
    affinity_claim_time: claimTime,
    affinityClaimTime,
    allocations,
    unallocated,
    attributes,
    sequenceNumber,
    sequenceNumberForAllocation,
    deleted,
    ...extra
  } = value;
  if (deleted === true) return undefined;
  const block = typeof cidr === "string" ? parseCidr(cidr) : undefined;
  if (!block || !Array.isArray(allocations) || BigInt(allocations.length) !== cidrSize(block)) {
    throw corrupt("IPAM block", value);
  }
  const sequences = Object.entries((sequenceNumberForAllocation ?? {}) as Json);
  return {
    cidr: block,
    affinity: (affinity ?? (legacyHost ? `host:${legacyHost}` : null)) as Affinity | null,
    affinityClaimTime: (claimTime ?? affinityClaimTime ?? undefined) as string | undefined,
    allocations: allocations as (number | null)[],
    unallocated: (unallocated ?? []) as number[],
    attributes: (attributes ?? []) as AllocationAttribute[],
    sequenceNumber: BigInt((sequenceNumber ?? 0) as number | bigint),
    sequenceNumberForAllocation: new Map(
      sequences.map(([ordinal, sequence]) => [Number(ordinal), BigInt(sequence as number | bigint)]),
    ),
    extra,
  };
}

export function blockToJson(block: AllocationBlock): Json {
  const sequences: Json = {};
  for (const [ordinal, sequence] of block.sequenceNumberForAllocation) {
    sequences[String(ordinal)] = exactInteger(sequence);
  }
  return {
    ...block.extra,
    cidr: block.cidr,
    affinity: block.affinity,
    ...(block.affinityClaimTime === undefined ? {} : { affinity_claim_time: block.affinityClaimTime }),
    allocations: block.allocations,
    unallocated: block.unallocated,
    attributes: block.attributes,
    sequenceNumber: exactInteger(block.sequenceNumber),
    sequenceNumberForAllocation: sequences,
    deleted: false,
  };
}

/** @throws IpamError CORRUPT */
export function parseAffinity(value: Json): BlockAffinity | undefined {
  const { state = "confirmed", deleted, ...extra } = value;
  if (deleted === true || deleted === "true") return undefined;
  if (state !== "confirmed" && state !== "pending" && state !== "pendingDeletion") {
    throw corrupt("block affinity", value);
  }
  return { state, extra };
}

export function affinityToJson(affinity: BlockAffinity): Json {
  return { ...affinity.extra, state: affinity.state, deleted: false };
}

export function parseHandle(value: Json): IpamHandle | undefined {
  const { block, deleted, ...extra } = value;
  if (deleted === true) return undefined;
  return { block: (block ?? {}) as Record<string, number>, extra };
}

export function handleToJson(handle: IpamHandle): Json {
  return { ...handle.extra, block: handle.block, deleted: false };
}

export function parseConfig(value: Json): IpamConfig {
  const { strict_affinity, auto_allocate_blocks, maxBlocksPerHost, ipCooldownSeconds, ...others } = value;
  const { kubeVirtVMAddressPersistence, ...extra } = others;
  return {
    strictAffinity: (strict_affinity ?? DEFAULT_CONFIG.strictAffinity) as boolean,
    autoAllocateBlocks: (auto_allocate_blocks ?? DEFAULT_CONFIG.autoAllocateBlocks) as boolean,
    maxBlocksPerHost: (maxBlocksPerHost ?? 0) as number,
    ipCooldownSeconds: (ipCooldownSeconds ?? 0) as number,
    ...(kubeVirtVMAddressPersistence !== undefined && {
      kubeVirtVMAddressPersistence: kubeVirtVMAddressPersistence as "Enabled" | "Disabled",
    }),
    extra,
  };
}

export function configToJson(config: IpamConfig): Json {
  return {
    ...config.extra,
    strict_affinity: config.strictAffinity,
    auto_allocate_blocks: config.autoAllocateBlocks,
    maxBlocksPerHost: config.maxBlocksPerHost,
    ipCooldownSeconds: config.ipCooldownSeconds,
    ...(config.kubeVirtVMAddressPersistence && {
      kubeVirtVMAddressPersistence: config.kubeVirtVMAddressPersistence,
    }),
  };
}

/** JSON.stringify writes it digit by digit, however large. */
function exactInteger(value: bigint): unknown {
  const asNumber = Number(value);
  if (Number.isSafeInteger(asNumber)) return asNumber;
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}

function corrupt(what: string, value: Json): IpamError {
  return new IpamError(IpamErrorCode.Corrupt, `not an ${what}: ${JSON.stringify(value)?.slice(0, 200)}`);
}
