/** Documents of every sort as one state: what they become, and what is said about those that become nothing. */

import assert from "node:assert/strict";
import { pathText } from "../../../crd-schemas/index.ts";
import { ip } from "../../../net/ip.ts";
import { PolicyEvaluator } from "../../../policy/evaluate.ts";
import { policyState } from "../../../policy/state.ts";

const v3 = (kind: string, name: string, spec: object, metadata: object = {}): object => ({
  apiVersion: "projectcalico.org/v3",
  kind,
  metadata: { name, ...metadata },
  spec,
});
const core = (kind: string, metadata: object, rest: object = {}): object => ({
  apiVersion: "v1",
  kind,
  metadata,
  ...rest,
});
const pod = (name: string, podIP: string | undefined, spec: object = {}, labels: object = {}): object =>
  core("Pod", { name, namespace: "shop", labels }, { spec, ...(podIP && { status: { podIP } }) });

function stateOf(documents: readonly unknown[]) {
  const result = policyState(documents);
  assert.deepEqual(result.problems, []);
  return result;
}

function problemsOf(documents: readonly unknown[]): string[] {
  return policyState(documents).problems.map(
    ({ document, kind, path, message }) => `${document} ${kind} ${pathText(path)}: ${message}`,
  );
}

describe("policy/state", () => {
  describe("pods", () => {
    it("are endpoints with the labels and profiles that Kubernetes mode gives them", () => {
      const { state, origins } = stateOf([
        core("Namespace", { name: "shop", labels: { team: "a" } }),
        core("ServiceAccount", { name: "robot", namespace: "shop", labels: { kind: "machine" } }),
        pod(
          "web",
          "10.0.0.1",
          {
            nodeName: "n1",
            serviceAccountName: "robot",
            initContainers: [{ ports: [{ name: "early", containerPort: 1 }] }],
            containers: [
              {
                ports: [
                  { name: "http", containerPort: 80 },
                  { containerPort: 53, protocol: "UDP" },
                ],
              },
            ],
          },
          { app: "web", "pcns.team": "forged" },
        ),
      ]);
      const [web] = state.endpoints;
      assert.deepEqual(web, {
        id: "shop/web",
        node: "n1",
        labels: {
          app: "web",
          "projectcalico.org/namespace": "shop",
          "projectcalico.org/orchestrator": "k8s",
          "projectcalico.org/serviceaccount": "robot",
        },
        profiles: ["kns.shop", "ksa.shop.robot"],
        addresses: ["10.0.0.1"],
        ports: [
          { name: "early", protocol: "TCP", port: 1 },
          { name: "http", protocol: "TCP", port: 80 },
          { protocol: "UDP", port: 53 },
        ],
        allowedSources: [],
        floatingIps: [],
      });
      const labels = Object.assign({}, ...state.profiles.map(profile => profile.labelsToApply));
      assert.deepEqual(labels, {
        "pcns.team": "a",
        "pcns.kubernetes.io/metadata.name": "shop",
        "pcns.projectcalico.org/name": "shop",
        "pcsa.kind": "machine",
        "pcsa.projectcalico.org/name": "robot",
      });
      const origin = origins.endpoints.get("shop/web")!;
      assert.equal(origin.document, 2);
      assert.equal(origin.resource.metadata.name, "n1-k8s-web-eth0");
    });

    it("need neither namespace nor account nor address to be written down", () => {
      const { state } = stateOf([pod("a", undefined), pod("b", undefined)]);
      const [a, b] = state.endpoints.map(endpoint => endpoint.addresses[0]!);
      assert.match(a!, /^24\d\./);
      assert.notEqual(a, b);
      assert.equal(
        new PolicyEvaluator(state).verdict({ source: a!, destination: b!, protocol: 6 }).verdict,
        "allow",
      );
      const again = stateOf([pod("b", undefined), pod("c", undefined), pod("a", undefined)]);
      assert.equal(again.state.endpoints[2]!.addresses[0], a, "the same one in another company");
    });

    it("on the host's network are the host, and finished ones nothing", () => {
      const hostPod = (name: string, more: object) =>
        core("Pod", { name, namespace: "shop" }, { spec: { hostNetwork: true, nodeName: "n1" }, ...more });
      const { state, hostPods } = stateOf([
        core(
          "Node",
          { name: "n1" },
          {
            status: {
              addresses: [
                { type: "InternalIP", address: "10.1.0.1" },
                { type: "Hostname", address: "n1" },
              ],
            },
          },
        ),
        hostPod("agent", { status: { podIP: "10.1.0.1" } }),
        hostPod("proxy", {}),
        core("Pod", { name: "job" }, { status: { phase: "Succeeded", podIP: "10.0.0.9" } }),
      ]);
      assert.deepEqual(state.endpoints, []);
      assert.deepEqual(state.hosts, [{ name: "n1", addresses: ["10.1.0.1"] }]);
      assert.deepEqual(
        hostPods.map(one => [one.name, one.node, one.addresses]),
        [
          ["agent", "n1", ["10.1.0.1"]],
          ["proxy", "n1", ["10.1.0.1"]],
        ],
      );
    });

    it("say what their annotations mean for policy", () => {
      const annotations = {
        "cni.projectcalico.org/floatingIPs": '["203.0.113.1","2001:db8::1"]',
        "cni.projectcalico.org/allowedSourcePrefixes": '["192.0.2.0/24"]',
      };
      const { state } = stateOf([core("Pod", { name: "a", annotations }, { status: { podIP: "10.0.0.1" } })]);
      assert.deepEqual(state.endpoints[0]!.floatingIps, [{ internal: "10.0.0.1", external: "203.0.113.1" }]);
      assert.deepEqual(state.endpoints[0]!.allowedSources, ["192.0.2.0/24"]);
      const wrong = { "cni.projectcalico.org/floatingIPs": "203.0.113.1" };
      assert.deepEqual(problemsOf([core("Pod", { name: "a", annotations: wrong })]), [
        '0 invalid metadata.annotations["cni.projectcalico.org/floatingIPs"]: "203.0.113.1" is wrong',
      ]);
    });
  });

  describe("services", () => {
    const slice = (name: string, addresses: string[], port = 8080): object => ({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { namespace: "shop", name, labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      endpoints: [{ addresses, conditions: { ready: false } }],
      ports: [{ name: "http", port, protocol: "TCP" }],
    });

    it("are what their slices list, ready or not", () => {
      const { state } = stateOf([slice("web-1", ["10.0.0.1", "10.0.0.2"]), slice("web-2", ["10.0.0.3"], 81)]);
      assert.deepEqual(state.services?.get("shop/web"), [
        { address: "10.0.0.1", protocol: "TCP", port: 8080 },
        { address: "10.0.0.2", protocol: "TCP", port: 8080 },
        { address: "10.0.0.3", protocol: "TCP", port: 81 },
      ]);
    });

    it("are the pods they select where nobody lists their endpoints", () => {
      const service = core(
        "Service",
        { name: "web", namespace: "shop" },
        { spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: "http" }, { port: 9 }] } },
      );
      const spec = { containers: [{ ports: [{ name: "http", containerPort: 8080 }] }] };
      const pods = [pod("a", "10.0.0.1", spec, { app: "web" }), pod("b", "10.0.0.2", spec, { app: "db" })];
      assert.deepEqual(stateOf([service, ...pods]).state.services?.get("shop/web"), [
        { address: "10.0.0.1", protocol: "TCP", port: 8080 },
        { address: "10.0.0.1", protocol: "TCP", port: 9 },
      ]);
      assert.equal(
        stateOf([service, ...pods, slice("s", ["10.0.0.7"])]).state.services?.get("shop/web")?.length,
        1,
      );
    });
  });

  it("takes Calico's own resources, of both versions, as an agent would", () => {
    const { state, origins } = stateOf([
      v3("NetworkPolicy", "p", { selector: "all()" }),
      { apiVersion: "v1", kind: "policy", metadata: { name: "old" }, spec: { selector: "all()" } },
      v3("WorkloadEndpoint", "", {
        orchestrator: "libnetwork",
        node: "h1",
        endpoint: "e1",
        ipNetworks: ["10.0.0.1/32"],
        interfaceName: "cali1",
      }),
      v3("WorkloadEndpoint", "", { orchestrator: "libnetwork", node: "h1", endpoint: "e2" }),
      v3(
        "NetworkSet",
        "s",
        { nets: ["10.9.0.0/16"] },
        { namespace: "shop", labels: { "pcns.team": "x", own: "y" } },
      ),
      v3("Node", "h1", {
        bgp: { ipv4Address: "10.1.0.1/24" },
        ipv4VXLANTunnelAddr: "10.65.0.1",
        addresses: [{ address: "10.1.0.1" }],
      }),
      v3("BGPPeer", "peer", { peerIP: "10.1.0.9", asNumber: 64512 }),
    ]);
    assert.deepEqual([...origins.policies.keys()], ["np/default/p", "gnp/old"]);
    assert.deepEqual(
      state.endpoints.map(endpoint => endpoint.id),
      ["default/h1-libnetwork-libnetwork-e1"],
    );
    assert.deepEqual(state.networkSets, [
      {
        labels: { own: "y", "projectcalico.org/namespace": "shop" },
        profiles: ["kns.shop"],
        nets: ["10.9.0.0/16"],
      },
    ]);
    assert.deepEqual(state.hosts, [{ name: "h1", addresses: ["10.1.0.1", "10.65.0.1"] }]);
    assert.deepEqual(
      state.tiers!.map(tier => tier.name),
      ["kube-admin", "default", "kube-baseline"],
    );
    assert(state.profiles.some(profile => profile.name === "projectcalico-default-allow"));
  });

  it("says which document is wrong, where, and what is not understood", () => {
    assert.deepEqual(
      problemsOf([
        "text",
        { kind: "Pod" },
        core("ConfigMap", { name: "c" }),
        core("Pod", { labels: { a: 1 } }),
        v3("NetworkPolicy", "p", { selector: "a ==" }),
        v3("NetworkPolicy", "q", { ingress: [{ action: "Allow", colour: "red" }] }),
        {
          apiVersion: "networking.k8s.io/v1",
          kind: "NetworkPolicy",
          metadata: { name: "k" },
          spec: { podSelector: 7 },
        },
        {
          apiVersion: "policy.networking.k8s.io/v1alpha2",
          kind: "ClusterNetworkPolicy",
          metadata: {},
          spec: {},
        },
        { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" } },
        core("Namespace", { name: "My Shop" }),
      ]).map(text => text.split(": ")[0]),
      [
        "0 invalid ",
        "1 invalid apiVersion",
        "2 unknown-kind kind",
        "3 invalid metadata.name",
        "3 invalid metadata.labels.a",
        "4 invalid spec.selector",
        "5 invalid spec.ingress[0].colour",
        "6 invalid spec.podSelector",
        "7 invalid metadata.name",
        "7 invalid spec.tier",
        "7 invalid spec.priority",
        "7 invalid spec.subject",
        "8 unknown-kind kind",
        "9 invalid metadata.name",
      ],
    );
  });

  it("opens nothing by rules on requests, and says so", () => {
    const rule = { action: "Allow", http: { methods: ["GET"] } };
    const policy = v3("NetworkPolicy", "p", { selector: "all()", ingress: [rule] }, { namespace: "shop" });
    const documents = [policy, pod("a", "10.0.0.1"), pod("b", "10.0.0.2")];
    const { state } = policyState(documents);
    const packet = { source: ip("10.0.0.1"), destination: ip("10.0.0.2"), protocol: 6, destinationPort: 80 };
    assert.equal(new PolicyEvaluator(state).verdict(packet).verdict, "deny");
    assert.deepEqual(problemsOf(documents), [
      "0 left-out spec.ingress[0].http: requests are not looked into: the rule matches nothing",
    ]);
  });

  it("keeps what a newer version stored, where it is told to", () => {
    const newer = v3("NetworkPolicy", "p", { selector: "all()", colour: "red" });
    assert.deepEqual(policyState([newer]).state.policies, []);
    const { state, problems } = policyState([newer], { unknownFields: "keep" });
    assert.deepEqual([state.policies.length, problems.length], [1, 0]);
  });

  it("takes the later one of what is given twice, and says so", () => {
    const first = v3("NetworkPolicy", "p", { selector: "all()", order: 1 });
    const { state, problems } = policyState([
      first,
      v3("NetworkPolicy", "p", { selector: "all()", order: 2 }),
    ]);
    assert.deepEqual(
      state.policies.map(policy => policy.order),
      [2],
    );
    assert.deepEqual(
      problems.map(({ document, kind }) => [document, kind]),
      [[0, "left-out"]],
    );
  });

  it("means a node's addresses where the cluster's policies mean nodes", () => {
    const clusterPolicy = {
      apiVersion: "policy.networking.k8s.io/v1alpha2",
      kind: "ClusterNetworkPolicy",
      metadata: { name: "p" },
      spec: {
        tier: "Admin",
        priority: 1,
        subject: { namespaces: {} },
        egress: [{ action: "Deny", to: [{ nodes: { matchLabels: { os: "linux" } } }] }],
      },
    };
    const node = (name: string, os: string, address: string) =>
      core("Node", { name, labels: { os } }, { status: { addresses: [{ type: "InternalIP", address }] } });
    const { state } = stateOf([
      clusterPolicy,
      node("n1", "linux", "10.1.0.1"),
      node("n2", "windows", "10.1.0.2"),
      pod("forger", "10.0.0.1", {}, { "pcnode.os": "linux", "pcnode.projectcalico.org/name": "n1" }),
      pod("a", "10.0.0.2"),
    ]);
    const evaluator = new PolicyEvaluator(state);
    const to = (destination: string) =>
      evaluator.verdict({ source: ip("10.0.0.2"), destination: ip(destination), protocol: 6 }).verdict;
    assert.deepEqual([to("10.1.0.1"), to("10.1.0.2"), to("10.0.0.1")], ["deny", "allow", "allow"]);
  });
});
