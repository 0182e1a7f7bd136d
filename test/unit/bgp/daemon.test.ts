import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { acceptAll, Speaker } from "node-bgp";
import { filePasswords } from "../../../bgp/passwords.ts";
import type { ServiceSource, ServiceState } from "../../../bgp/services.ts";
import { DatastoreError, DatastoreErrorCode } from "../../../datastore/errors.ts";
import { RouteProtocol } from "../../../linux/rtnetlink.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { DaemonLab, type Host } from "./daemon-lab.ts";
import {
  bgpConfiguration,
  bgpFilter,
  bgpPeer,
  felixConfiguration,
  ipPool,
  node,
  workloadEndpoint,
} from "./resources.ts";

/** Hosts a, b, … in a mesh, each with a block, a moment after their start. */
async function mesh(size = 2): Promise<{ lab: DaemonLab; hosts: Host[]; a: Host; b: Host }> {
  const lab = new DaemonLab();
  await lab.put("IPPool", "pool", ipPool("10.65.0.0/16"));
  const hosts: Host[] = [];
  for (let i = 0; i < size; i++) {
    const host = await lab.host(String.fromCharCode(97 + i), `10.0.0.${i + 1}`);
    await lab.block(host, `10.65.${i + 1}.0/26`);
    hosts.push(host);
  }
  for (const host of hosts) host.start();
  await lab.pass(5);
  return { lab, hosts, a: hosts[0]!, b: hosts[1]! };
}

/** One service with externalTrafficPolicy Local. */
class FakeServices implements ServiceSource {
  #onState: (state: ServiceState) => void = () => {};

  async run(onState: (state: ServiceState) => void): Promise<void> {
    this.#onState = onState;
  }

  /** Where its ready endpoints are. */
  tell(nodes: string[]): void {
    const spec = { clusterIP: "10.96.0.10", externalTrafficPolicy: "Local" };
    const labels = { "kubernetes.io/service-name": "web" };
    this.#onState({
      services: [{ metadata: { namespace: "shop", name: "web" }, spec }],
      endpointSlices: [
        {
          metadata: { namespace: "shop", name: "web-1", labels },
          addressType: "IPv4",
          endpoints: nodes.map(nodeName => ({ nodeName, conditions: { ready: true } })),
        },
      ],
    });
  }
}

const A_ROUTES = ["10.65.2.0/26 via 10.0.0.2", "blackhole 10.65.1.0/26"];
const B_ROUTES = ["10.65.1.0/26 via 10.0.0.1", "blackhole 10.65.2.0/26"];

describe("bgp/daemon: in a mesh", () => {
  it("every host gets the blocks of all others, and a hole for its own", async () => {
    const { hosts } = await mesh(4);
    for (const [i, host] of hosts.entries()) {
      const expected = [1, 2, 3, 4].map(n =>
        n === i + 1 ? `blackhole 10.65.${n}.0/26` : `10.65.${n}.0/26 via 10.0.0.${n}`,
      );
      assert.deepEqual(host.kernel.bgpRoutes, expected.sort());
      assert.equal(host.notReady, undefined);
    }
  });

  it("a block comes and goes with its affinity", async () => {
    const { lab, a, b } = await mesh();
    await lab.block(a, "10.65.1.64/26", "pending");
    await lab.pass(0.5);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    await lab.block(a, "10.65.1.64/26");
    await lab.pass(0.5);
    assert.ok(b.kernel.bgpRoutes.includes("10.65.1.64/26 via 10.0.0.1"));
    assert.ok(a.kernel.bgpRoutes.includes("blackhole 10.65.1.64/26"));
    await lab.delete("BlockAffinity", "10.65.1.64/26", "host:a");
    await lab.pass(0.5);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
  });

  it("a borrowed address comes and goes with its workload's route", async () => {
    const { lab, a, b } = await mesh();
    a.kernel.addLink(7, "cali7");
    a.kernel.addWorkload(7, "10.65.2.9/32");
    a.kernel.addWorkload(7, "10.65.1.9/32");
    await lab.pass(0.5);
    assert.deepEqual(b.kernel.bgpRoutes, [...B_ROUTES, "10.65.2.9/32 via 10.0.0.1"].sort());
    a.kernel.linkDown(7);
    await lab.pass(0.5);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
  });

  it("a host that joins or leaves the datastore joins or leaves the mesh", async () => {
    const { lab, a, b } = await mesh();
    const c = await lab.host("c", "10.0.0.3");
    await lab.block(c, "10.65.3.0/26");
    c.start();
    await lab.pass(5);
    assert.ok(a.kernel.bgpRoutes.includes("10.65.3.0/26 via 10.0.0.3"));
    assert.equal(c.kernel.bgpRoutes.length, 3);
    await lab.delete("Node", "c");
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual(b.neighborStates, { Mesh_10_0_0_1: "Established" });
  });

  it("a route that somebody deletes is put back, and nobody else's is touched", async () => {
    const { lab, a } = await mesh();
    const foreign = { destination: cidr("10.65.2.0/26"), protocol: RouteProtocol.STATIC, metric: 5 };
    a.kernel.setRoute({ ...foreign, type: "unicast", gateway: ip("10.0.0.9") });
    a.kernel.deleteRoute("10.65.2.0/26", 1024);
    a.kernel.deleteRoute("10.65.1.0/26");
    await lab.pass(0.1);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.ok([...a.kernel.routes.values()].some(({ protocol }) => protocol === RouteProtocol.STATIC));
  });
});

describe("bgp/daemon: announces besides blocks", () => {
  it("a workload that moves here better than it did where it was, and there gives way", async () => {
    const { lab, hosts, a, b } = await mesh(3);
    a.kernel.addLink(7, "cali7");
    a.kernel.addWorkload(7, "10.65.3.9/32");
    await lab.pass(0.5);
    assert.ok(b.kernel.bgpRoutes.includes("10.65.3.9/32 via 10.0.0.1"));
    b.kernel.addLink(7, "cali7");
    b.kernel.addWorkload(7, "10.65.3.9/32", 512);
    await lab.pass(0.5);
    for (const host of [a, hosts[2]!])
      assert.ok(host.kernel.bgpRoutes.includes("10.65.3.9/32 via 10.0.0.2 metric 512"), host.name);
    assert.deepEqual(
      b.kernel.bgpRoutes.filter(route => route.startsWith("10.65.3.9")),
      [],
    );
  });

  it("what somebody has put into the kernel inside a pool, until somebody else announces it", async () => {
    const { lab, a, b } = await mesh();
    const foreign = { destination: cidr("10.65.40.0/24"), protocol: RouteProtocol.STATIC, metric: 2000 };
    a.kernel.setRoute({ ...foreign, type: "unicast", gateway: ip("10.0.0.9") });
    a.kernel.setRoute({
      ...foreign,
      destination: cidr("172.20.0.0/24"),
      type: "unicast",
      gateway: ip("10.0.0.9"),
    });
    await lab.pass(0.5);
    assert.deepEqual(b.kernel.bgpRoutes, [...B_ROUTES, "10.65.40.0/24 via 10.0.0.1"].sort());
    await lab.block(b, "10.65.40.0/24");
    await lab.pass(0.5);
    assert.ok(a.kernel.bgpRoutes.includes("10.65.40.0/24 via 10.0.0.2"), a.kernel.bgpRoutes.join());
    await lab.delete("BlockAffinity", "10.65.40.0/24", "host:b");
    a.kernel.deleteRoute("10.65.40.0/24", 2000);
    await lab.pass(0.5);
    assert.deepEqual([a.kernel.bgpRoutes, b.kernel.bgpRoutes], [A_ROUTES, B_ROUTES]);
  });

  it("what a filter lets out, by the interface it leads over, while it does", async () => {
    const { lab, a, b } = await mesh();
    a.kernel.addLink(3, "br7");
    a.kernel.addAddress(3, "172.20.0.1/24");
    const peer = { node: "a", peerIP: "10.0.0.2", asNumber: 64512, filters: ["bridges"] };
    await lab.put("BGPPeer", "p", bgpPeer("p", peer));
    const rule = { interface: "br*", action: "Accept" } as const;
    await lab.put("BGPFilter", "bridges", bgpFilter("bridges", { exportV4: [rule] }));
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, [...B_ROUTES, "172.20.0.0/24 via 10.0.0.1"].sort());
    a.kernel.addLink(3, "off7");
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    a.kernel.addLink(3, "br7");
    await lab.pass(1);
    assert.ok(b.kernel.bgpRoutes.includes("172.20.0.0/24 via 10.0.0.1"));
    await lab.delete("BGPFilter", "bridges");
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
  });

  it("services of the cluster, as they come and go, from the nodes that are to", async () => {
    const lab = new DaemonLab();
    const hosts = [await lab.host("a", "10.0.0.1"), await lab.host("b", "10.0.0.2")] as const;
    const [a, b] = hosts;
    await lab.put(
      "BGPConfiguration",
      "default",
      bgpConfiguration({ serviceClusterIPs: [{ cidr: "10.96.0.0/12" }] }),
    );
    const sources = hosts.map(() => new FakeServices());
    a.start({ services: sources[0], kubernetesNodeName: "ip-10-0-0-1" });
    b.start({ services: sources[1] });
    await lab.pass(1);
    assert.match(a.notReady ?? "", /waiting for the datastore/);
    for (const source of sources) source.tell([]);
    await lab.pass(3);
    assert.deepEqual([a.status.announced, b.status.announced], [["10.96.0.0/12"], ["10.96.0.0/12"]]);
    for (const source of sources) source.tell(["ip-10-0-0-1"]);
    await lab.pass(1);
    assert.deepEqual(a.status.announced, ["10.96.0.0/12", "10.96.0.10/32"]);
    assert.deepEqual(b.status.announced, ["10.96.0.0/12"]);
    // Outside all pools, and nevertheless let out; where the range itself leads is kube-proxy's business.
    assert.deepEqual(b.kernel.bgpRoutes, ["10.96.0.10/32 via 10.0.0.1"]);
    const excluded = { "node.kubernetes.io/exclude-from-external-load-balancers": "true" };
    await lab.put("Node", "a", node("a", { ipv4Address: "10.0.0.1/24" }, excluded));
    await lab.pass(1);
    assert.deepEqual([a.status.announced, b.kernel.bgpRoutes], [[], []]);
    assert.deepEqual(a.kernel.bgpRoutes, []);
  });

  it("what it has besides services, when nobody tells it of services in time", async () => {
    const lab = new DaemonLab();
    const a = await lab.host("a", "10.0.0.1");
    await lab.block(a, "10.65.1.0/26");
    a.start({ services: new FakeServices() });
    await lab.pass(12);
    assert.deepEqual(a.status.announced, ["10.65.1.0/26"]);
  });

  it("no subnet of an ignored interface", async () => {
    const { lab, a, b } = await mesh();
    a.kernel.addLink(3, "br7");
    a.kernel.addAddress(3, "10.65.40.1/24");
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, [...B_ROUTES, "10.65.40.0/24 via 10.0.0.1"].sort());
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ ignoredInterfaces: ["br*"] }));
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
  });
});

describe("bgp/daemon: behind a reflector", () => {
  it("an address that is on several hosts is led to all of them", async () => {
    const lab = new DaemonLab();
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16"));
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ nodeToNodeMeshEnabled: false }));
    await lab.put("BGPPeer", "r", bgpPeer("r", { peerSelector: "all()", node: "r" }));
    const [a, b, c] = [
      await lab.host("a", "10.0.0.1"),
      await lab.host("b", "10.0.0.2"),
      await lab.host("c", "10.0.0.3"),
    ];
    const r = await lab.host("r", "10.0.0.9", { routeReflectorClusterID: "1.0.0.1" });
    for (const host of [a, b, c, r]) host.start();
    for (const host of [b, c]) {
      host.kernel.addLink(7, "cali7");
      host.kernel.addWorkload(7, "10.65.9.9/32");
    }
    await lab.pass(15);
    assert.deepEqual(a.kernel.bgpRoutes, ["10.65.9.9/32 via 10.0.0.2 via 10.0.0.3"]);
    c.kernel.linkDown(7);
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, ["10.65.9.9/32 via 10.0.0.2"]);
  });
});

describe("bgp/daemon: its identity", () => {
  it("waits while the node has no address, and says so; starts when it has one; stops when it loses it", async () => {
    const lab = new DaemonLab();
    const a = lab.machine("a", "10.0.0.1");
    a.start();
    await lab.pass(1);
    assert.equal(a.speakers.length, 0);
    assert.match(a.notReady ?? "", /a has no BGP address/);
    await lab.put("Node", "a", node("a", { ipv4Address: "10.0.0.1/24" }));
    await lab.block(a, "10.65.1.0/26");
    await lab.pass(1);
    assert.equal(a.speakers.length, 1);
    assert.equal(a.notReady, undefined);
    assert.deepEqual(a.status.announced, ["10.65.1.0/26"]);
    await lab.delete("Node", "a");
    await lab.pass(1);
    assert.equal(a.status.identity, null);
    assert.deepEqual(a.kernel.bgpRoutes, ["blackhole 10.65.1.0/26"]);
  });

  it("a new AS number is a new speaker; meanwhile no route leaves the kernel", async () => {
    const { lab, a, b } = await mesh();
    a.kernel.writes.length = 0;
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ asNumber: 65001 }));
    await lab.pass(10);
    assert.deepEqual(
      a.speakers.map(({ asn }) => asn),
      [64512, 65001],
    );
    assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Established" });
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    assert.deepEqual(a.kernel.writes, []);
  });

  it("a pool that changes while the neighbors are not back yet takes no route of theirs away", async () => {
    const { lab, a } = await mesh(3);
    await lab.put("IPPool", "other", ipPool("10.66.0.0/16"));
    a.network("cut");
    await lab.put("Node", "a", node("a", { ipv4Address: "10.0.0.1/24", asNumber: 65001 }));
    await lab.pass(60);
    assert.equal(a.status.identity?.asn, 65001);
    assert.equal(a.notReady, undefined);
    await lab.put("IPPool", "other", ipPool("10.66.0.0/16", { natOutgoing: true }));
    await lab.pass(1);
    assert.ok(a.kernel.bgpRoutes.includes("10.65.2.0/26 via 10.0.0.2"), a.kernel.bgpRoutes.join());
    await lab.pass(90);
    assert.deepEqual(a.kernel.bgpRoutes, ["blackhole 10.65.1.0/26"]);
  });

  it("its router id is the address, what is configured, or a hash of the name", async () => {
    const ids: string[] = [];
    for (const routerId of [undefined, "", "192.0.2.1", "hash"]) {
      const lab = new DaemonLab();
      const a = await lab.host("a", "10.0.0.1");
      a.start({ routerId });
      await lab.pass(0.5);
      ids.push(a.speakers[0]?.routerId as string);
    }
    assert.deepEqual(ids.slice(0, 3), ["10.0.0.1", "10.0.0.1", "192.0.2.1"]);
    assert.match(ids[3] as string, /^\d+\.\d+\.\d+\.\d+$/);
    assert.notEqual(ids[3], "10.0.0.1");
  });

  it("listens where it is told from now on, on both of its addresses, without a new speaker", async () => {
    const lab = new DaemonLab();
    const a = await lab.host("a", "10.0.0.1", { ipv6Address: "fd00::1/64" });
    a.start();
    await lab.pass(0.5);
    assert.deepEqual(a.speakers[0]?.listen, { port: 179 });
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ listenPort: 1790, bindMode: "NodeIP" }));
    await lab.pass(0.5);
    assert.equal(a.speakers.length, 1);
    assert.deepEqual(a.listening, ["10.0.0.1:1790", "fd00::1:1790"]);
  });

  it("listens where it is told, and is a reflector with the cluster id of the node", async () => {
    const lab = new DaemonLab();
    const a = await lab.host("a", "10.0.0.1", { routeReflectorClusterID: "1.0.0.1" });
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ listenPort: 1790, bindMode: "NodeIP" }));
    await lab.put("BGPConfiguration", "node.a", bgpConfiguration({ listenPort: 1791 }, "node.a"));
    a.start();
    await lab.pass(0.5);
    assert.deepEqual(a.speakers[0]?.listen, { port: 1791, addresses: ["10.0.0.1"] });
    assert.equal(a.speakers[0]?.clusterId, "1.0.0.1");
  });

  it("what keeps the speaker from starting, such as a port in use, is tried again", async () => {
    const lab = new DaemonLab();
    const a = await lab.host("a", "10.0.0.1");
    a.listenError = new Error("listen EADDRINUSE");
    a.start();
    await lab.pass(6);
    assert.ok(a.speakers.length >= 2);
    assert.equal(a.status.identity, null);
    a.listenError = undefined;
    await lab.pass(6);
    assert.ok(a.status.identity);
    assert.equal(a.notReady, undefined);
  });
});

describe("bgp/daemon: keeps forwarding", () => {
  it("when the datastore is lost, and follows it when it is back", async () => {
    const { lab, a, b } = await mesh();
    const lost = new DatastoreError(DatastoreErrorCode.Unavailable);
    lab.datastore.store.onOperation = operation => {
      if (operation !== "create") throw lost;
    };
    lab.datastore.store.interrupt();
    await lab.pass(120);
    assert.equal(a.status.connected, false);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Established" });
    lab.datastore.store.onOperation = undefined;
    await lab.block(a, "10.65.1.64/26");
    await lab.pass(60);
    assert.equal(a.status.connected, true);
    assert.ok(b.kernel.bgpRoutes.includes("10.65.1.64/26 via 10.0.0.1"));
  });

  it("through a stop and a start, on both sides, without a single write for what has not changed", async () => {
    const { lab, a, b } = await mesh();
    for (const host of [a, b]) host.kernel.writes.length = 0;
    await a.stop();
    await lab.pass(30);
    a.start();
    await lab.pass(0.2);
    assert.equal(a.speakers.at(-1)?.gracefulRestart && a.speakers.at(-1)?.gracefulRestart !== false, true);
    assert.deepEqual(a.speakers.at(-1)?.gracefulRestart, { restarting: true, forwardingPreserved: true });
    await lab.pass(20);
    assert.equal(a.notReady, undefined);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual([...a.kernel.writes, ...b.kernel.writes], []);
  });

  it("the first start since boot is no restart", async () => {
    const { a } = await mesh();
    assert.deepEqual(a.speakers[0]?.gracefulRestart, { restarting: false, forwardingPreserved: true });
  });

  it("routes of before that nobody has any more go once every neighbor has told us all it has, not before", async () => {
    const { lab, a, b } = await mesh(3);
    await a.stop();
    await lab.delete("BlockAffinity", "10.65.2.0/26", "host:b");
    const { kernel } = a;
    kernel.writes.length = 0;
    a.network("cut");
    a.start();
    await lab.pass(30);
    assert.ok(kernel.bgpRoutes.includes("10.65.2.0/26 via 10.0.0.2"));
    a.network("heal");
    await lab.pass(30);
    assert.deepEqual(kernel.writes, ["-10.65.2.0/26"]);
    assert.deepEqual(b.kernel.bgpRoutes, ["10.65.1.0/26 via 10.0.0.1", "10.65.3.0/26 via 10.0.0.3"]);
  });

  it("for a neighbor that is gone for good, as long as it would keep ours", async () => {
    const { lab, a, b } = await mesh();
    await a.stop();
    await b.stop();
    a.start();
    await lab.pass(100);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.equal(a.notReady, undefined);
    await lab.pass(60);
    assert.deepEqual(a.kernel.bgpRoutes, ["blackhole 10.65.1.0/26"]);
  });
});

describe("bgp/daemon: follows its configuration", () => {
  it("a resource that makes no sense holds up nothing: it is reported, and absent", async () => {
    const { lab, a, b } = await mesh();
    await lab.put("IPPool", "broken", { kind: "IPPool", name: "broken" });
    await lab.put("BGPPeer", "broken", "not even a mapping");
    await lab.put("BlockAffinity", "10.65.9.0/26", null, "host:a");
    await lab.block(a, "10.65.1.64/26");
    await lab.pass(1);
    assert.match(a.status.problems.join("\n"), /^IPPool\(broken\): .*\nBGPPeer\(broken\): /);
    assert.ok(b.kernel.bgpRoutes.includes("10.65.1.64/26 via 10.0.0.1"));
    await a.stop();
    a.start();
    await lab.pass(20);
    assert.equal(a.notReady, undefined);
    await lab.put("IPPool", "broken", ipPool("10.66.0.0/16"));
    await lab.delete("BGPPeer", "broken");
    await lab.pass(1);
    assert.deepEqual(a.status.problems, []);
  });

  it("a change that could not be followed is tried again, without waiting for another", async () => {
    const { lab, a } = await mesh();
    a.failOnce("refreshExports");
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16", { vxlanMode: "Always" }));
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, []);
  });

  it("workloads are where felix has them: interfacePrefix of the node, over that of all", async () => {
    const { lab, a, b } = await mesh();
    a.kernel.addLink(7, "tap7");
    a.kernel.addWorkload(7, "10.65.2.9/32");
    const borrowed = async (interfacePrefix: string, name: string) => {
      await lab.put("FelixConfiguration", name, felixConfiguration({ interfacePrefix }, name));
      await lab.pass(1);
      return b.kernel.bgpRoutes.includes("10.65.2.9/32 via 10.0.0.1");
    };
    assert.equal(await borrowed("cali", "default"), false);
    assert.equal(await borrowed("cali,tap", "default"), true);
    assert.equal(await borrowed("veth", "node.a"), false);
    assert.equal(await borrowed("tap", "node.a"), true);
    assert.equal(await borrowed("veth", "node.b"), true);
  });

  it("the level of its log is that of the node's BGPConfiguration, or of the default one", async () => {
    const lab = new DaemonLab();
    const a = await lab.host("a", "10.0.0.1");
    const severities: (string | undefined)[] = [];
    a.start({ onLogSeverity: severity => severities.push(severity) });
    await lab.pass(1);
    assert.deepEqual(severities, [undefined]);
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ logSeverityScreen: "Warning" }));
    await lab.pass(1);
    assert.equal(severities.at(-1), "Warning");
    const own = bgpConfiguration({ logSeverityScreen: "Debug" }, "node.a");
    await lab.put("BGPConfiguration", "node.a", own);
    await lab.pass(1);
    assert.equal(severities.at(-1), "Debug");
  });

  it("a pool that gets a tunnel is felix's: the routes go, the announcements stay", async () => {
    const { lab, a, b } = await mesh();
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16", { vxlanMode: "Always" }));
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, []);
    assert.deepEqual(a.status.announced, ["10.65.1.0/26"]);
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16"));
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
  });

  it("a pool with disableBGPExport is told to nobody", async () => {
    const { lab, a, b } = await mesh();
    await lab.put("IPPool", "pool", ipPool("10.65.0.0/16", { disableBGPExport: true }));
    await lab.pass(1);
    assert.deepEqual(b.kernel.bgpRoutes, ["blackhole 10.65.2.0/26"]);
    assert.deepEqual(a.status.announced, []);
  });

  it("programClusterRoutes Disabled leaves the pools' routes to felix", async () => {
    const { lab, a } = await mesh();
    await lab.put("BGPConfiguration", "default", bgpConfiguration({ programClusterRoutes: "Disabled" }));
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, []);
  });

  it("a filter decides from the moment it is there, and a missing one is reported", async () => {
    const { lab, a, b } = await mesh();
    const peer = { node: "b", peerIP: "10.0.0.1", asNumber: 64512, filters: ["f"] };
    await lab.put("BGPPeer", "p", bgpPeer("p", peer));
    await lab.pass(5);
    assert.deepEqual(b.status.problems, ["Node_10_0_0_1: BGPFilter f does not exist"]);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
    const rejecting = bgpFilter("f", { importV4: [{ action: "Reject" }], exportV4: [{ action: "Reject" }] });
    await lab.put("BGPFilter", "f", rejecting);
    await lab.pass(2);
    assert.deepEqual(b.status.problems, []);
    assert.deepEqual(b.kernel.bgpRoutes, ["blackhole 10.65.2.0/26"]);
    assert.deepEqual(a.kernel.bgpRoutes, ["blackhole 10.65.1.0/26"]);
    await lab.delete("BGPFilter", "f");
    await lab.pass(2);
    assert.deepEqual(b.kernel.bgpRoutes, B_ROUTES);
  });

  it("what one BGPPeer has wrong is in the status while it lasts, and holds up no other", async () => {
    const { lab, a } = await mesh();
    await lab.put("BGPPeer", "bad-ip", bgpPeer("bad-ip", { peerIP: "rack4", asNumber: 1 }));
    const hasty = { peerIP: "10.0.0.7", asNumber: 65000, keepaliveTime: "500ms" };
    await lab.put("BGPPeer", "hasty", bgpPeer("hasty", hasty));
    await lab.put("BGPPeer", "tor", bgpPeer("tor", { peerIP: "10.0.0.9", asNumber: 65000 }));
    await lab.pass(1);
    assert.equal(a.status.problems.length, 2);
    assert.match(a.status.problems.join("\n"), /BGPPeer\(bad-ip\).*rack4.*\nGlobal_10_0_0_7: holdTime/);
    assert.deepEqual(Object.keys(a.neighborStates), ["Mesh_10_0_0_2", "Global_10_0_0_9"]);
    await lab.put("BGPPeer", "hasty", bgpPeer("hasty", { ...hasty, keepaliveTime: "5s" }));
    await lab.delete("BGPPeer", "bad-ip");
    await lab.pass(1);
    assert.deepEqual(a.status.problems, []);
    assert.equal(a.status.neighbors.length, 3);
    for (const name of ["hasty", "tor"]) await lab.delete("BGPPeer", name);
    await lab.pass(1);
    assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Established" });
  });

  it("a peer that is reachable by a gateway gets a route, for as long as it is one", async () => {
    const { lab, a } = await mesh();
    const peer = bgpPeer("far", { peerIP: "192.0.2.1", asNumber: 65000, reachableBy: "10.0.0.9" });
    await lab.put("BGPPeer", "far", peer);
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, [...A_ROUTES, "192.0.2.1/32 via 10.0.0.9"].sort());
    await lab.delete("BGPPeer", "far");
    await lab.pass(1);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
  });

  describe("with passwords", () => {
    let secretsDirectory: string;
    before(() => {
      secretsDirectory = mkdtempSync(join(tmpdir(), "calyx-bgp-"));
    });
    after(() => rmSync(secretsDirectory, { recursive: true }));

    const password = (text: string) => {
      mkdirSync(join(secretsDirectory, "bgp"), { recursive: true });
      writeFileSync(join(secretsDirectory, "bgp", "mesh"), text, { mode: 0o600 });
    };
    const forget = () => rmSync(join(secretsDirectory, "bgp"), { recursive: true, force: true });
    beforeEach(forget);

    async function secured(): Promise<{ lab: DaemonLab; a: Host; b: Host }> {
      const lab = new DaemonLab();
      const [a, b] = [await lab.host("a", "10.0.0.1"), await lab.host("b", "10.0.0.2")];
      await lab.put("IPPool", "pool", ipPool("10.65.0.0/16"));
      for (const [i, host] of [a, b].entries()) await lab.block(host, `10.65.${i + 1}.0/26`);
      await lab.put(
        "BGPConfiguration",
        "default",
        bgpConfiguration({ nodeMeshPassword: { secretKeyRef: { name: "bgp", key: "mesh" } } }),
      );
      return { lab, a, b };
    }

    it("begins no session without the one it is to have, and all as soon as that is there", async () => {
      const { lab, a, b } = await secured();
      for (const host of [a, b]) host.start({ passwords: filePasswords(secretsDirectory) });
      await lab.pass(15);
      assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Idle" });
      assert.match(
        a.status.problems.join(),
        /^Mesh_10_0_0_2: password .*bgp\/mesh is not readable \(ENOENT\): no session is begun without it/,
      );
      password("opensesame");
      await lab.pass(25);
      assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Established" });
      assert.deepEqual([...a.passwords], [["10.0.0.2", "opensesame"]]);
      assert.deepEqual(a.status.problems, []);
      assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    });

    it("keeps the last one while it cannot be read, and follows a change", async () => {
      const { lab, a } = await secured();
      password("opensesame");
      a.start({ passwords: filePasswords(secretsDirectory) });
      await lab.pass(1);
      forget();
      await lab.pass(11);
      assert.match(a.status.problems.join(), /ENOENT\): the last one stays in force/);
      assert.deepEqual([...a.passwords], [["10.0.0.2", "opensesame"]]);
      password("x".repeat(81));
      await lab.pass(11);
      assert.match(a.status.problems.join(), /Mesh_10_0_0_2: password: .*80 bytes/);
      assert.deepEqual([...a.passwords], [["10.0.0.2", "opensesame"]]);
      password("changed");
      await lab.pass(11);
      assert.deepEqual([...a.passwords], [["10.0.0.2", "changed"]]);
      assert.equal(a.status.problems.join().includes("changed"), false);
    });

    it("leaves a session as it is that gets a password which cannot be read", async () => {
      const { lab, a } = await mesh();
      const nodeMeshPassword = { secretKeyRef: { name: "bgp", key: "mesh" } };
      await lab.put("BGPConfiguration", "default", bgpConfiguration({ nodeMeshPassword }));
      await lab.pass(15);
      assert.deepEqual(a.neighborStates, { Mesh_10_0_0_2: "Established" });
      assert.match(a.status.problems.join(), /no session is begun without it/);
    });

    it("keeps after a restart the routes of those it has no password for, as if they were down", async () => {
      const { lab, a, b } = await secured();
      password("opensesame");
      for (const host of [a, b]) host.start({ passwords: filePasswords(secretsDirectory) });
      await lab.pass(15);
      assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
      await a.stop();
      forget();
      a.start({ passwords: filePasswords(secretsDirectory) });
      await lab.pass(60);
      assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
      await lab.pass(90);
      assert.deepEqual(a.kernel.bgpRoutes, ["blackhole 10.65.1.0/26"]);
    });
  });
});

describe("bgp/daemon: peers with workloads of its own", () => {
  it("over their interfaces, on an address that is on all of these, while they are selected", async () => {
    const { lab, a } = await mesh();
    a.kernel.addLink(7, "cali7");
    a.kernel.addWorkload(7, "10.65.1.5/32");
    const spec = { node: "a", ipNetworks: ["10.65.1.5/32"], interfaceName: "cali7" };
    const endpoint = workloadEndpoint("r1", spec, { role: "router" });
    const { name } = endpoint.metadata;
    await lab.put("WorkloadEndpoint", name, endpoint, "default");
    await lab.put(
      "BGPConfiguration",
      "default",
      bgpConfiguration({ localWorkloadPeeringIPV4: "169.254.1.1" }),
    );
    const peer = { localWorkloadSelector: "role == 'router'", asNumber: 65010, filters: ["from-routers"] };
    await lab.put("BGPPeer", "routers", bgpPeer("routers", peer));
    const rule = { cidr: "172.30.0.0/16", matchOperator: "In", action: "Accept" } as const;
    await lab.put("BGPFilter", "from-routers", bgpFilter("from-routers", { importV4: [rule] }));
    await lab.pass(1);
    assert.deepEqual(a.kernel.addresses, ["eth0 10.0.0.1/24", "cali7 169.254.1.1/32"]);
    assert.equal(a.neighborStates["Local_Workload_10_65_1_5"], "Active");

    const router = new Speaker({
      asn: 65010,
      routerId: "10.65.1.5",
      listen: false,
      clock: lab.sim,
      random: () => 0.5,
      transport: lab.network.host("10.65.1.5"),
    });
    // The simulated network knows no interfaces; over a real one it is 169.254.1.1 (test/interop/bgp).
    router.addNeighbor({ address: "10.0.0.1", asn: 64512, importPolicy: acceptAll, exportPolicy: acceptAll });
    router.announce({ prefix: "172.30.7.0/24" });
    router.announce({ prefix: "0.0.0.0/0" });
    await router.start();
    await lab.pass(5);
    assert.equal(a.neighborStates["Local_Workload_10_65_1_5"], "Established");
    // What no filter lets in is nothing to this host.
    assert.deepEqual(a.kernel.bgpRoutes, [...A_ROUTES, "172.30.7.0/24 via 10.65.1.5"].sort());
    assert.deepEqual([...router.routes()].map(({ prefix }) => prefix).sort(), [
      "0.0.0.0/0",
      "10.65.1.0/26",
      "10.65.2.0/26",
      "172.30.7.0/24",
    ]);
    await lab.put("WorkloadEndpoint", name, workloadEndpoint("r1", spec, {}), "default");
    await lab.pass(1);
    assert.deepEqual(a.kernel.addresses, ["eth0 10.0.0.1/24"]);
    assert.deepEqual(a.kernel.bgpRoutes, A_ROUTES);
    assert.deepEqual(Object.keys(a.neighborStates), ["Mesh_10_0_0_2"]);
    await router.stop();
  });
});
