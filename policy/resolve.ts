/**
 * v3 policies and profiles -> the model: every selector is made to say by itself which namespaces and service
 * accounts it means, every default and spelling is resolved.
 *
 * Labels of a pod's namespace and service account reach the endpoint through its profiles, under the prefixes
 * `pcns.` and `pcsa.`; so a selector on namespaces is one on endpoints with its labels prefixed. `all()` among
 * namespaces means "in any namespace", which not everything is: host endpoints and global network sets are not.
 *
 * The input must have passed validation; what then still does not parse throws (SelectorError, AddressError).
 */

import {
  type EntityRule,
  type GlobalNetworkPolicy,
  type ICMPFields,
  type NetworkPolicy,
  type Port,
  type Profile as ProfileResource,
  type Protocol,
  parsePort,
  type Rule as RuleResource,
  type StagedGlobalNetworkPolicy,
  type StagedNetworkPolicy,
  type Tier as TierResource,
} from "../crd-schemas/index.ts";
import { type Cidr, cidr, cidrVersion } from "../net/cidr.ts";
import type { IpVersion } from "../net/ip.ts";
import {
  type Action,
  ANY_ENTITY,
  canonicalProtocol,
  type Direction,
  type EntityMatch,
  type IcmpMatch,
  type NamedPortRef,
  namedPortRef,
  type Policy,
  type Profile,
  type Rule,
  selectorRef,
  serviceRef,
  type Tier,
} from "./model.ts";
import { mergeRanges, type PortRange } from "./port-ranges.ts";
import { all, and, equals, has, mapLeaves, membership, not, type SelectorNode } from "./selector/ast.ts";
import { parseSelector, Selector } from "./selector/index.ts";

export const NAMESPACE_LABEL = "projectcalico.org/namespace";
export const SERVICE_ACCOUNT_LABEL = "projectcalico.org/serviceaccount";
export const NAMESPACE_PREFIX = "pcns.";
export const SERVICE_ACCOUNT_PREFIX = "pcsa.";

const DEFAULT_TIER = "default";

type NamespacedPolicy = NetworkPolicy | StagedNetworkPolicy;
type GlobalPolicy = GlobalNetworkPolicy | StagedGlobalNetworkPolicy;

function isNamespaced(policy: NamespacedPolicy | GlobalPolicy): policy is NamespacedPolicy {
  return policy.kind === "NetworkPolicy" || policy.kind === "StagedNetworkPolicy";
}

export function resolvePolicy(policy: NamespacedPolicy | GlobalPolicy): Policy {
  const { spec, metadata } = policy;
  const namespace = isNamespaced(policy) ? metadata.namespace : undefined;
  const types = policyTypes(spec);
  const rulesFor = (direction: Direction): Rule[] =>
    types.includes(direction)
      ? (spec[direction] ?? []).map(rule => resolveRule(rule, direction, namespace))
      : [];
  const global = isNamespaced(policy) ? undefined : policy.spec;
  const staged = policy.kind.startsWith("Staged") ? (policy as StagedNetworkPolicy).spec : undefined;
  return {
    id: { kind: policy.kind, name: metadata.name, ...(namespace !== undefined && { namespace }) },
    tier: spec.tier || DEFAULT_TIER,
    order: spec.order,
    selector: subjectSelector(policy),
    types,
    ingress: rulesFor("ingress"),
    egress: rulesFor("egress"),
    doNotTrack: global?.doNotTrack ?? false,
    preDNAT: global?.preDNAT ?? false,
    applyOnForward: global?.applyOnForward ?? false,
    assumeNeededOnEveryNode: spec.performanceHints?.includes("AssumeNeededOnEveryNode") ?? false,
    ...(staged && { stagedAction: staged.stagedAction ?? "Set" }),
  };
}

export function resolveProfile(profile: ProfileResource): Profile {
  const { ingress, egress, labelsToApply } = profile.spec;
  return {
    name: profile.metadata.name,
    labelsToApply: labelsToApply ?? {},
    ingress: (ingress ?? []).map(rule => resolveRule(rule, "ingress", undefined)),
    egress: (egress ?? []).map(rule => resolveRule(rule, "egress", undefined)),
  };
}

export function resolveTier(tier: TierResource): Tier {
  return {
    name: tier.metadata.name,
    order: tier.spec.order,
    defaultAction: tier.spec.defaultAction === "Pass" ? "pass" : "deny",
  };
}

/** Explicit, or what the rules that are there suggest. */
function policyTypes(spec: NetworkPolicy["spec"]): readonly Direction[] {
  if (spec.types && spec.types.length > 0) {
    return (["ingress", "egress"] as const).filter(d => spec.types!.some(type => type.toLowerCase() === d));
  }
  if (!spec.egress?.length) return ["ingress"];
  return spec.ingress?.length ? ["ingress", "egress"] : ["egress"];
}

function subjectSelector(policy: NamespacedPolicy | GlobalPolicy): Selector {
  const { selector, serviceAccountSelector } = policy.spec;
  const parts: SelectorNode[] = [];
  if (selector?.trim()) parts.push(parseSelector(selector).ast);
  if (isNamespaced(policy)) parts.push(equals(NAMESPACE_LABEL, policy.metadata.namespace ?? ""));
  else if (policy.spec.namespaceSelector) parts.push(amongNamespaces(policy.spec.namespaceSelector));
  if (serviceAccountSelector) parts.push(amongServiceAccounts(serviceAccountSelector));
  return new Selector(parts.length === 0 ? all : parts.reduce((left, right) => and(left, right)));
}

function resolveRule(rule: RuleResource, direction: Direction, namespace: string | undefined): Rule {
  const protocol = canonicalProtocol(rule.protocol);
  const notProtocol = canonicalProtocol(rule.notProtocol);
  const icmp = icmpMatch(rule.icmp);
  const notIcmp = icmpMatch(rule.notICMP);
  const source = resolveEntity(rule.source, protocol, namespace, false);
  const destination = resolveEntity(rule.destination, protocol, namespace, direction === "egress");
  const ipVersion = rule.ipVersion ?? impliedVersion(protocol, source, destination);
  if (asksForHttp(rule)) return { ...NEVER, annotations: rule.metadata?.annotations ?? {} };
  return {
    action: rule.action.toLowerCase() as Action,
    ...(ipVersion !== undefined && { ipVersion }),
    ...(protocol !== undefined && { protocol }),
    ...(notProtocol !== undefined && { notProtocol }),
    ...(icmp && { icmp }),
    ...(notIcmp && { notIcmp }),
    source,
    destination,
    annotations: rule.metadata?.annotations ?? {},
  };
}

/**
 * What is asked of a request only a proxy could see, and there is none. Rules that ask it only ever allow, so they match
 * nothing; Calico without its proxy lets the whole connection through.
 */
export function asksForHttp({ http }: RuleResource): boolean {
  return (http?.methods?.length ?? 0) > 0 || (http?.paths?.length ?? 0) > 0;
}

/** No packet has a protocol and has it not. */
const NEVER = {
  action: "allow",
  protocol: "TCP",
  notProtocol: "TCP",
  source: ANY_ENTITY,
  destination: ANY_ENTITY,
} as const;

/** `servicePorts`: traffic to a service is traffic to its ports; traffic from one comes from any. */
function resolveEntity(
  entity: EntityRule | undefined,
  protocol: Protocol | undefined,
  namespace: string | undefined,
  servicePorts: boolean,
): EntityMatch {
  if (entity === undefined) return ANY_ENTITY;
  const selector = entitySelector(entity, namespace);
  const notSelector = entity.notSelector?.trim() ? parseSelector(entity.notSelector) : undefined;
  const portOwners = selector ?? new Selector(all);
  const service = entity.services?.name
    ? serviceRef(entity.services.namespace || (namespace ?? ""), entity.services.name, servicePorts)
    : undefined;
  const [ports, namedPorts] = resolvePorts(entity.ports, portOwners, protocol);
  const [notPorts, notNamedPorts] = resolvePorts(entity.notPorts, portOwners, protocol);
  return {
    nets: (entity.nets ?? []).map(cidr),
    notNets: (entity.notNets ?? []).map(cidr),
    ...(selector && { selector: selectorRef(selector) }),
    ...(notSelector && { notSelector: selectorRef(notSelector) }),
    ports,
    namedPorts,
    notPorts,
    notNamedPorts,
    ...(service && { service }),
  };
}

/**
 * `(namespaces) && ((accounts) && (selector))`, of which any part may be missing. A rule of a namespaced policy
 * that selects endpoints at all selects those of its own namespace, unless it says which namespaces it means;
 * one that does not may be talking about any address there is.
 */
function entitySelector(entity: EntityRule, namespace: string | undefined): Selector | undefined {
  const { serviceAccounts } = entity;
  const accounts: SelectorNode[] = [];
  // In Calico's order: the set is to have the same id.
  if (serviceAccounts?.selector) accounts.push(prefixed(serviceAccounts.selector, SERVICE_ACCOUNT_PREFIX));
  if (serviceAccounts?.names?.length)
    accounts.push(membership(SERVICE_ACCOUNT_LABEL, "in", serviceAccounts.names));

  const parts: SelectorNode[] = [];
  if (accounts.length > 0) parts.push(and(...accounts));
  if (entity.selector?.trim()) parts.push(parseSelector(entity.selector).ast);

  const endpoints = parts.length > 0 ? and(...parts) : undefined;
  const namespaces = entity.namespaceSelector
    ? amongNamespaces(entity.namespaceSelector)
    : namespace !== undefined && (endpoints || entity.notSelector)
      ? equals(NAMESPACE_LABEL, namespace)
      : undefined;

  if (namespaces && endpoints) return new Selector(and(namespaces, endpoints));
  const only = namespaces ?? endpoints;
  return only && new Selector(only);
}

function amongNamespaces(text: string): SelectorNode {
  return prefixed(text, NAMESPACE_PREFIX, NAMESPACE_LABEL);
}

function amongServiceAccounts(text: string): SelectorNode {
  return prefixed(text, SERVICE_ACCOUNT_PREFIX, SERVICE_ACCOUNT_LABEL);
}

/** The selector with its labels prefixed; where `presence` is given, `all()` asks for that label instead. */
function prefixed(text: string, prefix: string, presence?: string): SelectorNode {
  return mapLeaves(parseSelector(text).ast, leaf => {
    if ("label" in leaf) return { ...leaf, label: prefix + leaf.label };
    if (presence === undefined) return leaf;
    return leaf.op === "global" ? not(has(presence)) : has(presence);
  });
}

function resolvePorts(
  ports: readonly Port[] | undefined,
  owners: Selector,
  protocol: Protocol | undefined,
): [PortRange[], NamedPortRef[]] {
  const ranges: PortRange[] = [];
  const named: NamedPortRef[] = [];
  for (const port of ports ?? []) {
    const match = parsePort(port);
    if (match?.type === "range") ranges.push({ low: match.low, high: match.high });
    else if (match) named.push(namedPortRef(owners, protocol, match.name));
  }
  return [mergeRanges(ranges), named];
}

function icmpMatch(icmp: ICMPFields | undefined): IcmpMatch | undefined {
  if (icmp?.type === undefined) return undefined;
  return { type: icmp.type, ...(icmp.code !== undefined && { code: icmp.code }) };
}

/** ICMP exists once for each version, and an address in a positive list has one. */
function impliedVersion(
  protocol: Protocol | undefined,
  source: EntityMatch,
  destination: EntityMatch,
): IpVersion | undefined {
  if (protocol === "ICMP") return 4;
  if (protocol === "ICMPv6") return 6;
  return commonVersion(source.nets) ?? commonVersion(destination.nets);
}

function commonVersion(nets: readonly Cidr[]): IpVersion | undefined {
  const [first, ...rest] = nets;
  if (first === undefined) return undefined;
  const version = cidrVersion(first);
  return rest.every(net => cidrVersion(net) === version) ? version : undefined;
}
