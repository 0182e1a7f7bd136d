import assert from "node:assert/strict";
import type { LocalRoute } from "../../../bgp/local-routes.ts";
import { computeOrigination, type OriginationInput } from "../../../bgp/origination.ts";
import { type Encapsulation, poolViews } from "../../../bgp/pool-view.ts";
import { NORMAL_PRIORITY } from "../../../bgp/priority.ts";
import { type Cidr, cidr } from "../../../net/cidr.ts";
import { ipPool } from "./resources.ts";

const NORMAL = 2_147_482_623;
const plainPool = [ipPool("10.65.0.0/16")];

const workload = (prefix: string, metric?: number): LocalRoute => ({
  kind: "workload",
  prefix: cidr(prefix),
  metric,
  interfaceName: "cali1",
});

function compute(input: {
  blocks?: string[];
  localRoutes?: LocalRoute[];
  services?: string[];
  pools?: ReturnType<typeof ipPool>[];
  hostAddresses?: string[];
  normalPriority?: OriginationInput["normalPriority"];
  ignoredInterfaces?: string[];
  withAllLocalRoutes?: boolean;
  programmed?: Encapsulation[];
}) {
  return computeOrigination({
    blocks: (input.blocks ?? []).map(cidr),
    localRoutes: input.localRoutes ?? [],
    services: (input.services ?? []).map(cidr),
    pools: poolViews(input.pools ?? plainPool),
    hostAddresses: (input.hostAddresses ?? []).map(cidr),
    normalPriority: input.normalPriority ?? (() => NORMAL_PRIORITY),
    ignoredInterfaces: input.ignoredInterfaces ?? [],
    withAllLocalRoutes: input.withAllLocalRoutes ?? false,
    programmed: new Set(input.programmed ?? ["none"]),
  });
}

/** What leaves by default, with its LOCAL_PREF. */
function originate({
  workloads = [],
  ...input
}: Parameters<typeof compute>[0] & { workloads?: [string, number?][] }) {
  const localRoutes = workloads.map(([prefix, metric]) => workload(prefix, metric));
  const { origins, blackholes } = compute({ localRoutes, ...input });
  const leaving = [...origins].filter(([, { byDefault }]) => byDefault);
  const announced = Object.fromEntries(leaving.map(([prefix, { localPref }]) => [prefix, localPref]));
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

  it("digs holes in IPIP pools where BGP writes their routes, and in none where felix writes all", () => {
    const pools = [ipPool("10.65.0.0/16", { ipipMode: "Always" }), ipPool("10.66.0.0/16")];
    const blocks = ["10.65.1.0/26", "10.66.1.0/26"];
    const holes = (...programmed: Encapsulation[]) => originate({ blocks, pools, programmed }).blackholes;
    assert.deepEqual(holes("none"), ["10.66.1.0/26"]);
    assert.deepEqual(holes("ipip"), ["10.65.1.0/26"]);
    assert.deepEqual(holes("none", "ipip"), blocks);
    assert.deepEqual(holes(), []);
  });

  describe("of what others have put into the kernel", () => {
    const connected = (prefix: string, interfaceName: string): LocalRoute => ({
      kind: "connected",
      prefix: cidr(prefix),
      metric: undefined,
      interfaceName,
    });
    const foreign = (prefix: string, interfaceName?: string, metric?: number): LocalRoute => ({
      kind: "foreign",
      prefix: cidr(prefix),
      metric,
      interfaceName,
    });
    const localRoutes = [
      connected("10.0.0.0/24", "eth0"),
      connected("10.65.200.0/24", "docker0"),
      connected("10.65.201.0/24", "eth1"),
      connected("10.65.202.7/32", "kube-ipvs0"),
      foreign("0.0.0.0/0", "eth0"),
      foreign("10.65.203.0/24", "eth0", 100),
      foreign("10.65.1.64/28", "eth0"),
      foreign("10.65.204.0/24"),
    ];

    it("announces what lies in a pool and not in an own block: subnets and routes", () => {
      const { announced } = originate({ blocks: ["10.65.1.0/24"], localRoutes });
      assert.deepEqual(announced, {
        "10.65.1.0/24": NORMAL,
        "10.65.200.0/24": NORMAL,
        "10.65.201.0/24": NORMAL,
        "10.65.203.0/24": 2_147_483_547,
        "10.65.204.0/24": NORMAL,
      });
    });

    it("leaves out the subnets of ignored interfaces, by name or pattern, but not the routes over them", () => {
      const { announced } = originate({ localRoutes, ignoredInterfaces: ["docker*", "eth1", "eth0"] });
      assert.deepEqual(Object.keys(announced), ["10.65.203.0/24", "10.65.1.64/28", "10.65.204.0/24"]);
    });

    it("keeps what a filter might let out, and says that it does not leave by itself", () => {
      const { origins } = compute({
        blocks: ["10.65.1.0/24"],
        localRoutes: [...localRoutes, workload("10.65.1.5/32", 1024)],
        withAllLocalRoutes: true,
      });
      const staying = [...origins].filter(([, { byDefault }]) => !byDefault).map(([prefix]) => prefix);
      assert.deepEqual(staying, ["10.0.0.0/24", "0.0.0.0/0", "10.65.1.64/28", "10.65.1.5/32"]);
      assert.equal(origins.get(cidr("10.0.0.0/24"))?.interfaceName, "eth0");
    });

    it("of two with one prefix takes the one bird would: the subnet, then the block, then the better route", () => {
      const { origins } = compute({
        blocks: ["10.65.1.0/26", "10.65.2.0/26"],
        localRoutes: [
          foreign("10.65.7.0/26", "eth0", 500),
          foreign("10.65.7.0/26", "eth1", 100),
          foreign("10.65.7.0/26", "eth2", 900),
          connected("10.65.1.0/26", "br0"),
          foreign("10.65.2.0/26", "eth0", 10),
        ],
        withAllLocalRoutes: true,
      });
      const kinds = [...origins].map(([prefix, { kind, interfaceName }]) => [prefix, kind, interfaceName]);
      assert.deepEqual(kinds, [
        ["10.65.1.0/26", "connected", "br0"],
        ["10.65.2.0/26", "block", undefined],
        ["10.65.7.0/26", "foreign", "eth1"],
      ]);
    });
  });

  it("announces the prefixes of services, unless they lie in a pool that is not exported", () => {
    const services = ["10.96.0.0/12", "203.0.113.7/32", "10.65.3.0/24"];
    assert.deepEqual(
      originate({ services, pools: [ipPool("10.65.0.0/16", { disableBGPExport: true })] }).announced,
      { "10.96.0.0/12": NORMAL, "203.0.113.7/32": NORMAL },
    );
  });
});
