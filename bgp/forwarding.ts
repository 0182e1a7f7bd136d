/**
 * Which learned routes go into the kernel, and how (calico.md 4.5). Pure.
 *
 * Prefixes of VXLAN pools, and of IPIP pools since Calico 3.33, are Felix's to program; everything else we learned is
 * installed as it is, a default route from the rack switch included.
 */

import type { Route } from "node-bgp";
import { type Cidr, cidrVersion } from "../net/cidr.ts";
import type { NextHop } from "./next-hops.ts";
import { type PoolView, poolOf } from "./pool-view.ts";
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
  /** BGPConfiguration programClusterRoutes: whether routes of pools without encapsulation are ours to install. */
  readonly poolRoutes: boolean;
  /** Service prefixes that we announce ourselves. */
  readonly rejected: readonly Cidr[];
}

/** Undefined: not for the kernel. */
export function forwardingRoute(route: Route, view: ForwardingView): ForwardingRoute | undefined {
  if (route.source === "local" || route.nextHops.length === 0) return undefined;
  const prefix = route.prefix as Cidr;
  if (view.rejected.includes(prefix)) return undefined;
  const pool = poolOf(view.pools, prefix);
  if (pool && (pool.encapsulation !== "none" || !view.poolRoutes)) return undefined;
  const normal = view.normalPriority(cidrVersion(prefix));
  return { prefix, metric: metricOf(route.localPref, normal), nextHops: route.nextHops as NextHop[] };
}
