/**
 * The import and export policies of a peering, as functions for node-bgp (calico.md 4.3, 4.4).
 *
 * Export is default deny: what leaves are our origins and, on route reflectors and towards the fabric, what lies in an
 * enabled pool that is not kept from export. Whoever has a default route from the rack switch does not thereby offer
 * transit.
 */

import { type AsPathSegment, acceptAll, type PolicyNeighbor, type Route, type RoutePolicy } from "node-bgp";
import type { BGPConfiguration, BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, cidrVersion, contains, parseCidr } from "../net/cidr.ts";
import {
  type CompiledFilter,
  compileFilter,
  evaluateFilters,
  type FilterEdits,
  type FilterRoute,
} from "./filter.ts";
import { globPattern } from "./glob.ts";
import type { NextHop } from "./next-hops.ts";
import { type BlockLookup, blockLookup, type Origin } from "./origination.ts";
import { type Encapsulation, type PoolView, poolOf } from "./pool-view.ts";
import { NORMAL_PRIORITY, type NormalPriority, priorityOf } from "./priority.ts";

export interface PolicyInput {
  readonly pools: readonly PoolView[];
  readonly filters: ReadonlyMap<string, BGPFilter>;
  /** Effective BGPConfiguration, the node's over the default. */
  readonly configuration: NonNullable<BGPConfiguration["spec"]>;
  /** We reflect routes, and so pass on the service prefixes of others too. */
  readonly reflector: boolean;
  readonly blocks: readonly Cidr[];
  readonly normalPriority: NormalPriority;
  /** Encapsulations of pools whose routes BGP writes. */
  readonly programmed: ReadonlySet<Encapsulation>;
}

/** {@link PolicyInput}, with everything parsed that is asked per route. */
export interface PolicyView {
  readonly pools: readonly PoolView[];
  readonly filters: ReadonlyMap<string, CompiledFilter>;
  /** What each filter says of what is let in, as text to compare. */
  readonly importRules: ReadonlyMap<string, string>;
  /** Some filter lets out routes, and so perhaps what does not leave by default. */
  readonly acceptsMore: boolean;
  /** Some filter goes by the interface that a route leads over. */
  readonly asksInterface: boolean;
  /** Prefixes of services that we reflect. */
  readonly reflected: readonly Cidr[];
  readonly advertisements: readonly { readonly cidr: Cidr; readonly communities: readonly string[] }[];
  readonly blockOf: BlockLookup;
  readonly normalPriority: NormalPriority;
  /** Of interfaces that lead into tunnels of felix: their routes are told to no internal neighbor. */
  readonly tunnels: readonly RegExp[];
}

export const EMPTY_VIEW: PolicyView = {
  pools: [],
  filters: new Map(),
  importRules: new Map(),
  acceptsMore: false,
  asksInterface: false,
  reflected: [],
  advertisements: [],
  blockOf: () => undefined,
  normalPriority: () => NORMAL_PRIORITY,
  tunnels: [],
};

/** What changes too often to be part of the view. */
export interface PolicySources {
  view(): PolicyView;
  /** Of a route of ours. */
  origin(prefix: Cidr): Origin | undefined;
  /** The interface by which packets to a learned route's next hop leave. */
  interfaceTowards(nextHop: NextHop): string | undefined;
}

/** Routes of devices of eBPF, which mean nothing elsewhere. */
const BPF_INTERFACE = /^bpf.*\.cali$/;
const FELIX_TUNNELS = ["*.cali", "*.calico"];

export function policyView(input: PolicyInput): PolicyView {
  const { pools, filters, configuration, reflector, blocks, normalPriority, programmed } = input;
  const { serviceLoadBalancerIPs = [], serviceExternalIPs = [] } = configuration;
  const named = new Map((configuration.communities ?? []).map(({ name, value }) => [name, value]));
  const services = reflector ? [...serviceLoadBalancerIPs, ...serviceExternalIPs] : [];
  const exportRules = [...filters.values()].flatMap(({ spec }) => [
    ...(spec?.exportV4 ?? []),
    ...(spec?.exportV6 ?? []),
  ]);
  const tunnels = programmed.has("ipip") ? FELIX_TUNNELS : [...FELIX_TUNNELS, "tunl0"];
  return {
    pools,
    filters: new Map([...filters].map(([name, filter]) => [name, compileFilter(filter)])),
    importRules: new Map(
      [...filters].map(([name, { spec }]) => [name, JSON.stringify([spec?.importV4, spec?.importV6])]),
    ),
    acceptsMore: exportRules.some(({ action }) => action === "Accept"),
    asksInterface: exportRules.some(rule => rule.interface !== undefined),
    reflected: services.map(({ cidr }) => parseCidr(cidr ?? "")).filter(cidr => cidr !== undefined),
    advertisements: (configuration.prefixAdvertisements ?? []).flatMap(({ cidr: text, communities = [] }) => {
      const cidr = parseCidr(text ?? "");
      const values = communities.map(value => named.get(value) ?? value);
      return cidr === undefined ? [] : [{ cidr, communities: values }];
    }),
    blockOf: blockLookup(blocks),
    normalPriority,
    tunnels: tunnels.map(globPattern),
  };
}

/** The policies look at `sources` at each call, so that a change of the datastore needs a refresh, not new functions. */
export function exportPolicy(sources: PolicySources, filterNames: readonly string[]): RoutePolicy {
  return (route, neighbor) => {
    const view = sources.view();
    const prefix = route.prefix as Cidr;
    const origin = route.source === "local" ? sources.origin(prefix) : undefined;
    const ours =
      origin && route.localPref !== origin.localPref ? { ...route, localPref: origin.localPref } : route;
    const verdict = verdictOf(view, filterNames, ours, "export", neighbor, () =>
      origin ? origin.interfaceName : sources.interfaceTowards(route.nextHops[0] as NextHop),
    );
    if (verdict?.action === "reject") return null;
    // A filter that accepts has the last word, as in Calico: no communities are added after it.
    if (verdict) return withEdits(ours, verdict.edits);
    if (!(origin ? isExported(view, origin, neighbor) : isPassedOn(view, route, neighbor))) return null;
    const advertised = view.advertisements.filter(({ cidr }) => contains(cidr, prefix));
    return withCommunities(
      ours,
      advertised.flatMap(({ communities }) => communities),
    );
  };
}

/** Without filters everything comes in as it is. */
export function importPolicy(sources: PolicySources, filterNames: readonly string[]): RoutePolicy {
  if (filterNames.length === 0) return acceptAll;
  return (route, neighbor) => {
    const verdict = verdictOf(sources.view(), filterNames, route, "import", neighbor, () => undefined);
    if (verdict === undefined) return route;
    return verdict.action === "reject" ? null : withEdits(route, verdict.edits);
  };
}

/** Of our own, what is for the kernel of this host alone stays here. */
function isExported(
  view: PolicyView,
  { kind, byDefault, interfaceName }: Origin,
  { type }: PolicyNeighbor,
): boolean {
  if (!byDefault || (kind === "cluster" && type === "internal")) return false;
  if (interfaceName === undefined) return true;
  if (type === "internal" && view.tunnels.some(tunnel => tunnel.test(interfaceName))) return false;
  return !BPF_INTERFACE.test(interfaceName);
}

function isPassedOn(view: PolicyView, route: Route, { type }: PolicyNeighbor): boolean {
  const prefix = route.prefix as Cidr;
  const pool = poolOf(view.pools, prefix);
  if (pool && !pool.exported) return false;
  // What somebody else says of an address in our own block is covered by the block, as far as the fabric is concerned.
  if (type === "external" && view.blockOf(prefix) !== undefined && !isElevated(view, route, prefix))
    return false;
  if (pool && !pool.disabled) return true;
  return view.reflected.some(service => contains(service, prefix));
}

function isElevated(view: PolicyView, { localPref }: Route, prefix: Cidr): boolean {
  const priority = priorityOf(localPref);
  return priority > 0 && priority < view.normalPriority(cidrVersion(prefix));
}

function verdictOf(
  view: PolicyView,
  names: readonly string[],
  route: Route,
  way: "import" | "export",
  neighbor: PolicyNeighbor,
  interfaceName: () => string | undefined,
) {
  if (names.length === 0) return undefined;
  const field = `${way}${route.family === "ipv4-unicast" ? "V4" : "V6"}` as const;
  // A filter that does not exist (yet) is reported with the peering and decides nothing.
  const rules = names.map(name => view.filters.get(name)?.[field] ?? []);
  return evaluateFilters(rules, filterView(route, interfaceName), { external: neighbor.type === "external" });
}

function filterView(route: Route, interfaceName: () => string | undefined): FilterRoute {
  return {
    prefix: route.prefix as Cidr,
    localPref: route.localPref,
    communities: route.communities ?? [],
    largeCommunities: route.largeCommunities ?? [],
    asPath: route.asPath.flatMap(segment => segment.asns),
    learned: route.source !== "local",
    get interfaceName() {
      return interfaceName();
    },
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
