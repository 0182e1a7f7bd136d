import assert from "node:assert/strict";
import fc from "fast-check";
import type { LocalWorkload } from "../../../bgp/local-workloads.ts";
import { computePeerings, localAs } from "../../../bgp/peering.ts";
import type { Peering } from "../../../bgp/peering-settings.ts";
import type { BGPConfiguration, BGPPeer, Node } from "../../../crd-schemas/index.ts";
import { ip } from "../../../net/ip.ts";
import { bgpConfiguration, bgpPeer, byName, node } from "./resources.ts";

interface Cluster {
  nodes: Node[];
  peers?: BGPPeer[];
  configurations?: BGPConfiguration[];
  workloads?: LocalWorkload[];
}

function compute(nodeName: string, { nodes, peers = [], configurations = [], workloads = [] }: Cluster) {
  const input = {
    nodeName,
    nodes: byName(...nodes),
    peers: byName(...peers),
    configurations: byName(...configurations),
    workloads,
  };
  return computePeerings(input);
}

/** No problems allowed. */
function peeringsOf(nodeName: string, cluster: Cluster): Peering[] {
  const { peerings, problems } = compute(nodeName, cluster);
  assert.deepEqual(problems, []);
  return peerings;
}

const names = (peerings: Peering[]) => peerings.map(({ name }) => name);

const A = node("a", { ipv4Address: "10.0.0.1/24" }, { rack: "1" });
const B = node("b", { ipv4Address: "10.0.0.2/24" }, { rack: "1" });
const C = node("c", { ipv4Address: "10.0.0.10/24" }, { rack: "2" });
const noMesh = bgpConfiguration({ nodeToNodeMeshEnabled: false });

describe("bgp/peering: the mesh", () => {
  it("is with every other node that has an address, from our own address", () => {
    const nodes = [A, B, C, node("d", {}), { ...A, metadata: { name: "e" }, spec: {} } as Node];
    const peerings = peeringsOf("a", { nodes });
    assert.deepEqual(names(peerings), ["Mesh_10_0_0_10", "Mesh_10_0_0_2"]);
    const [first] = peerings;
    assert.deepEqual(first, {
      name: "Mesh_10_0_0_10",
      type: "mesh",
      address: "10.0.0.10",
      port: 179,
      asn: 64512,
      localAsn: 64512,
      localAddress: "10.0.0.1",
      passive: true,
      reflectorClient: false,
      nextHopMode: "auto",
      filters: [],
      passwordSecret: undefined,
      ttlSecurity: undefined,
      allowedLocalAs: undefined,
      keepaliveSeconds: undefined,
      restartSeconds: undefined,
      reachableBy: undefined,
      interfaceName: undefined,
      bfd: undefined,
    });
  });

  it("compares addresses as text to say who waits: 10.0.0.2 is more than 10.0.0.10", () => {
    const towards = (from: string) =>
      Object.fromEntries(peeringsOf(from, { nodes: [A, B, C] }).map(p => [p.address, p.passive]));
    assert.deepEqual(towards("b"), { "10.0.0.1": false, "10.0.0.10": false });
    assert.deepEqual(towards("c"), { "10.0.0.1": false, "10.0.0.2": true });
  });

  it("is off where it is switched off, on nodes that do not exist, and leaves route reflectors out", () => {
    const reflector = node("r", { ipv4Address: "10.0.0.9/24", routeReflectorClusterID: "1.0.0.1" });
    assert.deepEqual(peeringsOf("a", { nodes: [A, B], configurations: [noMesh] }), []);
    assert.deepEqual(peeringsOf("ghost", { nodes: [A, B] }), []);
    assert.deepEqual(names(peeringsOf("a", { nodes: [A, B, reflector] })), ["Mesh_10_0_0_2"]);
    assert.deepEqual(peeringsOf("r", { nodes: [A, B, reflector] }), []);
  });

  it("takes AS numbers from the node, else from the default configuration, else 64512", () => {
    const own = node("b", { ipv4Address: "10.0.0.2/24", asNumber: 65001 });
    const configurations = [bgpConfiguration({ asNumber: 64999 })];
    const [peering] = peeringsOf("a", { nodes: [A, own], configurations });
    assert.equal(peering?.asn, 65001);
    assert.equal(peering?.localAsn, 64999);
    const of = (nodeName: string, ...list: BGPConfiguration[]) =>
      localAs({
        nodeName,
        nodes: byName(A, own),
        peers: new Map(),
        configurations: byName(...list),
        workloads: [],
      });
    assert.deepEqual(
      [of("a"), of("a", ...configurations), of("b", ...configurations)],
      [64512, 64999, 65001],
    );
  });

  it("dials the port that the peer listens at: its own configuration over the default one", () => {
    const configurations = [
      bgpConfiguration({ listenPort: 1790 }),
      bgpConfiguration({ listenPort: 1791 }, "node.b"),
    ];
    const ports = peeringsOf("a", { nodes: [A, B, C], configurations }).map(p => [p.address, p.port, p.name]);
    assert.deepEqual(ports, [
      ["10.0.0.10", 1790, "Mesh_10_0_0_10"],
      ["10.0.0.2", 1791, "Mesh_10_0_0_2"],
    ]);
  });

  it("has its password and its restart time from the default configuration", () => {
    const configurations = [
      bgpConfiguration({
        nodeMeshPassword: { secretKeyRef: { name: "bgp", key: "mesh" } },
        nodeMeshMaxRestartTime: "1m30s",
      }),
    ];
    const [peering] = peeringsOf("a", { nodes: [A, B], configurations });
    assert.deepEqual(peering?.passwordSecret, { name: "bgp", key: "mesh" });
    assert.equal(peering?.restartSeconds, 90);
  });

  it("has its restart time in seconds, whatever Go duration it is written as", () => {
    for (const [text, seconds] of [
      ["2m", 120],
      [".5m", 30],
      ["1500ms", 1.5],
      ["0", 0],
    ] as const) {
      const configurations = [bgpConfiguration({ nodeMeshMaxRestartTime: text })];
      assert.equal(peeringsOf("a", { nodes: [A, B], configurations })[0]?.restartSeconds, seconds, text);
    }
  });

  it("is with both addresses of a dual-stack node, and only where we have the family", () => {
    const dual = (name: string, n: number) =>
      node(name, { ipv4Address: `10.0.0.${n}/24`, ipv6Address: `fd00::${n}/64` });
    assert.deepEqual(names(peeringsOf("a", { nodes: [dual("a", 1), dual("b", 2)] })), [
      "Mesh_10_0_0_2",
      "Mesh_fd00__2",
    ]);
    assert.deepEqual(names(peeringsOf("a", { nodes: [A, dual("b", 2)] })), ["Mesh_10_0_0_2"]);
  });

  it("pairs all nodes, each pair with exactly one side that dials and equal ideas of AS and port", () => {
    const anyNode = fc.record({
      last: fc.integer({ min: 1, max: 250 }),
      v4: fc.boolean(),
      v6: fc.boolean(),
      asNumber: fc.option(fc.integer({ min: 64512, max: 65534 }), { nil: undefined }),
      port: fc.option(fc.integer({ min: 1, max: 65535 }), { nil: undefined }),
    });
    const anyCluster = fc.uniqueArray(anyNode, { selector: ({ last }) => last, maxLength: 8 });
    fc.assert(
      fc.property(anyCluster, hosts => {
        const nodes = hosts.map(({ last, v4, v6, asNumber }) =>
          node(`n${last}`, {
            ...(v4 && { ipv4Address: `10.0.${last}.${last}/16` }),
            ...(v6 && { ipv6Address: `fd00::${last}/64` }),
            ...(asNumber && { asNumber }),
          }),
        );
        const configurations = hosts.flatMap(({ last, port }) =>
          port ? [bgpConfiguration({ listenPort: port }, `node.n${last}`)] : [],
        );
        const cluster = { nodes, configurations };
        const all = hosts.flatMap(({ last }) => peeringsOf(`n${last}`, cluster));
        const pairs = new Map(all.map(p => [`${p.localAddress} ${p.address}`, p]));
        assert.equal(pairs.size, all.length);
        const count = (has: (host: (typeof hosts)[number]) => boolean) => hosts.filter(has).length;
        const [v4, v6] = [count(h => h.v4), count(h => h.v6)];
        assert.equal(all.length, v4 * Math.max(0, v4 - 1) + v6 * Math.max(0, v6 - 1));
        for (const peering of all) {
          const back = pairs.get(`${peering.address} ${peering.localAddress}`);
          assert.ok(back);
          assert.notEqual(back.passive, peering.passive);
          assert.equal(back.asn, peering.localAsn);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("bgp/peering: BGPPeers", () => {
  const tor = bgpPeer("tor", { peerIP: "10.0.0.254", asNumber: 65000 });

  it("without node and selector is for every node", () => {
    const peerings = peeringsOf("a", { nodes: [A, B], peers: [tor], configurations: [noMesh] });
    assert.deepEqual(names(peerings), ["Global_10_0_0_254"]);
    const [{ asn, localAsn, type, passive, localAddress, port, reflectorClient } = {} as Peering] = peerings;
    assert.deepEqual(
      { asn, localAsn, type, passive, localAddress, port, reflectorClient },
      {
        asn: 65000,
        localAsn: 64512,
        type: "global",
        passive: false,
        localAddress: "10.0.0.1",
        port: 179,
        reflectorClient: false,
      },
    );
  });

  it("with a node or a node selector is for those nodes", () => {
    const peers = [
      bgpPeer("one", { node: "a", peerIP: "10.0.0.254", asNumber: 65000 }),
      bgpPeer("rack", { nodeSelector: "rack == '2'", peerIP: "10.0.0.253", asNumber: 65000 }),
    ];
    const cluster = { nodes: [A, B, C], peers, configurations: [noMesh] };
    assert.deepEqual(names(peeringsOf("a", cluster)), ["Node_10_0_0_254"]);
    assert.deepEqual(names(peeringsOf("b", cluster)), []);
    assert.deepEqual(names(peeringsOf("c", cluster)), ["Node_10_0_0_253"]);
  });

  it("that is global suppresses a node's one to the same address", () => {
    const peers = [
      bgpPeer("z-node", { node: "a", peerIP: "10.0.0.254", asNumber: 65009 }),
      bgpPeer("a-global", { peerIP: "10.0.0.254", asNumber: 65000 }),
    ];
    const [only, ...more] = peeringsOf("a", { nodes: [A], peers });
    assert.deepEqual([only?.name, only?.asn, more.length], ["Global_10_0_0_254", 65000, 0]);
  });

  it("takes the place of the mesh where it names the same node", () => {
    const peers = [bgpPeer("b", { node: "a", peerIP: "10.0.0.2", asNumber: 64512, filters: ["f"] })];
    const peerings = peeringsOf("a", { nodes: [A, B, C], peers });
    assert.deepEqual(names(peerings), ["Mesh_10_0_0_10", "Node_10_0_0_2"]);
    assert.deepEqual(peerings[1]?.filters, ["f"]);
  });

  it("with a peer selector is for all selected nodes but ourselves, with their AS and port, in the families both have", () => {
    const six = node("six", { ipv6Address: "fd00::6/64", asNumber: 65006 }, { rack: "1" });
    const dual = node("dual", { ipv4Address: "10.0.0.5/24", ipv6Address: "fd00::5/64" }, { rack: "1" });
    const peers = [bgpPeer("rack", { peerSelector: "rack == '1'" })];
    const configurations = [noMesh, bgpConfiguration({ listenPort: 1790 }, "node.dual")];
    const cluster = { nodes: [A, B, C, six, dual], peers, configurations };
    assert.deepEqual(
      peeringsOf("a", cluster).map(({ name, port }) => [name, port]),
      [
        ["Global_10_0_0_10", 179], // c selects nobody, but is selected: the way back
        ["Global_10_0_0_2", 179],
        ["Global_10_0_0_5", 1790],
      ],
    );
    assert.deepEqual(
      peeringsOf("dual", cluster).map(({ name, asn }) => [name, asn]),
      [
        ["Global_10_0_0_1", 64512],
        ["Global_10_0_0_10", 64512],
        ["Global_10_0_0_2", 64512],
        ["Global_fd00__6", 65006],
      ],
    );
  });

  it("to a node's address without a port uses the port that node listens at, if the AS is that node's too", () => {
    const configurations = [noMesh, bgpConfiguration({ listenPort: 1790 }, "node.b")];
    const port = (spec: NonNullable<BGPPeer["spec"]>) =>
      peeringsOf("a", { nodes: [A, B], peers: [bgpPeer("p", spec)], configurations }).map(p => p.port);
    assert.deepEqual(port({ peerIP: "10.0.0.2", asNumber: 64512 }), [1790]);
    assert.deepEqual(port({ peerIP: "10.0.0.2", asNumber: 65000 }), [179]);
    assert.deepEqual(port({ peerIP: "10.0.0.2:1799", asNumber: 64512 }), [1799]);
  });

  it("carries a port in its name unless it is the usual one", () => {
    const peers = [bgpPeer("p", { peerIP: "10.0.0.254:1790", asNumber: 65000 })];
    assert.deepEqual(names(peeringsOf("a", { nodes: [A], peers })), ["Global_10_0_0_254_port_1790"]);
  });

  it("to ourselves is skipped", () => {
    const peers = [
      bgpPeer("self", { peerIP: "10.0.0.1", asNumber: 64512 }),
      bgpPeer("odd", { peerIP: "10.0.0.1", asNumber: 1 }),
    ];
    assert.deepEqual(peeringsOf("a", { nodes: [A], peers }), []);
  });

  it("hands its settings on", () => {
    const spec = {
      peerIP: "10.9.0.1",
      asNumber: 65000,
      sourceAddress: "None",
      ttlSecurity: 2,
      numAllowedLocalASNumbers: 3,
      keepaliveTime: "20s",
      maxRestartTime: "2m",
      reachableBy: "10.0.0.253",
      localASNumber: 65100,
      filters: ["one", "two"],
      password: { secretKeyRef: { name: "bgp", key: "tor" } },
    } as const;
    const [peering] = peeringsOf("a", { nodes: [A], peers: [bgpPeer("p", spec as never)] });
    assert.deepEqual(
      { ...peering },
      {
        name: "Global_10_9_0_1",
        type: "global",
        address: "10.9.0.1",
        port: 179,
        asn: 65000,
        localAsn: 65100,
        localAddress: undefined,
        passive: false,
        reflectorClient: false,
        nextHopMode: "auto",
        filters: ["one", "two"],
        passwordSecret: { name: "bgp", key: "tor" },
        ttlSecurity: 2,
        allowedLocalAs: 3,
        keepaliveSeconds: 20,
        restartSeconds: 120,
        reachableBy: "10.0.0.253",
        interfaceName: undefined,
        bfd: undefined,
      },
    );
  });

  const modes: [string, NonNullable<BGPPeer["spec"]>, string][] = [
    ["Self", { nextHopMode: "Self" }, "self"],
    ["Keep", { nextHopMode: "Keep" }, "keep"],
    ["Auto", { nextHopMode: "Auto" }, "auto"],
    ["nothing", {}, "auto"],
    ["the old keepOriginalNextHop towards eBGP", { keepOriginalNextHop: true }, "keep"],
    ["the old keepOriginalNextHop towards iBGP", { keepOriginalNextHop: true, asNumber: 64512 }, "auto"],
    [
      "keepOriginalNextHop where localASNumber makes it iBGP",
      { keepOriginalNextHop: true, localASNumber: 65000 },
      "auto",
    ],
  ];
  for (const [what, spec, mode] of modes) {
    it(`next hop mode: ${what} means ${mode}`, () => {
      const peers = [bgpPeer("p", { peerIP: "10.9.0.1", asNumber: 65000, ...spec })];
      assert.equal(peeringsOf("a", { nodes: [A], peers })[0]?.nextHopMode, mode);
    });
  }

  it("with something wrong in it is reported by name, and the others stand", () => {
    const peers = [
      bgpPeer("bad-ip", { peerIP: "10.0.0.300", asNumber: 65000 }),
      bgpPeer("bad-selector", { nodeSelector: "rack ==", peerIP: "10.0.0.9", asNumber: 1 }),
      bgpPeer("bad-peer-selector", { peerSelector: "((" }),
      bgpPeer("workloads", { localWorkloadSelector: "role ==", asNumber: 65001 }),
      tor,
    ];
    const { peerings, problems } = compute("a", { nodes: [A], peers });
    assert.deepEqual(names(peerings), ["Global_10_0_0_254"]);
    assert.deepEqual(
      problems.map(({ peer }) => peer),
      ["bad-ip", "bad-peer-selector", "bad-selector", "workloads"],
    );
    assert.match(problems[0]?.message ?? "", /10\.0\.0\.300/);
  });

  it("with a port of its own for an address that another one has is reported", () => {
    const peers = [tor, bgpPeer("tor2", { peerIP: "10.0.0.254:1790", asNumber: 65000 })];
    const { peerings, problems } = compute("a", { nodes: [A], peers });
    assert.equal(peerings.length, 1);
    assert.match(problems[0]?.message ?? "", /10\.0\.0\.254 has port 179 in another BGPPeer, and 1790 here/);
  });
});

describe("bgp/peering: the way back", () => {
  it("a node that a BGPPeer selects peers back with the nodes it is for", () => {
    const peers = [
      bgpPeer("up", { nodeSelector: "rack == '1'", peerSelector: "rack == '2'", filters: ["f"] }),
    ];
    const cluster = { nodes: [A, B, C], peers, configurations: [noMesh] };
    assert.deepEqual(names(peeringsOf("a", cluster)), ["Node_10_0_0_10"]);
    const back = peeringsOf("c", cluster);
    assert.deepEqual(names(back), ["Node_10_0_0_1", "Node_10_0_0_2"]);
    assert.deepEqual(back[0]?.filters, ["f"]);
  });

  it("also where the BGPPeer names its address and AS", () => {
    const peers = [bgpPeer("to-c", { node: "a", peerIP: "10.0.0.10", asNumber: 64512 })];
    const cluster = { nodes: [A, B, C], peers, configurations: [noMesh] };
    assert.deepEqual(names(peeringsOf("c", cluster)), ["Node_10_0_0_1"]);
    const other = [bgpPeer("to-c", { node: "a", peerIP: "10.0.0.10", asNumber: 65000 })];
    assert.deepEqual(peeringsOf("c", { ...cluster, peers: other }), []);
  });

  it("is left to the operator where the BGPPeer says Manual", () => {
    const peers = [
      bgpPeer("up", { nodeSelector: "rack == '1'", peerSelector: "rack == '2'", reversePeering: "Manual" }),
    ];
    assert.deepEqual(peeringsOf("c", { nodes: [A, B, C], peers, configurations: [noMesh] }), []);
  });

  it("gives way to a peering of our own", () => {
    const peers = [
      bgpPeer("a-own", { node: "c", peerIP: "10.0.0.1", asNumber: 64512, filters: ["mine"] }),
      bgpPeer("z-theirs", { node: "a", peerSelector: "rack == '2'", filters: ["theirs"] }),
    ];
    const [back] = peeringsOf("c", { nodes: [A, B, C], peers, configurations: [noMesh] });
    assert.deepEqual(back?.filters, ["mine"]);
  });

  it("expects the AS that the BGPPeer makes the other side show, and needs no gateway", () => {
    const peers = [
      bgpPeer("up", {
        node: "a",
        peerIP: "10.0.0.10",
        asNumber: 64512,
        localASNumber: 65100,
        reachableBy: "10.0.0.7",
      }),
    ];
    const cluster = { nodes: [A, C], peers, configurations: [noMesh] };
    const [there] = peeringsOf("a", cluster);
    const [back] = peeringsOf("c", cluster);
    assert.deepEqual([there?.localAsn, there?.asn, there?.reachableBy], [65100, 64512, "10.0.0.7"]);
    assert.deepEqual([back?.localAsn, back?.asn, back?.reachableBy], [64512, 65100, undefined]);
  });

  it("makes every peering among nodes two-sided, with one side that dials", () => {
    const racks = fc.array(fc.constantFrom("1", "2", "3"), { minLength: 2, maxLength: 6 });
    const selector = fc.constantFrom("rack == '1'", "rack in {'2', '3'}", "all()", "has(nothing)");
    fc.assert(
      fc.property(racks, fc.array(fc.tuple(selector, selector), { maxLength: 3 }), (labels, pairs) => {
        const nodes = labels.map((rack, i) => node(`n${i}`, { ipv4Address: `10.0.0.${i + 1}/24` }, { rack }));
        const peers = pairs.map(([nodeSelector, peerSelector], i) =>
          bgpPeer(`p${i}`, { nodeSelector, peerSelector }),
        );
        const cluster = { nodes, peers, configurations: [noMesh] };
        const all = nodes.flatMap(({ metadata }) => peeringsOf(metadata.name as string, cluster));
        const pairsOf = new Map(all.map(p => [`${p.localAddress} ${p.address}`, p]));
        for (const peering of all) {
          const back = pairsOf.get(`${peering.address} ${peering.localAddress}`);
          assert.ok(back, `${peering.localAddress} to ${peering.address} is one-sided`);
          assert.notEqual(back.passive, peering.passive);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe("bgp/peering: route reflectors", () => {
  const reflector = (name: string, n: number, clusterId: string) =>
    node(name, { ipv4Address: `10.0.0.${n}/24`, routeReflectorClusterID: clusterId }, { rr: "true" });
  const R1 = reflector("r1", 101, "1.0.0.1");
  const R2 = reflector("r2", 102, "1.0.0.1");
  const R3 = reflector("r3", 103, "3.0.0.3");
  const peers = [bgpPeer("rr", { nodeSelector: "all()", peerSelector: "rr == 'true'" })];
  const cluster = { nodes: [A, R1, R2, R3], peers, configurations: [noMesh] };
  const clients = (name: string) =>
    Object.fromEntries(peeringsOf(name, cluster).map(p => [p.address, p.reflectorClient]));

  it("have as clients the iBGP peers that are not in their cluster", () => {
    assert.deepEqual(clients("r1"), { "10.0.0.1": true, "10.0.0.102": false, "10.0.0.103": true });
    assert.deepEqual(clients("r3"), { "10.0.0.1": true, "10.0.0.101": true, "10.0.0.102": true });
    assert.deepEqual(clients("a"), { "10.0.0.101": false, "10.0.0.102": false, "10.0.0.103": false });
  });

  it("have no clients over eBGP, and those of our AS that are no nodes", () => {
    const more = [
      bgpPeer("external", { node: "r1", peerIP: "10.0.0.250", asNumber: 65000 }),
      bgpPeer("internal", { node: "r1", peerIP: "10.0.0.251", asNumber: 64512 }),
    ];
    const found = peeringsOf("r1", { ...cluster, peers: more });
    assert.deepEqual(
      found.map(p => p.reflectorClient),
      [false, true],
    );
  });
});

describe("bgp/peering: with workloads of this node", () => {
  const routers: LocalWorkload[] = [
    { interfaceName: "cali1", addresses: [ip("10.65.1.5"), ip("fd65::5")], labels: { role: "router" } },
    { interfaceName: "cali2", addresses: [ip("10.65.1.6")], labels: { role: "web" } },
  ];
  const both = bgpConfiguration({
    nodeToNodeMeshEnabled: false,
    localWorkloadPeeringIPV4: "169.254.1.1",
    localWorkloadPeeringIPV6: "fd00:ffff::1",
  });
  const peer = (spec: object = {}) =>
    bgpPeer("w", { localWorkloadSelector: "role == 'router'", asNumber: 65010, ...spec } as never);
  const cluster = (spec: object = {}, configuration = both) => ({
    nodes: [A, B],
    peers: [peer(spec)],
    configurations: [configuration],
    workloads: routers,
  });

  it("is with each address of those that are selected, over their interface, and waits for them to dial", () => {
    const peerings = peeringsOf("a", cluster({ filters: ["f"], keepaliveTime: "5s" }));
    assert.deepEqual(
      peerings.map(({ name, address, localAddress, interfaceName }) => [
        name,
        address,
        localAddress,
        interfaceName,
      ]),
      [
        ["Local_Workload_10_65_1_5", "10.65.1.5", "169.254.1.1", "cali1"],
        ["Local_Workload_fd65__5", "fd65::5", "fd00:ffff::1", "cali1"],
      ],
    );
    const [{ type, passive, asn, localAsn, filters, keepaliveSeconds }] = peerings as [Peering];
    assert.deepEqual(
      { type, passive, asn, localAsn, filters, keepaliveSeconds },
      { type: "workload", passive: true, asn: 65010, localAsn: 64512, filters: ["f"], keepaliveSeconds: 5 },
    );
  });

  it("is on the nodes that the BGPPeer is for, and makes no peering back anywhere", () => {
    assert.equal(peeringsOf("a", cluster({ node: "b" })).length, 0);
    assert.equal(peeringsOf("a", cluster({ nodeSelector: "rack == '1'" })).length, 2);
    assert.equal(peeringsOf("b", { ...cluster(), workloads: [] }).length, 0);
  });

  it("is iBGP where it says our AS number, and then with a client of ours on a reflector", () => {
    const reflector = node("a", { ipv4Address: "10.0.0.1/24", routeReflectorClusterID: "1.0.0.1" });
    const input = { ...cluster({ asNumber: 64512 }), nodes: [reflector] };
    assert.deepEqual(
      peeringsOf("a", input).map(({ reflectorClient }) => reflectorClient),
      [true, true],
    );
  });

  it("needs an address of ours in the same IP version, and says so where there is none", () => {
    const only4 = bgpConfiguration({ nodeToNodeMeshEnabled: false, localWorkloadPeeringIPV4: "169.254.1.1" });
    const { peerings, problems } = compute("a", cluster({}, only4));
    assert.deepEqual(names(peerings), ["Local_Workload_10_65_1_5"]);
    assert.match(problems[0]?.message ?? "", /fd65::5: BGPConfiguration localWorkloadPeeringIPV6 is not set/);
  });

  it("reports a selector that makes no sense", () => {
    const { problems } = compute("a", cluster({ localWorkloadSelector: "role ==" }));
    assert.equal(problems.length, 1);
  });
});

describe("bgp/peering: BFD", () => {
  const withBfd = <T extends BGPPeer | BGPConfiguration>(resource: T, text: string): T => ({
    ...resource,
    metadata: { ...resource.metadata, annotations: { "calyx.io/bfd": text } },
  });

  it("is asked for by an annotation: of a BGPPeer, or of the default BGPConfiguration for the mesh", () => {
    const tor = withBfd(bgpPeer("tor", { peerIP: "10.0.0.254", asNumber: 65000 }), "300x3");
    const configurations = [withBfd(bgpConfiguration({}), "1000x5")];
    const peerings = peeringsOf("a", { nodes: [A, B], peers: [tor], configurations });
    assert.deepEqual(Object.fromEntries(peerings.map(({ name, bfd }) => [name, bfd])), {
      Global_10_0_0_254: { interval: 300, multiplier: 3 },
      Mesh_10_0_0_2: { interval: 1000, multiplier: 5 },
    });
  });

  it("that makes no sense is reported, and the peering does without", () => {
    const tor = withBfd(bgpPeer("tor", { peerIP: "10.0.0.254", asNumber: 65000 }), "fast");
    const { peerings, problems } = compute("a", { nodes: [A], peers: [tor] });
    assert.equal(peerings[0]?.bfd, undefined);
    assert.match(problems[0]?.message ?? "", /calyx\.io\/bfd: "fast" is not milliseconds and packets/);
  });
});
