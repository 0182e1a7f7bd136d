/**
 * Which pools may serve a request, and where in a pool a host begins to look for blocks.
 *
 * Every host starts at a place of its own, computed from its name, so that hosts which claim at the same time
 * seldom want the same block, and a host that lost its blocks tends to get the same ones again.
 */

import type { Value } from "../datastore/datastore.ts";
import {
  type Cidr,
  cidrOf,
  cidrVersion,
  contains,
  networkAddress,
  parseCidr,
  prefixLength,
} from "../net/cidr.ts";
import { addressBits, bigIntToIp, type Ip, type IpVersion, ipToBigInt } from "../net/ip.ts";
import { parseSelector, type Selector, SelectorError } from "../policy/selector/index.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";

export type AllowedUse = "Workload" | "Tunnel" | "LoadBalancer";

/** An IPPool resource with its defaults filled in and its selectors parsed. */
export interface Pool {
  readonly name: string;
  readonly cidr: Cidr;
  readonly version: IpVersion;
  /** Prefix length of the pool's blocks. */
  readonly blockSize: number;
  readonly nodeSelector: Selector | "invalid";
  /** Undefined: any namespace. */
  readonly namespaceSelector: Selector | "invalid" | undefined;
  readonly allowedUses: readonly AllowedUse[];
  readonly assignment: "Automatic" | "Manual";
  /** Not disabled, not being deleted, not declared unallocatable. */
  readonly enabled: boolean;
}

export type LabelSet = Readonly<Record<string, string>>;

export interface PoolRequest {
  readonly version: IpVersion;
  readonly use: AllowedUse;
  readonly nodeLabels: LabelSet;
  readonly namespaceLabels: LabelSet;
  /** Names or CIDRs of pools: then these, whatever their selectors and assignment mode say. */
  readonly requested?: readonly string[] | undefined;
}

/** Undefined where the resource has no valid CIDR. */
export function parsePool({ metadata, spec, status }: Value): Pool | undefined {
  const cidr = parseCidr(spec?.cidr ?? "");
  if (!cidr) return undefined;
  const version = cidrVersion(cidr);
  const unallocatable = (status?.conditions ?? []).some(
    (condition: Value) => condition.type === "Allocatable" && condition.status === "False",
  );
  return {
    name: metadata.name,
    cidr,
    version,
    blockSize: spec.blockSize || (version === 4 ? 26 : 122),
    nodeSelector: selector(spec.nodeSelector ?? ""),
    namespaceSelector: spec.namespaceSelector ? selector(spec.namespaceSelector) : undefined,
    allowedUses: spec.allowedUses?.length ? spec.allowedUses : ["Workload", "Tunnel"],
    assignment: spec.assignmentMode === "Manual" ? "Manual" : "Automatic",
    enabled: !spec.disabled && !unallocatable && !metadata.deletionTimestamp,
  };
}

/** Never empty. @throws IpamError NO_POOL */
export function selectPools(pools: readonly Pool[], request: PoolRequest): Pool[] {
  const { version, use, requested } = request;
  const usable = pools.filter(pool => pool.version === version && isUsable(pool));
  const selected = requested?.length
    ? requested.map(wanted => requestedPool(usable, wanted, request))
    : usable.filter(pool => pool.assignment === "Automatic" && selects(pool, request));
  const allowed = selected.filter(pool => pool.allowedUses.includes(use));
  if (allowed.length > 0) return allowed;
  throw new IpamError(
    IpamErrorCode.NoPool,
    requested?.length
      ? `none of the requested IPv${version} pools (${requested.join(", ")}) allows use ${use}`
      : `no enabled IPv${version} pool of use ${use} selects this node and namespace`,
    { version, use, requested },
  );
}

export function selectsNode(pool: Pool, labels: LabelSet): boolean {
  return pool.nodeSelector !== "invalid" && pool.nodeSelector.matches(labelsOf(labels));
}

/** Whether the pool's choice of nodes needs no look at the node. */
export function selectsEveryNode(pool: Pool): boolean {
  return pool.nodeSelector !== "invalid" && pool.nodeSelector.text === "all()";
}

export function poolOf(pools: readonly Pool[], address: Ip | Cidr): Pool | undefined {
  return pools.find(pool => contains(pool.cidr, address));
}

export function blockOf(pool: Pool, address: Ip): Cidr {
  return cidrOf(address, pool.blockSize);
}

export function blockCount(pool: Pool): bigint {
  return 1n << BigInt(pool.blockSize - prefixLength(pool.cidr));
}

/**
 * The blocks of the pool, each once, from the host's own start, wrapping around; those wholly inside one of
 * `excluded` are jumped over. Lazy: a v6 pool may have 2^74 of them.
 */
export function* blocksFrom(pool: Pool, host: string, excluded: readonly Cidr[] = []): Generator<Cidr> {
  const count = blockCount(pool);
  const holes = excluded.flatMap(cidr => blockRange(pool, cidr) ?? []);
  const start = startIndex(pool, host);
  for (let i = 0n; i < count; ) {
    const index = (start + i) % count;
    const hole = holes.find(({ first, last }) => first <= index && index <= last);
    if (!hole) yield blockAt(pool, index);
    i += hole ? hole.last - index + 1n : 1n;
  }
}

/** How many blocks after the host's start `block` comes: the order in which the host tries existing blocks. */
export function distanceFromStart(pool: Pool, host: string, block: Cidr): bigint {
  const count = blockCount(pool);
  return (indexOf(pool, networkAddress(block)) - startIndex(pool, host) + count) % count;
}

function indexOf(pool: Pool, address: Ip): bigint {
  return (ipToBigInt(address) - ipToBigInt(networkAddress(pool.cidr))) >> hostBits(pool);
}

function blockAt(pool: Pool, index: bigint): Cidr {
  const address = ipToBigInt(networkAddress(pool.cidr)) + (index << hostBits(pool));
  return `${bigIntToIp(address, pool.version)}/${pool.blockSize}` as Cidr;
}

function hostBits(pool: Pool): bigint {
  return BigInt(addressBits(pool.version) - pool.blockSize);
}

/** The indexes of the blocks wholly inside `cidr`. */
function blockRange(pool: Pool, cidr: Cidr): { first: bigint; last: bigint } | undefined {
  if (contains(cidr, pool.cidr)) return { first: 0n, last: blockCount(pool) - 1n };
  if (!contains(pool.cidr, cidr) || prefixLength(cidr) > pool.blockSize) return undefined;
  const first = indexOf(pool, networkAddress(cidr));
  return { first, last: first + (1n << BigInt(pool.blockSize - prefixLength(cidr))) - 1n };
}

function startIndex(pool: Pool, host: string): bigint {
  const seed = fnv1(host);
  return ((BigInt(scramble(seed)) << 32n) | BigInt(scramble(seed ^ 0x9e3779b9))) % blockCount(pool);
}

/** FNV-1, 32 bits: Calico's seed too. */
export function fnv1(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = (Math.imul(hash, 0x01000193) ^ byte) >>> 0;
  return hash;
}

/** Names that differ in the last letter have seeds that differ in the low bits: spread them (murmur3's finaliser). */
function scramble(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function isUsable(pool: Pool): boolean {
  return pool.enabled && prefixLength(pool.cidr) <= pool.blockSize;
}

function selects(pool: Pool, { nodeLabels, namespaceLabels }: PoolRequest): boolean {
  if (pool.namespaceSelector === "invalid") return false;
  if (pool.namespaceSelector && !pool.namespaceSelector.matches(labelsOf(namespaceLabels))) return false;
  return selectsNode(pool, nodeLabels);
}

function requestedPool(usable: readonly Pool[], wanted: string, { version }: PoolRequest): Pool {
  const cidr = parseCidr(wanted);
  const found = usable.find(pool => pool.name === wanted || (cidr !== undefined && pool.cidr === cidr));
  if (found) return found;
  throw new IpamError(IpamErrorCode.NoPool, `there is no enabled IPv${version} pool ${wanted}`, {
    version,
    requested: [wanted],
  });
}

function selector(text: string): Selector | "invalid" {
  try {
    return parseSelector(text);
  } catch (error) {
    if (error instanceof SelectorError) return "invalid";
    throw error;
  }
}

function labelsOf(labels: LabelSet): ReadonlyMap<string, string> {
  return new Map(Object.entries(labels));
}
