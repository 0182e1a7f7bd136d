import assert from "node:assert/strict";
import { key } from "../../../datastore/key.ts";
import { type CheckReport, check, leakedInAll } from "../../../ipam/check.ts";
import { EmptyBlockCollector } from "../../../ipam/gc.ts";
import { borrowedAddresses, configurationRows, usageRows } from "../../../ipam/inspect.ts";
import { blockToJson } from "../../../ipam/records.ts";
import { takeSnapshot } from "../../../ipam/snapshot.ts";
import { planSplit } from "../../../ipam/split.ts";
import { cidr, networkAddress } from "../../../net/cidr.ts";
import { type Ip, ip } from "../../../net/ip.ts";
import { cluster } from "./cluster.ts";

const on = (node: string, handle: string, num4 = 1) => ({ node, handle, num4, use: "Workload" as const });

type Cluster = Awaited<ReturnType<typeof cluster>>;

async function report(world: Cluster): Promise<CheckReport> {
  return check(await takeSnapshot(world.datastore, world.clock.now()));
}

function kinds({ problems }: CheckReport): string[] {
  return problems.map(problem => problem.kind);
}

function useAddress({ datastore }: Cluster, name: string, ...addresses: string[]) {
  return datastore.create(key("WorkloadEndpoint", name, "default"), {
    metadata: { name, namespace: "default" },
    spec: { node: "host1", ipNetworks: addresses.map(address => `${address}/32`) },
  });
}

describe("ipam show", () => {
  it("counts pools and blocks", async () => {
    const world = await cluster({ p: { cidr: "10.0.0.0/24" } });
    await world.reserve("10.0.0.0/29", "10.0.0.2");
    await world.allocator().assignIp({ ...on("host1", "a"), ip: ip("10.0.0.1") });
    await world.allocator().assignIp({ ...on("host1", "b"), ip: ip("10.0.0.9") });
    const rows = usageRows(await takeSnapshot(world.datastore), { blocks: true });
    assert.deepEqual(rows, [
      { grouping: "IP Pool", cidr: "10.0.0.0/24", total: 256n, inUse: 2n, reserved: 8n, free: 247n },
      { grouping: "Block", cidr: "10.0.0.0/26", total: 64n, inUse: 2n, reserved: 8n, free: 55n },
    ]);
  });

  it("lists borrowed addresses with both hosts", async () => {
    const world = await cluster();
    await world.allocator().assignIp({ ...on("host1", "a"), ip: ip("10.65.0.1") });
    const request = { ...on("host2", "b"), ip: ip("10.65.0.2"), attributes: { pod: "p", namespace: "ns" } };
    await world.allocator().assignIp(request);
    assert.deepEqual(borrowedAddresses(await takeSnapshot(world.datastore)), [
      {
        ip: "10.65.0.2",
        borrower: "host2",
        block: "10.65.0.0/26",
        blockOwner: "host1",
        type: "Pod",
        allocatedTo: "ns/p",
      },
    ]);
  });

  it("shows the configuration", async () => {
    const rows = configurationRows(await takeSnapshot((await cluster()).datastore));
    assert.deepEqual(rows[0], { property: "StrictAffinity", value: "false" });
  });
});

describe("ipam check", () => {
  it("finds nothing where every address has one user", async () => {
    const world = await cluster();
    const { ipv4 } = await world.allocator().autoAssign(on("host1", "a"));
    await useAddress(world, "web", ipv4[0]!.ip);
    assert.deepEqual((await report(world)).problems, []);
    assert.deepEqual((await report(world)).allocations[0]!.users, ["WorkloadEndpoint(default/web)"]);
  });

  it("finds leaks, and says which of them last", async () => {
    const world = await cluster();
    await world.allocator().autoAssign(on("host1", "a"));
    const first = await report(world);
    assert.deepEqual(kinds(first), ["leaked"]);
    await world.allocator().releaseByHandle("a");
    await world.allocator().autoAssign(on("host1", "b", 2));
    const second = JSON.parse(JSON.stringify(await report(world))) as CheckReport;
    assert.equal(leakedInAll([second]).length, 2);
    assert.deepEqual(leakedInAll([first, second]), [], "assigned anew since the first look");
    await world.allocator().release(leakedInAll([second, await report(world)]));
    assert.deepEqual((await report(world)).problems, []);
  });

  it("finds addresses used without, outside of, or more than once", async () => {
    const world = await cluster();
    await useAddress(world, "a", "10.65.0.1", "11.0.0.1");
    await useAddress(world, "b", "10.65.0.1");
    assert.deepEqual(kinds(await report(world)), ["severalUsers", "notAssigned", "outsidePools"]);
  });

  it("knows tunnel addresses of nodes, and does not judge what it cannot see", async () => {
    const world = await cluster({
      p: { cidr: "10.65.0.0/16" },
      lb: { cidr: "10.66.0.0/16", allowedUses: ["LoadBalancer"] },
    });
    const tunnel = { ...on("host1", "ipip-tunnel-addr-host1"), use: "Tunnel" as const };
    const { ipv4 } = await world
      .allocator()
      .autoAssign({ ...tunnel, attributes: { type: "ipipTunnelAddress" } });
    await world.datastore.create(key("Node", "host1"), {
      metadata: { name: "host1" },
      spec: { bgp: { ipv4IPIPTunnelAddr: ipv4[0]!.ip } },
    });
    await world.allocator().autoAssign({ ...on("host1", "lb-1"), use: "LoadBalancer" });
    assert.deepEqual((await report(world)).problems, []);
  });

  it("finds handles that say too little or too much, and a repair settles both", async () => {
    const world = await cluster();
    const { ipv4 } = await world.allocator().autoAssign(on("host1", "a"));
    const block = ipv4[0]!.block;
    await world.datastore.delete(key("IPAMHandle", "a"));
    await world.store.createHandle("ghost", { block: { [block]: 1 }, extra: {} });
    const found = await report(world);
    assert.deepEqual(kinds(found), ["leaked", "handleMissing", "handleTooHigh"]);
    await world.allocator().repairHandle("a", [block]);
    await world.allocator().repairHandle("ghost");
    assert.deepEqual(await world.problems(), []);
    assert.deepEqual(await world.allocator().releaseByHandle("a"), [ipv4[0]!.ip]);
  });

  it("finds broken and overlapping blocks, and affinities at odds with them", async () => {
    const world = await cluster();
    await world.allocator().autoAssign({ ...on("host1", "a") });
    const [stored] = await world.store.blocks();
    const { value, revision } = stored!;
    const broken = { ...value, unallocated: [0, ...value.unallocated], affinity: "host:host2" as const };
    await world.datastore.update(key("IPAMBlock", value.cidr), blockToJson(broken), revision);
    const half = cidr(value.cidr.replace("/26", "/27"));
    await world.datastore.create(
      key("IPAMBlock", half),
      blockToJson({
        ...value,
        cidr: half,
        affinity: null,
        allocations: new Array(32).fill(null),
        unallocated: [...Array(32).keys()],
        sequenceNumberForAllocation: new Map(),
      }),
    );
    const found = new Set(kinds(await report(world)));
    for (const kind of ["blockBroken", "blocksOverlap", "affinityBroken"]) assert.ok(found.has(kind), kind);
  });
});

describe("the collector of empty blocks", () => {
  it("gives back what was empty twice, and leaves each host one block", async () => {
    const world = await cluster({ p: { cidr: "10.0.0.0/24", blockSize: 30 } });
    const allocator = world.allocator();
    await allocator.autoAssign(on("host1", "a", 12));
    await allocator.autoAssign(on("host2", "b", 4));
    const collector = new EmptyBlockCollector({ store: world.store, allocator, clock: world.clock });
    await allocator.releaseByHandle("a");
    await allocator.releaseByHandle("b");
    assert.deepEqual(await collector.run(), []);
    const [kept, surplus, used] = (await world.records()).blocks
      .filter(block => block.affinity === "host:host1")
      .map(block => block.cidr);
    await allocator.assignIp({ ...on("host1", "c"), ip: networkAddress(used!) });
    await allocator.releaseByHandle("c");
    assert.deepEqual(await collector.run(), [surplus], "the other one was in use meanwhile");
    assert.deepEqual(await collector.run(), [used]);
    assert.equal((await collector.run()).length, 0);
    const { blocks } = await world.records();
    assert.equal(blocks.length, 2);
    assert.ok(blocks.some(block => block.cidr === kept));
    assert.deepEqual(await world.problems(), []);
    assert.equal((await allocator.autoAssign(on("host1", "d"))).ipv4.length, 1);
  });
});

describe("empty blocks of one host", () => {
  it("are given back by that host, again and again, and nobody else's are touched", async () => {
    const world = await cluster({ p: { cidr: "10.0.0.0/24", blockSize: 30 } });
    const allocator = world.allocator();
    await allocator.autoAssign(on("host1", "a", 12));
    await allocator.autoAssign(on("host2", "b", 12));
    const collector = new EmptyBlockCollector({
      store: world.store,
      allocator,
      clock: world.clock,
      owner: "host:host1",
    });
    await allocator.releaseByHandle("a");
    await allocator.releaseByHandle("b");
    assert.deepEqual(await collector.run(), []);
    assert.equal((await collector.run()).length, 2);
    const owners = (await world.records()).blocks.map(block => block.affinity);
    assert.deepEqual(owners.toSorted(), ["host:host1", "host:host2", "host:host2", "host:host2"]);
  });
});

describe("splitting a pool", () => {
  const pool = {
    kind: "IPPool",
    metadata: { name: "p", uid: "u", resourceVersion: "1", labels: { a: "b" } },
    spec: { cidr: "10.0.0.0/24", natOutgoing: true },
  };

  it("makes equal parts with the pool's properties", () => {
    const plan = planSplit(pool, 4);
    assert.equal(plan.replace, "p");
    assert.deepEqual(
      plan.create.map(part => [part.metadata.name, part.spec.cidr]),
      [0, 1, 2, 3].map(i => [`split-p-${i}`, `10.0.0.${i * 64}/26`]),
    );
    assert.deepEqual(plan.create[0].metadata, { name: "split-p-0", labels: { a: "b" } });
    assert.deepEqual(plan.create[0].spec, {
      cidr: "10.0.0.0/26" as Ip,
      natOutgoing: true,
      blockSize: 26,
      disabled: false,
    });
  });

  it("refuses parts that are no power of two, or smaller than a block", () => {
    assert.throws(() => planSplit(pool, 3), { code: "INVALID_CONFIG" });
    assert.throws(() => planSplit(pool, 8), { code: "INVALID_CONFIG" });
  });
});
