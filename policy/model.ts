/**
 * The policy model that is computed with: what is left of a policy when namespaces, service accounts, defaults
 * and spellings have been resolved (resolve.ts), and before any packet filter's syntax.
 *
 * A rule never lists endpoints. It refers to sets of addresses by id ({@link SetRef}); who is in a set is
 * somebody else's knowledge and changes without touching the rule. Ids are those Calico gives the same sets.
 */

import {
  PROTOCOL_NUMBERS,
  type Protocol,
  type ProtocolName,
  parseProtocol,
  protocolNumber,
} from "../crd-schemas/index.ts";
import { type Cidr, cidrVersion } from "../net/cidr.ts";
import type { IpVersion } from "../net/ip.ts";
import type { PortRange } from "./port-ranges.ts";
import { hashedId, type Selector } from "./selector/index.ts";

export type { PortRange } from "./port-ranges.ts";

export type Direction = "ingress" | "egress";

/** `pass` goes on with the next tier; `log` writes a line and goes on with the next rule. */
export type Action = "allow" | "deny" | "pass" | "log";

export interface IcmpMatch {
  readonly type: number;
  readonly code?: number;
}

/** All addresses of the endpoints and network sets that the selector matches. */
export interface SelectorRef {
  readonly kind: "selector";
  readonly id: string;
  readonly selector: Selector;
}

/** Address, protocol and port of each endpoint matched by the selector that has a port of this name. */
export interface NamedPortRef {
  readonly kind: "named-port";
  readonly id: string;
  readonly selector: Selector;
  /** Only ports of this protocol; without it of any. */
  readonly protocol?: Protocol;
  readonly name: string;
}

/** The addresses behind a Kubernetes service; with their ports where traffic goes to it. */
export interface ServiceRef {
  readonly kind: "service";
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly withPorts: boolean;
}

export type SetRef = SelectorRef | NamedPortRef | ServiceRef;

/**
 * One end of the traffic. Every criterion given must hold; of a list one element is enough, and an empty list
 * asks nothing. Ports, numeric and named, are one list in two parts.
 */
export interface EntityMatch {
  readonly nets: readonly Cidr[];
  readonly notNets: readonly Cidr[];
  readonly selector?: SelectorRef;
  readonly notSelector?: SelectorRef;
  readonly ports: readonly PortRange[];
  readonly namedPorts: readonly NamedPortRef[];
  readonly notPorts: readonly PortRange[];
  readonly notNamedPorts: readonly NamedPortRef[];
  readonly service?: ServiceRef;
}

export const ANY_ENTITY: EntityMatch = {
  nets: [],
  notNets: [],
  ports: [],
  namedPorts: [],
  notPorts: [],
  notNamedPorts: [],
};

export interface Rule {
  readonly action: Action;
  /** Where only packets of one version can match, whether the author said so or it follows from the rest. */
  readonly ipVersion?: IpVersion;
  /** By name where it has one (TCP, not 6). */
  readonly protocol?: Protocol;
  readonly notProtocol?: Protocol;
  readonly icmp?: IcmpMatch;
  readonly notIcmp?: IcmpMatch;
  readonly source: EntityMatch;
  readonly destination: EntityMatch;
  /** For people: rendered as comments. */
  readonly annotations: Readonly<Record<string, string>>;
}

export type PolicyKind =
  | "NetworkPolicy"
  | "GlobalNetworkPolicy"
  | "StagedNetworkPolicy"
  | "StagedGlobalNetworkPolicy"
  | "StagedKubernetesNetworkPolicy";

/** What enforcing a staged policy would do; only Set and Delete are proposals. */
export type StagedAction = "Set" | "Delete" | "Learn" | "Ignore";

export interface PolicyId {
  readonly kind: PolicyKind;
  readonly namespace?: string;
  readonly name: string;
}

export interface Policy {
  readonly id: PolicyId;
  readonly tier: string;
  /** Undefined comes last. */
  readonly order: number | undefined;
  /** The endpoints it applies to. */
  readonly selector: Selector;
  /** The directions it governs; rules of another direction are without effect and not kept. */
  readonly types: readonly Direction[];
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  readonly doNotTrack: boolean;
  readonly preDNAT: boolean;
  readonly applyOnForward: boolean;
  /** Its sets are wanted on every node, whether an endpoint there needs them or not. */
  readonly assumeNeededOnEveryNode: boolean;
  /** Of staged kinds, which are in force nowhere. */
  readonly stagedAction?: StagedAction;
}

export interface Profile {
  readonly name: string;
  readonly labelsToApply: Readonly<Record<string, string>>;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}

export interface Tier {
  readonly name: string;
  readonly order: number | undefined;
  /** What happens to a packet that no rule of the tier decided, where one of its policies applies. */
  readonly defaultAction: "deny" | "pass";
}

const KIND_PREFIX: Record<PolicyKind, string> = {
  NetworkPolicy: "np",
  GlobalNetworkPolicy: "gnp",
  StagedNetworkPolicy: "snp",
  StagedGlobalNetworkPolicy: "sgnp",
  StagedKubernetesNetworkPolicy: "sknp",
};

/** The id as text: `np/default/allow-web`, `gnp/allow-web`. Also what chain names are made of. */
export function policyKey(id: PolicyId): string {
  const prefix = KIND_PREFIX[id.kind];
  return id.namespace === undefined ? `${prefix}/${id.name}` : `${prefix}/${id.namespace}/${id.name}`;
}

export function selectorRef(selector: Selector): SelectorRef {
  return { kind: "selector", id: selector.id, selector };
}

export function namedPortRef(selector: Selector, protocol: Protocol | undefined, name: string): NamedPortRef {
  const protocolText = protocol === undefined ? "none" : String(protocol).toLowerCase();
  const id = hashedId("n", `${selector.id},${protocolText},${name}`);
  return { kind: "named-port", id, selector, name, ...(protocol !== undefined && { protocol }) };
}

export function serviceRef(namespace: string, name: string, withPorts: boolean): ServiceRef {
  const id = hashedId(withPorts ? "svc" : "svcnoport", `${namespace}/${name}`);
  return { kind: "service", id, namespace, name, withPorts };
}

/** Every set the rule refers to; one that occurs twice is given twice. */
export function* setsOfRule(rule: Rule): Generator<SetRef> {
  for (const { selector, notSelector, namedPorts, notNamedPorts, service } of [
    rule.source,
    rule.destination,
  ]) {
    if (selector) yield selector;
    if (notSelector) yield notSelector;
    if (service) yield service;
    yield* namedPorts;
    yield* notNamedPorts;
  }
}

/** Every set the rules of a policy or profile refer to, each once. */
export function setsOf(rules: {
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
}): SetRef[] {
  const sets = new Map<string, SetRef>();
  for (const list of [rules.ingress, rules.egress]) {
    for (const rule of list) for (const set of setsOfRule(rule)) sets.set(set.id, set);
  }
  return [...sets.values()];
}

/**
 * The rule as packets of one IP version see it, with only the nets of that version; undefined where none can
 * match. A positive list that has nothing left matches nothing, a negated one asks nothing more.
 */
export function ruleForVersion(rule: Rule, version: IpVersion): Rule | undefined {
  if (rule.ipVersion !== undefined && rule.ipVersion !== version) return undefined;
  const source = entityForVersion(rule.source, version);
  const destination = entityForVersion(rule.destination, version);
  return source && destination && { ...rule, source, destination };
}

function entityForVersion(entity: EntityMatch, version: IpVersion): EntityMatch | undefined {
  const ofVersion = (block: Cidr): boolean => cidrVersion(block) === version;
  const nets = entity.nets.filter(ofVersion);
  if (nets.length === 0 && entity.nets.length > 0) return undefined;
  return { ...entity, nets, notNets: entity.notNets.filter(ofVersion) };
}

const NAME_BY_NUMBER: ReadonlyMap<number, ProtocolName> = new Map(
  (Object.keys(PROTOCOL_NUMBERS) as ProtocolName[]).map(name => [PROTOCOL_NUMBERS[name], name]),
);

/** By name where there is one, so that 6 and `tcp` are the same protocol. */
export function canonicalProtocol(protocol: Protocol | undefined): Protocol | undefined {
  const parsed = protocol === undefined ? undefined : parseProtocol(protocol);
  if (parsed === undefined) return undefined;
  const number = protocolNumber(parsed);
  return NAME_BY_NUMBER.get(number) ?? number;
}
