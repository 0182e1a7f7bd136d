/**
 * `node test/bench/simulate.ts [PODS [POLICIES]]`: who may reach whom: all pods to all pods on their declared ports, from
 * Kubernetes documents in memory to the whole matrix. Budget: 1,000 pods and 1,000 policies, about a million pairs, in
 * less than 10 s. Stages: `state` (documents converted and validated), `matrix` (every verdict, with its reason).
 *
 * Three clusters: `typical`, where a policy is for one app of one namespace; `dense`, where every policy applies to every
 * pod and hardly any rule decides; `alone`, where every pod has policies of its own, which no other pod shares, and declares
 * no ports. What they are compared with: `floor`, the same pairs with no policies at all, and `one by one`, the same
 * verdicts asked singly (a sample, scaled up), which they must agree with. `flows` is what `calctl simulate` asks: all that
 * rules tell apart between all pods and parts of the world outside, on the declared ports, or on all where there are none.
 */

import { FlowPlan } from "../../calctl/commands/simulate/flows.ts";
import type { ip } from "../../net/ip.ts";
import { PolicyEvaluator, type PolicyState, type Target } from "../../policy/evaluate.ts";
import type { EndpointPeer } from "../../policy/flows/peers.ts";
import { Reach } from "../../policy/flows/reach.ts";
import { policyState } from "../../policy/state.ts";

const NAMESPACES = 20;
const APPS = 25;
const SAMPLE = 20_000;
const HTTP = [{ protocol: "TCP", port: 80 }] as const;

interface Result {
  cluster: string;
  pods: number;
  policies: number;
  pairs: number;
  stateMs: number;
  matrixMs: number;
  floorMs: number;
  flowsMs: number;
  flows: number;
  oneByOneMs: number;
  heapMB: number;
}

function pod(i: number, ports: readonly object[] = [{ name: "http", containerPort: 8080 }]): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      namespace: `ns${i % NAMESPACES}`,
      name: `pod${i}`,
      labels: { app: `app${i % APPS}`, tier: ["web", "api", "db"][i % 3], pod: `pod${i}` },
    },
    spec: { nodeName: `node${i % 10}`, containers: [{ ports }] },
    status: { podIP: `10.${65 + (i >> 16)}.${(i >> 8) & 0xff}.${i & 0xff}` },
  };
}

/** One app of one namespace lets in two others and a block, by number and by name of the port. */
function typicalPolicy(i: number): object {
  const app = (n: number) => ({ matchLabels: { app: `app${n % APPS}` } });
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: `ns${i % NAMESPACES}`, name: `policy${i}` },
    spec: {
      podSelector: app(Math.floor(i / NAMESPACES)),
      policyTypes: ["Ingress", "Egress"],
      ingress: [
        { from: [{ podSelector: app(i + 1) }], ports: [{ port: 8080 }] },
        { from: [{ podSelector: app(i + 2), namespaceSelector: {} }], ports: [{ port: "http" }] },
        { from: [{ ipBlock: { cidr: `10.65.${i % 4}.0/25` } }] },
      ],
      egress: [{ to: [{ namespaceSelector: {} }] }],
    },
  };
}

/** Applies to everything both ways and seldom decides. */
function densePolicy(i: number): object {
  const rules = (end: "source" | "destination") => [
    { action: "Deny", protocol: "TCP", [end]: { selector: `pod == 'pod${i}'`, notNets: ["10.65.3.0/25"] } },
    { action: "Allow", protocol: "TCP", destination: { ports: [8080 + i] } },
    { action: "Allow", [end]: { nets: [`10.65.${i % 4}.${(i * 8) % 256}/29`] } },
  ];
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: `policy${i}` },
    spec: {
      order: i,
      selector: "has(app)",
      types: ["Ingress", "Egress"],
      ingress: rules("source"),
      egress: rules("destination"),
    },
  };
}

/** Nobody else is treated like this pod, as sender or as receiver, and nobody else has this address to talk to. */
function lonelyPolicy(i: number): object {
  const app = (n: number) => ({
    namespaceSelector: {},
    podSelector: { matchLabels: { app: `app${n % APPS}` } },
  });
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: `ns${i % NAMESPACES}`, name: `policy${i}` },
    spec: {
      podSelector: { matchLabels: { pod: `pod${i}` } },
      policyTypes: ["Ingress", "Egress"],
      ingress: [{ from: [app(i + 1)], ports: [{ port: 8000 + i }] }],
      egress: [
        { to: [app(i + 2)], ports: [{ port: 9000 + i }] },
        { to: [{ ipBlock: { cidr: `172.16.${i >> 8}.${i & 0xff}/32` } }] },
      ],
    },
  };
}

/** Every pod, and every port a pod declares, or 80 where it declares none. */
function probesOf({ endpoints }: PolicyState): { sources: ReturnType<typeof ip>[]; targets: Target[] } {
  const sources = endpoints.flatMap(endpoint => endpoint.addresses);
  const targets = endpoints.flatMap(({ addresses, ports }) =>
    addresses.flatMap(address =>
      (ports.length === 0 ? HTTP : ports).map(({ protocol, port }) => ({ address, protocol, port })),
    ),
  );
  return { sources, targets };
}

function countFlows(state: PolicyState): number {
  const plan = new FlowPlan(new Reach(state));
  const senders = [...plan.endpoints, ...plan.others];
  const into = (to: EndpointPeer): number =>
    plan.into(to, senders).reduce((sum, { flows }) => sum + flows.length, 0);
  return plan.endpoints.reduce((sum, to) => sum + into(to), 0);
}

function timed<T>(work: () => T): [number, T] {
  const begin = performance.now();
  const result = work();
  return [performance.now() - begin, result];
}

function measure(
  cluster: string,
  pods: number,
  policies: number,
  policy: (i: number) => object,
  ports?: readonly object[],
): Result {
  const documents = [
    ...Array.from({ length: pods }, (_, i) => pod(i, ports)),
    ...Array.from({ length: policies }, (_, i) => policy(i)),
  ];
  const [stateMs, { state, problems }] = timed(() => policyState(documents));
  if (problems.length > 0) throw new Error(JSON.stringify(problems[0]));
  const { sources, targets } = probesOf(state);
  const [floorMs] = timed(() => new PolicyEvaluator({ ...state, policies: [] }).matrix(sources, targets));
  const before = process.memoryUsage().heapUsed + process.memoryUsage().external;
  const [matrixMs, matrix] = timed(() => new PolicyEvaluator(state).matrix(sources, targets));
  const heapMB = (process.memoryUsage().heapUsed + process.memoryUsage().external - before) / 2 ** 20;

  const [flowsMs, flows] = timed(() => countFlows(state));
  const pairs = sources.length * targets.length;
  const evaluator = new PolicyEvaluator(state);
  const picked = Array.from({ length: SAMPLE }, (_, i) => Math.floor((i * pairs) / SAMPLE));
  const [sampleMs] = timed(() => {
    for (const at of picked) {
      const s = Math.floor(at / targets.length);
      const { address, protocol, port } = targets[at % targets.length]!;
      const packet = { source: sources[s]!, destination: address, protocol, destinationPort: port! };
      if (evaluator.verdict(packet).verdict !== matrix.decision(s, at % targets.length).verdict)
        throw new Error(`the matrix is wrong about ${JSON.stringify(packet)}`);
    }
  });
  return {
    cluster,
    pods,
    policies,
    pairs,
    stateMs,
    matrixMs,
    floorMs,
    flowsMs,
    flows,
    oneByOneMs: (sampleMs * pairs) / SAMPLE,
    heapMB,
  };
}

const [pods = 1_000, policies = 1_000] = process.argv.slice(2).map(Number);
const results = [
  measure("typical", pods, policies, typicalPolicy),
  measure("dense", pods, policies, densePolicy),
  measure("alone", pods, policies, lonelyPolicy, []),
];
const row = (cells: (string | number)[]) =>
  cells.map((cell, i) => (i === 0 ? String(cell).padEnd(9) : String(cell).padStart(11))).join("");
const print = (text: string) => process.stdout.write(`${text}\n`);
print(
  row(["", "pods", "policies", "pairs", "state ms", "matrix ms", "floor ms", "flows ms", "one by one", "MB"]),
);
for (const one of results) {
  const { cluster, stateMs, matrixMs, floorMs, flowsMs, oneByOneMs, heapMB } = one;
  const numbers = [stateMs, matrixMs, floorMs, flowsMs, oneByOneMs, heapMB].map(Math.round);
  print(row([cluster, one.pods, one.policies, one.pairs, ...numbers]));
}
print(
  JSON.stringify({ benchmark: "simulate", results }, (_, value: unknown) =>
    typeof value === "number" ? Math.round(value) : value,
  ),
);
