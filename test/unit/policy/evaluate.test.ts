import assert from "node:assert/strict";
import { parse } from "yaml";
import type { GlobalNetworkPolicy, Rule } from "../../../crd-schemas/index.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { convertV1 } from "../../../policy/convert/v1.ts";
import { v1Name } from "../../../policy/convert/v1-names.ts";
import { type Packet, PolicyEvaluator, type PolicyState, type Reason } from "../../../policy/evaluate.ts";
import type { Policy, Profile, Tier } from "../../../policy/model.ts";
import { resolvePolicy, resolveProfile } from "../../../policy/resolve.ts";

function policy(name: string, spec: GlobalNetworkPolicy["spec"]): Policy {
  return resolvePolicy({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name },
    spec,
  });
}

function profile(name: string, ingress: Rule[], labelsToApply = {}): Profile {
  return resolveProfile({
    apiVersion: "projectcalico.org/v3",
    kind: "Profile",
    metadata: { name },
    spec: { ingress, egress: [{ action: "Allow" }], labelsToApply },
  });
}

function endpoint(id: string, address: string, profiles: string[], labels = {}) {
  return {
    id,
    addresses: [ip(address)],
    profiles,
    labels,
    ports: [{ name: "http", protocol: "TCP" as const, port: 80 }],
  };
}

function tcp(source: string, destination: string, destinationPort = 80): Packet {
  return { source: ip(source), destination: ip(destination), protocol: 6, destinationPort };
}

const OPEN = profile("open", [{ action: "Allow" }]);
const A = endpoint("a", "10.0.0.1", ["open"], { name: "a" });
const B = endpoint("b", "10.0.0.2", ["open"], { name: "b" });

/** What ingress of b decides about a packet from a, and why. */
function ingress(state: Partial<PolicyState>, packet = tcp("10.0.0.1", "10.0.0.2")): string[] {
  const evaluator = new PolicyEvaluator({ policies: [], profiles: [OPEN], endpoints: [A, B], ...state });
  const verdict = evaluator.verdict(packet).directions.find(one => one.direction === "ingress")!;
  return verdict.trace.map(({ action, reason }) => `${place(reason)} ${action}`);
}

function place(reason: Reason): string {
  switch (reason.kind) {
    case "policy":
      return `${reason.policy}#${reason.rule}`;
    case "tier-default":
      return `tier ${reason.tier}`;
    case "profile":
      return `profile ${reason.profile}#${reason.rule}`;
    default:
      return reason.kind.replaceAll("-", " ");
  }
}

describe("policy/evaluate", () => {
  it("asks profiles where no policy applies, in the endpoint's order", () => {
    assert.deepEqual(ingress({}), ["profile open#0 allow"]);
    const shut = profile("shut", [{ action: "Deny" }]);
    assert.deepEqual(
      ingress({ profiles: [OPEN, shut], endpoints: [endpoint("b", "10.0.0.2", ["shut", "open"])] }),
      ["profile shut#0 deny"],
    );
    assert.deepEqual(ingress({ endpoints: [endpoint("b", "10.0.0.2", ["unknown"])] }), ["no profile deny"]);
  });

  it("denies what no rule of an applying policy allows, and never reaches the profiles", () => {
    const policies = [
      policy("p", { selector: "name == 'b'", ingress: [{ action: "Allow", protocol: "UDP" }] }),
    ];
    assert.deepEqual(ingress({ policies }), ["tier default deny"]);
  });

  it("goes through policies by order, logging on the way", () => {
    const policies = [
      policy("late", { order: 20, ingress: [{ action: "Deny" }] }),
      policy("early", {
        order: 10,
        ingress: [{ action: "Deny", protocol: "UDP" }, { action: "Log" }, { action: "Allow" }],
      }),
    ];
    assert.deepEqual(ingress({ policies }), ["gnp/early#1 log", "gnp/early#2 allow"]);
  });

  it("goes from tier to tier by pass, explicit or by default, and ends in the profiles", () => {
    const tiers: Tier[] = [
      { name: "security", order: 10, defaultAction: "deny" },
      { name: "platform", order: 20, defaultAction: "pass" },
    ];
    const policies = [
      policy("app", { tier: "platform", ingress: [{ action: "Allow", protocol: "UDP" }] }),
      policy("sec", { tier: "security", ingress: [{ action: "Pass" }] }),
    ];
    assert.deepEqual(ingress({ tiers, policies }), [
      "gnp/sec#0 pass",
      "tier platform pass",
      "profile open#0 allow",
    ]);
  });

  it("takes a tier that does not exist last, and denies at its end", () => {
    const tiers: Tier[] = [{ name: "t", order: 10, defaultAction: "deny" }];
    const policies = [
      policy("stray", { tier: "gone", order: 1, ingress: [] }),
      policy("known", { tier: "t", ingress: [{ action: "Pass" }] }),
    ];
    assert.deepEqual(ingress({ tiers, policies }), ["gnp/known#0 pass", "tier gone deny"]);
  });

  it("leaves policies alone that are not for workloads or not for this direction", () => {
    const policies = [
      policy("raw", { doNotTrack: true, applyOnForward: true, ingress: [{ action: "Deny" }] }),
      policy("nat", { preDNAT: true, applyOnForward: true, ingress: [{ action: "Deny" }] }),
      policy("out", { types: ["Egress"], egress: [{ action: "Allow" }] }),
    ];
    assert.deepEqual(ingress({ policies }), ["profile open#0 allow"]);
  });

  it("asks egress first, and ingress only if that allows", () => {
    const evaluator = new PolicyEvaluator({
      policies: [policy("p", { selector: "name == 'a'", types: ["Egress"], egress: [] })],
      profiles: [OPEN],
      endpoints: [A, B],
    });
    const { verdict, directions } = evaluator.verdict(tcp("10.0.0.1", "10.0.0.2"));
    assert.equal(verdict, "deny");
    assert.deepEqual(
      directions.map(one => `${one.endpoint} ${one.direction}`),
      ["a egress"],
    );
    assert.deepEqual(evaluator.verdict(tcp("10.9.9.9", "10.8.8.8")), { verdict: "allow", directions: [] });
    assert.equal(evaluator.verdict(tcp("10.0.0.1", "10.0.0.1")).verdict, "allow");
  });

  describe("criteria", () => {
    function allowed(
      rule: Omit<Rule, "action">,
      packet?: Partial<Packet>,
      state: Partial<PolicyState> = {},
    ): boolean {
      const policies = [
        policy("p", { selector: "name == 'b'", types: ["Ingress"], ingress: [{ action: "Allow", ...rule }] }),
      ];
      return (
        ingress({ policies, ...state }, { ...tcp("10.0.0.1", "10.0.0.2"), ...packet })[0] === "gnp/p#0 allow"
      );
    }

    it("are all required, of a list one element", () => {
      assert(
        allowed({
          protocol: "TCP",
          source: { nets: ["10.0.0.0/31", "11.0.0.0/8"], notNets: ["10.0.0.0/32"] },
        }),
      );
      assert(!allowed({ protocol: "UDP", source: { nets: ["10.0.0.0/31"] } }));
      assert(!allowed({ source: { nets: ["10.0.0.0/31"], notNets: ["10.0.0.1/32"] } }));
      assert(
        allowed({ notProtocol: "UDP", ipVersion: 4 }) &&
          !allowed({ notProtocol: 6 }) &&
          !allowed({ ipVersion: 6 }),
      );
    });

    it("match ports by number, range or name", () => {
      assert(allowed({ protocol: "TCP", destination: { ports: [1, "79:81"] } }));
      assert(allowed({ protocol: "TCP", destination: { ports: [1, "http"] } }));
      assert(!allowed({ protocol: "TCP", destination: { ports: ["http"] } }, { destinationPort: 81 }));
      assert(!allowed({ protocol: "TCP", destination: { ports: ["http"], selector: "name == 'a'" } }));
      assert(!allowed({ protocol: "TCP", destination: { notPorts: ["http"] } }));
      assert(!allowed({ protocol: "TCP", source: { ports: ["1024:65535"] } }, { sourcePort: 80 }));
    });

    it("match ICMP by type and code", () => {
      const ping = { protocol: 1, icmp: { type: 8, code: 0 } };
      assert(allowed({ protocol: "ICMP", icmp: { type: 8 } }, ping));
      assert(!allowed({ protocol: "ICMP", icmp: { type: 8, code: 1 } }, ping));
      assert(!allowed({ protocol: "ICMP", notICMP: { type: 8 } }, ping));
      assert(!allowed({ protocol: "ICMP", icmp: { type: 8 } }));
    });

    it("select network sets as they select endpoints", () => {
      const networkSets = [{ labels: { name: "office" }, nets: [cidr("10.0.0.0/24")] }];
      assert(allowed({ source: { selector: "name == 'office'" } }, {}, { networkSets }));
      assert(!allowed({ source: { notSelector: "name == 'office'" } }, {}, { networkSets }));
      assert(!allowed({ source: { selector: "name == 'office'" } }));
    });

    it("select the addresses behind a service", () => {
      const services = new Map([
        ["ns/web", [{ address: ip("10.0.0.1"), protocol: "TCP" as const, port: 8080 }]],
      ]);
      assert(allowed({ source: { services: { namespace: "ns", name: "web" } } }, {}, { services }));
      assert(!allowed({ source: { services: { namespace: "ns", name: "db" } } }, {}, { services }));
    });
  });

  it("replays the experiment: web.yml opens port 80 of cal_web to cal_net2, and to nobody else", () => {
    const network = (name: string): Profile =>
      profile(v1Name(name), [{ action: "Allow", source: { selector: `${name} == ''` } }], { [name]: "" });
    const endpoints = [
      endpoint("bbox1", "192.168.0.1", [v1Name("cal_net1")]),
      endpoint("bbox2", "192.168.0.2", [v1Name("cal_net1")]),
      endpoint("bbox3", "192.168.0.3", [v1Name("cal_net2")]),
      endpoint("web1", "192.168.0.4", [v1Name("cal_web")]),
    ];
    const networks = [network("cal_net1"), network("cal_net2")];
    const before = new PolicyEvaluator({
      policies: [],
      profiles: [...networks, network("cal_web")],
      endpoints,
    });
    assert.equal(before.verdict(tcp("192.168.0.1", "192.168.0.2")).verdict, "allow");
    assert.equal(before.verdict(tcp("192.168.0.1", "192.168.0.3")).verdict, "deny");
    assert.equal(before.verdict(tcp("192.168.0.3", "192.168.0.4")).verdict, "deny");

    const { resource } = convertV1(
      parse(`{apiVersion: v1, kind: profile, metadata: {name: cal_web}, spec: {ingress: [
        {action: allow, protocol: tcp, source: {tag: cal_net2}, destination: {ports: [80]}}]}}`),
    );
    assert(resource?.kind === "Profile");
    const after = new PolicyEvaluator({
      policies: [],
      profiles: [...networks, resolveProfile(resource)],
      endpoints,
    });
    assert.equal(after.verdict(tcp("192.168.0.3", "192.168.0.4")).verdict, "allow");
    assert.equal(after.verdict(tcp("192.168.0.3", "192.168.0.4", 81)).verdict, "deny");
    assert.equal(after.verdict(tcp("192.168.0.1", "192.168.0.4")).verdict, "deny");
    const ping = {
      source: ip("192.168.0.3"),
      destination: ip("192.168.0.4"),
      protocol: "ICMP" as const,
      icmp: { type: 8, code: 0 },
    };
    assert.equal(after.verdict(ping).verdict, "deny");
  });
});
