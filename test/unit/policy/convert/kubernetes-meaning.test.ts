/**
 * Kubernetes' policies mean after conversion what the API says they mean: any policies, pods and packets, against a second
 * implementation that reads Kubernetes' objects as they are, and knows nothing of Calico.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Cidr, contains } from "../../../../net/cidr.ts";
import { type Ip, ip } from "../../../../net/ip.ts";
import { PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { policyState } from "../../../../policy/state.ts";

type Labels = Record<string, string>;
type Direction = "ingress" | "egress";
interface Selector {
  matchLabels?: Labels;
  matchExpressions?: { key: string; operator: string; values?: string[] }[];
}
interface Peer {
  podSelector?: Selector;
  namespaceSelector?: Selector;
  ipBlock?: { cidr: string; except?: string[] };
  namespaces?: Selector;
  pods?: { namespaceSelector: Selector; podSelector: Selector };
  networks?: string[];
}
interface Port {
  protocol?: string;
  port?: number | string;
  endPort?: number;
}
interface Rule {
  from?: Peer[];
  to?: Peer[];
  ports?: Port[];
}
interface ClusterRule extends Rule {
  action: "Accept" | "Deny" | "Pass";
  protocols?: Record<string, { destinationPort?: { number?: number } } | string>[];
}
interface NetworkPolicy {
  metadata: { namespace: string };
  spec: { podSelector: Selector; policyTypes?: string[]; ingress?: Rule[]; egress?: Rule[] };
}
interface ClusterPolicy {
  spec: { tier: string; priority: number; subject: Peer; ingress?: ClusterRule[]; egress?: ClusterRule[] };
}
interface Pod {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly address: string;
  readonly ports: { name: string; protocol: string; containerPort: number }[];
}
interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string;
  readonly port: number;
}
interface World {
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

class Kubernetes {
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

const few = <const T extends readonly unknown[]>(...values: T) => fc.constantFrom(...values);
const NETS = ["10.65.0.0/30", "10.65.0.1/32", "10.65.0.0/16", "198.51.100.0/24", "0.0.0.0/0"];
const ADDRESSES = ["10.65.0.1", "10.65.0.2", "10.65.0.3", "10.65.0.4", "10.65.0.5"];
const OUTSIDE = ["198.51.100.7", "203.0.113.7"];
const selector: fc.Arbitrary<Selector> = fc.constantFrom<Selector[]>(
  {},
  { matchLabels: { app: "x" } },
  { matchLabels: { app: "y" } },
  { matchExpressions: [{ key: "app", operator: "NotIn", values: ["x"] }] },
  { matchExpressions: [{ key: "app", operator: "In", values: ["x", "z"] }] },
  { matchExpressions: [{ key: "role", operator: "Exists" }] },
  { matchLabels: { app: "y" }, matchExpressions: [{ key: "role", operator: "DoesNotExist" }] },
);
const spaces: fc.Arbitrary<Selector> = fc.constantFrom<Selector[]>(
  {},
  { matchLabels: { team: "red" } },
  { matchExpressions: [{ key: "team", operator: "NotIn", values: ["red"] }] },
  { matchLabels: { "kubernetes.io/metadata.name": "one" } },
);
const peer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: spaces }),
  fc.record({ podSelector: selector, namespaceSelector: spaces }),
  fc.constantFrom<Peer[]>(
    { ipBlock: { cidr: "10.65.0.0/16" } },
    { ipBlock: { cidr: "10.65.0.0/16", except: ["10.65.0.0/30"] } },
    { ipBlock: { cidr: "0.0.0.0/0", except: ["198.51.100.0/24", "10.65.0.3/32"] } },
  ),
);
const port: fc.Arbitrary<Port> = fc.constantFrom<Port[]>(
  {},
  { protocol: "UDP" },
  { port: 80 },
  { port: 81, endPort: 90 },
  { port: 80, protocol: "SCTP" },
  { port: "web" },
  { port: "dns", protocol: "UDP" },
);
const rule = (field: "from" | "to") =>
  fc.record(
    { [field]: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 3 }) },
    { requiredKeys: [] },
  );
const networkPolicy = fc.record({
  namespace: few("one", "two"),
  spec: fc.record(
    {
      podSelector: selector,
      policyTypes: few(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
      ingress: fc.array(rule("from"), { maxLength: 2 }),
      egress: fc.array(rule("to"), { maxLength: 2 }),
    },
    { requiredKeys: ["podSelector"] },
  ),
});
const clusterPeer: fc.Arbitrary<Peer> = fc.oneof(
  fc.record({ namespaces: spaces }),
  fc.record({ pods: fc.record({ namespaceSelector: spaces, podSelector: selector }) }),
);
const clusterRule = (field: "from" | "to") =>
  fc.record(
    {
      action: few("Accept", "Deny", "Pass"),
      [field]: fc.array(
        field === "to"
          ? fc.oneof(
              { weight: 3, arbitrary: clusterPeer },
              { weight: 1, arbitrary: fc.record({ networks: fc.subarray(NETS, { minLength: 1 }) }) },
            )
          : clusterPeer,
        { minLength: 1, maxLength: 2 },
      ),
      protocols: fc.array(
        fc.constantFrom<NonNullable<ClusterRule["protocols"]>[number][]>(
          { tcp: {} },
          { tcp: { destinationPort: { number: 80 } } },
          { udp: { destinationPort: { number: 53 } } },
          { destinationNamedPort: "web" },
        ),
        { minLength: 1, maxLength: 2 },
      ),
    },
    { requiredKeys: ["action", field] },
  );
const clusterPolicy = fc.record(
  {
    tier: few("Admin", "Baseline"),
    subject: clusterPeer,
    ingress: fc.array(clusterRule("from"), { maxLength: 3 }),
    egress: fc.array(clusterRule("to"), { maxLength: 3 }),
  },
  { requiredKeys: ["tier", "subject"] },
);

const world = fc
  .record({
    policies: fc.array(networkPolicy, { maxLength: 4 }),
    clusterPolicies: fc.array(clusterPolicy, { maxLength: 3 }),
    priorities: fc.shuffledSubarray([0, 1, 50, 1000], { minLength: 3, maxLength: 3 }),
    pods: fc.tuple(
      ...ADDRESSES.map(() =>
        fc.record({
          namespace: few("one", "two"),
          labels: fc.record({ app: few("x", "y"), role: few("q") }, { requiredKeys: [] }),
          ports: fc.subarray([
            { name: "web", protocol: "TCP", containerPort: 80 },
            { name: "dns", protocol: "UDP", containerPort: 53 },
          ]),
        }),
      ),
    ),
  })
  .map(({ policies, clusterPolicies, priorities, pods }) => ({
    namespaces: {
      one: { team: "red", "kubernetes.io/metadata.name": "one" },
      two: { "kubernetes.io/metadata.name": "two" },
    },
    pods: pods.map((pod, i) => ({ ...pod, name: `p${i}`, address: ADDRESSES[i]! })) as Pod[],
    policies: policies.map(({ namespace, spec }, i) => ({
      metadata: { namespace, name: `n${i}` },
      spec,
    })) as NetworkPolicy[],
    clusterPolicies: clusterPolicies.map((spec, i) => ({
      metadata: { name: `c${i}` },
      spec: { ...spec, priority: priorities[i] },
    })) as unknown as ClusterPolicy[],
  }));

/** The older kinds say the same in other words. */
function olderKind({ spec }: ClusterPolicy, name: string): object | undefined {
  const rules = (list: ClusterRule[] | undefined) =>
    list?.map(({ action, protocols, ...rest }) => ({
      ...rest,
      action: action === "Accept" ? "Allow" : action,
      ...(protocols && {
        ports: protocols.map(entry => {
          const [[protocol, value]] = Object.entries(entry) as [
            [string, { destinationPort?: { number?: number } } | string],
          ];
          if (typeof value === "string") return { namedPort: value };
          const number = value.destinationPort?.number;
          return number === undefined
            ? { portRange: { protocol: protocol.toUpperCase(), start: 1, end: 65535 } }
            : { portNumber: { protocol: protocol.toUpperCase(), port: number } };
        }),
      }),
    }));
  if (spec.tier !== "Admin") return undefined;
  const { tier: _, ingress, egress, ...rest } = spec;
  return {
    apiVersion: "policy.networking.k8s.io/v1alpha1",
    kind: "AdminNetworkPolicy",
    metadata: { name },
    spec: { ...rest, ...(ingress && { ingress: rules(ingress) }), ...(egress && { egress: rules(egress) }) },
  };
}

function documentsOf({ namespaces, pods, policies, clusterPolicies }: World, older: boolean): object[] {
  const core = (kind: string, metadata: object, rest: object = {}) => ({
    apiVersion: "v1",
    kind,
    metadata,
    ...rest,
  });
  return [
    ...Object.entries(namespaces).map(([name, labels]) => core("Namespace", { name, labels })),
    ...pods.map(({ namespace, name, labels, address, ports }) =>
      core(
        "Pod",
        { namespace, name, labels },
        { spec: { containers: [{ ports }] }, status: { podIP: address } },
      ),
    ),
    ...policies.map(policy => ({ apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", ...policy })),
    ...clusterPolicies.map(
      (policy, i) =>
        (older ? olderKind(policy, `c${i}`) : undefined) ?? {
          apiVersion: "policy.networking.k8s.io/v1alpha2",
          kind: "ClusterNetworkPolicy",
          ...policy,
        },
    ),
  ];
}

describe("policy/convert: Kubernetes' policies", function () {
  this.timeout(60_000);

  it("mean what they say, whatever they say", () => {
    const probes = [...ADDRESSES, ...OUTSIDE].flatMap(source =>
      [...ADDRESSES, ...OUTSIDE].flatMap(destination =>
        [
          ["TCP", 80],
          ["TCP", 85],
          ["UDP", 53],
          ["SCTP", 80],
        ].map(([protocol, port]) => ({ source, destination, protocol, port }) as Packet),
      ),
    );
    let denied = 0;
    let asked = 0;
    fc.assert(
      fc.property(world, fc.boolean(), (made, older) => {
        const { state, problems } = policyState(documentsOf(made, older));
        assert.deepEqual(problems, []);
        const evaluator = new PolicyEvaluator(state);
        const kubernetes = new Kubernetes(made);
        for (const probe of probes) {
          const { source, destination, protocol, port: destinationPort } = probe;
          const packet = {
            source: ip(source),
            destination: ip(destination),
            protocol: protocol as "TCP",
            destinationPort,
          };
          const expected = kubernetes.allows(probe) ? "allow" : "deny";
          asked++;
          if (expected === "deny") denied++;
          const found = evaluator.verdict(packet);
          assert.equal(
            found.verdict,
            expected,
            `${JSON.stringify(probe)}: ${JSON.stringify(found.directions)}`,
          );
        }
      }),
      { numRuns: Number(process.env["CALYX_RUNS"] ?? 150) },
    );
    // Neither all nor nothing is allowed, else nothing was asked.
    assert(denied > asked / 20 && denied < (asked * 19) / 20, `${denied} of ${asked} denied`);
  });
});
