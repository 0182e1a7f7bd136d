import assert from "node:assert/strict";
import { parse } from "yaml";
import { pathText, type Resource, validateResource } from "../../../../crd-schemas/index.ts";
import { ip } from "../../../../net/ip.ts";
import { convertV1, isV1Document } from "../../../../policy/convert/v1.ts";
import {
  v1Name,
  v1NodeName,
  v1PeerName,
  v1PolicyName,
  v1PoolName,
  v1ProfileName,
} from "../../../../policy/convert/v1-names.ts";
import { selectorProblem } from "../../../../policy/selector/index.ts";

/** Converted, and checked to be a resource that validation accepts. */
function converted(yaml: string): Resource {
  const result = convertV1(parse(yaml));
  assert.deepEqual(result.problems ?? [], []);
  const validation = validateResource(result.resource, { parseSelector: selectorProblem });
  assert.deepEqual(validation.problems ?? [], []);
  return result.resource!;
}

function problems(yaml: string): string[] {
  const result = convertV1(parse(yaml));
  assert(result.problems, "converted");
  return result.problems.map(({ path, message }) => `${pathText(path)}: ${message}`);
}

/** The rule of a profile with this one rule. */
function rule(yaml: string): unknown {
  const profile = converted(
    `{apiVersion: v1, kind: profile, metadata: {name: p}, spec: {ingress: [${yaml}]}}`,
  );
  assert(profile.kind === "Profile");
  return profile.spec.ingress![0];
}

describe("policy/convert/v1", () => {
  describe("names", () => {
    it("become DNS names, with a hash where they change", () => {
      assert.equal(v1Name("cal_net1"), "cal-net1-4e742f11");
      assert.equal(v1Name("cal_net2"), "cal-net2-6e2a7d8f");
      assert.equal(v1Name("Web/Front_1"), "web.front-1-54bc9570");
      assert.equal(v1Name("web"), "web");
      assert.equal(v1Name("a.-.b"), `a.b-${v1Name("a.-.b").slice(-8)}`);
      assert.match(v1Name("___"), /^[0-9a-f]{8}$/);
    });

    it("have no dots in policies, no hash in nodes, and follow Kubernetes in namespace profiles", () => {
      assert.match(v1PolicyName("a.b"), /^a-b-[0-9a-f]{8}$/);
      assert.equal(v1NodeName("Node_1"), "node-1");
      assert.equal(v1ProfileName("k8s_ns.default"), "kns.default");
      assert.equal(v1ProfileName("cal_web"), v1Name("cal_web"));
    });

    it("spell pools and peers by their addresses", () => {
      assert.equal(v1PoolName("10.65.0.0/16"), "10-65-0-0-16");
      assert.equal(v1PoolName("fd00::/64"), "fd00---64");
      assert.equal(v1PeerName(ip("10.0.0.1")), "10-0-0-1");
      assert.equal(v1PeerName(ip("fd00::1")), "fd00-0000-0000-0000-0000-0000-0000-0001");
    });
  });

  describe("profile", () => {
    it("opens a port of a network to the members of another", () => {
      const profile = converted(`
        apiVersion: v1
        kind: profile
        metadata:
          name: cal_web
        spec:
          ingress:
            - action: allow
              protocol: tcp
              source:
                tag: cal_net2
              destination:
                ports:
                  - 80`);
      assert.deepEqual(profile, {
        apiVersion: "projectcalico.org/v3",
        kind: "Profile",
        metadata: { name: v1Name("cal_web") },
        spec: {
          labelsToApply: { cal_web: "" },
          ingress: [
            {
              action: "Allow",
              protocol: "TCP",
              source: { selector: "cal_net2 == ''" },
              destination: { ports: [80] },
            },
          ],
        },
      });
    });

    function labels(metadata: string): unknown {
      const profile = converted(`{apiVersion: v1, kind: profile, metadata: ${metadata}, spec: {}}`);
      assert(profile.kind === "Profile");
      return profile.spec.labelsToApply;
    }

    it("keeps the tag of its own name unless the document says which tags it has", () => {
      assert.deepEqual(labels("{name: cal_web}"), { cal_web: "" });
      assert.deepEqual(labels("{name: cal_web, labels: {role: web}}"), { cal_web: "", role: "web" });
      assert.deepEqual(labels("{name: cal_web, labels: {cal_web: own}}"), { cal_web: "own" });
      assert.deepEqual(labels("{name: cal_web, tags: [a, b]}"), { a: "", b: "" });
      assert.equal(labels("{name: cal_web, tags: []}"), undefined);
      assert.equal(labels("{name: k8s_ns.default}"), undefined);
    });

    it("refuses a tag that is a label too", () => {
      assert.deepEqual(
        problems("{apiVersion: v1, kind: profile, metadata: {name: p, tags: [a], labels: {a: x}}}"),
        ['metadata.tags[0]: there is a label "a" too'],
      );
    });
  });

  describe("rules", () => {
    it("join tags to selectors, excluding what either negated one matches", () => {
      assert.deepEqual(
        rule("{source: {tag: t, selector: \"a == 'x' || b == 'y'\", notTag: u, notSelector: has(c)}}"),
        {
          action: "Allow",
          source: { selector: "(a == 'x' || b == 'y') && t == ''", notSelector: "(has(c)) || u == ''" },
        },
      );
    });

    it("join nets, masking host bits", () => {
      assert.deepEqual(
        rule(
          "{action: deny, source: {net: 10.1.2.3/8, nets: [192.168.0.1]}, destination: {notNets: ['172.16.5.1/12']}}",
        ),
        {
          action: "Deny",
          source: { nets: ["10.0.0.0/8", "192.168.0.1/32"] },
          destination: { notNets: ["172.16.0.0/12"] },
        },
      );
    });

    it("take every spelling of actions, protocols and ports", () => {
      assert.deepEqual(
        rule("{action: next-tier, protocol: 17, destination: {ports: ['53', '100:200', 80]}}"),
        {
          action: "Pass",
          protocol: 17,
          destination: { ports: [53, "100:200", 80] },
        },
      );
      assert.deepEqual(rule("{action: LOG, protocol: icmp, icmp: {type: 8, code: 0}}"), {
        action: "Log",
        protocol: "ICMP",
        icmp: { type: 8, code: 0 },
      });
      assert.deepEqual(rule("{notProtocol: udplite, source: null}"), {
        action: "Allow",
        notProtocol: "UDPLite",
      });
    });

    it("follow the namespace label to its new name", () => {
      assert.deepEqual(rule("{source: {selector: \"calico/k8s_ns == 'default'\"}}"), {
        action: "Allow",
        source: { selector: "projectcalico.org/namespace == 'default'" },
      });
    });

    it("report each problem at its place", () => {
      const rules = `[{action: permit, source: {tag: 'a b', nets: [10.0.0.0/33], port: 80}},
        {protocol: tpc, destination: {ports: [0, 99999], selector: 'a ='}}]`;
      assert.deepEqual(
        problems(`{apiVersion: v1, kind: profile, metadata: {name: p}, spec: {ingress: ${rules}}}`),
        [
          'spec.ingress[0].action: "permit" is wrong',
          'spec.ingress[0].source.tag: "a b" is no tag',
          'spec.ingress[0].source.nets[0]: "10.0.0.0/33" is wrong',
          "spec.ingress[0].source.port: unknown field",
          'spec.ingress[1].protocol: "tpc" is wrong',
          'spec.ingress[1].destination.selector: selector "a =": expected an operator (==, !=, in, not in, contains, starts with, ends with) at offset 2, found "="',
          "spec.ingress[1].destination.ports[0]: 0 is wrong",
          "spec.ingress[1].destination.ports[1]: 99999 is wrong",
        ],
      );
    });
  });

  describe("policy", () => {
    it("becomes a GlobalNetworkPolicy with its types spelt out", () => {
      assert.deepEqual(
        converted(`{apiVersion: v1, kind: Policy, metadata: {name: allow.web, annotations: {who: me}},
          spec: {order: 10, selector: "role == 'web'", ingress: [{action: allow}], egress: [{action: deny}]}}`),
        {
          apiVersion: "projectcalico.org/v3",
          kind: "GlobalNetworkPolicy",
          metadata: { name: v1PolicyName("allow.web"), annotations: { who: "me" } },
          spec: {
            order: 10,
            selector: "role == 'web'",
            types: ["Ingress", "Egress"],
            ingress: [{ action: "Allow" }],
            egress: [{ action: "Deny" }],
          },
        },
      );
    });

    it("applies to forwarded traffic where it acts before connection tracking or DNAT", () => {
      const policy = converted(
        "{apiVersion: v1, kind: policy, metadata: {name: p}, spec: {selector: all(), preDNAT: true, ingress: []}}",
      );
      assert(policy.kind === "GlobalNetworkPolicy");
      assert.deepEqual(policy.spec, {
        selector: "all()",
        types: ["Ingress"],
        preDNAT: true,
        applyOnForward: true,
      });
    });

    it("must say whom it applies to", () => {
      assert.deepEqual(problems("{apiVersion: v1, kind: policy, metadata: {name: p}}"), [
        "spec.selector: is missing",
      ]);
    });
  });

  it("converts pools", () => {
    const pool = converted(`{apiVersion: v1, kind: ipPool, metadata: {cidr: 17.2.0.0/16},
      spec: {ipip: {enabled: true, mode: cross-subnet}, nat-outgoing: true}}`);
    assert.deepEqual(pool.metadata, { name: "17-2-0-0-16" });
    assert(pool.kind === "IPPool");
    assert.deepEqual(
      {
        cidr: pool.spec.cidr,
        ipip: pool.spec.ipipMode,
        nat: pool.spec.natOutgoing,
        size: pool.spec.blockSize,
      },
      { cidr: "17.2.0.0/16", ipip: "CrossSubnet", nat: true, size: 26 },
    );
    const v6 = converted("{apiVersion: v1, kind: ippools, metadata: {cidr: 'fd00::/64'}}");
    assert(v6.kind === "IPPool");
    assert.deepEqual([v6.spec.ipipMode, v6.spec.blockSize, v6.spec.disabled], ["Never", 122, false]);
  });

  it("converts peers", () => {
    const peer =
      converted(`{apiVersion: v1, kind: bgpPeer, metadata: {scope: node, node: Rack1, peerIP: 10.0.0.1},
      spec: {asNumber: "64512.1"}}`);
    assert.deepEqual(peer.metadata, { name: "rack1.10-0-0-1" });
    assert.deepEqual(peer.spec, { node: "rack1", peerIP: "10.0.0.1", asNumber: 64512 * 65536 + 1 });
    assert.deepEqual(
      problems("{apiVersion: v1, kind: bgpPeer, metadata: {scope: node, peerIP: x}, spec: {asNumber: -1}}"),
      ['metadata.peerIP: "x" is wrong', "metadata.node: is missing", "spec.asNumber: -1 is wrong"],
    );
  });

  it("converts endpoints and nodes", () => {
    const host =
      converted(`{apiVersion: v1, kind: hostEndpoint, metadata: {name: eth0, node: H1, labels: {a: b}},
      spec: {interfaceName: eth0, expectedIPs: [10.0.0.1], profiles: [cal_net1]}}`);
    assert.deepEqual(host.metadata, { name: v1Name("H1.eth0"), labels: { a: "b" } });
    assert.deepEqual(host.spec, {
      node: "h1",
      interfaceName: "eth0",
      expectedIPs: ["10.0.0.1"],
      profiles: ["cal-net1-4e742f11"],
    });
    const workload = converted(`{apiVersion: v1, kind: workloadEndpoint,
      metadata: {name: eth0, workload: default.my-pod, orchestrator: k8s, node: node-1, labels: {calico/k8s_ns: default}},
      spec: {ipNetworks: [10.65.0.2], profiles: [k8s_ns.default], interfaceName: cali1, mac: "ee:ee:ee:ee:ee:ee"}}`);
    assert.equal(workload.metadata.name, "node--1-k8s-my--pod-eth0");
    assert.equal(workload.metadata.namespace, "default");
    assert(workload.kind === "WorkloadEndpoint");
    assert.deepEqual(workload.spec.profiles, ["kns.default"]);
    const node = converted(
      "{apiVersion: v1, kind: node, metadata: {name: host1}, spec: {bgp: {asNumber: 64512, ipv4Address: 10.0.0.1/24}}}",
    );
    assert.deepEqual(node.spec, { bgp: { asNumber: 64512, ipv4Address: "10.0.0.1/24" } });
  });

  it("answers what is no v1 document", () => {
    assert.equal(isV1Document({ apiVersion: "projectcalico.org/v3", kind: "Profile" }), false);
    assert.equal(isV1Document(undefined), false);
    assert.deepEqual(problems("{apiVersion: v1, kind: constructor}"), [
      'kind: there is no v1 kind "constructor"',
    ]);
    assert.deepEqual(problems("{apiVersion: v1, kind: profile, metadata: [], spec: 3, status: {}}"), [
      "metadata: [] is no mapping",
      "spec: 3 is no mapping",
      "metadata.name: is missing",
      "status: unknown field",
    ]);
  });
});
