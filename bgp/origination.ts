/**
 * What this host tells the world: its own blocks, and the single addresses that are here although their block is
 * somewhere else (borrowed) or although something better than normal is to be said of them (migration).
 *
 * Pure. A block is announced once its affinity is confirmed and not before: while it is pending, another host may
 * still win it (calico.md 5.2).
 */

import { type Cidr, contains, isHostCidr } from "../net/cidr.ts";
import { type PoolView, poolOf } from "./pool-view.ts";
import { localPrefOf, NORMAL_PRIORITY } from "./priority.ts";

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
  readonly workloads: readonly WorkloadRoute[];
  readonly pools: readonly PoolView[];
  /** Addresses of this host itself: a blackhole must never cover them. */
  readonly hostAddresses: readonly Cidr[];
  readonly normalPriority?: number;
}

export function computeOrigination(input: OriginationInput): Origination {
  const normal = input.normalPriority ?? NORMAL_PRIORITY;
  const announce = new Map<Cidr, { localPref: number }>();
  const blackholes = new Set<Cidr>();
  for (const block of input.blocks) {
    const pool = poolOf(input.pools, block);
    if (pool?.exported !== false) announce.set(block, { localPref: localPrefOf(normal) });
    // VXLAN and IPIP blocks are Felix's, which programs the routes of tunnels.
    const ours = pool === undefined || pool.encapsulation === "none";
    const hitsHost = input.hostAddresses.some(address => contains(block, address));
    if (ours && !isHostCidr(block) && !hitsHost) blackholes.add(block);
  }
  for (const { prefix, metric } of input.workloads) {
    const pool = poolOf(input.pools, prefix);
    if (!pool?.exported || pool.disabled) continue;
    const covered = input.blocks.some(block => contains(block, prefix));
    const elevated = metric !== undefined && metric > 0 && metric < normal;
    if (!covered || elevated) announce.set(prefix, { localPref: localPrefOf(metric ?? normal) });
  }
  return { announce, blackholes };
}
