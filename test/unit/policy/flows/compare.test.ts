import assert from "node:assert/strict";
import fc from "fast-check";
import { contains, prefixLength } from "../../../../net/cidr.ts";
import { type Ip, ip } from "../../../../net/ip.ts";
import { PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { compareStates, type FlowChange } from "../../../../policy/flows/compare.ts";
import type { Peer, Peers } from "../../../../policy/flows/peers.ts";
import { trafficText } from "../../../../policy/flows/traffic.ts";
import type { TrafficKind } from "../../../../policy/flows/traffic-kinds.ts";
import type { Packet } from "../../../../policy/packet.ts";
import type { PolicyState } from "../../../../policy/policy-state.ts";
import { policyState } from "../../../../policy/state.ts";

const PODS = ["a", "b", "c", "d"].map((name, i) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { role: name < "c" ? "web" : "db", name } },
  spec: { containers: [{ ports: [{ name: "http", containerPort: name === "a" ? 80 : 8080 }] }] },
  status: { podIP: `10.65.0.${i + 1}` },
}));

function stateOf(...policies: object[]): PolicyState {
  const { state, problems } = policyState([...PODS, ...policies]);
  assert.deepEqual(problems, []);
  return state;
}

function policy(name: string, spec: object): object {
  return { apiVersion: "projectcalico.org/v3", kind: "GlobalNetworkPolicy", metadata: { name }, spec };
}

function names(peer: Peer): string {
  if (peer.kind === "endpoints") return peer.ids.map(id => id.replace("default/", "")).join("+");
  return peer.kind === "hosts" ? peer.names.join("+") : String(peer.block ?? "elsewhere");
}

function texts(before: PolicyState, after: PolicyState): string[] {
  return compareStates(before, after).changes.map(
    ({ change, from, to, kinds, all }) =>
      `${change} ${names(from)} -> ${names(to)}: ${trafficText(kinds, all)}`,
  );
}

describe("policy/flows: comparing two states", () => {
  it("finds nothing where nothing changes", () => {
    const same = policy("p", { selector: "all()", ingress: [{ action: "Allow" }] });
    assert.deepEqual(compareStates(stateOf(same), stateOf(same)).changes, []);
  });

  it("finds what a default deny closes, on every port, for each sort of source once", () =>
    assert.deepEqual(
      texts(stateOf(), stateOf(policy("deny", { selector: "role == 'db'", types: ["Ingress"] }))),
      [
        "closes a+b -> c+d: everything",
        "closes c+d -> c+d: everything",
        "closes elsewhere -> c+d: everything",
      ],
    ));

  it("finds a port that nobody declares", () => {
    const rule = (port: number) =>
      policy("p", {
        selector: "name == 'c'",
        ingress: [
          {
            action: "Allow",
            protocol: "TCP",
            source: { selector: "name == 'a'" },
            destination: { ports: [port] },
          },
        ],
      });
    assert.deepEqual(texts(stateOf(rule(1234)), stateOf(rule(1235))), [
      "closes a -> c: TCP 1234",
      "opens a -> c: TCP 1235",
    ]);
  });

  it("finds what becomes of addresses outside", () => {
    const allow = (...nets: string[]) =>
      policy("p", {
        selector: "all()",
        types: ["Egress"],
        egress: [{ action: "Allow", destination: { nets } }],
      });
    assert.deepEqual(
      texts(stateOf(allow("192.0.2.0/24")), stateOf(allow("192.0.2.0/24", "198.51.100.0/24"))),
      ["opens a+b+c+d -> 198.51.100.0/24: everything"],
    );
  });

  it("finds ICMP types and named ports", () => {
    const after = policy("p", {
      selector: "role == 'web'",
      ingress: [
        { action: "Deny", protocol: "ICMP", icmp: { type: 8 } },
        { action: "Deny", protocol: "TCP", destination: { ports: ["http"] } },
        { action: "Allow" },
      ],
    });
    const found = texts(stateOf(), stateOf(after)).filter(text => text.startsWith("closes c+d"));
    assert.deepEqual(found, [
      "closes c+d -> a: TCP 80",
      "closes c+d -> a: ICMP type 8",
      "closes c+d -> b: TCP 8080",
      "closes c+d -> b: ICMP type 8",
    ]);
  });

  it("names endpoints that are in one state only", () => {
    const less = policyState(PODS.slice(1)).state;
    const { added, removed } = compareStates(less, stateOf());
    assert.deepEqual([added, removed], [["default/a"], []]);
    assert.deepEqual(compareStates(stateOf(), less).removed, ["default/a"]);
  });

  it("finds what staged policies would do", () => {
    const staged = {
      apiVersion: "projectcalico.org/v3",
      kind: "StagedGlobalNetworkPolicy",
      metadata: { name: "deny" },
      spec: { selector: "name == 'd'", types: ["Ingress"] },
    };
    assert.deepEqual(compareStates(stateOf(staged), stateOf(staged)).changes, []);
    assert.equal(compareStates(stateOf(staged), stateOf(staged), { staged: true }).changes.length, 2);
  });

  describe("misses nothing", () => {
    const ports = fc.array(fc.constantFrom(22, 80, 8080, "100:200", "http"), { minLength: 1, maxLength: 2 });
    const end = fc.record(
      {
        selector: fc.constantFrom("role == 'web'", "role == 'db'", "name == 'a'", "all()"),
        notNets: fc.constant(["10.65.0.2/32"]),
      },
      { requiredKeys: [] },
    );
    const outside = fc.record({
      nets: fc.constantFrom(["192.0.2.0/24"], ["192.0.2.0/28"], ["10.65.0.0/16"]),
    });
    const rule = fc
      .record({
        action: fc.constantFrom("Allow", "Deny", "Pass"),
        protocol: fc.constantFrom(undefined, "TCP", "UDP", "ICMP", 47),
        source: fc.oneof(end, outside),
        ports,
        sourcePorts: fc.option(fc.constant([1000])),
      })
      .map(({ action, protocol, source, ports: destination, sourcePorts }) => {
        const hasPorts = protocol === "TCP" || protocol === "UDP";
        return {
          action,
          ...(protocol !== undefined && { protocol }),
          source: { ...source, ...(hasPorts && sourcePorts && { ports: sourcePorts }) },
          ...(hasPorts && { destination: { ports: destination } }),
        };
      });
    const anyPolicy = fc.record({
      selector: fc.constantFrom("role == 'web'", "role == 'db'", "all()"),
      order: fc.integer({ min: 1, max: 3 }),
      types: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
      rules: fc.array(rule, { maxLength: 3 }),
    });
    const policies = fc
      .array(anyPolicy, { maxLength: 3 })
      .map(list =>
        list.map(({ rules, ...spec }, i) => policy(`p${i}`, { ...spec, ingress: rules, egress: rules })),
      );
    const address = fc.constantFrom(
      "10.65.0.1",
      "10.65.0.2",
      "10.65.0.3",
      "10.65.0.4",
      "192.0.2.1",
      "192.0.2.99",
      "8.8.8.8",
      "10.65.9.9",
    );
    const packet = fc
      .record({
        source: address,
        destination: address,
        protocol: fc.constantFrom("TCP" as const, "UDP" as const, "ICMP" as const, 47, 99),
        port: fc.constantFrom(22, 80, 150, 8080, 9999),
        sourcePort: fc.constantFrom(1000, 40000),
      })
      .map(({ source, destination, protocol, port, sourcePort }): Packet => {
        const hasPorts = protocol === "TCP" || protocol === "UDP";
        return {
          source: ip(source),
          destination: ip(destination),
          protocol,
          ...(hasPorts && { destinationPort: port, sourcePort }),
          ...(protocol === "ICMP" && { icmp: { type: 8, code: 0 } }),
        };
      });

    it("that any packet shows", () =>
      fc.assert(
        fc.property(
          policies,
          policies,
          fc.array(packet, { minLength: 20, maxLength: 20 }),
          (old, next, packets) => {
            const [before, after] = [stateOf(...old), stateOf(...next)];
            const [was, is] = [before, after].map(state => new PolicyEvaluator(state));
            const { changes, peers } = compareStates(before, after);
            for (const one of packets) {
              const [a, b] = [was!.verdict(one).verdict, is!.verdict(one).verdict];
              if (one.source === one.destination) continue;
              const told = changes.filter(change => covers(change, peers, one));
              const expected = a === b ? [] : [b === "allow" ? "opens" : "closes"];
              assert.deepEqual(
                told.map(({ change }) => change),
                expected,
                JSON.stringify(one),
              );
            }
          },
        ),
        { numRuns: 200 },
      ));
  });
});

const IDS = new Map<Ip, string>(PODS.map(pod => [ip(pod.status.podIP), `default/${pod.metadata.name}`]));

function covers({ from, to, kinds, all }: FlowChange, peers: Peers, packet: Packet): boolean {
  const named = new Set(all.map(kind => kind.protocol));
  return (
    from === peerOf(packet.source, peers) &&
    to === peerOf(packet.destination, peers) &&
    kinds.some(kind => isKind(kind, packet, named))
  );
}

function peerOf(address: Ip, { endpoints, outside }: Peers): Peer | undefined {
  const id = IDS.get(address);
  if (id !== undefined) return endpoints.find(({ ids }) => ids.includes(id));
  const around = outside.filter(({ block }) => block === undefined || contains(block, address));
  const size = ({ block }: (typeof around)[number]): number =>
    block === undefined ? -1 : prefixLength(block);
  return around.sort((a, b) => size(b) - size(a))[0];
}

function isKind(
  kind: TrafficKind,
  { protocol, destinationPort, sourcePort }: Packet,
  named: ReadonlySet<unknown>,
): boolean {
  if (kind.protocol === "other") return !named.has(protocol);
  if (kind.protocol !== protocol) return false;
  const within = (range: TrafficKind["sourcePorts"], port: number | undefined): boolean =>
    range === undefined || (port !== undefined && range.low <= port && port <= range.high);
  return within(kind.destinationPorts, destinationPort) && within(kind.sourcePorts, sourcePort);
}
