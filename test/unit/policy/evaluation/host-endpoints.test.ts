/** calico.md, Appendix C: which policies a packet meets at hosts, row by row. Random ones: naive.test.ts. */

import assert from "node:assert/strict";
import { ip } from "../../../../net/ip.ts";
import { type Packet, PolicyEvaluator, type Route } from "../../../../policy/evaluate.ts";
import { policyState } from "../../../../policy/state.ts";

const resource = (kind: string, name: string, spec: object, more: object = {}): object => ({
  apiVersion: "projectcalico.org/v3",
  kind,
  metadata: { name, ...more },
  spec,
});
const node = (name: string, address: string) => resource("Node", name, { addresses: [{ address }] });
const workload = (name: string, host: string, address: string, more: object = {}) =>
  resource(
    "WorkloadEndpoint",
    `${host}-cni-${name}-eth0`,
    {
      orchestrator: "cni",
      containerID: name,
      endpoint: "eth0",
      node: host,
      ipNetworks: [`${address}/32`],
      interfaceName: `cali${name}`,
      profiles: ["open"],
      ...more,
    },
    { namespace: "default", labels: { name } },
  );
const hostEndpoint = (name: string, spec: object) =>
  resource("HostEndpoint", name, spec, { labels: { host: name } });
const policy = (name: string, spec: object) => resource("GlobalNetworkPolicy", name, spec);
const FORWARD = { applyOnForward: true };

const OPEN = resource("Profile", "open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
/** Log is how a policy shows that it was asked; what it decides is another's business. */
const LOG = { ingress: [{ action: "Log" }], egress: [{ action: "Log" }], types: ["Ingress", "Egress"] };
const WORLD = [
  OPEN,
  resource("Tier", "watch", { order: 1, defaultAction: "Pass" }),
  node("h1", "10.0.0.1"),
  node("h2", "10.0.0.2"),
  workload("a", "h1", "10.65.0.1"),
  workload("b", "h1", "10.65.0.2"),
  workload("c", "h2", "10.65.0.3"),
  hostEndpoint("hep1", { node: "h1", interfaceName: "eth0", profiles: ["open"] }),
  policy("raw", { tier: "watch", ...LOG, ...FORWARD, doNotTrack: true }),
  policy("nat", {
    tier: "watch",
    ...FORWARD,
    preDNAT: true,
    ingress: [{ action: "Log" }],
    types: ["Ingress"],
  }),
  policy("aof", { tier: "watch", ...LOG, ...FORWARD }),
  policy("plain", { tier: "watch", ...LOG }),
];
const OUTSIDE = "198.51.100.7";

function evaluate(documents: readonly object[], packet: Partial<Packet>, route?: Route) {
  const { state, problems } = policyState(documents);
  assert.deepEqual(problems, []);
  const whole = {
    source: ip(OUTSIDE),
    destination: ip("10.0.0.1"),
    protocol: "TCP" as const,
    destinationPort: 80,
  };
  return new PolicyEvaluator(state).verdict({ ...whole, ...packet }, route);
}

/** `hep1 ingress: raw@untracked nat@preDNAT …`: who was asked where. */
function asked(source: string, destination: string, route?: Route): string[] {
  const packet = { source: ip(source), destination: ip(destination) };
  return evaluate(WORLD, packet, route).directions.map(({ endpoint, direction, trace }) => {
    const steps = trace.flatMap(({ reason, category }) =>
      reason.kind === "policy" ? [reason.policy.slice(4) + (category ? `@${category}` : "")] : [],
    );
    const special = trace.map(({ reason }) => reason.kind).filter(kind => kind.includes("to-"));
    return `${endpoint.replace(/.*-cni-(.*)-eth0/, "$1")} ${direction}: ${[...steps, ...special].join(" ")}`;
  });
}

describe("policy/evaluation: hosts", () => {
  it("ask the policies of every place in the packet's way (Appendix C)", () => {
    const IN = "hep1 ingress: raw@untracked nat@preDNAT";
    assert.deepEqual(asked(OUTSIDE, "10.0.0.1"), [`${IN} aof@normal plain@normal`]);
    assert.deepEqual(asked("10.0.0.1", OUTSIDE), ["hep1 egress: raw@untracked aof@normal plain@normal"]);
    assert.deepEqual(asked(OUTSIDE, "10.65.0.1"), [`${IN} aof@forward`, "a ingress: aof plain"]);
    assert.deepEqual(asked("10.65.0.1", OUTSIDE), ["a egress: aof plain", "hep1 egress: aof@forward"]);
    assert.deepEqual(asked("10.65.0.1", "10.65.0.2"), ["a egress: aof plain", "b ingress: aof plain"]);
    assert.deepEqual(asked("10.65.0.1", "10.65.0.3"), [
      "a egress: aof plain",
      "hep1 egress: aof@forward",
      "c ingress: aof plain",
    ]);
    assert.deepEqual(asked("10.65.0.3", "10.65.0.1"), [
      "c egress: aof plain",
      `${IN} aof@forward`,
      "a ingress: aof plain",
    ]);
    assert.deepEqual(asked("10.65.0.1", "10.0.0.1"), ["a egress: aof plain", "h1 ingress: endpoint-to-host"]);
    assert.deepEqual(asked("10.0.0.1", "10.65.0.1"), ["h1 egress: host-to-workload"]);
    assert.deepEqual(asked(OUTSIDE, "203.0.113.1", { via: "h1" }), [
      `${IN} aof@forward`,
      "hep1 egress: aof@forward",
    ]);
    // Nobody there has a host endpoint.
    assert.deepEqual(asked(OUTSIDE, "10.0.0.2"), []);
  });

  it("skip what comes later once an early policy allows, but never the workload's own", () => {
    const shut = policy("shut", { selector: "all()", ...FORWARD, types: ["Ingress"], ingress: [] });
    for (const flag of ["doNotTrack", "preDNAT"]) {
      const early = policy("early", {
        selector: "has(host)",
        ...FORWARD,
        [flag]: true,
        types: ["Ingress"],
        ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80] } }],
      });
      const world = [...WORLD, shut, early];
      assert.equal(evaluate(world, {}).verdict, "allow");
      assert.equal(evaluate(world, { destinationPort: 81 }).verdict, "deny", "no rule of the early policy");
      const through = evaluate(world, { destination: ip("10.65.0.1") });
      assert.deepEqual(
        through.directions.map(one => [one.kind, one.verdict]),
        [
          ["host-endpoint", "allow"],
          ["workload", "deny"],
        ],
      );
    }
  });

  it("forward what no forwarding policy speaks of, and drop what reaches for them without a policy or profile", () => {
    const bare = [...WORLD.slice(0, 7), hostEndpoint("hep1", { node: "h1", interfaceName: "eth0" })];
    assert.equal(evaluate(bare, { destination: ip("10.65.0.1") }).verdict, "allow");
    assert.equal(evaluate(bare, {}).verdict, "deny");
    const [direction] = evaluate(bare, { destination: ip("10.65.0.1") }).directions;
    assert.deepEqual(direction!.trace.at(-1), {
      action: "allow",
      reason: { kind: "forward-default" },
      category: "forward",
    });
    const egressOnly = policy("p", { ...FORWARD, selector: "has(host)", types: ["Egress"], egress: [] });
    assert.equal(evaluate([...bare, egressOnly], { destination: ip("10.65.0.1") }).verdict, "allow");
    assert.equal(
      evaluate([...bare, egressOnly], { source: ip("10.65.0.1"), destination: ip(OUTSIDE) }).verdict,
      "deny",
    );
  });

  it("have failsafes that no policy closes, but that open no way through", () => {
    const shut = policy("shut", {
      selector: "has(host)",
      ...FORWARD,
      doNotTrack: true,
      types: ["Ingress"],
      ingress: [{ action: "Deny" }],
    });
    const late = policy("late", { selector: "has(host)", ...FORWARD, types: ["Ingress"], ingress: [] });
    const world = [...WORLD, shut, late];
    const ssh = evaluate(world, { destinationPort: 22 });
    assert.deepEqual(ssh.directions[0]!.trace, [
      { action: "allow", reason: { kind: "failsafe" }, category: "normal" },
    ]);
    assert.equal(evaluate(world, { destinationPort: 23 }).verdict, "deny");
    // Past raw and mangle, and then judged as forwarded.
    const through = evaluate(world, { destinationPort: 22, destination: ip("10.65.0.1") });
    assert.deepEqual(through.directions[0]!.trace.at(-1)!.reason, { kind: "tier-default", tier: "default" });
    // Answers to what the host asked for by a failsafe port: raw knows no connections, what comes after it does.
    const answer = evaluate([...WORLD, shut], { sourcePort: 2379, destinationPort: 40_000 });
    assert.equal(answer.verdict, "allow");
    assert.equal(evaluate([...WORLD, shut], { sourcePort: 2378, destinationPort: 40_000 }).verdict, "deny");
    const none = resource("FelixConfiguration", "default", { failsafeInboundHostPorts: [] });
    assert.equal(evaluate([...world, none], { destinationPort: 22 }).verdict, "deny");
    const own = resource("FelixConfiguration", "node.h1", {
      failsafeInboundHostPorts: [{ protocol: "TCP", port: 80, net: "198.51.100.0/24" }],
    });
    assert.equal(evaluate([...world, none, own], {}).verdict, "allow");
    assert.equal(evaluate([...world, none, own], { source: ip("203.0.113.1") }).verdict, "deny");
  });

  it("know their neighbors whatever policies say", () => {
    const shut = policy("shut", {
      selector: "has(host)",
      ...FORWARD,
      doNotTrack: true,
      types: ["Ingress", "Egress"],
      ingress: [{ action: "Deny" }],
      egress: [{ action: "Deny" }],
    });
    const none = resource("FelixConfiguration", "default", {
      failsafeInboundHostPorts: [],
      failsafeOutboundHostPorts: [],
    });
    const message = (type: number) => ({ protocol: "ICMPv6" as const, icmp: { type, code: 0 } });
    const out = { source: ip("10.0.0.1"), destination: ip(OUTSIDE) };
    for (const type of [130, 134, 136]) {
      const { directions } = evaluate([...WORLD, shut, none], message(type));
      assert.deepEqual(directions[0]!.trace.at(-1)!.reason, { kind: "neighbor-discovery" });
      assert.equal(evaluate([...WORLD, shut, none], { ...message(type), ...out }).verdict, "allow");
    }
    assert.equal(evaluate([...WORLD, shut, none], message(128)).verdict, "deny");
  });

  it("are reached by their workloads as the configuration says", () => {
    const packet = { source: ip("10.65.0.1"), destination: ip("10.0.0.1") };
    assert.equal(evaluate(WORLD, packet).verdict, "deny");
    for (const action of ["Accept", "Return"]) {
      const settings = resource("FelixConfiguration", "default", { defaultEndpointToHostAction: action });
      assert.equal(evaluate([...WORLD, settings], packet).verdict, "allow");
    }
    const solicitation = {
      protocol: "ICMPv6" as const,
      icmp: { type: 135, code: 0 },
      source: ip("10.65.0.1"),
      destination: ip("10.0.0.1"),
    };
    assert.equal(evaluate(WORLD, solicitation).verdict, "allow");
  });

  it("are known by interface, by address, or as all there are", () => {
    const shut = policy("shut", { selector: "host == 'one'", types: ["Ingress"], ingress: [] });
    const base = [...WORLD.slice(0, 7), shut];
    const other = hostEndpoint("other", { node: "h1", interfaceName: "eth1", profiles: ["open"] });
    const any = hostEndpoint("any", { node: "h1", interfaceName: "*", profiles: ["open"] });
    const verdict = (endpoints: object[], route?: Route) =>
      evaluate([...base, ...endpoints], {}, route).verdict;

    const byName = hostEndpoint("one", { node: "h1", interfaceName: "eth0" });
    assert.equal(verdict([byName, other], { interfaces: { h1: { in: "eth0" } } }), "deny");
    assert.equal(verdict([byName, other], { interfaces: { h1: { in: "eth1" } } }), "allow");
    assert.equal(verdict([byName, any], { interfaces: { h1: { in: "eth2" } } }), "allow");
    assert.equal(verdict([byName, any]), "deny", "the only one with a name");
    const byAddress = hostEndpoint("one", { node: "h1", expectedIPs: ["10.0.0.1"] });
    assert.equal(verdict([byAddress, other, any]), "deny");
    const itself = { source: ip("10.0.0.1"), destination: ip("10.0.0.1") };
    assert.deepEqual(evaluate([...base, byName], itself).directions, []);
    assert.equal(evaluate([...base, byName, any], itself).directions.length, 2);
  });

  describe("and their workloads", () => {
    it("have floating addresses, which are translated where the workload is", () => {
      const nats = { ipNATs: [{ internalIP: "10.65.0.9", externalIP: "203.0.113.9" }] };
      const allow = (name: string, spec: object) => policy(name, { tier: "first", ...spec });
      const world = [
        ...WORLD.slice(0, 8),
        resource("Tier", "first", { order: 0, defaultAction: "Pass" }),
        workload("f", "h1", "10.65.0.9", nats),
        allow("early", {
          ...FORWARD,
          preDNAT: true,
          selector: "has(host)",
          types: ["Ingress"],
          ingress: [{ action: "Deny", destination: { notNets: ["203.0.113.9/32"] } }],
        }),
        allow("own", {
          selector: "name == 'f'",
          types: ["Ingress"],
          ingress: [{ action: "Deny", destination: { notNets: ["10.65.0.9/32"] } }],
        }),
      ];
      const enabled = resource("FelixConfiguration", "default", { floatingIPs: "Enabled" });
      const packet = { destination: ip("203.0.113.9") };
      assert.deepEqual(evaluate(world, packet).directions, [], "nobody's address while they are disabled");
      const { verdict, directions } = evaluate([...world, enabled], packet);
      assert.equal(verdict, "allow");
      assert.deepEqual(
        directions.map(one => one.kind),
        ["host-endpoint", "workload"],
      );
      // A neighbor on the same host sees the address that is behind it, one elsewhere the floating one.
      const out = (name: string) =>
        policy(`out-${name}`, {
          selector: `name == '${name}'`,
          types: ["Egress"],
          egress: [{ action: "Allow", destination: { nets: ["10.65.0.9/32"] } }],
        });
      const from = (source: string) =>
        evaluate([...world, enabled, out("a"), out("c")], { ...packet, source: ip(source) }).verdict;
      assert.equal(from("10.65.0.1"), "allow");
      assert.equal(from("10.65.0.3"), "deny");
    });

    it("may send only from their own addresses and from what they are allowed", () => {
      const free = workload("s", "h1", "10.65.0.8", { allowSpoofedSourcePrefixes: ["192.0.2.0/24"] });
      const from = (source: string, sender: string) =>
        evaluate([...WORLD, free], { source: ip(source), destination: ip("10.65.0.2") }, { sender });
      const spoofed = from("192.0.2.1", "default/h1-cni-a-eth0");
      assert.deepEqual(spoofed.directions[0]!.trace, [
        { action: "deny", reason: { kind: "spoofed-source" } },
      ]);
      assert.equal(from("192.0.2.1", "default/h1-cni-s-eth0").verdict, "allow");
      assert.equal(from("192.0.3.1", "default/h1-cni-s-eth0").verdict, "deny");
      assert.equal(from("10.65.0.1", "default/h1-cni-a-eth0").verdict, "allow");
    });

    it("make no tunnels unless they may", () => {
      const vxlan = {
        source: ip("10.65.0.1"),
        destination: ip("10.65.0.2"),
        protocol: "UDP" as const,
        destinationPort: 4789,
      };
      const { directions } = evaluate(WORLD, vxlan);
      assert.deepEqual(directions[0]!.trace, [{ action: "deny", reason: { kind: "encapsulated" } }]);
      assert.equal(evaluate(WORLD, { ...vxlan, protocol: 4 }).verdict, "deny");
      const allowed = resource("FelixConfiguration", "default", {
        allowVXLANPacketsFromWorkloads: true,
        allowIPIPPacketsFromWorkloads: true,
      });
      assert.equal(evaluate([...WORLD, allowed], vxlan).verdict, "allow");
      assert.equal(evaluate([...WORLD, allowed], { ...vxlan, protocol: 4 }).verdict, "allow");
    });
  });

  it("show the tiers that are asked, and can be asked on behind a wall", () => {
    const shut = policy("shut", { selector: "name == 'a' || name == 'b'", types: ["Ingress", "Egress"] });
    const { state } = policyState([...WORLD, shut]);
    const evaluator = new PolicyEvaluator(state, { askAll: true });
    const packet = { source: ip("10.65.0.1"), destination: ip("10.65.0.2"), protocol: 6 };
    assert.deepEqual(
      evaluator.verdict(packet).directions.map(one => one.verdict),
      ["deny", "deny"],
    );
    const tiers = evaluator.tiersOf("default/h1-cni-a-eth0", "egress");
    assert.deepEqual(
      tiers.map(tier => [tier.name, tier.policies.map(one => one.id.name)]),
      [
        ["watch", ["aof", "plain"]],
        ["default", ["shut"]],
      ],
    );
    assert.deepEqual(
      evaluator.tiersOf("hep1", "ingress", "preDNAT").map(tier => tier.policies.map(one => one.id.name)),
      [["nat"]],
    );
    assert.deepEqual(evaluator.tiersOf("nobody", "ingress"), []);
  });
});
