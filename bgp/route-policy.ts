/**
 * The import and export policies of a peering, as functions for node-bgp (calico.md 4.3, 4.4).
 *
 * Export is default deny: what leaves are our originated routes and, on route reflectors and towards the fabric,
 * what lies in an enabled pool that is not kept from export. Whoever has a default route from the rack switch does
 * not thereby offer transit.
 */

import type { Route, RoutePolicy } from "node-bgp";
import type { BGPConfiguration, BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, contains, parseCidr } from "../net/cidr.ts";
import { evaluateFilters, type FilterRoute, type FilterRule } from "./filter.ts";
import { type PoolView, poolOf } from "./pool-view.ts";

export interface PolicyView {
  readonly pools: readonly PoolView[];
  readonly filters: ReadonlyMap<string, BGPFilter>;
  /** Effective BGPConfiguration, the node's over the default. */
  readonly configuration: NonNullable<BGPConfiguration["spec"]>;
  /** We reflect routes, and so pass on the service prefixes of others too. */
  readonly reflector: boolean;
}

/** The policies look at `view()` at each call, so that a change of the datastore needs a refresh, not new functions. */
export function exportPolicy(view: () => PolicyView, filterNames: readonly string[]): RoutePolicy {
  return (route, neighbor) => {
    const now = view();
    const prefix = route.prefix as Cidr;
    const external = neighbor.type === "external";
    const rules = rulesOf(now, filterNames, route, "export");
    const verdict = evaluateFilters(rules, filterView(route), { external });
    if (verdict?.action === "reject") return null;
    if (verdict === undefined && !exportedByDefault(now, route, prefix)) return null;
    const edited = verdict ? withEdits(route, verdict.edits) : route;
    return withCommunities(edited, advertisedCommunities(now.configuration, prefix));
  };
}

export function importPolicy(view: () => PolicyView, filterNames: readonly string[]): RoutePolicy {
  return (route, neighbor) => {
    const rules = rulesOf(view(), filterNames, route, "import");
    const verdict = evaluateFilters(rules, filterView(route), { external: neighbor.type === "external" });
    if (verdict === undefined) return route;
    return verdict.action === "reject" ? null : withEdits(route, verdict.edits);
  };
}

function exportedByDefault(view: PolicyView, route: Route, prefix: Cidr): boolean {
  const pool = poolOf(view.pools, prefix);
  if (pool && !pool.exported) return false;
  if (route.source === "local") return true;
  if (pool && !pool.disabled) return true;
  return view.reflector && servicePrefixes(view.configuration).some(service => contains(service, prefix));
}

function servicePrefixes(configuration: PolicyView["configuration"]): Cidr[] {
  const { serviceLoadBalancerIPs = [], serviceExternalIPs = [] } = configuration;
  return [...serviceLoadBalancerIPs, ...serviceExternalIPs]
    .map(({ cidr }) => parseCidr(cidr ?? ""))
    .filter(cidr => cidr !== undefined);
}

function rulesOf(
  view: PolicyView,
  names: readonly string[],
  route: Route,
  way: "import" | "export",
): FilterRule[][] {
  const field = `${way}${route.family === "ipv4-unicast" ? "V4" : "V6"}` as const;
  return names.map(name => (view.filters.get(name)?.spec?.[field] ?? []) as FilterRule[]);
}

function filterView(route: Route): FilterRoute {
  return {
    prefix: route.prefix as Cidr,
    localPref: route.localPref,
    communities: route.communities ?? [],
    largeCommunities: route.largeCommunities ?? [],
    asPath: route.asPath.flatMap(segment => segment.asns),
    learned: route.source !== "local",
    interfaceName: undefined,
  };
}

function withEdits(
  route: Route,
  edits: {
    addCommunities: readonly string[];
    prependAsPath: readonly number[];
    localPref: number | undefined;
  },
): Route {
  let result = withCommunities(route, edits.addCommunities);
  if (edits.prependAsPath.length > 0) {
    result = { ...result, asPath: [{ type: "sequence", asns: edits.prependAsPath }, ...result.asPath] };
  }
  return edits.localPref === undefined ? result : { ...result, localPref: edits.localPref };
}

/** `a:b` is a community (RFC 1997), `a:b:c` a large one (RFC 8092). */
function withCommunities(route: Route, values: readonly string[]): Route {
  const plain = values.filter(value => value.split(":").length === 2 && !route.communities?.includes(value));
  const large = values.filter(
    value => value.split(":").length === 3 && !route.largeCommunities?.includes(value),
  );
  if (plain.length === 0 && large.length === 0) return route;
  return {
    ...route,
    ...(plain.length > 0 && { communities: [...(route.communities ?? []), ...plain] }),
    ...(large.length > 0 && { largeCommunities: [...(route.largeCommunities ?? []), ...large] }),
  };
}

function advertisedCommunities(configuration: PolicyView["configuration"], prefix: Cidr): string[] {
  const named = new Map((configuration.communities ?? []).map(({ name, value }) => [name, value]));
  return (configuration.prefixAdvertisements ?? [])
    .filter(({ cidr }) => {
      const block = parseCidr(cidr ?? "");
      return block !== undefined && contains(block, prefix);
    })
    .flatMap(({ communities }) => communities ?? [])
    .map(community => named.get(community) ?? community)
    .filter(community => community !== undefined);
}
