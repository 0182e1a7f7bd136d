import assert from "node:assert/strict";
import {
  blockCount,
  blocksFrom,
  distanceFromStart,
  fnv1,
  type Pool,
  parsePool,
  selectPools,
} from "../../../ipam/pools.ts";
import { type Cidr, cidr, contains } from "../../../net/cidr.ts";

function pool(name: string, spec: Record<string, unknown>, status?: unknown): Pool {
  return parsePool({ metadata: { name }, spec, status })!;
}

function select(pools: Pool[], request: Partial<Parameters<typeof selectPools>[1]> = {}): string[] {
  return selectPools(pools, {
    version: 4,
    use: "Workload",
    nodeLabels: {},
    namespaceLabels: {},
    ...request,
  }).map(each => each.name);
}

describe("pool selection", () => {
  const any = pool("any", { cidr: "10.0.0.0/16" });

  it("takes enabled pools of the family, with Calico's defaults", () => {
    const v6 = pool("six", { cidr: "fd00::/48" });
    assert.deepEqual(select([any, v6]), ["any"]);
    assert.deepEqual(select([any, v6], { version: 6 }), ["six"]);
    assert.equal(any.blockSize, 26);
    assert.equal(v6.blockSize, 122);
  });

  it("passes over disabled, unallocatable and dying pools, and those smaller than their blocks", () => {
    const unfit = [
      pool("disabled", { cidr: "10.1.0.0/16", disabled: true }),
      pool("clash", { cidr: "10.2.0.0/16" }, { conditions: [{ type: "Allocatable", status: "False" }] }),
      pool("small", { cidr: "10.3.0.0/27" }),
      parsePool({
        metadata: { name: "dying", deletionTimestamp: "2026-01-01T00:00:00Z" },
        spec: { cidr: "10.4.0.0/16" },
      })!,
    ];
    assert.deepEqual(select([...unfit, any]), ["any"]);
    assert.throws(() => select(unfit), { code: "NO_POOL" });
  });

  it("asks the node's and the namespace's labels", () => {
    const pools = [
      pool("rack1", { cidr: "10.1.0.0/16", nodeSelector: "rack == '1'" }),
      pool("blue", { cidr: "10.2.0.0/16", namespaceSelector: "colour == 'blue'" }),
      pool("nonsense", { cidr: "10.3.0.0/16", nodeSelector: "rack ==" }),
    ];
    assert.deepEqual(select(pools, { nodeLabels: { rack: "1" } }), ["rack1"]);
    assert.deepEqual(select(pools, { namespaceLabels: { colour: "blue" } }), ["blue"]);
    assert.throws(() => select(pools), { code: "NO_POOL" });
  });

  it("heeds the allowed uses", () => {
    const tunnels = pool("tunnels", { cidr: "10.1.0.0/16", allowedUses: ["Tunnel"] });
    assert.deepEqual(select([any, tunnels]), ["any"]);
    assert.deepEqual(select([any, tunnels], { use: "Tunnel" }), ["any", "tunnels"]);
    assert.throws(() => select([any], { use: "LoadBalancer" }), { code: "NO_POOL" });
  });

  it("gives manual pools, and such that do not select the node, only on request by name or CIDR", () => {
    const manual = pool("manual", { cidr: "10.1.0.0/16", assignmentMode: "Manual", nodeSelector: "!all()" });
    assert.deepEqual(select([any, manual]), ["any"]);
    assert.deepEqual(select([any, manual], { requested: ["manual"] }), ["manual"]);
    assert.deepEqual(select([any, manual], { requested: ["10.1.0.0/16", "any"] }), ["manual", "any"]);
    assert.throws(() => select([any], { requested: ["10.0.0.0/17"] }), { code: "NO_POOL" });
  });
});

describe("the order of blocks", () => {
  it("starts from Calico's seed", () => {
    assert.equal(fnv1("node1"), 3957252814);
  });

  it("has every block once, beginning where the host begins", () => {
    const small = pool("p", { cidr: "10.0.0.0/22" });
    const order = [...blocksFrom(small, "node1")];
    assert.equal(BigInt(order.length), blockCount(small));
    assert.equal(new Set(order).size, 16);
    assert.ok(order.every(block => contains(small.cidr, block)));
    assert.deepEqual([...blocksFrom(small, "node1")], order);
    order.forEach((block, i) => {
      assert.equal(distanceFromStart(small, "node1", block), BigInt(i));
    });
  });

  it("spreads hosts over the pool", () => {
    const big = pool("p", { cidr: "10.0.0.0/8" });
    const starts = new Set<Cidr | undefined>();
    for (let i = 0; i < 200; i++) starts.add(blocksFrom(big, `node${i}`).next().value as Cidr);
    assert.ok(starts.size > 195, `${starts.size} different starts of 200`);
  });

  it("jumps over excluded ranges, however large", () => {
    const huge = pool("p", { cidr: "fd00::/48" });
    const [first] = blocksFrom(huge, "n", [cidr("fd00::/49")]);
    assert.ok(contains(cidr("fd00:0:0:8000::/49"), first!));
    assert.deepEqual([...blocksFrom(huge, "n", [cidr("fd00::/48")])], []);
    const small = pool("s", { cidr: "10.0.0.0/24" });
    const left = [
      ...blocksFrom(small, "n", [cidr("10.0.0.64/26"), cidr("10.0.0.128/25"), cidr("10.0.0.1/32")]),
    ];
    assert.deepEqual(left, ["10.0.0.0/26"]);
  });
});
