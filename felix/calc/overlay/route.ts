/**
 * The decision: what this host's routing table says about a prefix of a pool that felix programs.
 *
 * A remote route needs the other node's address, and through VXLAN its end of the tunnel too; until these are known there is
 * none. Without encapsulation a node outside our subnet is the fabric's to reach, and there is none either.
 */

import { type Cidr, cidrVersion, contains, isHostCidr } from "../../../net/cidr.ts";
import type { Encapsulation, RemoteRoute, Vtep } from "../changes.ts";
import type { Claim } from "./claims.ts";
import type { NodeSide } from "./node-view.ts";
import { isProgrammed, type OverlayConfig, type OverlayPool } from "./pools.ts";

export interface RouteQuestion {
  readonly prefix: Cidr;
  readonly claim: Claim | undefined;
  readonly pool: OverlayPool | undefined;
  /** The claiming node. */
  readonly node: NodeSide | undefined;
  /** Its end of the tunnel. */
  readonly vtep: Vtep | undefined;
  readonly own: NodeSide | undefined;
  readonly ownName: string;
  readonly config: OverlayConfig;
  readonly encapsulation: Encapsulation;
}

export function routeOf(question: RouteQuestion): RemoteRoute | "blackhole" | undefined {
  const { prefix, claim, pool, node, vtep, own, ownName, config, encapsulation } = question;
  if (!claim || !pool || !isProgrammed(pool, config, encapsulation)) return undefined;
  if (claim.node === ownName)
    return claim.source === "block" && !isHostCidr(prefix) ? "blackhole" : undefined;
  if (!node) return undefined;
  const isNear = own !== undefined && contains(own.subnet, node.address);
  if (pool.mode === "none" || (pool.crossSubnet && isNear))
    return isNear ? { via: "direct", node: claim.node, gateway: node.address } : undefined;
  if (pool.mode === "ipip")
    return cidrVersion(prefix) === 4 ? { via: "ipip", node: claim.node, gateway: node.address } : undefined;
  return vtep && { via: "vxlan", node: claim.node, gateway: vtep.address };
}

export function sameRoute(
  a: RemoteRoute | "blackhole" | undefined,
  b: RemoteRoute | "blackhole" | undefined,
): boolean {
  if (a === b) return true;
  if (!a || !b || a === "blackhole" || b === "blackhole") return false;
  return a.via === b.via && a.node === b.node && a.gateway === b.gateway;
}
