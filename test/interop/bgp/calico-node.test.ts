/**
 * A mesh of two hosts of ours and one that runs bird as a Calico node does: what Calico's templates say (calico.md 4.1 to 4.5), written
 * for bird 2. LOCAL_PREF carries kernel metrics, of two nodes one dials, nothing but blocks and single addresses is told.
 */

import assert from "node:assert/strict";
import { ip, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { Bird, type Host, Lan } from "./lan.ts";

/** The node 10.0.0.<own> with block 10.65.<own>.0/26. */
const calicoNode = (own: number, others: readonly number[]) => `
  router id 10.0.0.${own};
  define MAX = 2147483647;

  function calico_metric() {
    # What BGP brought says its metric by LOCAL_PREF; anything else says it by its metric, 1024 where it has none.
    if (source = RTS_BGP && defined(bgp_local_pref)) then krt_metric = MAX - bgp_local_pref;
    else {
      if (! defined(krt_metric)) then krt_metric = 1024;
      bgp_local_pref = MAX - krt_metric;
    }
  }
  filter calico_export {
    calico_metric();
    if (ifname ~ "*.calico" || ifname ~ "*.cali" || ifname = "tunl0") then reject;
    if (net = 10.65.${own}.0/26) then accept;
    if (net ~ 10.65.${own}.0/26 && krt_metric < 1024) then accept;
    if (net ~ 10.65.${own}.0/26) then reject;
    if (net ~ 10.65.0.0/16) then accept;
    reject;
  }
  filter calico_import {
    if (defined(bgp_local_pref) && bgp_local_pref > MAX - 1024) then preference = 200;
    accept;
  }
  filter calico_kernel {
    if (source = RTS_DEVICE) then reject;
    if (source = RTS_BGP) then {
      krt_metric = 1024;
      if (bgp_local_pref > MAX - 1024 && bgp_local_pref < MAX) then krt_metric = MAX - bgp_local_pref;
    }
    accept;
  }

  protocol device {}
  protocol direct { ipv4; interface -"cali*", -"kube-ipvs*", "*"; }
  protocol static { ipv4; route 10.65.${own}.0/26 blackhole; }
  protocol kernel {
    learn; persist; scan time 2; graceful restart; merge paths on;
    metric 0; # Bird 2 takes krt_metric only so.
    ipv4 { import all; export filter calico_kernel; };
  }
  template bgp calico {
    local 10.0.0.${own} as 64512;
    multihop;
    graceful restart;
    connect delay time 2; connect retry time 5; error wait time 5,30;
    ipv4 { import filter calico_import; export filter calico_export; gateway recursive; add paths on; };
  }
  ${others
    .map(
      n => `protocol bgp Mesh_10_0_0_${n} from calico {
        neighbor 10.0.0.${n} as 64512;
        ${`10.0.0.${n}` > `10.0.0.${own}` ? "passive on;" : ""}
      }`,
    )
    .join("\n")}`;

const NORMAL = /BGP\.local_pref: 2147482623/;
const ELEVATED = /BGP\.local_pref: 2147483135/;

// As text 10.0.0.100 lies between 10.0.0.1, which it dials, and 10.0.0.2, which dials it.
describe("a mesh with a Calico node", function () {
  this.timeout(120_000);
  const namespaces = new ScratchNamespaces();
  let lan: Lan;
  let [a, b] = [] as unknown as [Host, Host];
  let calico: Bird;

  before(function () {
    if (!Bird.installed()) this.skip();
  });

  const OURS = [1, 2];
  const ALL = [1, 2, 100];
  const meshed = (own: number, more: string[] = []) => [
    ...ALL.map(n => (n === own ? `blackhole 10.65.${n}.0/26` : `10.65.${n}.0/26 via 10.0.0.${n}`)),
    ...more,
  ];
  /** What the bird has put into its kernel: like ours, by protocol bird. */
  const learnedByCalico = () =>
    ip(calico.namespace, "route", "show", "proto", "bird")
      .filter(({ type }) => type !== "blackhole")
      .map(({ dst, gateway, metric }) => `${dst}${dst.includes("/") ? "" : "/32"} via ${gateway} ${metric}`)
      .sort();
  const untilCalicoHas = (expected: string[]) =>
    calico.until(`routes ${expected}`, () => learnedByCalico().join() === [...expected].sort().join());

  beforeEach(async () => {
    lan = await Lan.create(namespaces);
    await lan.resource("IPPool", "pool", { cidr: "10.65.0.0/16" });
    [a, b] = OURS.map(n => lan.host(n === 1 ? "a" : "b", n)) as [Host, Host];
    for (const [i, host] of [a, b].entries()) {
      await host.register();
      await host.block(`10.65.${i + 1}.0/26`);
    }
    await lan.resource("Node", "calico", { bgp: { ipv4Address: "10.0.0.100/24" } });
    calico = lan.bird(100, calicoNode(100, OURS));
    calico.start();
    for (const host of [a, b]) host.start();
    for (const [i, host] of [a, b].entries()) await host.untilRoutes(meshed(i + 1));
    await untilCalicoHas(["10.65.1.0/26 via 10.0.0.1 1024", "10.65.2.0/26 via 10.0.0.2 1024"]);
  });
  afterEach(() => lan?.close());

  const workload = (namespace: string, prefix: string, metric: number) => {
    ip(namespace, "link", "add", "cali7", "type", "veth", "peer", "name", "pod7");
    ip(namespace, "link", "set", "cali7", "up");
    ip(namespace, "route", "add", prefix, "dev", "cali7", "proto", "80", "metric", `${metric}`);
  };

  it("all have all blocks, with the preference of ordinary routes", async () => {
    for (const n of OURS)
      assert.match(await calico.untilSays(`show route 10.65.${n}.0/26 all`, /local_pref/), NORMAL);
    for (const host of [a, b]) {
      const { neighbors, announced } = await host.status();
      assert.deepEqual(announced.length, 1);
      for (const { state } of neighbors) assert.equal(state, "Established");
    }
    // Of each pair one side dials: the one with the lesser address, as text.
    const passive = async (host: Host) =>
      (await host.status()).neighbors.find(({ address }: { address: string }) => address === "10.0.0.100")
        .passive;
    assert.deepEqual([await passive(a), await passive(b)], [true, false]);
  });

  it("borrowed addresses go both ways", async () => {
    workload(a.namespace, "10.65.100.9/32", 1024);
    await untilCalicoHas([
      "10.65.1.0/26 via 10.0.0.1 1024",
      "10.65.2.0/26 via 10.0.0.2 1024",
      "10.65.100.9/32 via 10.0.0.1 1024",
    ]);
    workload(calico.namespace, "10.65.2.9/32", 1024);
    await a.untilRoutes(meshed(1, ["10.65.2.9/32 via 10.0.0.100"]));
    await b.untilRoutes(meshed(2, ["10.65.2.9/32 via 10.0.0.100", "10.65.100.9/32 via 10.0.0.1"]));
  });

  it("a workload that moves is everywhere led to where it is better than normal", async () => {
    workload(a.namespace, "10.65.1.9/32", 512);
    assert.match(await calico.untilSays("show route 10.65.1.9/32 all", /local_pref/), ELEVATED);
    await untilCalicoHas([
      "10.65.1.0/26 via 10.0.0.1 1024",
      "10.65.1.9/32 via 10.0.0.1 512",
      "10.65.2.0/26 via 10.0.0.2 1024",
    ]);
    workload(calico.namespace, "10.65.100.9/32", 512);
    await b.untilRoutes(
      meshed(2, ["10.65.1.9/32 via 10.0.0.1 metric 512", "10.65.100.9/32 via 10.0.0.100 metric 512"]),
    );
  });

  it("neither side tells the other of its default route or of the LAN", async () => {
    ip(a.namespace, "route", "add", "default", "via", "10.0.0.250");
    ip(calico.namespace, "route", "add", "default", "via", "10.0.0.250");
    await a.block("10.65.1.64/26");
    await calico.untilSays("show route", /10\.65\.1\.64\/26/);
    const fromA = calico.ask("show route protocol Mesh_10_0_0_1");
    assert.doesNotMatch(fromA, /0\.0\.0\.0\/0|10\.0\.0\.0\/24/);
    assert.equal(b.bgpRoutes.filter(route => /^default|^10\.0\.0/.test(route)).length, 0);
  });

  it("either is killed and comes back without a change of any route", async () => {
    const before = [a.bgpRoutes, b.bgpRoutes, learnedByCalico()];
    await a.end("SIGKILL");
    await calico.untilSays("show protocols Mesh_10_0_0_1", /Connect|Active|Idle|Passive/);
    assert.deepEqual([a.bgpRoutes, b.bgpRoutes, learnedByCalico()], before);
    a.start();
    await a.untilReady();
    await calico.untilSays("show protocols Mesh_10_0_0_1", /Established/);
    assert.deepEqual([a.bgpRoutes, b.bgpRoutes, learnedByCalico()], before);

    await calico.end("SIGKILL");
    await a.until("the loss noticed", async () =>
      (await a.status()).neighbors.some(({ state }: { state: string }) => state !== "Established"),
    );
    assert.deepEqual([a.bgpRoutes, b.bgpRoutes], before.slice(0, 2));
    calico.start();
    for (const host of [a, b]) await host.untilEstablished(2);
    await calico.untilSays("show route 10.65.2.0/26", /Mesh_10_0_0_2/);
    assert.deepEqual([a.bgpRoutes, b.bgpRoutes, learnedByCalico()], before);
  });
});
