/**
 * BGPFilter: a user's own import and export rules (calico.md 2.14, 4.7). The first matching rule of a filter
 * decides; filters run in the order a BGPPeer lists them; no match in any of them leaves the decision to the
 * default policy. Pure.
 */

import type { BGPFilter } from "../crd-schemas/index.ts";
import { type Cidr, contains, parseCidr, prefixLength } from "../net/cidr.ts";
import { localPrefOf, metricOf, NORMAL_PRIORITY } from "./priority.ts";

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
export type FilterRule = NonNullable<FilterSpec["exportV4"]>[number] &
  NonNullable<FilterSpec["importV4"]>[number];

/** Undefined: no rule matched. */
export function evaluateFilters(
  filters: readonly (readonly FilterRule[])[],
  route: FilterRoute,
  peer: FilterPeer,
): FilterVerdict | undefined {
  for (const rules of filters) {
    for (const rule of rules) {
      if (!ruleMatches(rule, route, peer)) continue;
      return rule.action === "Reject" ? { action: "reject" } : { action: "accept", edits: editsOf(rule) };
    }
  }
  return undefined;
}

function ruleMatches(rule: FilterRule, route: FilterRoute, peer: FilterPeer): boolean {
  if (rule.cidr !== undefined && !cidrMatches(rule, route.prefix)) return false;
  if (rule.source === "RemotePeers" && !route.learned) return false;
  if (rule.interface !== undefined && !globMatches(rule.interface, route.interfaceName ?? "")) return false;
  if (rule.peerType !== undefined && (rule.peerType === "eBGP") !== peer.external) return false;
  const wanted = rule.communities?.values ?? [];
  if (
    wanted.length > 0 &&
    !wanted.some(c => route.communities.includes(c) || route.largeCommunities.includes(c))
  )
    return false;
  if (rule.asPathPrefix && !rule.asPathPrefix.every((asn, i) => route.asPath[i] === Number(asn)))
    return false;
  return rule.priority === undefined || rule.priority === metricOf(route.localPref, NORMAL_PRIORITY);
}

function cidrMatches(rule: FilterRule, prefix: Cidr): boolean {
  const cidr = parseCidr(rule.cidr ?? "");
  if (cidr === undefined) return false;
  const { min = 0, max = 128 } = rule.prefixLength ?? {};
  const length = prefixLength(prefix);
  const ranged = rule.prefixLength === undefined || (length >= min && length <= max);
  switch (rule.matchOperator) {
    case "Equal":
      return prefix === cidr;
    case "NotEqual":
      return prefix !== cidr;
    case "In":
      return contains(cidr, prefix) && ranged;
    case "NotIn":
      return !(contains(cidr, prefix) && ranged);
    default:
      return false;
  }
}

function globMatches(glob: string, name: string): boolean {
  const escaped = glob.split("*").map(part => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`).test(name);
}

function editsOf(rule: FilterRule): FilterEdits {
  const addCommunities: string[] = [];
  const prependAsPath: number[] = [];
  let localPref: number | undefined;
  for (const operation of rule.operations ?? []) {
    if (operation.addCommunity) addCommunities.push(operation.addCommunity.value);
    if (operation.prependASPath) prependAsPath.push(...operation.prependASPath.prefix.map(Number));
    if (operation.setPriority) localPref = localPrefOf(operation.setPriority.value);
  }
  return { addCommunities, prependAsPath, localPref };
}
