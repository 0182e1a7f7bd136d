/**
 * The cluster's policies of Kubernetes (group policy.networking.k8s.io) as GlobalNetworkPolicies: ClusterNetworkPolicy
 * v1alpha2, and the two it replaced, AdminNetworkPolicy and BaselineAdminNetworkPolicy v1alpha1, which become the same
 * tiers: kube-admin before everything users write, kube-baseline after it.
 *
 * These policies deny and pass as well as allow, so a rule that cannot be converted fails closed: one that would have
 * accepted is left out, any other denies everything in its direction. Either way that is reported.
 *
 * Differences between the two generations are in how they are written, and those are the readers below.
 */

import {
  API_VERSION,
  type EntityRule,
  type GlobalNetworkPolicy,
  type LabelSelector,
  type ObjectMeta,
  type Path,
  type Problem,
  parsePort,
  parseProtocol,
  type Rule,
} from "../../crd-schemas/index.ts";
import { Fields } from "./fields.ts";
import type { RuleOrigins } from "./kubernetes.ts";
import { readEgressPeer, readIngressPeer } from "./kubernetes-cluster-peers.ts";
import { type PolicyPort, portsByProtocol, TRANSPORTS } from "./kubernetes-ports.ts";
import { namespaceSelectorText, podSelectorText, readLabelSelector } from "./kubernetes-selectors.ts";

export type ClusterPolicyConversion =
  | {
      readonly policy: GlobalNetworkPolicy;
      readonly origins: RuleOrigins;
      /** The rules that were replaced or left out, and why. */
      readonly problems: readonly Problem[];
    }
  /** What it applies to, or where it stands, cannot be said. */
  | { readonly policy?: undefined; readonly problems: readonly Problem[] };

export type ClusterPolicyKind = "ClusterNetworkPolicy" | "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy";

interface Dialect {
  readonly namePrefix: string;
  /** What the rules of the older kinds call Allow is Accept now. */
  readonly actions: ReadonlyMap<unknown, Rule["action"]>;
  readonly portsField: "protocols" | "ports";
  readonly readPort: (entry: Fields) => PolicyPort | undefined;
  /** The tier and the place in it. */
  readonly readPlace: (spec: Fields) => { readonly tier: string; readonly order: number };
}

const ADMIN_TIER = "kube-admin";
const BASELINE_TIER = "kube-baseline";
/** The only BaselineAdminNetworkPolicy there may be gives none: it comes after the ClusterNetworkPolicies that do. */
const BASELINE_ORDER = 1000;

const DIALECTS: Readonly<Record<ClusterPolicyKind, Dialect>> = {
  ClusterNetworkPolicy: {
    namePrefix: "kcnp.",
    actions: new Map([
      ["Accept", "Allow"],
      ["Deny", "Deny"],
      ["Pass", "Pass"],
    ]),
    portsField: "protocols",
    readPort: readProtocolEntry,
    readPlace: spec => ({ tier: readTier(spec), order: readPriority(spec) }),
  },
  AdminNetworkPolicy: {
    namePrefix: "kanp.",
    actions: new Map([
      ["Allow", "Allow"],
      ["Deny", "Deny"],
      ["Pass", "Pass"],
    ]),
    portsField: "ports",
    readPort: readPortEntry,
    readPlace: spec => ({ tier: ADMIN_TIER, order: readPriority(spec) }),
  },
  BaselineAdminNetworkPolicy: {
    namePrefix: "kbanp.",
    actions: new Map([
      ["Allow", "Allow"],
      ["Deny", "Deny"],
    ]),
    portsField: "ports",
    readPort: readPortEntry,
    readPlace: () => ({ tier: BASELINE_TIER, order: BASELINE_ORDER }),
  },
};

export function isClusterPolicyKind(kind: unknown): kind is ClusterPolicyKind {
  return typeof kind === "string" && Object.hasOwn(DIALECTS, kind);
}

export function convertClusterPolicy(kind: ClusterPolicyKind, document: object): ClusterPolicyConversion {
  const dialect = DIALECTS[kind];
  const fatal: Problem[] = [];
  const reported: Problem[] = [];
  const whole = new Fields(document, [], fatal);
  const metadata = readMetadata(whole.object("metadata"));
  const fields = whole.object("spec");
  const place = dialect.readPlace(fields);
  const subject = readSubject(fields.object("subject"));
  const ingress = readRules(fields.value("ingress"), "ingress", dialect, fatal, reported);
  const egress = readRules(fields.value("egress"), "egress", dialect, fatal, reported);
  fields.end();
  if (fatal.length > 0) return { problems: [...fatal, ...reported] };
  return {
    policy: {
      apiVersion: API_VERSION,
      kind: "GlobalNetworkPolicy",
      metadata: { ...metadata, name: dialect.namePrefix + metadata.name },
      spec: {
        ...place,
        namespaceSelector: namespaceSelectorText(subject.namespaceSelector),
        selector: podSelectorText(subject.podSelector),
        // The tiers pass by default, so a direction without rules is not governed.
        types: [
          ...(ingress.length > 0 || egress.length === 0 ? (["Ingress"] as const) : []),
          ...(egress.length > 0 ? (["Egress"] as const) : []),
        ],
        ...(ingress.length > 0 && { ingress: ingress.map(([, rule]) => rule) }),
        ...(egress.length > 0 && { egress: egress.map(([, rule]) => rule) }),
      },
    },
    origins: { ingress: ingress.map(([path]) => path), egress: egress.map(([path]) => path) },
    problems: reported,
  };
}

/** The rest of it is the API server's. */
function readMetadata(metadata: Fields): ObjectMeta {
  const labels = metadata.texts("labels");
  const annotations = metadata.texts("annotations");
  return {
    name: metadata.requiredName("name") ?? "",
    ...(labels && { labels }),
    ...(annotations && { annotations }),
  };
}

interface Subject {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector?: LabelSelector;
}

/** Whole namespaces, or pods in namespaces. */
function readSubject(subject: Fields): Subject {
  const namespaces = subject.value("namespaces");
  const pods = subject.value("pods");
  if ((namespaces === undefined) === (pods === undefined))
    subject.problem([], "selects nothing, or twice", "one of namespaces and pods");
  const result =
    pods === undefined
      ? { namespaceSelector: readLabelSelector(subject.object("namespaces")) }
      : readPods(subject.object("pods"));
  subject.end();
  return result;
}

export function readPods(pods: Fields): Required<Subject> {
  const result = {
    namespaceSelector: readLabelSelector(pods.object("namespaceSelector")),
    podSelector: readLabelSelector(pods.object("podSelector")),
  };
  pods.end();
  return result;
}

function readRules(
  list: unknown,
  direction: "ingress" | "egress",
  dialect: Dialect,
  fatal: Problem[],
  reported: Problem[],
): [Path, Rule][] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) {
    fatal.push({ path: ["spec", direction], message: "is no list", expected: "a list of rules" });
    return [];
  }
  return list.flatMap((value: unknown, i) => {
    const path = ["spec", direction, i];
    const problems: Problem[] = [];
    const rules = readRule(new Fields(value, path, problems), direction, dialect);
    if (problems.length === 0) return rules.map((rule): [Path, Rule] => [path, rule]);
    const accepts = dialect.actions.get((value as { action?: unknown } | null)?.action) === "Allow";
    const consequence = accepts ? "the rule is left out" : "the rule denies everything";
    reported.push(...problems.map(one => ({ ...one, message: `${one.message}: ${consequence}` })));
    return accepts ? [] : [[path, { action: "Deny" }] as [Path, Rule]];
  });
}

function readRule(fields: Fields, direction: "ingress" | "egress", dialect: Dialect): Rule[] {
  const name = fields.string("name");
  const actions = [...dialect.actions.keys()].join(", ");
  const action = fields.parsed("action", value => dialect.actions.get(value), actions);
  if (fields.value("action") === undefined) fields.problem(["action"], "is missing", actions);
  const peerField = direction === "ingress" ? "from" : "to";
  const readPeer = direction === "ingress" ? readIngressPeer : readEgressPeer;
  const entries = fields.objects(peerField);
  if (fields.value(peerField) === undefined) fields.problem([peerField], "is missing", "a list of peers");
  else if (entries.length === 0) fields.problem([peerField], "names no peer", "at least one peer");
  const peers = entries.flatMap(readPeer);
  const ports = readPorts(fields, dialect);
  fields.end();
  const peerEnd = direction === "ingress" ? "source" : "destination";
  return portsByProtocol(ports).flatMap(({ protocol, ports: destinationPorts }) =>
    peers.map(peer => {
      const withPorts = destinationPorts.length > 0 && { ports: destinationPorts };
      const destination: EntityRule =
        peerEnd === "destination" ? { ...peer, ...withPorts } : { ...withPorts };
      return {
        action: action ?? "Deny",
        ...(protocol !== undefined && { protocol }),
        ...(peerEnd === "source" && { source: peer }),
        ...(Object.keys(destination).length > 0 && { destination }),
        ...(name && { metadata: { annotations: { name } } }),
      };
    }),
  );
}

function readPorts(rule: Fields, dialect: Dialect): PolicyPort[] | undefined {
  const entries = rule.objects(dialect.portsField);
  if (entries.length === 0) return undefined;
  return entries.map(dialect.readPort).filter(port => port !== undefined);
}

/** `{tcp: {destinationPort: {number: 80}}}`, `{udp: {}}`, `{destinationNamedPort: web}` */
function readProtocolEntry(entry: Fields): PolicyPort | undefined {
  const given = (["tcp", "udp", "sctp"] as const).filter(name => entry.value(name) !== undefined);
  const named = readNamedPort(entry, "destinationNamedPort");
  const protocolPorts = given.map(name => readTransport(entry.object(name), name));
  entry.end();
  if (given.length + (named ? 1 : 0) !== 1) {
    entry.problem([], "says no protocol, or several", "one of tcp, udp, sctp and destinationNamedPort");
    return undefined;
  }
  return named ?? protocolPorts[0];
}

function readTransport(transport: Fields, name: string): PolicyPort {
  const protocol = parseProtocol(name);
  if (transport.value("destinationPort") === undefined) {
    transport.end();
    return { protocol, port: "all" };
  }
  const destination = transport.object("destinationPort");
  const number = destination.port("number");
  const range = destination.value("range") === undefined ? undefined : readRange(destination.object("range"));
  destination.end();
  transport.end();
  if ((number === undefined) === (range === undefined))
    destination.problem([], "says no port, or two", "one of number and range");
  return { protocol, port: { type: "range", ...(range ?? { low: number ?? 1, high: number ?? 1 }) } };
}

/** `{portNumber: {protocol: TCP, port: 80}}`, `{portRange: {start: 1, end: 2}}`, `{namedPort: web}` */
function readPortEntry(entry: Fields): PolicyPort | undefined {
  const number = entry.value("portNumber") === undefined ? undefined : entry.object("portNumber");
  const range = entry.value("portRange") === undefined ? undefined : entry.object("portRange");
  const found = [readNamedPort(entry, "namedPort")];
  if (number) {
    const protocol = number.oneOf("protocol", TRANSPORTS) ?? "TCP";
    const port = number.requiredPort("port") ?? 1;
    found.push({ protocol, port: { type: "range", low: port, high: port } });
    number.end();
  }
  if (range) {
    const protocol = range.oneOf("protocol", TRANSPORTS) ?? "TCP";
    found.push({ protocol, port: { type: "range", ...readRange(range) } });
  }
  entry.end();
  const said = found.filter(one => one !== undefined);
  if (said.length === 1) return said[0];
  entry.problem([], "says no port, or several", "one of portNumber, portRange and namedPort");
  return undefined;
}

function readRange(range: Fields): { low: number; high: number } {
  const low = range.requiredPort("start");
  const high = range.requiredPort("end");
  if (low !== undefined && high !== undefined && high < low)
    range.problem(["end"], `${high} is below start ${low}`, `${low} or more`);
  range.end();
  return { low: low ?? 1, high: Math.max(low ?? 1, high ?? 1) };
}

/** Of any protocol: the endpoint that has the name says which. */
function readNamedPort(fields: Fields, field: string): PolicyPort | undefined {
  const port = fields.parsed(
    field,
    value => {
      const parsed = parsePort(value);
      return parsed?.type === "named" ? parsed : undefined;
    },
    "the name of a port",
  );
  return port && { protocol: undefined, port };
}

function readTier(spec: Fields): string {
  if (spec.value("tier") === undefined) spec.problem(["tier"], "is missing", "Admin or Baseline");
  return spec.oneOf("tier", ["Admin", "Baseline"]) === "Baseline" ? BASELINE_TIER : ADMIN_TIER;
}

function readPriority(spec: Fields): number {
  const expected = "a number from 0 to 1000, lower comes first";
  if (spec.value("priority") === undefined) spec.problem(["priority"], "is missing", expected);
  const isPriority = (value: unknown): value is number =>
    Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 1000;
  return spec.parsed("priority", value => (isPriority(value) ? value : undefined), expected) ?? 0;
}
