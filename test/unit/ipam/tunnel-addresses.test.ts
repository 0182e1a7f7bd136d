import assert from "node:assert/strict";
import type { IPPool, Node } from "../../../crd-schemas/index.ts";
import { DatastoreError } from "../../../datastore/errors.ts";
import { key } from "../../../datastore/key.ts";
import { ensureTunnelAddresses } from "../../../ipam/tunnel-addresses.ts";
import { type Cidr, contains } from "../../../net/cidr.ts";
import { type Ip, ip } from "../../../net/ip.ts";
import { cluster } from "./cluster.ts";

type Spec = Partial<IPPool["spec"]> & { cidr: string };

/** A node in a cluster with these pools. */
async function start(pools: Readonly<Record<string, Spec>>, labels: Record<string, string> = {}) {
  const world = await cluster({});
  const { datastore } = world;
  const put = async (name: string, spec: Spec) => {
    const value = { apiVersion: "projectcalico.org/v3", kind: "IPPool", metadata: { name }, spec };
    const existing = await datastore.get(key("IPPool", name)).catch(() => undefined);
    if (existing) await datastore.update(key("IPPool", name), value as IPPool, existing.revision);
    else await datastore.create(key("IPPool", name), value as IPPool);
  };
  for (const [name, spec] of Object.entries(pools)) await put(name, spec);
  await datastore.create(key("Node", "n1"), {
    apiVersion: "projectcalico.org/v3",
    kind: "Node",
    metadata: { name: "n1", labels },
    spec: { bgp: { ipv4Address: "172.16.0.1/24" } },
  });
  const spec = async (): Promise<Node["spec"]> => (await datastore.get(key("Node", "n1"))).value.spec;
  return {
    ...world,
    put,
    spec,
    ensure: () => ensureTunnelAddresses({ datastore, nodeName: "n1" }),
    vxlan: async () => (await spec()).ipv4VXLANTunnelAddr as Ip | undefined,
    /** What IPAM holds for the node's tunnels: `10.0.0.5 vxlanTunnelAddress`. */
    held: async () => {
      const handles = ["ipip-tunnel-addr-n1", "vxlan-tunnel-addr-n1", "vxlan-v6-tunnel-addr-n1"];
      const allocator = world.allocator();
      const lines: string[] = [];
      for (const handle of handles) {
        for (const address of await allocator.ipsByHandle(handle)) {
          const { attributes } = await allocator.attributesOf(address);
          lines.push(`${address} ${attributes["type"]} ${attributes["node"]}`);
        }
      }
      return lines;
    },
  };
}

const VXLAN: Spec = { cidr: "10.65.0.0/16", vxlanMode: "Always" };
const pool = "10.65.0.0/16" as Cidr;

describe("ipam/tunnel-addresses", () => {
  it("gives the node an address of each kind that a pool wants, and writes it to the Node", async () => {
    const node = await start({
      vx: { ...VXLAN, vxlanMode: "CrossSubnet" },
      ipip: { cidr: "10.66.0.0/16", ipipMode: "Always" },
      six: { cidr: "fd00:65::/64", vxlanMode: "Always" },
      plain: { cidr: "10.67.0.0/16" },
    });
    await node.ensure();
    const { bgp, ipv4VXLANTunnelAddr, ipv6VXLANTunnelAddr } = await node.spec();
    assert.equal(bgp?.ipv4Address, "172.16.0.1/24");
    assert.deepEqual(await node.held(), [
      `${bgp?.ipv4IPIPTunnelAddr} ipipTunnelAddress n1`,
      `${ipv4VXLANTunnelAddr} vxlanTunnelAddress n1`,
      `${ipv6VXLANTunnelAddr} vxlanV6TunnelAddress n1`,
    ]);
    assert.ok(contains(pool, ipv4VXLANTunnelAddr as Ip));
    assert.deepEqual(await node.problems(), []);
  });

  it("changes nothing when asked again", async () => {
    const node = await start({ vx: VXLAN });
    await node.ensure();
    const before = await node.datastore.get(key("Node", "n1"));
    await node.ensure();
    assert.deepEqual(await node.datastore.get(key("Node", "n1")), before);
  });

  it("takes it back when no pool wants it any more", async () => {
    const node = await start({ vx: VXLAN });
    await node.ensure();
    await node.put("vx", { ...VXLAN, vxlanMode: "Never" });
    await node.ensure();
    assert.equal(await node.vxlan(), undefined);
    assert.deepEqual(await node.held(), []);
  });

  it("takes another when its pool is no longer tunnelled, or gone", async () => {
    const node = await start({ vx: VXLAN });
    await node.ensure();
    await node.put("vx", { ...VXLAN, vxlanMode: "Never" });
    await node.put("other", { cidr: "10.99.0.0/16", vxlanMode: "Always" });
    await node.ensure();
    assert.ok(contains("10.99.0.0/16" as Cidr, (await node.vxlan()) as Ip));
    assert.equal((await node.held()).length, 1);
  });

  it("keeps it while its pool is only disabled, whose workloads go on", async () => {
    const node = await start({ vx: VXLAN });
    await node.ensure();
    const before = await node.vxlan();
    await node.put("vx", { ...VXLAN, disabled: true });
    await node.put("other", { cidr: "10.99.0.0/16", vxlanMode: "Always" });
    await node.ensure();
    assert.equal(await node.vxlan(), before);
  });

  it("takes none from pools that are disabled, not for tunnels, or for other nodes", async () => {
    const node = await start(
      {
        a: { ...VXLAN, disabled: true },
        b: { cidr: "10.98.0.0/16", vxlanMode: "Always", allowedUses: ["Workload"] },
        c: { cidr: "10.97.0.0/16", vxlanMode: "Always", nodeSelector: "rack == 'two'" },
      },
      { rack: "one" },
    );
    await node.ensure();
    assert.equal(await node.vxlan(), undefined);
    await node.put("d", { cidr: "10.96.0.0/16", vxlanMode: "Always", nodeSelector: "rack == 'one'" });
    await node.ensure();
    assert.ok(contains("10.96.0.0/16" as Cidr, (await node.vxlan()) as Ip));
  });

  it("claims again what the Node says and IPAM has forgotten", async () => {
    const node = await start({ vx: VXLAN });
    const { value, revision } = await node.datastore.get(key("Node", "n1"));
    const spec = { ...value.spec, ipv4VXLANTunnelAddr: "10.65.7.7" };
    await node.datastore.update(key("Node", "n1"), { ...value, spec }, revision);
    await node.ensure();
    assert.deepEqual(await node.held(), ["10.65.7.7 vxlanTunnelAddress n1"]);
  });

  it("takes another where the Node's is a workload's", async () => {
    const node = await start({ vx: VXLAN });
    await node.allocator().assignIp({ ip: ip("10.65.7.7"), node: "n2", use: "Workload", handle: "pod" });
    const { value, revision } = await node.datastore.get(key("Node", "n1"));
    const spec = { ...value.spec, ipv4VXLANTunnelAddr: "10.65.7.7" };
    await node.datastore.update(key("Node", "n1"), { ...value, spec }, revision);
    await node.ensure();
    assert.notEqual(await node.vxlan(), "10.65.7.7");
    assert.deepEqual(await node.held(), [`${await node.vxlan()} vxlanTunnelAddress n1`]);
  });

  it("does nothing for a node that is not there", async () => {
    const node = await start({ vx: VXLAN });
    await ensureTunnelAddresses({ datastore: node.datastore, nodeName: "n9" });
    assert.deepEqual((await node.records()).handles, []);
  });

  it("puts right what two processes did at once", async () => {
    const node = await start({ vx: VXLAN });
    await Promise.all([node.ensure(), node.ensure(), node.ensure()]);
    await node.ensure();
    assert.deepEqual(await node.held(), [`${await node.vxlan()} vxlanTunnelAddress n1`]);
    assert.deepEqual(await node.problems(), []);
  });

  it("is completed by the next call wherever it is cut off", async () => {
    for (const from of ["Never", "Always"] as const) {
      for (let writes = 0; writes < 12; writes++) {
        const node = await start({ vx: { ...VXLAN, vxlanMode: from } });
        await node.ensure();
        const to = from === "Never" ? "Always" : "Never";
        await node.put("vx", { ...VXLAN, vxlanMode: to });
        let left = writes;
        let dead = false;
        node.datastore.store.onOperation = operation => {
          const isWrite = operation === "create" || operation === "update" || operation === "delete";
          dead ||= isWrite && left-- <= 0;
          if (dead) throw new DatastoreError("UNAVAILABLE");
        };
        await node.ensure().catch(() => {});
        node.datastore.store.onOperation = () => {};
        await node.ensure();
        const address = await node.vxlan();
        assert.equal(address !== undefined, to === "Always");
        assert.deepEqual(await node.held(), address ? [`${address} vxlanTunnelAddress n1`] : []);
        assert.deepEqual(await node.problems(), [], `${to}, cut off after ${writes} writes`);
      }
    }
  });
});
