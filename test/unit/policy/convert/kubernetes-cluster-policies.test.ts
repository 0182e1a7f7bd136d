import assert from "node:assert/strict";
import fc from "fast-check";
import { pathText, validateResource } from "../../../../crd-schemas/index.ts";
import {
  type ClusterPolicyKind,
  convertClusterPolicy,
} from "../../../../policy/convert/kubernetes-cluster-policies.ts";
import { selectorProblem } from "../../../../policy/selector/index.ts";

const SUBJECT = { namespaces: { matchLabels: { team: "a" } } };
const EVERYWHERE = { namespaces: {} };

function convert(kind: ClusterPolicyKind, spec: unknown) {
  const { policy, problems, ...rest } = convertClusterPolicy(kind, { metadata: { name: "p" }, spec });
  if (policy)
    assert.deepEqual(validateResource(policy, { parseSelector: selectorProblem }).problems ?? [], []);
  const origins = "origins" in rest ? rest.origins : undefined;
  return { policy, origins, problems: problems.map(({ path, message }) => `${pathText(path)}: ${message}`) };
}

/** The rules of one ingress rule of a ClusterNetworkPolicy. */
function ingressRules(rule: object) {
  const { policy, problems } = convert("ClusterNetworkPolicy", {
    tier: "Admin",
    priority: 1,
    subject: SUBJECT,
    ingress: [rule],
  });
  return { rules: policy?.spec.ingress ?? [], problems };
}

function egressRules(rule: object, kind: ClusterPolicyKind = "ClusterNetworkPolicy") {
  const place = kind === "ClusterNetworkPolicy" ? { tier: "Admin", priority: 1 } : { priority: 1 };
  const { policy, problems } = convert(kind, { ...place, subject: SUBJECT, egress: [rule] });
  return { rules: policy?.spec.egress ?? [], problems };
}

describe("policy/convert/kubernetes-cluster-policies", () => {
  it("stand in the tier they name, in order of their priority, and apply to pods only", () => {
    const { policy } = convert("ClusterNetworkPolicy", {
      tier: "Baseline",
      priority: 7,
      subject: {
        pods: {
          namespaceSelector: { matchLabels: { team: "a" } },
          podSelector: { matchLabels: { app: "x" } },
        },
      },
      ingress: [{ name: "everybody", action: "Accept", from: [EVERYWHERE] }],
    });
    assert.deepEqual(policy, {
      apiVersion: "projectcalico.org/v3",
      kind: "GlobalNetworkPolicy",
      metadata: { name: "kcnp.p" },
      spec: {
        tier: "kube-baseline",
        order: 7,
        namespaceSelector: 'team == "a"',
        selector: 'projectcalico.org/orchestrator == "k8s" && app == "x"',
        types: ["Ingress"],
        ingress: [
          {
            action: "Allow",
            source: { namespaceSelector: "all()", selector: 'projectcalico.org/orchestrator == "k8s"' },
            metadata: { annotations: { name: "everybody" } },
          },
        ],
      },
    });
  });

  it("are the older kinds too", () => {
    const rules = { egress: [{ action: "Allow", to: [EVERYWHERE] }] };
    const admin = convert("AdminNetworkPolicy", { priority: 5, subject: SUBJECT, ...rules }).policy!;
    assert.deepEqual([admin.metadata.name, admin.spec.tier, admin.spec.order], ["kanp.p", "kube-admin", 5]);
    assert.deepEqual(admin.spec.types, ["Egress"]);
    const baseline = convert("BaselineAdminNetworkPolicy", { subject: SUBJECT, ...rules }).policy!;
    assert.deepEqual(
      [baseline.metadata.name, baseline.spec.tier, baseline.spec.order],
      ["kbanp.p", "kube-baseline", 1000],
    );
  });

  it("make one rule of each protocol and peer, in the order of their rules", () => {
    const { rules, problems } = egressRules({
      action: "Deny",
      to: [
        { networks: ["10.0.0.0/8", "fd00::/8", "192.168.0.0/16"] },
        { pods: { namespaceSelector: {}, podSelector: {} } },
      ],
      protocols: [
        { tcp: { destinationPort: { number: 81 } } },
        { tcp: { destinationPort: { range: { start: 70, end: 80 } } } },
        { udp: {} },
        { destinationNamedPort: "web" },
      ],
    });
    assert.deepEqual(problems, []);
    const pods = { selector: 'projectcalico.org/orchestrator == "k8s"', namespaceSelector: "all()" };
    const peers = [{ nets: ["10.0.0.0/8", "192.168.0.0/16"] }, { nets: ["fd00::/8"] }, pods];
    assert.deepEqual(rules, [
      ...peers.map(destination => ({
        action: "Deny",
        protocol: "TCP",
        destination: { ...destination, ports: ["70:81"] },
      })),
      ...peers.map(destination => ({ action: "Deny", protocol: "UDP", destination })),
      ...peers.map(destination => ({ action: "Deny", destination: { ...destination, ports: ["web"] } })),
    ]);
  });

  it("know where each rule came from", () => {
    const { origins } = convert("AdminNetworkPolicy", {
      priority: 5,
      subject: SUBJECT,
      ingress: [
        { action: "Allow", from: [EVERYWHERE, { namespaces: { matchLabels: { a: "b" } } }] },
        { action: "Pass", from: [EVERYWHERE] },
      ],
    });
    assert.deepEqual(origins?.ingress.map(pathText), [
      "spec.ingress[0]",
      "spec.ingress[0]",
      "spec.ingress[1]",
    ]);
  });

  it("read ports as the older kinds write them", () => {
    const { rules } = egressRules(
      {
        action: "Pass",
        to: [{ nodes: { matchExpressions: [{ key: "os", operator: "In", values: ["linux"] }] } }],
        ports: [
          { portNumber: { port: 80 } },
          { portRange: { protocol: "SCTP", start: 1, end: 9 } },
          { namedPort: "dns" },
        ],
      },
      "AdminNetworkPolicy",
    );
    const nodes = {
      selector: 'has(pcnode.projectcalico.org/name) && pcnode.os in {"linux"}',
      namespaceSelector: "global()",
    };
    assert.deepEqual(rules, [
      { action: "Pass", protocol: "TCP", destination: { ...nodes, ports: [80] } },
      { action: "Pass", protocol: "SCTP", destination: { ...nodes, ports: ["1:9"] } },
      { action: "Pass", destination: { ...nodes, ports: ["dns"] } },
    ]);
  });

  describe("fail closed where a rule cannot be converted", () => {
    const UNCONVERTIBLE: [string, object][] = [
      ["no peers", { from: [] }],
      ["peers of no kind", { from: [{}] }],
      [
        "peers of two kinds",
        { from: [{ namespaces: {}, pods: { namespaceSelector: {}, podSelector: {} } }] },
      ],
      ["one bad peer of two", { from: [EVERYWHERE, { nodes: {} }] }],
      ["an unknown protocol", { from: [EVERYWHERE], protocols: [{ icmp: {} }] }],
      ["an empty protocol", { from: [EVERYWHERE], protocols: [{}] }],
      ["two protocols in one", { from: [EVERYWHERE], protocols: [{ tcp: {}, udp: {} }] }],
      [
        "a port that is none",
        { from: [EVERYWHERE], protocols: [{ tcp: { destinationPort: { number: 0 } } }] },
      ],
      [
        "a range that is none",
        { from: [EVERYWHERE], protocols: [{ tcp: { destinationPort: { range: { start: 2, end: 1 } } } }] },
      ],
      [
        "a selector that is none",
        { from: [{ namespaces: { matchExpressions: [{ key: "a", operator: "In" }] } }] },
      ],
      ["an unknown field", { from: [EVERYWHERE], except: [] }],
    ];
    for (const [name, rule] of UNCONVERTIBLE) {
      it(`with ${name}`, () => {
        const accept = ingressRules({ action: "Accept", ...rule });
        assert.deepEqual(accept.rules, []);
        assert(accept.problems.length > 0 && accept.problems.every(text => text.includes("left out")));
        for (const action of ["Deny", "Pass", "Allow", undefined, 7]) {
          const { rules, problems } = ingressRules({ action, ...rule });
          assert.deepEqual(rules, [{ action: "Deny" }]);
          assert(
            problems.every(text => text.startsWith("spec.ingress[0]") && text.includes("denies everything")),
          );
        }
      });
    }

    it("with peers by DNS name", () => {
      const { rules, problems } = egressRules({ action: "Accept", to: [{ domainNames: ["example.org"] }] });
      assert.deepEqual(rules, []);
      assert.match(problems[0]!, /domainNames.*not supported/);
    });
  });

  it("are refused where it is not clear to whom they apply, or when", () => {
    const good = { tier: "Admin", priority: 1, subject: SUBJECT };
    for (const [bad, where] of [
      [{ ...good, tier: "Other" }, "spec.tier"],
      [{ ...good, priority: 1001 }, "spec.priority"],
      [{ ...good, priority: undefined }, "spec.priority"],
      [{ ...good, subject: {} }, "spec.subject"],
      [{ ...good, subject: { namespaces: {}, pods: {} } }, "spec.subject"],
      [{ ...good, ingress: {} }, "spec.ingress"],
      [{ ...good, surprise: 1 }, "spec.surprise"],
      ["text", "spec"],
    ] as const) {
      const { policy, problems } = convert("ClusterNetworkPolicy", bad);
      assert.equal(policy, undefined);
      assert(
        problems.some(text => text.startsWith(where)),
        `${where}: ${problems.join("; ")}`,
      );
    }
  });

  it("never throws and never opens, whatever stands where the rules should", () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (rule, peers) => {
        const { policy } = convertClusterPolicy("ClusterNetworkPolicy", {
          metadata: { name: "p" },
          spec: {
            tier: "Admin",
            priority: 1,
            subject: SUBJECT,
            ingress: [rule, { action: "Deny", from: peers }],
          },
        });
        assert(policy?.spec.ingress?.every(({ action }) => action === "Deny"));
      }),
    );
  });
});
