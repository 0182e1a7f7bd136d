/**
 * BGPFilter: a user's own import and export rules (calico.md 2.14, 4.7), as policies of node-bgp. The first matching rule of a filter
 * decides; filters run in the order a BGPPeer lists them; no match in any of them leaves the decision to the default
 * policy. Pure.
 */

import { type Edits, isCommunity, type Match, type PolicyRule, type PolicyRules } from "node-bgp";
import type { BGPFilter } from "../crd-schemas/index.ts";
import { parseCidr, prefixLength } from "../net/cidr.ts";
import { localPrefOf, NORMAL_PRIORITY } from "./priority.ts";

/** A filter's four lists of rules. */
export type FilterPolicies = Readonly<Record<"exportV4" | "importV4" | "exportV6" | "importV6", PolicyRules>>;

type FilterSpec = NonNullable<BGPFilter["spec"]>;
type FilterRule = NonNullable<FilterSpec["exportV4"]>[number] & NonNullable<FilterSpec["importV4"]>[number];

const NEVER: Match = { any: [] };

/** Rules ask for interfaces by `custom: { interface: GLOB }`, which whoever compiles the policies has to answer. */
export function filterPolicies(filter: BGPFilter): FilterPolicies {
  const { exportV4 = [], importV4 = [], exportV6 = [], importV6 = [] } = filter.spec ?? {};
  const policy = (rules: readonly unknown[]): PolicyRules => ({
    name: filter.metadata.name,
    rules: rules.map(rule => policyRule(rule as FilterRule)),
  });
  return {
    exportV4: policy(exportV4),
    importV4: policy(importV4),
    exportV6: policy(exportV6),
    importV6: policy(importV6),
  };
}

function policyRule(rule: FilterRule): PolicyRule {
  const match: Match = { all: criteria(rule) };
  return rule.action === "Reject"
    ? { match, action: "reject" }
    : { match, action: "accept", set: edits(rule) };
}

function criteria(rule: FilterRule): Match[] {
  const all: Match[] = [];
  if (rule.cidr !== undefined) all.push(cidrMatch(rule));
  if (rule.source === "RemotePeers") all.push({ not: { source: "local" } });
  if (rule.interface !== undefined) all.push({ custom: { interface: rule.interface } });
  if (rule.peerType !== undefined)
    all.push({ neighborType: rule.peerType === "eBGP" ? "external" : "internal" });
  const communities = rule.communities?.values ?? [];
  if (communities.length > 0) all.push({ communities: communities.filter(isCommunity) });
  const startsWith = (rule.asPathPrefix ?? []).map(Number);
  if (startsWith.length > 0) all.push(startsWith.every(isAsn) ? { asPath: { startsWith } } : NEVER);
  const { priority } = rule;
  if (priority !== undefined) {
    const localPref = localPrefOf(priority);
    // A route without LOCAL_PREF is as good as any.
    all.push({ localPref: priority === NORMAL_PRIORITY ? [localPref, "absent"] : localPref });
  }
  return all;
}

function cidrMatch({ cidr: text = "", matchOperator, prefixLength: range = {} }: FilterRule): Match {
  const cidr = parseCidr(text);
  if (cidr === undefined) return NEVER;
  const longest = cidr.includes(":") ? 128 : 32;
  const min = Math.max(range.min ?? 0, prefixLength(cidr));
  const max = Math.min(range.max ?? longest, longest);
  const inside: Match = min > max ? NEVER : { prefixes: `${cidr} ge ${min} le ${max}` };
  switch (matchOperator) {
    case "Equal":
      return { prefixes: cidr };
    case "NotEqual":
      return { not: { prefixes: cidr } };
    case "In":
      return inside;
    case "NotIn":
      return { not: inside };
    default:
      return NEVER;
  }
}

function edits(rule: FilterRule): Edits {
  const add: string[] = [];
  const prepend: number[] = [];
  let localPref: number | undefined;
  for (const operation of rule.operations ?? []) {
    if (operation.addCommunity) add.push(operation.addCommunity.value);
    if (operation.prependASPath) prepend.unshift(...operation.prependASPath.prefix.map(Number));
    if (operation.setPriority) localPref = localPrefOf(operation.setPriority.value);
  }
  return {
    communities: { add: add.filter(isCommunity) },
    prepend: prepend.filter(asn => isAsn(asn) && asn > 0),
    ...(localPref !== undefined && { localPref }),
  };
}

function isAsn(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
