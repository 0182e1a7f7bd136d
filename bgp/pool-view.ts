/** What the BGP rules ask about IP pools: which one holds a prefix, what may be done with it, and who writes its routes. */

import type { BGPConfiguration, IPPool } from "../crd-schemas/index.ts";
import { type Cidr, contains, parseCidr } from "../net/cidr.ts";

export type Encapsulation = "none" | "ipip" | "vxlan";

export interface PoolView {
  readonly cidr: Cidr;
  readonly disabled: boolean;
  readonly exported: boolean;
  readonly encapsulation: Encapsulation;
  /** Encapsulated only towards hosts outside the own subnet. */
  readonly crossSubnet: boolean;
}

/** Encapsulations of pools whose routes, and whose blocks' holes, BGP writes; felix writes the others (calico.md 0.2). */
export function programmedByBgp(
  configuration: NonNullable<BGPConfiguration["spec"]>,
): ReadonlySet<Encapsulation> {
  switch (configuration.programClusterRoutes) {
    case "Enabled":
      return new Set(["none", "ipip"]);
    case "EnabledIPIPOnly":
      return new Set(["ipip"]);
    case "Disabled":
      return new Set();
    default:
      return new Set(["none"]);
  }
}

/** Pools with an unreadable CIDR are left out: no rule could apply to them. */
export function poolViews(pools: Iterable<IPPool>): PoolView[] {
  const views: PoolView[] = [];
  for (const { spec } of pools) {
    const cidr = parseCidr(spec.cidr);
    if (cidr === undefined) continue;
    const on = (mode: string | undefined) => mode !== undefined && mode !== "Never";
    views.push({
      cidr,
      disabled: spec.disabled ?? false,
      exported: !spec.disableBGPExport,
      crossSubnet: spec.vxlanMode === "CrossSubnet" || spec.ipipMode === "CrossSubnet",
      encapsulation: on(spec.vxlanMode) ? "vxlan" : on(spec.ipipMode) ? "ipip" : "none",
    });
  }
  return views;
}

export function poolOf(pools: readonly PoolView[], prefix: Cidr): PoolView | undefined {
  return pools.find(pool => contains(pool.cidr, prefix));
}
