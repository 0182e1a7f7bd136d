/**
 * Kubernetes' own policies and namespaces as v3 resources.
 *
 * A NetworkPolicy only ever allows: each pair of a protocol and a peer becomes one Allow rule, and that the
 * policy applies is what denies the rest. So a rule that cannot be converted is left out and reported: that
 * opens nothing. (ClusterNetworkPolicy, which also denies and passes, will need a converter of its own, where
 * leaving out is not safe.)
 */

import {
  API_VERSION,
  type EntityRule,
  formatPort,
  type KubernetesEgressRule,
  type KubernetesIngressRule,
  type KubernetesIPBlock,
  type KubernetesPolicyPeer,
  type KubernetesPolicyPort,
  type LabelSelector,
  type LabelSelectorRequirement,
  type NetworkPolicy,
  type ObjectMeta,
  type Path,
  type PolicyType,
  type Port,
  type PortMatch,
  type Problem,
  type Profile,
  type Protocol,
  parsePort,
  parseProtocol,
  type Rule,
} from "../../crd-schemas/index.ts";
import { type Cidr, parseCidr } from "../../net/cidr.ts";
import { mergeRanges } from "../port-ranges.ts";
import { NAMESPACE_PREFIX } from "../resolve.ts";
import { and, canonicalText, equals, has, membership, not, type SelectorNode } from "../selector/ast.ts";

export interface KubernetesNetworkPolicy {
  readonly apiVersion: "networking.k8s.io/v1";
  readonly kind: "NetworkPolicy";
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly podSelector?: LabelSelector;
    readonly ingress?: readonly KubernetesIngressRule[];
    readonly egress?: readonly KubernetesEgressRule[];
    readonly policyTypes?: readonly PolicyType[];
  };
}

export interface KubernetesNamespace {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

/** Names of policies that came from Kubernetes; users may not take such names. */
const POLICY_PREFIX = "knp.default.";
/** The order of all of them, so that Calico policies can be put before and after. */
const POLICY_ORDER = 1000;

const ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator";

/** `problems`: the rules that were left out, and why. */
export function convertNetworkPolicy(policy: KubernetesNetworkPolicy): {
  readonly policy: NetworkPolicy;
  readonly problems: readonly Problem[];
} {
  const { metadata, spec } = policy;
  const problems: Problem[] = [];
  const ingress = (spec.ingress ?? []).flatMap((rule, i) =>
    convertRule(rule.ports, rule.from, "source", ["spec", "ingress", i], problems),
  );
  const egress = (spec.egress ?? []).flatMap((rule, i) =>
    convertRule(rule.ports, rule.to, "destination", ["spec", "egress", i], problems),
  );
  return {
    policy: {
      apiVersion: API_VERSION,
      kind: "NetworkPolicy",
      metadata: {
        ...metadata,
        name: POLICY_PREFIX + metadata.name,
        namespace: metadata.namespace ?? "default",
      },
      spec: {
        tier: "default",
        order: POLICY_ORDER,
        selector: podSelectorText(spec.podSelector),
        types: policyTypes(spec),
        ...(ingress.length > 0 && { ingress }),
        ...(egress.length > 0 && { egress }),
      },
    },
    problems,
  };
}

/** The profile that gives pods the labels of their namespace, and leaves them open until a policy applies. */
export function convertNamespace({ metadata: { name, labels } }: KubernetesNamespace): Profile {
  const labelsToApply = Object.fromEntries(
    Object.entries(labels ?? {}).map(([key, value]) => [NAMESPACE_PREFIX + key, value]),
  );
  return {
    apiVersion: API_VERSION,
    kind: "Profile",
    metadata: { name: `kns.${name}` },
    spec: {
      ingress: [{ action: "Allow" }],
      egress: [{ action: "Allow" }],
      labelsToApply: { ...labelsToApply, [`${NAMESPACE_PREFIX}projectcalico.org/name`]: name },
    },
  };
}

/** As the API server fills them in: Ingress always, Egress where there is something about it. */
function policyTypes(spec: KubernetesNetworkPolicy["spec"]): PolicyType[] {
  if (spec.policyTypes && spec.policyTypes.length > 0) return [...spec.policyTypes];
  return spec.egress && spec.egress.length > 0 ? ["Ingress", "Egress"] : ["Ingress"];
}

/** No ports means any protocol, no peers means any peer. */
function convertRule(
  ports: readonly KubernetesPolicyPort[] | undefined,
  peers: readonly KubernetesPolicyPeer[] | undefined,
  peerEnd: "source" | "destination",
  path: Path,
  problems: Problem[],
): Rule[] {
  const peerField = peerEnd === "source" ? "from" : "to";
  const protocols = portsByProtocol(ports, [...path, "ports"], problems);
  const entities =
    peers && peers.length > 0
      ? peers
          .map((peer, i) => convertPeer(peer, [...path, peerField, i], problems))
          .filter(e => e !== undefined)
      : [{}];
  return protocols.flatMap(({ protocol, ports: destinationPorts }) =>
    entities.map(peer => {
      const entity = { source: {}, destination: {}, [peerEnd]: peer } as Record<
        "source" | "destination",
        EntityRule
      >;
      const destination = {
        ...entity.destination,
        ...(destinationPorts.length > 0 && { ports: destinationPorts }),
      };
      return {
        action: "Allow",
        ...(protocol !== undefined && { protocol }),
        ...(Object.keys(entity.source).length > 0 && { source: entity.source }),
        ...(Object.keys(destination).length > 0 && { destination }),
      } satisfies Rule;
    }),
  );
}

interface ProtocolPorts {
  readonly protocol: Protocol | undefined;
  /** Empty: all of them. */
  readonly ports: Port[];
}

function portsByProtocol(
  ports: readonly KubernetesPolicyPort[] | undefined,
  path: Path,
  problems: Problem[],
): ProtocolPorts[] {
  if (!ports || ports.length === 0) return [{ protocol: undefined, ports: [] }];
  const byProtocol = new Map<Protocol, PortMatch[] | "all">();
  for (const [i, entry] of ports.entries()) {
    const protocol = parseProtocol(entry.protocol ?? "TCP");
    const port = convertPort(entry);
    if (protocol === undefined || port === undefined) {
      const field = protocol === undefined ? "protocol" : "port";
      problems.push({ path: [...path, i, field], message: "is wrong; left out", expected: `a ${field}` });
      continue;
    }
    const known = byProtocol.get(protocol) ?? [];
    if (port === "all" || known === "all") byProtocol.set(protocol, "all");
    else byProtocol.set(protocol, [...known, port]);
  }
  return [...byProtocol].map(([protocol, list]) => ({
    protocol,
    ports: list === "all" ? [] : mergedPorts(list).map(formatPort),
  }));
}

function convertPort({ port, endPort }: KubernetesPolicyPort): PortMatch | "all" | undefined {
  if (port === undefined) return endPort === undefined ? "all" : undefined;
  return parsePort(endPort === undefined ? port : `${port}:${endPort}`);
}

function mergedPorts(ports: readonly PortMatch[]): PortMatch[] {
  const ranges = mergeRanges(ports.filter(port => port.type === "range"));
  return [
    ...ranges.map(range => ({ type: "range", ...range }) as const),
    ...ports.filter(port => port.type === "named"),
  ];
}

function convertPeer(peer: KubernetesPolicyPeer, path: Path, problems: Problem[]): EntityRule | undefined {
  if (peer.ipBlock) return convertBlock(peer.ipBlock, [...path, "ipBlock"], problems);
  if (!peer.podSelector && !peer.namespaceSelector) {
    problems.push({
      path,
      message: "selects nothing; left out",
      expected: "podSelector, namespaceSelector or ipBlock",
    });
    return undefined;
  }
  return {
    selector: podSelectorText(peer.podSelector),
    ...(peer.namespaceSelector && { namespaceSelector: namespaceSelectorText(peer.namespaceSelector) }),
  };
}

function convertBlock(block: KubernetesIPBlock, path: Path, problems: Problem[]): EntityRule | undefined {
  const problem = (where: Path, text: string): undefined => {
    problems.push({ path: where, message: `"${text}" is no CIDR; the peer is left out`, expected: "a CIDR" });
    return undefined;
  };
  const net = parseCidr(block.cidr);
  if (net === undefined) return problem([...path, "cidr"], block.cidr);
  const notNets: Cidr[] = [];
  for (const [i, text] of (block.except ?? []).entries()) {
    const except = parseCidr(text);
    if (except === undefined) return problem([...path, "except", i], text);
    notNets.push(except);
  }
  return { nets: [net], ...(notNets.length > 0 && { notNets }) };
}

/** Only pods are meant, whatever else may carry the same labels. */
function podSelectorText(selector: LabelSelector | undefined): string {
  return selectorText([equals(ORCHESTRATOR_LABEL, "k8s"), ...requirements(selector)]);
}

function namespaceSelectorText(selector: LabelSelector): string {
  const parts = requirements(selector);
  return parts.length === 0 ? "all()" : selectorText(parts);
}

function selectorText(parts: readonly SelectorNode[]): string {
  const text = canonicalText(and(...parts));
  return parts.length > 1 ? text.slice(1, -1) : text;
}

function requirements(selector: LabelSelector | undefined): SelectorNode[] {
  const labels = Object.entries(selector?.matchLabels ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...labels.map(([key, value]) => equals(key, value)),
    ...(selector?.matchExpressions ?? []).map(requirement),
  ];
}

function requirement({ key, operator, values }: LabelSelectorRequirement): SelectorNode {
  switch (operator) {
    case "In":
      return membership(key, "in", values ?? []);
    case "NotIn":
      return membership(key, "not in", values ?? []);
    case "Exists":
      return has(key);
    case "DoesNotExist":
      return not(has(key));
  }
}
