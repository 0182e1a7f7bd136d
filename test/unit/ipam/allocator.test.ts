import assert from "node:assert/strict";
import { key } from "../../../datastore/key.ts";
import { cidr, contains } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { cluster, ips } from "./cluster.ts";

const workload = { use: "Workload" as const };
const on = (node: string, handle: string, num4 = 1) => ({ ...workload, node, handle, num4 });

describe("autoAssign", () => {
  it("claims a block for the host and assigns out of it from then on", async () => {
    const { allocator, records, problems } = await cluster();
    const ipam = allocator();
    const first = await ipam.autoAssign(on("host1", "a"));
    const second = await ipam.autoAssign(on("host1", "b", 2));
    const { blocks, affinities, handles } = await records();
    assert.equal(blocks.length, 1);
    assert.equal(blocks[0]!.affinity, "host:host1");
    assert.deepEqual(
      affinities.map(each => [each.owner, each.cidr, each.value.state]),
      [["host:host1", blocks[0]!.cidr, "confirmed"]],
    );
    for (const { ip: address, borrowed } of [...first.ipv4, ...second.ipv4]) {
      assert.ok(contains(blocks[0]!.cidr, address));
      assert.equal(borrowed, false);
    }
    assert.deepEqual(
      handles.map(({ id, value }) => [id, value.block]),
      [
        ["a", { [blocks[0]!.cidr]: 1 }],
        ["b", { [blocks[0]!.cidr]: 2 }],
      ],
    );
    assert.deepEqual(await problems(), []);
  });

  it("needs two writes and no read once it knows the host's block", async () => {
    const { allocator, datastore } = await cluster();
    const ipam = allocator();
    await ipam.autoAssign(on("host1", "a"));
    const operations: string[] = [];
    datastore.store.onOperation = (operation, path) => {
      operations.push(`${operation} ${path.split("/").slice(4, 5)}`);
    };
    await ipam.autoAssign(on("host1", "b"));
    assert.deepEqual(operations, ["create handle", "update assignment"]);
  });

  it("finds a new block without reading all blocks, however many there are", async () => {
    const { allocator, datastore } = await cluster({ pool: { cidr: "10.65.0.0/23" } });
    for (let host = 0; host < 7; host++) await allocator().autoAssign(on(`host${host}`, `a${host}`));
    const ranges: string[] = [];
    datastore.store.onOperation = (operation, path) => {
      if (operation === "range") ranges.push(path);
    };
    const { ipv4 } = await allocator().autoAssign(on("late", "a"));
    assert.equal(ipv4[0]!.borrowed, false);
    assert.deepEqual(
      ranges.filter(path => path.includes("/assignment/")),
      [],
    );
  });

  it("goes past blocks that nobody owns any more, and keeps what it claimed clean", async () => {
    const { allocator, problems, records } = await cluster({ pool: { cidr: "10.65.0.0/24" } });
    for (const node of ["gone1", "gone2"]) {
      await allocator().autoAssign(on(node, node));
      await allocator().removeHost(node);
    }
    const { ipv4 } = await allocator().autoAssign({ ...on("host1", "a"), num4: 128 });
    assert.ok(ipv4.every(({ borrowed }) => !borrowed));
    const { affinities } = await records();
    assert.deepEqual(
      affinities.map(each => each.owner),
      ["host:host1", "host:host1"],
    );
    assert.deepEqual(await problems(), []);
  });

  it("records node and time with the caller's attributes", async () => {
    const { allocator } = await cluster();
    const ipam = allocator();
    const { ipv4 } = await ipam.autoAssign({
      ...on("host1", "a"),
      attributes: { pod: "p", namespace: "ns" },
    });
    const found = await allocator().attributesOf(ipv4[0]!.ip);
    assert.equal(found.handle, "a");
    assert.deepEqual(found.attributes, {
      pod: "p",
      namespace: "ns",
      node: "host1",
      timestamp: "2026-01-01T00:00:00.000Z",
    });
    assert.equal(found.sequenceNumber, ipv4[0]!.sequenceNumber);
  });

  it("assigns both families under one handle", async () => {
    const { allocator, records } = await cluster({
      four: { cidr: "10.0.0.0/16" },
      six: { cidr: "fd00::/64" },
    });
    const ipam = allocator();
    const { ipv4, ipv6 } = await ipam.autoAssign({ ...on("host1", "a"), num6: 1 });
    assert.ok(contains(cidr("10.0.0.0/16"), ipv4[0]!.ip));
    assert.ok(contains(cidr("fd00::/64"), ipv6[0]!.ip));
    assert.match(ipv6[0]!.block, /\/122$/);
    assert.deepEqual((await ipam.ipsByHandle("a")).sort(), [ipv4[0]!.ip, ipv6[0]!.ip].sort());
    await ipam.releaseByHandle("a");
    assert.deepEqual((await records()).handles, []);
  });

  it("keeps nothing when it cannot give all", async () => {
    const { allocator, records } = await cluster({ tiny: { cidr: "10.0.0.0/30", blockSize: 30 } });
    const ipam = allocator();
    await assert.rejects(ipam.autoAssign(on("host1", "a", 5)), { code: "EXHAUSTED" });
    await assert.rejects(ipam.autoAssign({ ...on("host1", "b", 2), num6: 1 }), { code: "NO_POOL" });
    assert.deepEqual((await records()).handles, []);
    assert.equal((await ipam.autoAssign(on("host1", "c", 4))).ipv4.length, 4);
  });

  it("spans blocks", async () => {
    const { allocator, records, problems } = await cluster({ p: { cidr: "10.0.0.0/28", blockSize: 30 } });
    const { ipv4 } = await allocator().autoAssign(on("host1", "a", 10));
    assert.equal(new Set(ipv4.map(each => each.ip)).size, 10);
    assert.equal((await records()).blocks.length, 3);
    assert.deepEqual(await problems(), []);
  });

  it("says so where no pool serves the request", async () => {
    const { allocator, addPool } = await cluster({ off: { cidr: "10.0.0.0/16", disabled: true } });
    const ipam = allocator();
    await assert.rejects(ipam.autoAssign(on("host1", "a")), { code: "NO_POOL" });
    await addPool("on", { cidr: "10.1.0.0/16" });
    assert.equal((await ipam.autoAssign(on("host1", "a"))).ipv4.length, 1, "a new pool is seen at once");
  });

  it("asks the node's labels, and gives back empty blocks of a pool that deselected the node", async () => {
    const { allocator, addNode, datastore, clock, records } = await cluster({
      rack1: { cidr: "10.1.0.0/24", nodeSelector: "rack == '1'" },
      rack2: { cidr: "10.2.0.0/24", nodeSelector: "rack == '2'" },
    });
    const node = await addNode("host1", { rack: "1" });
    const ipam = allocator();
    const { ipv4 } = await ipam.autoAssign(on("host1", "a"));
    assert.ok(contains(cidr("10.1.0.0/24"), ipv4[0]!.ip));
    await ipam.releaseByHandle("a");
    const moved = { ...node.value, metadata: { ...node.value.metadata, labels: { rack: "2" } } };
    await datastore.update(node.key, moved, node.revision);
    clock.advance(1000);
    const { ipv4: other } = await ipam.autoAssign(on("host1", "b"));
    assert.ok(contains(cidr("10.2.0.0/24"), other[0]!.ip));
    assert.deepEqual(
      (await records()).affinities.map(each => contains(cidr("10.2.0.0/24"), each.cidr)),
      [true],
    );
  });

  it("never gives a reserved address, except by name", async () => {
    const { allocator, reserve } = await cluster({ p: { cidr: "10.0.0.0/29", blockSize: 29 } });
    await reserve("10.0.0.0/30", "10.0.0.7");
    const ipam = allocator();
    const { ipv4 } = await ipam.autoAssign(on("host1", "a", 3));
    assert.deepEqual(ipv4.map(each => each.ip).sort(), ips("10.0.0.4", "10.0.0.5", "10.0.0.6"));
    await assert.rejects(ipam.autoAssign(on("host1", "b")), { code: "EXHAUSTED" });
    assert.equal((await ipam.assignIp({ ...on("host1", "c"), ip: ip("10.0.0.7") })).ip, "10.0.0.7");
  });

  it("does not claim blocks that are reserved as a whole", async () => {
    const { allocator, reserve, records } = await cluster({ p: { cidr: "10.0.0.0/24" } });
    await reserve("10.0.0.0/25", "10.0.0.192/27", "10.0.0.224/27");
    await allocator().autoAssign(on("host1", "a"));
    assert.deepEqual(
      (await records()).blocks.map(block => block.cidr),
      ["10.0.0.128/26"],
    );
  });

  it("uses a pool of load balancers for them alone, in blocks of no host", async () => {
    const { allocator, records } = await cluster({
      lb: { cidr: "10.0.0.0/24", allowedUses: ["LoadBalancer"] },
    });
    await assert.rejects(allocator().autoAssign(on("host1", "a")), { code: "NO_POOL" });
    await allocator().autoAssign({ ...on("host1", "lb-1"), use: "LoadBalancer" });
    await allocator().autoAssign({ ...on("host2", "lb-2"), use: "LoadBalancer" });
    assert.deepEqual(
      (await records()).blocks.map(block => block.affinity),
      ["virtual:load-balancer"],
    );
  });
});

describe("borrowing", () => {
  const tiny = { p: { cidr: "10.0.0.0/29", blockSize: 30 } };

  it("takes single addresses of other hosts' blocks when there are no more", async () => {
    const { allocator, records, problems } = await cluster(tiny);
    await allocator().autoAssign(on("host1", "a", 5));
    const { ipv4 } = await allocator().autoAssign(on("host2", "b", 3));
    assert.ok(ipv4.every(each => each.borrowed));
    assert.ok((await records()).blocks.every(block => block.affinity === "host:host1"));
    assert.deepEqual(await problems(), []);
  });

  it("is forbidden by strict affinity, for chosen addresses too", async () => {
    const { allocator } = await cluster(tiny);
    await allocator().setConfig({ strictAffinity: true });
    const { ipv4 } = await allocator().autoAssign(on("host1", "a", 5));
    const taken = new Set<string>(ipv4.map(each => each.ip));
    const free = [...Array(8).keys()].map(n => `10.0.0.${n}`).find(address => !taken.has(address))!;
    await assert.rejects(allocator().autoAssign(on("host2", "b")), { code: "EXHAUSTED" });
    const request = { ...on("host2", "b"), ip: ip(free) };
    await assert.rejects(allocator().assignIp(request), { code: "STRICT_AFFINITY" });
  });

  it("comes after taking over another host's empty block, once that is a minute old", async () => {
    const { allocator, clock, records } = await cluster(tiny);
    const host1 = allocator();
    await host1.autoAssign(on("host1", "a", 5));
    await host1.releaseByHandle("a");
    assert.equal((await allocator().autoAssign(on("host2", "b"))).ipv4[0]!.borrowed, true);
    await allocator().releaseByHandle("b");
    clock.advance(60_000);
    assert.equal((await allocator().autoAssign(on("host2", "c"))).ipv4[0]!.borrowed, false);
    assert.deepEqual((await records()).blocks.map(block => block.affinity).sort(), [
      "host:host1",
      "host:host2",
    ]);
  });
});

describe("limits", () => {
  it("stop a host from claiming more blocks", async () => {
    const { allocator } = await cluster({ p: { cidr: "10.0.0.0/24", blockSize: 30 } });
    await allocator().setConfig({ strictAffinity: true, maxBlocksPerHost: 2 });
    const ipam = allocator();
    assert.equal((await ipam.autoAssign(on("host1", "a", 8))).ipv4.length, 8);
    await assert.rejects(ipam.autoAssign(on("host1", "b")), { code: "BLOCK_LIMIT" });
    await assert.rejects(ipam.autoAssign({ ...on("host2", "c", 5), maxBlocks: 1 }), { code: "BLOCK_LIMIT" });
  });

  it("are 20 blocks where nobody set one", async () => {
    const { allocator, records } = await cluster({ p: { cidr: "10.0.0.0/24", blockSize: 31 } });
    await allocator().autoAssign(on("other", "x", 10));
    const { messages } = await allocator().autoAssign(on("host1", "a", 40));
    assert.deepEqual(messages, []);
    const { blocks } = await records();
    assert.equal(blocks.filter(block => block.affinity === "host:host1").length, 20);
    await assert.rejects(allocator().autoAssign(on("host1", "b")), { code: "BLOCK_LIMIT" });
  });

  it("that make no sense are refused", async () => {
    const ipam = (await cluster()).allocator();
    await assert.rejects(ipam.setConfig({ maxBlocksPerHost: 2 }), { code: "INVALID_CONFIG" });
    await assert.rejects(ipam.setConfig({ autoAllocateBlocks: false }), { code: "INVALID_CONFIG" });
    await assert.rejects(ipam.setConfig({ ipCooldownSeconds: 1201 }), { code: "INVALID_CONFIG" });
    assert.equal((await ipam.setConfig({ ipCooldownSeconds: 5 })).ipCooldownSeconds, 5);
    assert.equal((await ipam.config()).ipCooldownSeconds, 5);
  });
});

describe("assignIp", () => {
  it("claims the block and assigns the address, once", async () => {
    const { allocator, problems } = await cluster();
    const request = { ...on("host1", "a"), ip: ip("10.65.3.7") };
    const got = await allocator().assignIp(request);
    assert.deepEqual([got.ip, got.block, got.borrowed], ["10.65.3.7", "10.65.3.0/26", false]);
    await assert.rejects(allocator().assignIp({ ...request, handle: "b" }), { code: "ALREADY_ASSIGNED" });
    assert.equal((await allocator().assignIp({ ...on("host2", "c"), ip: ip("10.65.3.8") })).borrowed, true);
    assert.deepEqual(await problems(), []);
  });

  it("refuses what is in no pool of the use", async () => {
    const { allocator } = await cluster({ t: { cidr: "10.0.0.0/16", allowedUses: ["Tunnel"] } });
    await assert.rejects(allocator().assignIp({ ...on("h", "a"), ip: ip("11.0.0.1") }), {
      code: "NOT_IN_POOL",
    });
    await assert.rejects(allocator().assignIp({ ...on("h", "a"), ip: ip("10.0.0.1") }), {
      code: "NOT_IN_POOL",
    });
  });
});

describe("release", () => {
  it("frees addresses and counts their handles down", async () => {
    const { allocator, records, problems } = await cluster();
    const ipam = allocator();
    const { ipv4 } = await ipam.autoAssign(on("host1", "a", 2));
    const [first, second] = ipv4.map(each => each.ip);
    const summary = await ipam.release([{ ip: first!, handle: "a" }, { ip: ip("10.65.9.9") }]);
    assert.deepEqual(summary, { released: [first], notAssigned: ["10.65.9.9"] });
    assert.deepEqual(Object.values((await records()).handles[0]!.value.block), [1]);
    await allocator().release([{ ip: second! }]);
    assert.deepEqual((await records()).handles, []);
    assert.deepEqual(await problems(), []);
    await assert.rejects(ipam.attributesOf(first!), { code: "NOT_ASSIGNED" });
  });

  it("does not touch an address that was given to someone else meanwhile", async () => {
    const { allocator } = await cluster({ p: { cidr: "10.0.0.0/31", blockSize: 31 } });
    const ipam = allocator();
    const [old] = (await ipam.autoAssign(on("host1", "a"))).ipv4;
    await allocator().releaseByHandle("a");
    await allocator().autoAssign(on("host1", "b", 2));
    const { sequenceNumber } = old!;
    await assert.rejects(ipam.release([{ ip: old!.ip, handle: "a" }]), { code: "BAD_HANDLE" });
    await assert.rejects(ipam.release([{ ip: old!.ip, sequenceNumber }]), { code: "BAD_SEQUENCE_NUMBER" });
    assert.equal((await ipam.ipsByHandle("b")).length, 2);
  });

  it("keeps addresses back for the cooldown", async () => {
    const { allocator, clock } = await cluster({ p: { cidr: "10.0.0.0/31", blockSize: 31 } });
    await allocator().setConfig({ ipCooldownSeconds: 60 });
    const ipam = allocator();
    await ipam.autoAssign(on("host1", "a", 2));
    await ipam.releaseByHandle("a");
    await assert.rejects(ipam.autoAssign(on("host1", "b")), { code: "EXHAUSTED" });
    clock.advance(60_000);
    assert.equal((await ipam.autoAssign(on("host1", "b"))).ipv4.length, 1);
  });

  it("of a handle that nobody has is no error", async () => {
    assert.deepEqual(await (await cluster()).allocator().releaseByHandle("nobody"), []);
  });

  it("works although the pool is gone", async () => {
    const { allocator, datastore } = await cluster();
    const { ipv4 } = await allocator().autoAssign(on("host1", "a"));
    await datastore.delete(key("IPPool", "pool"));
    assert.deepEqual((await allocator().release([{ ip: ipv4[0]!.ip }])).released, [ipv4[0]!.ip]);
  });
});

describe("giving up blocks", () => {
  it("deletes empty ones and leaves used ones to nobody until they are empty", async () => {
    const { allocator, records, problems } = await cluster({ p: { cidr: "10.0.0.0/28", blockSize: 30 } });
    const ipam = allocator();
    await ipam.autoAssign(on("host1", "a", 4));
    await ipam.autoAssign(on("host1", "b", 4));
    await ipam.releaseByHandle("a");
    await ipam.removeHost("host1");
    const { blocks, affinities } = await records();
    assert.deepEqual([blocks.map(block => block.affinity), affinities], [[null], []]);
    assert.deepEqual(await problems(), []);
    await ipam.releaseByHandle("b");
    assert.deepEqual((await records()).blocks, []);
    assert.equal((await ipam.autoAssign(on("host1", "c"))).ipv4[0]!.borrowed, false);
  });

  it("can insist on emptiness, and leaves everything as it was then", async () => {
    const { allocator, records, problems } = await cluster();
    await allocator().autoAssign(on("host1", "a"));
    const refused = allocator().releaseHostAffinities("host1", { onlyIfEmpty: true });
    await assert.rejects(refused, { code: "BLOCK_NOT_EMPTY" });
    assert.equal((await records()).affinities[0]!.value.state, "confirmed");
    assert.deepEqual(await problems(), []);
  });

  it("of a pool concerns that pool alone", async () => {
    const { allocator, records } = await cluster({ a: { cidr: "10.0.0.0/16" }, b: { cidr: "10.1.0.0/16" } });
    await allocator().autoAssign({ ...on("host1", "x"), pools4: ["a"] });
    await allocator().autoAssign({ ...on("host2", "y"), pools4: ["10.1.0.0/16"] });
    await allocator().releasePoolAffinities(cidr("10.0.0.0/16"));
    assert.deepEqual(
      (await records()).affinities.map(each => each.owner),
      ["host:host2"],
    );
  });
});

describe("what others left behind", () => {
  it("a claim that stopped half-way is finished by the same host", async () => {
    const { allocator, store, records, problems } = await cluster({
      p: { cidr: "10.0.0.0/30", blockSize: 30 },
    });
    await store.createAffinity("host:host1", cidr("10.0.0.0/30"), { state: "pending", extra: {} });
    assert.equal((await allocator().autoAssign(on("host1", "a"))).ipv4[0]!.borrowed, false);
    assert.equal((await records()).affinities[0]!.value.state, "confirmed");
    assert.deepEqual(await problems(), []);
  });

  it("an affinity whose block is another host's is dropped", async () => {
    const { allocator, store, records } = await cluster({ p: { cidr: "10.0.0.0/29", blockSize: 30 } });
    await allocator().assignIp({ ...on("host2", "x"), ip: ip("10.0.0.1") });
    await store.createAffinity("host:host1", cidr("10.0.0.0/30"), { state: "confirmed", extra: {} });
    await allocator().autoAssign(on("host1", "a"));
    assert.deepEqual((await records()).affinities.map(each => `${each.owner} ${each.cidr}`).sort(), [
      "host:host1 10.0.0.4/30",
      "host:host2 10.0.0.0/30",
    ]);
  });

  it("a confirmed affinity without a block gets its block back", async () => {
    const { allocator, store, records } = await cluster();
    await store.createAffinity("host:host1", cidr("10.65.3.0/26"), { state: "confirmed", extra: {} });
    await allocator().autoAssign(on("host1", "a"));
    assert.deepEqual(
      (await records()).blocks.map(block => block.cidr),
      ["10.65.3.0/26"],
    );
  });
});
