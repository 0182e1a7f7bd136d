/**
 * Kubernetes' NetworkPolicies as v3 resources.
 *
 * A NetworkPolicy only ever allows: each pair of a protocol and a peer becomes one Allow rule, and that the
 * policy applies is what denies the rest. So a rule that cannot be converted is left out and reported: that
 * opens nothing. (The cluster's policies also deny and pass: kubernetes-cluster-policies.ts.)
 */

import {
  API_VERSION,
  type EntityRule,
  type KubernetesEgressRule,
  type KubernetesIngressRule,
  type KubernetesIPBlock,
  type KubernetesPolicyPeer,
  type KubernetesPolicyPort,
  type LabelSelector,
  type NetworkPolicy,
  type ObjectMeta,
  type Path,
  type PolicyType,
  type PortMatch,
  type Problem,
  parsePort,
  parseProtocol,
  type Rule,
  validateResource,
} from "../../crd-schemas/index.ts";
import { type Cidr, parseCidr } from "../../net/cidr.ts";
import { isMapping } from "./fields.ts";
import { type PolicyPort, portsByProtocol } from "./kubernetes-ports.ts";
import { namespaceSelectorText, podSelectorText } from "./kubernetes-selectors.ts";

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

/** For each rule of a converted policy the path of the rule it came from, of which it may be one of several. */
export interface RuleOrigins {
  readonly ingress: readonly Path[];
  readonly egress: readonly Path[];
}

/** Names of policies that came from Kubernetes; users may not take such names. */
const POLICY_PREFIX = "knp.default.";
/** The order of all of them, so that Calico policies can be put before and after. */
const POLICY_ORDER = 1000;

/** `problems`: the rules that were left out, and why. */
export function convertNetworkPolicy(policy: KubernetesNetworkPolicy): {
  readonly policy: NetworkPolicy;
  readonly origins: RuleOrigins;
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
    origins: { ingress: ingress.map(([path]) => path), egress: egress.map(([path]) => path) },
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
        ...(ingress.length > 0 && { ingress: ingress.map(([, rule]) => rule) }),
        ...(egress.length > 0 && { egress: egress.map(([, rule]) => rule) }),
      },
    },
    problems,
  };
}

/**
 * The policy in a document, or what is wrong with it. A kind of ours has the same spec: its schema and its rules say
 * what the API server would have said.
 */
export function readNetworkPolicy(
  document: object,
):
  | { readonly policy: KubernetesNetworkPolicy; readonly problems?: undefined }
  | { readonly problems: readonly Problem[]; readonly policy?: undefined } {
  const { metadata, spec, apiVersion, kind } = document as Record<string, unknown>;
  const { problems, resource } = validateResource({
    apiVersion: API_VERSION,
    kind: "StagedKubernetesNetworkPolicy",
    metadata: isMapping(metadata) ? { namespace: "default", ...metadata } : metadata,
    spec,
  });
  if (problems) return { problems };
  return { policy: { ...resource, apiVersion, kind } as unknown as KubernetesNetworkPolicy };
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
): [Path, Rule][] {
  const peerField = peerEnd === "source" ? "from" : "to";
  const protocols = portsByProtocol(readPorts(ports, [...path, "ports"], problems));
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
      const rule: Rule = {
        action: "Allow",
        ...(protocol !== undefined && { protocol }),
        ...(Object.keys(entity.source).length > 0 && { source: entity.source }),
        ...(Object.keys(destination).length > 0 && { destination }),
      };
      return [path, rule] as [Path, Rule];
    }),
  );
}

/** Undefined where any protocol will do. */
function readPorts(
  ports: readonly KubernetesPolicyPort[] | undefined,
  path: Path,
  problems: Problem[],
): PolicyPort[] | undefined {
  if (!ports || ports.length === 0) return undefined;
  const result: PolicyPort[] = [];
  for (const [i, entry] of ports.entries()) {
    const protocol = parseProtocol(entry.protocol ?? "TCP");
    const port = convertPort(entry);
    if (protocol !== undefined && port !== undefined) {
      result.push({ protocol, port });
      continue;
    }
    const field = protocol === undefined ? "protocol" : "port";
    problems.push({ path: [...path, i, field], message: "is wrong; left out", expected: `a ${field}` });
  }
  return result;
}

function convertPort({ port, endPort }: KubernetesPolicyPort): PortMatch | "all" | undefined {
  if (port === undefined) return endPort === undefined ? "all" : undefined;
  return parsePort(endPort === undefined ? port : `${port}:${endPort}`);
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
