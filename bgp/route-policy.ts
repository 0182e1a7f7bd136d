/**
 * The import and export policies of a peering, as functions for node-bgp (calico.md 4.3, 4.4).
 *
 * Export is default deny: what leaves are our originated routes and, on route reflectors and towards the fabric,
 * what lies in an enabled pool that is not kept from export. Whoever has a default route from the rack switch does
 * not thereby offer transit.
 */

import type { AsPathSegment, Route, RoutePolicy } from "node-bgp";
import type { BGPConfiguration, BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, contains, parseCidr } from "../net/cidr.ts";
import {
  type CompiledFilter,
  compileFilter,
  evaluateFilters,
  type FilterEdits,
  type FilterRoute,
} from "./filter.ts";
import { type PoolView, poolOf } from "./pool-view.ts";

export interface PolicyInput {
  readonly pools: readonly PoolView[];
  readonly filters: ReadonlyMap<string, BGPFilter>;
  /** Effective BGPConfiguration, the node's over the default. */
  readonly configuration: NonNullable<BGPConfiguration["spec"]>;
  /** We reflect routes, and so pass on the service prefixes of others too. */
  readonly reflector: boolean;
}

/** {@link PolicyInput}, with everything parsed that is asked per route. */
export interface PolicyView {
  readonly pools: readonly PoolView[];
  readonly filters: ReadonlyMap<string, CompiledFilter>;
  /** Prefixes of services that we reflect. */
  readonly reflected: readonly Cidr[];
  readonly advertisements: readonly { readonly cidr: Cidr; readonly communities: readonly string[] }[];
}

export const EMPTY_VIEW: PolicyView = { pools: [], filters: new Map(), reflected: [], advertisements: [] };

export function policyView({ pools, filters, configuration, reflector }: PolicyInput): PolicyView {
  const { serviceLoadBalancerIPs = [], serviceExternalIPs = [] } = configuration;
  const named = new Map((configuration.communities ?? []).map(({ name, value }) => [name, value]));
  const services = reflector ? [...serviceLoadBalancerIPs, ...serviceExternalIPs] : [];
  return {
    pools,
    filters: new Map([...filters].map(([name, filter]) => [name, compileFilter(filter)])),
    reflected: services.map(({ cidr }) => parseCidr(cidr ?? "")).filter(cidr => cidr !== undefined),
    advertisements: (configuration.prefixAdvertisements ?? []).flatMap(({ cidr: text, communities = [] }) => {
      const cidr = parseCidr(text ?? "");
      const values = communities.map(value => named.get(value) ?? value);
      return cidr === undefined ? [] : [{ cidr, communities: values }];
    }),
  };
}

/** The policies look at `view()` at each call, so that a change of the datastore needs a refresh, not new functions. */
export function exportPolicy(view: () => PolicyView, filterNames: readonly string[]): RoutePolicy {
  return (route, neighbor) => {
    const now = view();
    const verdict = verdictOf(now, filterNames, route, "export", neighbor.type === "external");
    if (verdict?.action === "reject") return null;
    // A filter that accepts has the last word, as in Calico: no communities are added after it.
    if (verdict) return withEdits(route, verdict.edits);
    const prefix = route.prefix as Cidr;
    if (!exportedByDefault(now, route, prefix)) return null;
    const advertised = now.advertisements.filter(({ cidr }) => contains(cidr, prefix));
    return withCommunities(
      route,
      advertised.flatMap(({ communities }) => communities),
    );
  };
}

export function importPolicy(view: () => PolicyView, filterNames: readonly string[]): RoutePolicy {
  return (route, neighbor) => {
    const verdict = verdictOf(view(), filterNames, route, "import", neighbor.type === "external");
    if (verdict === undefined) return route;
    return verdict.action === "reject" ? null : withEdits(route, verdict.edits);
  };
}

function exportedByDefault(view: PolicyView, route: Route, prefix: Cidr): boolean {
  const pool = poolOf(view.pools, prefix);
  if (pool && !pool.exported) return false;
  if (route.source === "local") return true;
  if (pool && !pool.disabled) return true;
  return view.reflected.some(service => contains(service, prefix));
}

function verdictOf(
  view: PolicyView,
  names: readonly string[],
  route: Route,
  way: "import" | "export",
  external: boolean,
) {
  if (names.length === 0) return undefined;
  const field = `${way}${route.family === "ipv4-unicast" ? "V4" : "V6"}` as const;
  // A filter that does not exist (yet) is reported with the peering and decides nothing.
  const rules = names.map(name => view.filters.get(name)?.[field] ?? []);
  return evaluateFilters(rules, filterView(route), { external });
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

function withEdits(route: Route, edits: FilterEdits): Route {
  let result = withCommunities(route, edits.addCommunities);
  if (edits.prependAsPath.length > 0) {
    const [first, ...rest] = result.asPath;
    const asPath: AsPathSegment[] =
      first?.type === "sequence"
        ? [{ type: "sequence", asns: [...edits.prependAsPath, ...first.asns] }, ...rest]
        : [{ type: "sequence", asns: edits.prependAsPath }, ...result.asPath];
    result = { ...result, asPath };
  }
  return edits.localPref === undefined ? result : { ...result, localPref: edits.localPref };
}

/** `a:b` is a community (RFC 1997), `a:b:c` a large one (RFC 8092). */
function withCommunities(route: Route, values: readonly string[]): Route {
  if (values.length === 0) return route;
  const added = [...new Set(values)];
  const plain = added.filter(value => value.split(":").length === 2 && !route.communities?.includes(value));
  const large = added.filter(
    value => value.split(":").length === 3 && !route.largeCommunities?.includes(value),
  );
  if (plain.length === 0 && large.length === 0) return route;
  return {
    ...route,
    ...(plain.length > 0 && { communities: [...(route.communities ?? []), ...plain] }),
    ...(large.length > 0 && { largeCommunities: [...(route.largeCommunities ?? []), ...large] }),
  };
}
