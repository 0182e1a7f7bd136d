/**
 * What this host tells the world: its own blocks, and the single addresses that are here although their block is
 * somewhere else (borrowed) or although something better than normal is to be said of them (migration).
 *
 * Pure. A block is announced once its affinity is confirmed and not before: while it is pending, another host may
 * still win it (calico.md 5.2).
 */

import { type Cidr, cidrOf, cidrVersion, isHostCidr, networkAddress, prefixLength } from "../net/cidr.ts";
import { type PoolView, poolOf } from "./pool-view.ts";
import { localPrefOf, type NormalPriority } from "./priority.ts";

/** A workload's route as found in the kernel. */
export interface WorkloadRoute {
  readonly prefix: Cidr;
  readonly metric: number | undefined;
}

export interface Origination {
  readonly announce: ReadonlyMap<Cidr, { readonly localPref: number }>;
  /** Own blocks whose unused addresses must not follow the default route out and back for ever. */
  readonly blackholes: ReadonlySet<Cidr>;
}

export interface OriginationInput {
  /** CIDRs of this host's confirmed block affinities. */
  readonly blocks: readonly Cidr[];
  readonly workloads: Iterable<WorkloadRoute>;
  readonly pools: readonly PoolView[];
  /** Addresses of this host itself: a blackhole must never cover them. */
  readonly hostAddresses: readonly Cidr[];
  readonly normalPriority: NormalPriority;
}

export function computeOrigination(input: OriginationInput): Origination {
  const announce = new Map<Cidr, { localPref: number }>();
  const blackholes = new Set<Cidr>();
  const blockOf = blockLookup(input.blocks);
  const holdingHost = new Set(input.hostAddresses.map(blockOf));
  for (const block of input.blocks) {
    const pool = poolOf(input.pools, block);
    const normal = input.normalPriority(cidrVersion(block));
    if (pool?.exported !== false) announce.set(block, { localPref: localPrefOf(normal) });
    // VXLAN and IPIP blocks are Felix's, which programs the routes of tunnels.
    const ours = pool === undefined || pool.encapsulation === "none";
    if (ours && !isHostCidr(block) && !holdingHost.has(block)) blackholes.add(block);
  }
  for (const { prefix, metric } of input.workloads) {
    const normal = input.normalPriority(cidrVersion(prefix));
    const elevated = metric !== undefined && metric > 0 && metric < normal;
    const covered = blockOf(prefix) !== undefined;
    if (covered && !elevated) continue;
    const pool = poolOf(input.pools, prefix);
    if (pool ? pool.exported && (covered || !pool.disabled) : covered)
      announce.set(prefix, { localPref: localPrefOf(metric || normal) });
  }
  return { announce, blackholes };
}

/** Finds the block that holds a prefix by its few lengths, not one by one: workloads are many. */
function blockLookup(blocks: readonly Cidr[]): (prefix: Cidr) => Cidr | undefined {
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
