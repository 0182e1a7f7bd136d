/**
 * Which learned routes go into the kernel, and how (calico.md 4.5). Pure.
 *
 * Prefixes of VXLAN pools, and of IPIP pools since Calico 3.33, are Felix's to program; everything else we learned is
 * installed as it is, a default route from the rack switch included.
 */

import type { Route } from "node-bgp";
import { type Cidr, contains } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { type PoolView, poolOf } from "./pool-view.ts";
import { metricOf } from "./priority.ts";

export interface ForwardingRoute {
  readonly prefix: Cidr;
  readonly metric: number;
  /** Next hops as BGP gives them: they may still need a lookup of their own. */
  readonly nextHops: readonly Ip[];
}

export interface ForwardingView {
  readonly pools: readonly PoolView[];
  readonly normalPriority: number;
  /** Service prefixes that we announce ourselves. */
  readonly rejected: readonly Cidr[];
}

/** Undefined: not for the kernel. */
export function forwardingRoute(route: Route, view: ForwardingView): ForwardingRoute | undefined {
  if (route.source === "local" || route.nextHops.length === 0) return undefined;
  const prefix = route.prefix as Cidr;
  if (view.rejected.includes(prefix)) return undefined;
  const pool = poolOf(view.pools, prefix);
  if (pool && pool.encapsulation !== "none") return undefined;
  return { prefix, metric: metricOf(route.localPref, view.normalPriority), nextHops: route.nextHops as Ip[] };
}

/** A route of somebody else's that may lead to a next hop. */
export interface UnderlayRoute {
  readonly destination: Cidr;
  readonly gateway: Ip | undefined;
}

/**
 * The gateway to hand to the kernel for a BGP next hop: the hop itself where it is on a connected subnet, else the
 * gateway of the longest other route towards it (recursive resolution). Undefined: unreachable now.
 */
export function resolveNextHop(nextHop: Ip, underlay: readonly UnderlayRoute[]): Ip | undefined {
  let best: UnderlayRoute | undefined;
  let bestLength = -1;
  for (const route of underlay) {
    const length = Number(route.destination.slice(route.destination.indexOf("/") + 1));
    if (length > bestLength && contains(route.destination, nextHop)) {
      best = route;
      bestLength = length;
    }
  }
  return best && (best.gateway ?? nextHop);
}
