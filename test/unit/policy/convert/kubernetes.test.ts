import assert from "node:assert/strict";
import { pathText, validateResource } from "../../../../crd-schemas/index.ts";
import { convertNetworkPolicy, type KubernetesNetworkPolicy } from "../../../../policy/convert/kubernetes.ts";
import { convertNamespace } from "../../../../policy/convert/kubernetes-namespaces.ts";
import { selectorProblem } from "../../../../policy/selector/index.ts";

function convert(spec: KubernetesNetworkPolicy["spec"]) {
  const { policy, problems } = convertNetworkPolicy({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "p", namespace: "ns1" },
    spec,
  });
  assert.deepEqual(validateResource(policy, { parseSelector: selectorProblem }).problems ?? [], []);
  return { policy, problems: problems.map(({ path }) => pathText(path)) };
}

describe("policy/convert/kubernetes", () => {
  it("denies by applying, and nothing else", () => {
    const { policy } = convert({ podSelector: {} });
    assert.deepEqual(policy, {
      apiVersion: "projectcalico.org/v3",
      kind: "NetworkPolicy",
      metadata: { name: "knp.default.p", namespace: "ns1" },
      spec: {
        tier: "default",
        order: 1000,
        selector: 'projectcalico.org/orchestrator == "k8s"',
        types: ["Ingress"],
      },
    });
  });

  it("translates label selectors, labels in order of their keys", () => {
    const { policy } = convert({
      podSelector: {
        matchLabels: { b: "2", a: "1" },
        matchExpressions: [
          { key: "c", operator: "In", values: ["y", "x"] },
          { key: "d", operator: "NotIn", values: ["z"] },
          { key: "e", operator: "Exists" },
          { key: "f", operator: "DoesNotExist" },
        ],
      },
    });
    assert.equal(
      policy.spec.selector,
      'projectcalico.org/orchestrator == "k8s" && a == "1" && b == "2" && c in {"x", "y"} && d not in {"z"} && has(e) && !has(f)',
    );
  });

  it("makes one rule of each protocol and peer, with the ports of the protocol as ranges", () => {
    const { policy } = convert({
      policyTypes: ["Egress"],
      egress: [
        {
          to: [
            { podSelector: { matchLabels: { a: "1" } } },
            { ipBlock: { cidr: "10.1.2.3/8", except: ["10.1.0.0/16"] } },
          ],
          ports: [
            { port: 81 },
            { protocol: "UDP" },
            { port: 80, endPort: 80 },
            { port: "http" },
            { protocol: "UDP", port: 53 },
          ],
        },
      ],
    });
    const selector = 'projectcalico.org/orchestrator == "k8s" && a == "1"';
    const block = { nets: ["10.0.0.0/8"], notNets: ["10.1.0.0/16"] };
    assert.deepEqual(policy.spec.egress, [
      { action: "Allow", protocol: "TCP", destination: { selector, ports: ["80:81", "http"] } },
      { action: "Allow", protocol: "TCP", destination: { ...block, ports: ["80:81", "http"] } },
      { action: "Allow", protocol: "UDP", destination: { selector } },
      { action: "Allow", protocol: "UDP", destination: block },
    ]);
  });

  it("takes an empty namespace selector for any namespace, and no peers for anybody", () => {
    const { policy } = convert({ ingress: [{ from: [{ namespaceSelector: {} }] }, { from: [] }, {}] });
    assert.deepEqual(policy.spec.ingress, [
      {
        action: "Allow",
        source: { selector: 'projectcalico.org/orchestrator == "k8s"', namespaceSelector: "all()" },
      },
      { action: "Allow" },
      { action: "Allow" },
    ]);
  });

  it("leaves out what it cannot convert, opening nothing by it", () => {
    const { policy, problems } = convert({
      ingress: [
        {
          from: [
            {},
            { ipBlock: { cidr: "10.0.0.0/99" } },
            { ipBlock: { cidr: "10.0.0.0/8", except: ["x"] } },
          ],
        },
        { ports: [{ port: 70000 }, { port: "http", endPort: 90 }] },
      ],
    });
    assert.equal(policy.spec.ingress, undefined);
    assert.deepEqual(problems, [
      "spec.ingress[0].from[0]",
      "spec.ingress[0].from[1].ipBlock.cidr",
      "spec.ingress[0].from[2].ipBlock.except[0]",
      "spec.ingress[1].ports[0].port",
      "spec.ingress[1].ports[1].port",
    ]);
  });

  it("gives pods the labels of their namespace through its profile", () => {
    const profile = convertNamespace({ metadata: { name: "x", labels: { team: "a" } } });
    assert.equal(profile.metadata.name, "kns.x");
    assert.deepEqual(profile.spec.labelsToApply, { "pcns.team": "a", "pcns.projectcalico.org/name": "x" });
  });
});
