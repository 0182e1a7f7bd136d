import assert from "node:assert/strict";
import { computeOrigination, type OriginationInput } from "../../../bgp/origination.ts";
import { poolViews } from "../../../bgp/pool-view.ts";
import { NORMAL_PRIORITY } from "../../../bgp/priority.ts";
import { type Cidr, cidr } from "../../../net/cidr.ts";
import { ipPool } from "./resources.ts";

const NORMAL = 2_147_482_623;
const plainPool = [ipPool("10.65.0.0/16")];

function originate(input: {
  blocks?: string[];
  workloads?: [string, number?][];
  pools?: ReturnType<typeof ipPool>[];
  hostAddresses?: string[];
  normalPriority?: OriginationInput["normalPriority"];
}) {
  const { announce, blackholes } = computeOrigination({
    blocks: (input.blocks ?? []).map(cidr),
    workloads: (input.workloads ?? []).map(([prefix, metric]) => ({ prefix: cidr(prefix), metric })),
    pools: poolViews(input.pools ?? plainPool),
    hostAddresses: (input.hostAddresses ?? []).map(cidr),
    normalPriority: input.normalPriority ?? (() => NORMAL_PRIORITY),
  });
  const announced = Object.fromEntries([...announce].map(([prefix, { localPref }]) => [prefix, localPref]));
  return { announced, blackholes: [...blackholes] as Cidr[] };
}

describe("bgp/origination", () => {
  it("announces a block with the normal preference, and lets what nobody uses of it fall into a hole", () => {
    assert.deepEqual(originate({ blocks: ["10.65.1.0/26"] }), {
      announced: { "10.65.1.0/26": NORMAL },
      blackholes: ["10.65.1.0/26"],
    });
  });

  it("says nothing of workloads in own blocks", () => {
    const { announced } = originate({ blocks: ["10.65.1.0/26"], workloads: [["10.65.1.5/32", 1024]] });
    assert.deepEqual(Object.keys(announced), ["10.65.1.0/26"]);
  });

  it("announces borrowed addresses one by one: those of another host's block", () => {
    const { announced, blackholes } = originate({
      blocks: ["10.65.1.0/26"],
      workloads: [["10.65.9.5/32", 1024], ["10.65.9.6/32"]],
    });
    assert.deepEqual(announced, { "10.65.1.0/26": NORMAL, "10.65.9.5/32": NORMAL, "10.65.9.6/32": NORMAL });
    assert.deepEqual(blackholes, ["10.65.1.0/26"]);
  });

  it("announces an address of an own block where something better than normal is to be said of it", () => {
    const { announced } = originate({
      blocks: ["10.65.1.0/26"],
      workloads: [
        ["10.65.1.5/32", 512],
        ["10.65.1.6/32", 1024],
        ["10.65.1.7/32", 2000],
        ["10.65.1.8/32", 0],
      ],
    });
    assert.deepEqual(announced, { "10.65.1.0/26": NORMAL, "10.65.1.5/32": 2_147_483_135 });
  });

  it("goes by the priority that is configured as normal, per IP version", () => {
    const { announced } = originate({
      blocks: ["10.65.1.0/26", "fd00:65::/122"],
      workloads: [
        ["10.65.1.5/32", 1024],
        ["fd00:65::5/128", 1024],
      ],
      pools: [...plainPool, ipPool("fd00:65::/64")],
      normalPriority: version => (version === 4 ? 2000 : 1024),
    });
    assert.deepEqual(announced, {
      "10.65.1.0/26": 2_147_481_647,
      "10.65.1.5/32": NORMAL,
      "fd00:65::/122": NORMAL,
    });
  });

  it("keeps to itself what lies in a pool with disableBGPExport, which gets its hole all the same", () => {
    const pools = [ipPool("10.65.0.0/16", { disableBGPExport: true })];
    const found = originate({
      blocks: ["10.65.1.0/26"],
      workloads: [
        ["10.65.9.5/32", 1024],
        ["10.65.1.5/32", 512],
      ],
      pools,
    });
    assert.deepEqual(found, { announced: {}, blackholes: ["10.65.1.0/26"] });
  });

  it("announces blocks of a disabled pool, where workloads still are, but nothing borrowed", () => {
    const pools = [ipPool("10.65.0.0/16", { disabled: true })];
    const { announced } = originate({
      blocks: ["10.65.1.0/26"],
      workloads: [["10.65.9.5/32", 1024]],
      pools,
    });
    assert.deepEqual(Object.keys(announced), ["10.65.1.0/26"]);
  });

  it("announces blocks whose pool is gone, and no address outside all pools", () => {
    const { announced, blackholes } = originate({
      blocks: ["10.70.1.0/26"],
      workloads: [["172.17.0.2/32", 1024]],
    });
    assert.deepEqual(Object.keys(announced), ["10.70.1.0/26"]);
    assert.deepEqual(blackholes, ["10.70.1.0/26"]);
  });

  for (const tunnel of [{ vxlanMode: "Always" }, { ipipMode: "CrossSubnet" }] as const) {
    it(`leaves the holes of ${Object.keys(tunnel)} pools to felix, and announces their blocks`, () => {
      const found = originate({ blocks: ["10.65.1.0/26"], pools: [ipPool("10.65.0.0/16", tunnel)] });
      assert.deepEqual(found, { announced: { "10.65.1.0/26": NORMAL }, blackholes: [] });
    });
  }

  it("digs no hole for a single address, which its workload's route would fill, nor where the host itself is", () => {
    const { announced, blackholes } = originate({
      blocks: ["10.65.1.1/32", "10.65.2.0/26", "fd00:65::/122"],
      hostAddresses: ["10.65.2.63/32", "fd00:65::40/128", "127.0.0.1/32"],
    });
    assert.deepEqual(blackholes, ["fd00:65::/122"]);
    assert.deepEqual(Object.keys(announced), ["10.65.1.1/32", "10.65.2.0/26", "fd00:65::/122"]);
  });
});
