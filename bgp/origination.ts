/**
 * What this host tells the world: its own blocks, and the single addresses that are here although their block is
 * somewhere else (borrowed) or although something better than normal is to be said of them (migration); services; and what
 * somebody else has put into the kernel inside a pool (calico.md 4.1, 4.4).
 *
 * Pure. A block is announced once its affinity is confirmed and not before: while it is pending, another host may
 * still win it (calico.md 5.2). What leaves only if a filter says so is among the origins too, where there is such a filter.
 */

import { type Cidr, cidrOf, cidrVersion, isHostCidr, networkAddress, prefixLength } from "../net/cidr.ts";
import { globPattern } from "./glob.ts";
import type { LocalRoute } from "./local-routes.ts";
import { type Encapsulation, type PoolView, poolOf } from "./pool-view.ts";
import { localPrefOf, type NormalPriority } from "./priority.ts";

/** A route of ours. */
export interface Origin {
  readonly kind: "block" | "service" | LocalRoute["kind"];
  /** What internal neighbors are told. */
  readonly localPref: number;
  /** Where packets to it leave by; undefined for blocks and services, which lead to no one interface. */
  readonly interfaceName: string | undefined;
  /** Leaves unless a filter says otherwise; if not so, it does not leave unless a filter says so. */
  readonly byDefault: boolean;
}

export interface Origination {
  readonly origins: ReadonlyMap<Cidr, Origin>;
  /** Own blocks whose unused addresses must not follow the default route out and back for ever. */
  readonly blackholes: ReadonlySet<Cidr>;
}

export interface OriginationInput {
  /** CIDRs of this host's confirmed block affinities. */
  readonly blocks: readonly Cidr[];
  readonly localRoutes: Iterable<LocalRoute>;
  /** What is announced for services, from this host or from all. */
  readonly services: Iterable<Cidr>;
  readonly pools: readonly PoolView[];
  /** Addresses of this host itself: a blackhole must never cover them. */
  readonly hostAddresses: readonly Cidr[];
  readonly normalPriority: NormalPriority;
  /** BGPConfiguration ignoredInterfaces: subnets there are not announced. */
  readonly ignoredInterfaces: readonly string[];
  /** There are filters that may let out what does not leave by default. */
  readonly withAllLocalRoutes: boolean;
  /** Pools with these are ours to dig holes in. */
  readonly programmed: ReadonlySet<Encapsulation>;
}

/** Addresses of services on kube-proxy's interface are on every node: as routes they would say nothing. */
const NEVER_CONNECTED = ["kube-ipvs*"];

/** Which origin of one prefix counts, as bird's protocols are preferred: direct, static, kernel. */
const RANK: Readonly<Record<Origin["kind"], number>> = {
  connected: 0,
  block: 1,
  service: 2,
  workload: 3,
  cluster: 4,
  foreign: 4,
};

export function computeOrigination(input: OriginationInput): Origination {
  const { pools, normalPriority, withAllLocalRoutes } = input;
  const origins = new Map<Cidr, Origin>();
  const add = (prefix: Cidr, origin: Origin) => {
    const other = origins.get(prefix);
    const rank = other ? RANK[origin.kind] - RANK[other.kind] : -1;
    if (!other || rank < 0 || (rank === 0 && origin.localPref > other.localPref)) origins.set(prefix, origin);
  };
  const normal = (prefix: Cidr) => localPrefOf(normalPriority(cidrVersion(prefix)));
  const blockOf = blockLookup(input.blocks);
  const isIgnored = interfaceTest([...NEVER_CONNECTED, ...input.ignoredInterfaces]);

  for (const prefix of input.blocks) {
    const byDefault = poolOf(pools, prefix)?.exported !== false;
    add(prefix, { kind: "block", localPref: normal(prefix), interfaceName: undefined, byDefault });
  }
  for (const prefix of input.services) {
    const byDefault = poolOf(pools, prefix)?.exported !== false;
    add(prefix, { kind: "service", localPref: normal(prefix), interfaceName: undefined, byDefault });
  }
  for (const { kind, prefix, metric, interfaceName } of input.localRoutes) {
    if (kind === "connected" && interfaceName !== undefined && isIgnored(interfaceName)) continue;
    const covered = blockOf(prefix) !== undefined;
    const elevated = metric !== undefined && metric > 0 && metric < normalPriority(cidrVersion(prefix));
    const pool = poolOf(pools, prefix);
    // Inside an own block what is normal is said by the block; outside all pools nothing is said.
    const byDefault = covered
      ? elevated && pool?.exported !== false
      : pool?.exported === true && !pool.disabled;
    if (!byDefault && !withAllLocalRoutes) continue;
    const localPref = metric ? localPrefOf(metric) : normal(prefix);
    add(prefix, { kind, localPref, interfaceName, byDefault });
  }
  return { origins, blackholes: holes(input, blockOf) };
}

function holes(
  { blocks, pools, hostAddresses, programmed }: OriginationInput,
  blockOf: BlockLookup,
): Set<Cidr> {
  const holdingHost = new Set(hostAddresses.map(blockOf));
  const found = new Set<Cidr>();
  for (const block of blocks) {
    const pool = poolOf(pools, block);
    const isOurs = pool === undefined || programmed.has(pool.encapsulation);
    if (isOurs && !isHostCidr(block) && !holdingHost.has(block)) found.add(block);
  }
  return found;
}

export type BlockLookup = (prefix: Cidr) => Cidr | undefined;

/** Finds the block that holds a prefix by its few lengths, not one by one: workloads are many. */
export function blockLookup(blocks: readonly Cidr[]): BlockLookup {
  const known = new Set(blocks);
  const lengths: Record<4 | 6, Set<number>> = { 4: new Set(), 6: new Set() };
  for (const block of blocks) lengths[cidrVersion(block)].add(prefixLength(block));
  return prefix => {
    const address = networkAddress(prefix);
    const longest = prefixLength(prefix);
    for (const length of lengths[cidrVersion(prefix)]) {
      const block = length <= longest ? cidrOf(address, length) : undefined;
      if (block !== undefined && known.has(block)) return block;
    }
    return undefined;
  };
}

function interfaceTest(patterns: readonly string[]): (name: string) => boolean {
  const globs = patterns.map(globPattern);
  return name => globs.some(glob => glob.test(name));
}
