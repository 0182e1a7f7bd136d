/** IP pools as the overlay sees them: how packets to their addresses travel, and who writes the routes. */

import type { IPPool } from "../../../crd-schemas/index.ts";
import { type Cidr, cidrVersion, contains, parseCidr } from "../../../net/cidr.ts";
import type { Encapsulation } from "../changes.ts";
import type { FelixConfig } from "../config.ts";

export interface OverlayPool {
  readonly cidr: Cidr;
  readonly mode: "none" | "ipip" | "vxlan";
  /** Encapsulated only towards nodes outside the own subnet. */
  readonly crossSubnet: boolean;
}

export type OverlayConfig = Pick<
  FelixConfig,
  | "programClusterRoutes"
  | "vxlanEnabled"
  | "ipipEnabled"
  | "ipv6Support"
  | "externalNodesList"
  | "floatingIPs"
>;

export function overlayPool({ spec }: IPPool): OverlayPool | undefined {
  const cidr = parseCidr(spec.cidr);
  if (!cidr) return undefined;
  const isOn = (mode: string | undefined) => mode !== undefined && mode !== "Never";
  const mode = isOn(spec.vxlanMode) ? "vxlan" : isOn(spec.ipipMode) ? "ipip" : "none";
  const crossSubnet = spec.vxlanMode === "CrossSubnet" || spec.ipipMode === "CrossSubnet";
  return { cidr, mode, crossSubnet };
}

export function poolOf(pools: Iterable<OverlayPool>, prefix: Cidr): OverlayPool | undefined {
  for (const pool of pools) if (contains(pool.cidr, prefix)) return pool;
  return undefined;
}

/** Which tunnels there are to be: the pools decide, disabled ones too, since they may have workloads; or the configuration. */
export function encapsulationOf(pools: Iterable<OverlayPool>, config: OverlayConfig): Encapsulation {
  let ipip = false;
  let vxlan = false;
  let vxlan6 = false;
  for (const { cidr, mode } of pools) {
    if (mode === "ipip") ipip = true;
    else if (mode === "vxlan" && cidrVersion(cidr) === 4) vxlan = true;
    else if (mode === "vxlan") vxlan6 = true;
  }
  return {
    ipip: config.ipipEnabled ?? ipip,
    vxlan: config.vxlanEnabled ?? vxlan,
    vxlan6: vxlan6 && config.vxlanEnabled !== false && config.ipv6Support,
  };
}

/**
 * Whether felix, not the BGP speaker, writes the routes of this pool and the holes of its blocks (calico.md 0.2). The
 * speaker has a setting of the same name: each pool should be one's and not the other's.
 */
export function isProgrammed({ cidr, mode }: OverlayPool, config: OverlayConfig, on: Encapsulation): boolean {
  if (mode === "vxlan") return cidrVersion(cidr) === 4 ? on.vxlan : on.vxlan6;
  const { programClusterRoutes: who } = config;
  if (mode === "ipip") return on.ipip && (who === "Enabled" || who === "EnabledIPIPOnly");
  return (
    (who === "Enabled" || who === "EnabledNoEncapOnly") && (cidrVersion(cidr) === 4 || config.ipv6Support)
  );
}
