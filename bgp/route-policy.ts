/**
 * The import and export policies of a peering, as functions for node-bgp (calico.md 4.3, 4.4).
 *
 * Export is default deny: what leaves are our origins and, on route reflectors and towards the fabric, what lies in an
 * enabled pool that is not kept from export. Whoever has a default route from the rack switch does not thereby offer
 * transit.
 */

import {
  acceptAll,
  type CompiledPolicy,
  type Condition,
  compilePolicy,
  formatPrefix,
  isCommunity,
  type PolicyNeighbor,
  type PolicyRule,
  type Route,
  type RoutePolicy,
} from "node-bgp";
import type { BGPConfiguration, BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, cidrVersion, contains, parseCidr } from "../net/cidr.ts";
import { type FilterPolicies, filterPolicies } from "./filter.ts";
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
  readonly filters: ReadonlyMap<string, FilterPolicies>;
  /** What each filter says of what is let in, as text to compare. */
  readonly importRules: ReadonlyMap<string, string>;
  /** Some filter lets out routes, and so perhaps what does not leave by default. */
  readonly acceptsMore: boolean;
  /** Some filter goes by the interface that a route leads over. */
  readonly asksInterface: boolean;
  /** Prefixes of services that we reflect. */
  readonly reflected: readonly Cidr[];
  /** Adds the communities of prefixAdvertisements. */
  readonly advertised: RoutePolicy;
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
  advertised: acceptAll,
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
  const services = reflector ? [...serviceLoadBalancerIPs, ...serviceExternalIPs] : [];
  const exportRules = [...filters.values()].flatMap(({ spec }) => [
    ...(spec?.exportV4 ?? []),
    ...(spec?.exportV6 ?? []),
  ]);
  const tunnels = programmed.has("ipip") ? FELIX_TUNNELS : [...FELIX_TUNNELS, "tunl0"];
  return {
    pools,
    filters: new Map([...filters].map(([name, filter]) => [name, filterPolicies(filter)])),
    importRules: new Map(
      [...filters].map(([name, { spec }]) => [name, JSON.stringify([spec?.importV4, spec?.importV6])]),
    ),
    acceptsMore: exportRules.some(({ action }) => action === "Accept"),
    asksInterface: exportRules.some(rule => rule.interface !== undefined),
    reflected: services.map(({ cidr }) => parseCidr(cidr ?? "")).filter(cidr => cidr !== undefined),
    advertised: advertisedCommunities(configuration),
    blockOf: blockLookup(blocks),
    normalPriority,
    tunnels: tunnels.map(globPattern),
  };
}

function advertisedCommunities({
  communities: names = [],
  prefixAdvertisements = [],
}: PolicyInput["configuration"]): RoutePolicy {
  const named = new Map(names.map(({ name, value }) => [name, value]));
  const rules = prefixAdvertisements.flatMap(({ cidr: text, communities = [] }): PolicyRule[] => {
    const cidr = parseCidr(text ?? "");
    if (cidr === undefined) return [];
    const add = communities.map(value => named.get(value) ?? value).filter(isCommunity);
    const prefixes = `${cidr} le ${cidr.includes(":") ? 128 : 32}`;
    return [{ match: { prefixes }, action: "next", set: { communities: { add } } }];
  });
  return compilePolicy({ rules, otherwise: "accept" });
}

/** The policies look at `sources` at each call, so that a change of the datastore needs a refresh, not new functions. */
export function exportPolicy(sources: PolicySources, filterNames: readonly string[]): RoutePolicy {
  const compiled = compiledFilters(sources, filterNames, "export", view => (route, neighbor) => {
    const prefix = route.prefix as Cidr;
    const origin = originOf(sources, route.source, prefix);
    if (!(origin ? isExported(view, origin, neighbor) : isPassedOn(view, route, neighbor))) return null;
    // A filter that accepts has the last word, as in Calico: no communities are added after it.
    return view.advertised(route, neighbor);
  });
  return (route, neighbor) => {
    const origin = originOf(sources, route.source, route.prefix as Cidr);
    const ours =
      origin && route.localPref !== origin.localPref ? { ...route, localPref: origin.localPref } : route;
    return compiled(route.family)(ours, neighbor);
  };
}

/** `otherwise`: about what no filter decides. By default everything comes in as it is. */
export function importPolicy(
  sources: PolicySources,
  filterNames: readonly string[],
  otherwise: RoutePolicy = acceptAll,
): RoutePolicy {
  if (filterNames.length === 0) return otherwise;
  const compiled = compiledFilters(sources, filterNames, "import", () => otherwise);
  const policy = (route: Route, neighbor: PolicyNeighbor) => compiled(route.family)(route, neighbor);
  const prepare: RoutePolicy["prepare"] = (paths, neighbor) =>
    compiled(paths.family).prepare!(paths, neighbor);
  return Object.assign(policy, { prepare });
}

/** The filters of a peering, compiled anew when the view is another; `undecided` is asked about what is in none of them. */
function compiledFilters(
  sources: PolicySources,
  names: readonly string[],
  way: "import" | "export",
  undecided: (view: PolicyView) => RoutePolicy,
): (family: Route["family"]) => CompiledPolicy {
  const conditions = {
    interface: (glob: unknown) =>
      way === "import" ? isNowhere(String(glob)) : leadsOver(sources, String(glob)),
  };
  let of: PolicyView | undefined;
  let policies = new Map<Route["family"], CompiledPolicy>();
  return family => {
    const view = sources.view();
    if (view !== of) policies = new Map();
    of = view;
    let policy = policies.get(family);
    if (policy === undefined) {
      const field = `${way}${family === "ipv4-unicast" ? "V4" : "V6"}` as const;
      // A filter that does not exist (yet) is reported with the peering and decides nothing.
      const chain = names.flatMap(name => view.filters.get(name)?.[field] ?? []);
      policy = compilePolicy({ chain }, { conditions, undecided: undecided(view) });
      policies.set(family, policy);
    }
    return policy;
  };
}

/** Ours by the interface of their origin, others by where packets to their next hop leave. */
function leadsOver(sources: PolicySources, glob: string): Condition {
  const pattern = globPattern(glob);
  const fits = (name: string | undefined) => pattern.test(name ?? "");
  return ({ attributes, family, source }) => {
    const towards = () => sources.interfaceTowards(attributes.nextHop as NextHop);
    if (source !== "local") return fits(towards());
    return (bytes, offset, length) => {
      const address = bytes.subarray(offset, offset + (family === "ipv4-unicast" ? 4 : 16));
      const origin = sources.origin(formatPrefix({ family, address, length }) as Cidr);
      return fits(origin ? origin.interfaceName : towards());
    };
  };
}

/** What comes in has no interface. */
function isNowhere(glob: string): Condition {
  const answer = globPattern(glob).test("");
  return () => answer;
}

function originOf(sources: PolicySources, source: Route["source"], prefix: Cidr): Origin | undefined {
  return source === "local" ? sources.origin(prefix) : undefined;
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
