/**
 * Which learned routes go into the kernel, and how (calico.md 4.5). Pure.
 *
 * Prefixes of VXLAN pools, and of IPIP pools since Calico 3.33, are Felix's to program; everything else we learned is
 * installed as it is, a default route from the rack switch included.
 */

import type { Route } from "node-bgp";
import { type Cidr, cidrVersion, contains } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { NextHop } from "./next-hops.ts";
import { type Encapsulation, type PoolView, poolOf } from "./pool-view.ts";
import { metricOf, type NormalPriority } from "./priority.ts";

export interface ForwardingRoute {
  readonly prefix: Cidr;
  readonly metric: number;
  /** Next hops as BGP gives them: they may still need a lookup of their own. */
  readonly nextHops: readonly NextHop[];
}

export interface ForwardingView {
  readonly pools: readonly PoolView[];
  readonly normalPriority: NormalPriority;
  /** Encapsulations of pools whose routes are ours to install. */
  readonly programmed: ReadonlySet<Encapsulation>;
  /** Service prefixes that we announce ourselves. */
  readonly rejected: ReadonlySet<Cidr>;
  /** The subnet of this node's address: hosts outside are tunnelled to where a pool says CrossSubnet. */
  readonly subnet: Cidr | undefined;
  /** Nodes that are reached through WireGuard; empty where it is off here. Their routes are felix's. */
  readonly wireguardPeers: ReadonlySet<string>;
}

/** The kernel's IPIP device. Felix brings it up; without it (no ipip module) the routes wait. */
export const TUNNEL = "tunl0";

/** Undefined: not for the kernel. */
export function forwardingRoute(route: Route, view: ForwardingView): ForwardingRoute | undefined {
  if (route.source === "local" || route.nextHops.length === 0) return undefined;
  const prefix = route.prefix as Cidr;
  if (view.rejected.has(prefix)) return undefined;
  if (view.wireguardPeers.size > 0 && route.nextHops.some(hop => view.wireguardPeers.has(hop)))
    return undefined;
  const pool = poolOf(view.pools, prefix);
  if (pool && !view.programmed.has(pool.encapsulation)) return undefined;
  const normal = view.normalPriority(cidrVersion(prefix));
  const nextHops = route.nextHops as readonly Ip[];
  return {
    prefix,
    metric: metricOf(route.localPref, normal),
    nextHops: pool?.encapsulation === "ipip" ? tunnelled(nextHops, pool, view) : nextHops,
  };
}

function tunnelled(nextHops: readonly Ip[], pool: PoolView, { subnet }: ForwardingView): NextHop[] {
  const isNear = (hop: Ip) => pool.crossSubnet && subnet !== undefined && contains(subnet, hop);
  return nextHops.map(hop => (isNear(hop) ? hop : (`${hop}%${TUNNEL}` as const)));
}
