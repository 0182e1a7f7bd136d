/**
 * What Kubernetes' policies say, decided on Kubernetes' objects as they are, by asking every policy about every packet:
 * knows nothing of Calico, tiers or sets.
 */

import { type Cidr, contains } from "../../../../net/cidr.ts";
import type { Ip } from "../../../../net/ip.ts";

type Labels = Record<string, string>;
type Direction = "ingress" | "egress";
export interface Selector {
  matchLabels?: Labels;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}
export interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
  namespaces?: Selector;
  pods?: { namespaceSelector: Selector; podSelector: Selector };
  networks?: string[];
}
export interface Port {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}
interface Rule {
  from?: Peer[];
  to?: Peer[];
  ports?: Port[];
}
export interface ClusterRule extends Rule {
  action: "Accept" | "Deny" | "Pass";
  protocols?: Record<string, { destinationPort?: { number?: number } } | string>[];
}
export interface NetworkPolicy {
  metadata: { namespace: string };
  spec: { podSelector: Selector; policyTypes?: string[]; ingress?: Rule[]; egress?: Rule[] };
}
export interface ClusterPolicy {
  spec: { tier: string; priority: number; subject: Peer; ingress?: ClusterRule[]; egress?: ClusterRule[] };
}
export interface Pod {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly address: string;
  readonly ports: { name: string; protocol: string; containerPort: number }[];
}
export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly port: number;
}
export interface World {
  readonly namespaces: Record<string, Labels>;
  readonly pods: Pod[];
  readonly policies: NetworkPolicy[];
  readonly clusterPolicies: ClusterPolicy[];
}

const isSelected = (selector: Selector, labels: Labels): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value) &&
  (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labels[key];
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      default:
        return value === undefined;
    }
  });
const within = (net: string, address: string) => contains(net as Cidr, address as Ip);

export class Kubernetes {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  allows(packet: Packet): boolean {
    const from = this.#podAt(packet.source);
    const to = this.#podAt(packet.destination);
    if (from && from === to) return true;
    return (
      (!from || this.#allowsAt(from, "egress", packet)) && (!to || this.#allowsAt(to, "ingress", packet))
    );
  }

  #podAt(address: string): Pod | undefined {
    return this.#world.pods.find(pod => pod.address === address);
  }

  /** Admin tier, then NetworkPolicies where any isolates the pod, then the baseline; and what nobody speaks of is allowed. */
  #allowsAt(pod: Pod, direction: Direction, packet: Packet): boolean {
    const admin = this.#inTier("Admin", pod, direction, packet);
    if (admin !== undefined) return admin;
    const isolating = this.#world.policies.filter(
      ({ metadata, spec }) =>
        metadata.namespace === pod.namespace &&
        isSelected(spec.podSelector, pod.labels) &&
        typesOf(spec).includes(direction),
    );
    if (isolating.length > 0) {
      return isolating.some(({ metadata, spec }) =>
        (spec[direction] ?? []).some(rule => this.#matches(rule, metadata.namespace, direction, packet)),
      );
    }
    return this.#inTier("Baseline", pod, direction, packet) ?? true;
  }

  #inTier(tier: string, pod: Pod, direction: Direction, packet: Packet): boolean | undefined {
    const policies = this.#world.clusterPolicies
      .filter(({ spec }) => spec.tier === tier && this.#isPeer(spec.subject, "", pod.address))
      .sort((a, b) => a.spec.priority - b.spec.priority);
    for (const { spec } of policies) {
      for (const rule of spec[direction] ?? []) {
        if (!this.#matchesClusterRule(rule, direction, packet)) continue;
        return rule.action === "Pass" ? undefined : rule.action === "Accept";
      }
    }
    return undefined;
  }

  #matches(rule: Rule, namespace: string, direction: Direction, packet: Packet): boolean {
    const peers = direction === "ingress" ? rule.from : rule.to;
    const other = direction === "ingress" ? packet.source : packet.destination;
    const isPort = ({ protocol = "TCP", port, endPort }: Port): boolean => {
      if (protocol !== packet.protocol) return false;
      if (port === undefined) return true;
      if (typeof port === "string") return this.#isNamed(port, packet);
      return port <= packet.port && packet.port <= (endPort ?? port);
    };
    return (
      (!peers?.length || peers.some(peer => this.#isPeer(peer, namespace, other))) &&
      (!rule.ports?.length || rule.ports.some(isPort))
    );
  }

  #matchesClusterRule(rule: ClusterRule, direction: Direction, packet: Packet): boolean {
    const peers = (direction === "ingress" ? rule.from : rule.to) ?? [];
    const other = direction === "ingress" ? packet.source : packet.destination;
    const isProtocol = (entry: NonNullable<ClusterRule["protocols"]>[number]): boolean => {
      const [[name, value]] = Object.entries(entry) as [
        [string, { destinationPort?: { number?: number } } | string],
      ];
      if (typeof value === "string") return this.#isNamed(value, packet);
      if (name.toUpperCase() !== packet.protocol) return false;
      return value.destinationPort === undefined || value.destinationPort.number === packet.port;
    };
    return (
      peers.some(peer => this.#isPeer(peer, "", other)) &&
      (!rule.protocols || rule.protocols.some(isProtocol))
    );
  }

  /** The port's name is the destination pod's, together with its protocol. */
  #isNamed(name: string, { destination, protocol, port }: Packet): boolean {
    return !!this.#podAt(destination)?.ports.some(
      own => own.name === name && own.protocol === protocol && own.containerPort === port,
    );
  }

  #isPeer(peer: Peer, namespace: string, address: string): boolean {
    if (peer.ipBlock)
      return within(peer.ipBlock.cidr, address) && !peer.ipBlock.except?.some(net => within(net, address));
    if (peer.networks) return peer.networks.some(net => within(net, address));
    const pod = this.#podAt(address);
    if (!pod) return false;
    const labels = this.#world.namespaces[pod.namespace]!;
    if (peer.namespaces) return isSelected(peer.namespaces, labels);
    const podSelector = peer.pods?.podSelector ?? peer.podSelector ?? {};
    const namespaceSelector = peer.pods?.namespaceSelector ?? peer.namespaceSelector;
    const inside = namespaceSelector ? isSelected(namespaceSelector, labels) : pod.namespace === namespace;
    return inside && isSelected(podSelector, pod.labels);
  }
}

function typesOf({ policyTypes, egress }: NetworkPolicy["spec"]): Direction[] {
  if (policyTypes) return policyTypes.map(type => type.toLowerCase() as Direction);
  return egress?.length ? ["ingress", "egress"] : ["ingress"];
}
