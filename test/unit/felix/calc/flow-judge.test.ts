import assert from "node:assert/strict";
import type { Update } from "../../../../datastore/reflector.ts";
import { resolveConfig } from "../../../../felix/calc/config.ts";
import { type EstablishedFlow, FlowJudge, type HostView } from "../../../../felix/calc/flow-judge.ts";
import { type Ip, ip } from "../../../../net/ip.ts";
import {
  Calculation,
  endpointSlice,
  globalNetworkSet,
  globalPolicy,
  HERE,
  hostEndpoint,
  networkPolicy,
  profile,
  tier,
  workload,
} from "./resources.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const HOST = "192.0.2.1";
const OUTSIDE = "198.51.100.1";
const FAR = "203.0.113.1";

const WAYS = new Map<string, string>([
  [OUTSIDE, "eth0"],
  [FAR, "eth1"],
]);

const host: HostView = {
  isOwnAddress: address => address === HOST,
  interfaceTowards: address => WAYS.get(address),
};

const flow = (
  source: string,
  destination: string,
  more: Partial<EstablishedFlow["original"]> = {},
  to = destination,
) => {
  const original = {
    source: ip(source),
    destination: ip(destination),
    protocol: 6,
    sourcePort: 40_000,
    destinationPort: 80,
    ...more,
  };
  const { destinationPort: sourcePort } = original;
  return { original, reply: { source: ip(to), sourcePort }, isExpected: false };
};

const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const a = workload("a", { address: A, labels: { app: "a" }, profiles: ["open"] });
const b = workload("b", { address: B, labels: { app: "b" }, profiles: ["open"] });

function judge(values: Readonly<Record<string, unknown>>, ...updates: readonly Update[]) {
  const { config } = resolveConfig([{ source: "test", values }]);
  const calculation = Calculation.configured(values);
  const asked = new FlowJudge({ membership: calculation.graph.membership, config });
  asked.update(calculation.apply(...updates));
  return {
    allows: (one: EstablishedFlow) => asked.allows(one, host),
    apply: (...more: readonly Update[]) => asked.update(calculation.apply(...more)),
    concerns: (source: string, destination: string) => asked.concerns(source as Ip, destination as Ip),
  };
}

describe("felix/calc/flow-judge", () => {
  it("asks the egress of who began it, and the ingress of who answers", () => {
    const noIngress = globalPolicy("b", { selector: "app == 'b'", types: ["Ingress"] });
    const { allows, apply } = judge({}, open, a, b);
    assert.equal(allows(flow(A, B)), true);
    apply(noIngress);
    assert.equal(allows(flow(A, B)), false);
    assert.equal(allows(flow(B, A)), true);
    assert.equal(allows(flow(OUTSIDE, B)), false);
    assert.equal(allows(flow(B, OUTSIDE)), true);
  });

  it("looks by selectors, blocks, named ports and services", () => {
    const rules = (source: object, destination: object = {}) =>
      networkPolicy("default", "b", {
        selector: "app == 'b'",
        types: ["Ingress"],
        ingress: [{ action: "Allow", protocol: "TCP", source, destination }],
      });
    const { allows, apply } = judge(
      {},
      open,
      a,
      workload("b", {
        address: B,
        labels: { app: "b" },
        ports: [{ name: "http", protocol: "TCP", port: 80 }],
      }),
    );
    apply(rules({ selector: "app == 'a'" }, { ports: ["http"] }));
    assert.equal(allows(flow(A, B)), true);
    assert.equal(allows(flow(A, B, { destinationPort: 81 })), false);
    assert.equal(allows(flow(A, B, { protocol: 17 })), false);
    assert.equal(allows(flow(OUTSIDE, B)), false);
    apply(
      rules({ selector: "has(outside)", namespaceSelector: "global()" }),
      globalNetworkSet("s", ["198.51.100.0/24"], { outside: "" }),
    );
    assert.equal(allows(flow(OUTSIDE, B)), true);
    assert.equal(allows(flow(FAR, B)), false);
    apply(rules({ services: { name: "s" } }), endpointSlice("default", "s", { addresses: [FAR] }));
    assert.deepEqual([allows(flow(FAR, B)), allows(flow(OUTSIDE, B))], [true, false]);
  });

  it("takes what was translated for what it became, and asks before that only where policy stands before", () => {
    const only = (nets: readonly string[]) =>
      globalPolicy("a", {
        selector: "app == 'a'",
        types: ["Egress"],
        egress: [{ action: "Allow", destination: { nets } }],
      });
    const { allows, apply } = judge({}, open, a, b, only([`${B}/32`]));
    assert.equal(allows(flow(A, "10.96.0.1", {}, B)), true);
    apply(only(["10.96.0.1/32"]));
    assert.equal(allows(flow(A, "10.96.0.1", {}, B)), false);
  });

  it("knows ICMP by type and code", () => {
    const ping = (type: number) =>
      flow(A, B, { protocol: 1, sourcePort: 7, destinationPort: 0, icmp: { type, code: 0 } });
    const policy = globalPolicy("b", {
      selector: "app == 'b'",
      types: ["Ingress"],
      ingress: [{ action: "Allow", protocol: "ICMP", icmp: { type: 8 } }],
    });
    const { allows } = judge({}, open, a, b, policy);
    assert.deepEqual([allows(ping(8)), allows(ping(13))], [true, false]);
  });

  it("lets the host reach its workloads, and workloads the host where that is configured", () => {
    const closed = globalPolicy("none", { selector: "all()", types: ["Ingress"] });
    assert.equal(judge({}, open, a, closed).allows(flow(HOST, A)), true);
    assert.equal(judge({}, open, a).allows(flow(A, HOST)), false);
    assert.equal(judge({ defaultEndpointToHostAction: "Accept" }, open, a).allows(flow(A, HOST)), true);
  });

  describe("at host endpoints", () => {
    const up = hostEndpoint("up", { node: HERE, interfaceName: "eth0" }, { role: "up" });
    const policy = (name: string, more: object) => globalPolicy(name, { selector: "role == 'up'", ...more });
    const web = { action: "Allow", protocol: "TCP", destination: { ports: [80] } };

    it("denies the host what no policy and no profile allows, save failsafes", () => {
      const { allows, apply } = judge({}, up);
      assert.deepEqual([allows(flow(OUTSIDE, HOST)), allows(flow(HOST, OUTSIDE))], [false, false]);
      assert.equal(allows(flow(OUTSIDE, HOST, { destinationPort: 22 })), true);
      assert.equal(allows(flow(FAR, HOST)), true, "another interface");
      apply(policy("in", { types: ["Ingress"], ingress: [web] }));
      assert.deepEqual([allows(flow(OUTSIDE, HOST)), allows(flow(HOST, OUTSIDE))], [true, false]);
    });

    it("lets through what is forwarded unless policy for that is there", () => {
      const { allows, apply } = judge({}, up, open, a);
      assert.deepEqual(
        [allows(flow(OUTSIDE, A)), allows(flow(OUTSIDE, FAR)), allows(flow(A, OUTSIDE))],
        [true, true, true],
      );
      apply(policy("in", { applyOnForward: true, types: ["Ingress"], ingress: [] }));
      assert.deepEqual(
        [allows(flow(OUTSIDE, A)), allows(flow(OUTSIDE, FAR)), allows(flow(A, OUTSIDE))],
        [false, false, true],
      );
      apply(policy("in", { applyOnForward: true, types: ["Egress"], egress: [] }));
      assert.deepEqual(
        [allows(flow(OUTSIDE, A)), allows(flow(FAR, OUTSIDE)), allows(flow(A, OUTSIDE))],
        [true, false, false],
      );
    });

    it("asks policy before DNAT about the address that was asked for", () => {
      const deny = { action: "Deny", protocol: "TCP", destination: { nets: [`${HOST}/32`], ports: [80] } };
      const { allows } = judge(
        {},
        up,
        open,
        a,
        policy("pre", { applyOnForward: true, preDNAT: true, ingress: [deny] }),
      );
      assert.equal(allows(flow(OUTSIDE, HOST, {}, A)), false);
      assert.equal(allows(flow(OUTSIDE, A)), true);
    });

    it("says nothing of tunnels between hosts, nor where no way is known", () => {
      const { allows } = judge({}, up);
      assert.equal(allows(flow(OUTSIDE, HOST, { protocol: 17, destinationPort: 4789 })), true);
      assert.equal(allows(flow(OUTSIDE, HOST, { protocol: 4 })), true);
      assert.equal(allows(flow("192.0.2.200", HOST)), true);
    });

    it("takes the rest for any interface's", () => {
      const { allows } = judge({}, hostEndpoint("rest", { node: HERE, interfaceName: "*" }));
      assert.equal(allows(flow(FAR, HOST)), false);
    });
  });

  it("leaves alone what was expected, what stays within one workload, and what is nobody's here", () => {
    const closed = globalPolicy("none", { selector: "all()", types: ["Ingress", "Egress"] });
    const { allows, concerns } = judge({}, a, closed);
    assert.equal(allows({ ...flow(OUTSIDE, A), isExpected: true }), true);
    assert.equal(allows(flow(A, "10.96.0.1", {}, A)), true);
    assert.equal(allows(flow(OUTSIDE, FAR)), true);
    assert.deepEqual([concerns(OUTSIDE, A), concerns(A, FAR), concerns(OUTSIDE, FAR)], [true, true, false]);
  });

  it("follows tiers that pass, and orders that change", () => {
    const rule = (action: string) => ({ selector: "app == 'b'", types: ["Ingress"], ingress: [{ action }] });
    const { allows, apply } = judge(
      {},
      open,
      a,
      b,
      tier("first", 1),
      tier("second", 2),
      globalPolicy("p", { ...rule("Pass"), tier: "first" }),
      globalPolicy("q", { ...rule("Deny"), tier: "second" }),
    );
    assert.equal(allows(flow(A, B)), false);
    apply(globalPolicy("r", { ...rule("Allow"), tier: "first", order: 1 }));
    assert.equal(allows(flow(A, B)), true);
    apply(globalPolicy("p", { ...rule("Pass"), tier: "first", order: 0 }));
    assert.equal(allows(flow(A, B)), false);
  });
});
