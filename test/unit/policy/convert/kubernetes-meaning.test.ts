/**
 * Kubernetes' policies mean after conversion what the API says they mean: any policies, pods and packets, against a second
 * implementation (kubernetes-naive.ts).
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { ip } from "../../../../net/ip.ts";
import { PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { policyState } from "../../../../policy/state.ts";
import {
  type ClusterPolicy,
  type ClusterRule,
  Kubernetes,
  type NetworkPolicy,
  type Packet,
  type Peer,
  type Pod,
  type Port,
  type Selector,
  type World,
} from "./kubernetes-naive.ts";

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
