/**
 * BGPFilter: a user's own import and export rules (calico.md 2.14, 4.7). The first matching rule of a filter
 * decides; filters run in the order a BGPPeer lists them; no match in any of them leaves the decision to the
 * default policy. Pure.
 *
 * Rules are compiled once per change and run per route and neighbor group: nothing is parsed there.
 */

import type { BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, contains, parseCidr, prefixLength } from "../net/cidr.ts";
import { globPattern } from "./glob.ts";
import { localPrefOf, priorityOf } from "./priority.ts";

export interface FilterRoute {
  readonly prefix: Cidr;
  readonly localPref: number | undefined;
  readonly communities: readonly string[];
  readonly largeCommunities: readonly string[];
  /** AS numbers from the nearest on. */
  readonly asPath: readonly number[];
  readonly learned: boolean;
  readonly interfaceName: string | undefined;
}

export interface FilterPeer {
  readonly external: boolean;
}

export interface FilterEdits {
  readonly addCommunities: readonly string[];
  readonly prependAsPath: readonly number[];
  readonly localPref: number | undefined;
}

export type FilterVerdict =
  | { readonly action: "accept"; readonly edits: FilterEdits }
  | { readonly action: "reject" };

type FilterSpec = NonNullable<BGPFilter["spec"]>;
type FilterRule = NonNullable<FilterSpec["exportV4"]>[number] & NonNullable<FilterSpec["importV4"]>[number];

type Criterion = (route: FilterRoute, peer: FilterPeer) => boolean;

export interface CompiledRule {
  readonly criteria: readonly Criterion[];
  readonly verdict: FilterVerdict;
}

/** A filter's four lists of rules. */
export type CompiledFilter = Readonly<
  Record<"exportV4" | "importV4" | "exportV6" | "importV6", readonly CompiledRule[]>
>;

export function compileFilter(filter: BGPFilter): CompiledFilter {
  const { exportV4 = [], importV4 = [], exportV6 = [], importV6 = [] } = filter.spec ?? {};
  const compiled = (rules: readonly unknown[]) => rules.map(rule => compileRule(rule as FilterRule));
  return {
    exportV4: compiled(exportV4),
    importV4: compiled(importV4),
    exportV6: compiled(exportV6),
    importV6: compiled(importV6),
  };
}

/** Undefined: no rule matched. */
export function evaluateFilters(
  filters: readonly (readonly CompiledRule[])[],
  route: FilterRoute,
  peer: FilterPeer,
): FilterVerdict | undefined {
  for (const rules of filters) {
    for (const { criteria, verdict } of rules) {
      if (criteria.every(criterion => criterion(route, peer))) return verdict;
    }
  }
  return undefined;
}

function compileRule(rule: FilterRule): CompiledRule {
  const criteria: Criterion[] = [];
  if (rule.cidr !== undefined) criteria.push(cidrCriterion(rule));
  if (rule.source === "RemotePeers") criteria.push(route => route.learned);
  if (rule.interface !== undefined) {
    const glob = globPattern(rule.interface);
    criteria.push(route => glob.test(route.interfaceName ?? ""));
  }
  if (rule.peerType !== undefined) {
    const external = rule.peerType === "eBGP";
    criteria.push((_route, peer) => peer.external === external);
  }
  const communities = rule.communities?.values ?? [];
  if (communities.length > 0) {
    const carries = (route: FilterRoute, community: string) =>
      route.communities.includes(community) || route.largeCommunities.includes(community);
    criteria.push(route => communities.some(community => carries(route, community)));
  }
  const path = (rule.asPathPrefix ?? []).map(Number);
  if (path.length > 0) criteria.push(route => path.every((asn, i) => route.asPath[i] === asn));
  const { priority } = rule;
  if (priority !== undefined) criteria.push(route => priorityOf(route.localPref) === priority);
  const verdict: FilterVerdict =
    rule.action === "Reject" ? { action: "reject" } : { action: "accept", edits: editsOf(rule) };
  return { criteria, verdict };
}

function cidrCriterion(rule: FilterRule): Criterion {
  const cidr = parseCidr(rule.cidr ?? "");
  if (cidr === undefined) return () => false;
  const { min = 0, max = 128 } = rule.prefixLength ?? {};
  const isInside = (prefix: Cidr) => {
    const length = prefixLength(prefix);
    return length >= min && length <= max && contains(cidr, prefix);
  };
  switch (rule.matchOperator) {
    case "Equal":
      return ({ prefix }) => prefix === cidr;
    case "NotEqual":
      return ({ prefix }) => prefix !== cidr;
    case "In":
      return ({ prefix }) => isInside(prefix);
    case "NotIn":
      return ({ prefix }) => !isInside(prefix);
    default:
      return () => false;
  }
}

function editsOf(rule: FilterRule): FilterEdits {
  const addCommunities: string[] = [];
  const prependAsPath: number[] = [];
  let localPref: number | undefined;
  for (const operation of rule.operations ?? []) {
    if (operation.addCommunity) addCommunities.push(operation.addCommunity.value);
    if (operation.prependASPath) prependAsPath.unshift(...operation.prependASPath.prefix.map(Number));
    if (operation.setPriority) localPref = localPrefOf(operation.setPriority.value);
  }
  return { addCommunities, prependAsPath, localPref };
}
