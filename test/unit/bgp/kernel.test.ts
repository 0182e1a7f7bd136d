import assert from "node:assert/strict";
import { pino } from "pino";
import type { ForwardingRoute } from "../../../bgp/forwarding.ts";
import { Kernel } from "../../../bgp/kernel.ts";
import { SimClock } from "../../../bgp/node-bgp/test/kit/sim-clock.ts";
import { RouteProtocol } from "../../../linux/rtnetlink.ts";
import { type Cidr, cidr } from "../../../net/cidr.ts";
import { type Ip, ip } from "../../../net/ip.ts";
import { FakeKernel } from "./fake-kernel.ts";

function fixture(table?: number) {
  const fake = new FakeKernel();
  fake.addLink(2, "eth0");
  fake.addAddress(2, "10.0.0.1/24");
  const sim = new SimClock();
  const { rtnetlink, subscribe } = fake;
  const kernel = new Kernel({
    interfacePrefixes: ["cali"],
    logger: pino({ level: "silent" }),
    clock: { now: () => sim.now(), sleep: ms => new Promise(resolve => sim.setTimeout(() => resolve(), ms)) },
    rtnetlink,
    subscribe,
    ...(table !== undefined && { table }),
  });
  let localChanges = 0;
  kernel.start({ onLocalChange: () => localChanges++, onWaysChange: () => {} });
  localChanges = 0;
  return { fake, kernel, sim, localChanges: () => localChanges };
}

/** What was emitted has arrived and been dealt with. */
const settled = () => new Promise(resolve => setImmediate(resolve));

/** Everything has been given to the kernel; in how many turns. */
async function idle(kernel: Kernel): Promise<number> {
  let turns = 0;
  for (; !kernel.isIdle; turns++) await settled();
  return turns;
}

const learned = (prefix: string, ...nextHops: string[]): [Cidr, ForwardingRoute] => [
  cidr(prefix),
  { prefix: cidr(prefix), metric: 1024, nextHops: nextHops.map(ip) },
];
const workloadsOf = (kernel: Kernel) =>
  [...kernel.localRoutes()]
    .flatMap(({ kind, prefix }) => (kind === "workload" ? [prefix as string] : []))
    .sort();
const byDefault = (gateway: string, index = 2) => ({
  destination: cidr("0.0.0.0/0"),
  protocol: RouteProtocol.STATIC,
  type: "unicast" as const,
  gateway: ip(gateway),
  interfaceIndex: index,
});

describe("bgp/kernel", () => {
  it("installs by the gateway of the moment, and lets go of what nothing leads to", async () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2"), learned("10.65.3.0/26", "10.9.0.3")]);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
    fake.setRoute(byDefault("10.0.0.254"));
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2", "10.65.3.0/26 via 10.0.0.254"]);
    fake.deleteRoute("0.0.0.0/0");
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("installs several ways, and takes our own address for none", () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2", "10.0.0.3", "10.0.0.1")]);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2 via 10.0.0.3"]);
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.1")]);
    assert.deepEqual(fake.bgpRoutes, []);
  });

  it("listens again a second after the events have stopped, and reads what it missed", async () => {
    const { fake, kernel, sim } = fixture();
    kernel.setLearned([learned("10.65.3.0/26", "10.9.0.3")]);
    fake.failEvents();
    fake.setRoute(byDefault("10.0.0.254"));
    sim.advance(900);
    await settled();
    assert.equal(fake.subscriptions, 1);
    sim.advance(100);
    await settled();
    assert.equal(fake.subscriptions, 2);
    assert.deepEqual(fake.bgpRoutes, ["10.65.3.0/26 via 10.0.0.254"]);
  });

  it("does not listen again once it is told to stop", async () => {
    const { fake, kernel, sim } = fixture();
    fake.failEvents();
    kernel.stop();
    sim.advance(2000);
    await settled();
    assert.equal(fake.subscriptions, 1);
  });

  it("prefers the own block's hole to what is learned for it", () => {
    const { fake, kernel } = fixture();
    const block = cidr("10.65.1.0/26");
    kernel.setBlackholes(new Set([block]));
    kernel.setLearned([learned("10.65.1.0/26", "10.0.0.2")]);
    assert.deepEqual(fake.bgpRoutes, ["blackhole 10.65.1.0/26"]);
    kernel.setBlackholes(new Set());
    assert.deepEqual(fake.bgpRoutes, ["10.65.1.0/26 via 10.0.0.2"]);
    kernel.setLearned([[block, undefined]]);
    assert.deepEqual(fake.bgpRoutes, []);
  });

  it("reaches next hops behind a peer's gateway by that gateway", () => {
    const { fake, kernel } = fixture();
    fake.setRoute(byDefault("10.0.0.254"));
    kernel.setPeerGateways(new Map([[ip("192.0.2.1"), ip("10.0.0.9")]]));
    kernel.setLearned([learned("10.65.2.0/26", "192.0.2.1")]);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.9", "192.0.2.1/32 via 10.0.0.9"]);
    kernel.setPeerGateways(new Map());
    assert.deepEqual(fake.bgpRoutes, []);
  });

  it("knows the workloads' routes: addresses on their interfaces, until those go down", async () => {
    const { fake, kernel, localChanges } = fixture();
    fake.addLink(7, "cali7");
    fake.addLink(8, "veth8");
    fake.addWorkload(7, "10.65.1.5/32");
    fake.addWorkload(7, "fe80::1234/128");
    fake.addWorkload(7, "10.66.0.0/24");
    fake.addWorkload(8, "10.65.1.6/32");
    await settled();
    assert.deepEqual(workloadsOf(kernel), ["10.65.1.5/32"]);
    const before = localChanges();
    assert.ok(before > 0);
    fake.linkDown(7);
    await settled();
    assert.deepEqual(workloadsOf(kernel), []);
    assert.equal(localChanges(), before + 1);
  });

  it("forgets a workload's route that moved to another interface", async () => {
    const { fake, kernel } = fixture();
    fake.addLink(7, "cali7");
    fake.addWorkload(7, "10.65.1.5/32");
    fake.addWorkload(2, "10.65.1.5/32");
    await settled();
    assert.deepEqual(workloadsOf(kernel), []);
  });

  it("takes the other way when an interface goes down, and is back when it is", async () => {
    const { fake, kernel } = fixture();
    fake.addLink(3, "eth1");
    fake.addAddress(3, "10.1.0.1/24");
    fake.setRoute(byDefault("10.1.0.254", 3));
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2")]);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
    fake.linkDown(2);
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.1.0.254"]);
    fake.addLink(2, "eth0");
    fake.addAddress(2, "10.0.0.1/24");
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("notices what goes silently with the last address of an interface", async () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2")]);
    fake.removeAddress("10.0.0.1/24");
    await settled();
    assert.deepEqual(fake.bgpRoutes, []);
    fake.addAddress(2, "10.0.0.1/24");
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("reads everything again after events were lost, and every half a minute", async () => {
    const { fake, kernel, sim } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2")]);
    await settled();
    const wipe = () => {
      for (const [key, route] of fake.routes)
        if (route.protocol === RouteProtocol.BGP) fake.routes.delete(key);
    };
    wipe();
    fake.emit({ type: "overflow" });
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
    wipe();
    sim.advance(30_000);
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("touches nothing any more once it is stopped", async () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2")]);
    kernel.stop();
    kernel.setLearned([[cidr("10.65.2.0/26"), undefined]]);
    fake.deleteRoute("0.0.0.0/0");
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("changes a route's metric without a moment in which there is none", () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.9/32", "10.0.0.2")]);
    fake.writes.length = 0;
    kernel.setLearned([
      [cidr("10.65.2.9/32"), { prefix: cidr("10.65.2.9/32"), metric: 512, nextHops: [ip("10.0.0.3")] }],
    ]);
    assert.deepEqual(fake.writes, ["+10.65.2.9/32 via 10.0.0.3 metric 512", "-10.65.2.9/32"]);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.9/32 via 10.0.0.3 metric 512"]);
  });

  it("installs what leads over a learned route, and lets it go with that route", () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "192.0.2.7")]);
    assert.deepEqual(fake.bgpRoutes, []);
    kernel.setLearned([learned("192.0.2.7/32", "10.0.0.253", "10.0.0.254")]);
    assert.deepEqual(fake.bgpRoutes, [
      "10.65.2.0/26 via 10.0.0.253 via 10.0.0.254",
      "192.0.2.7/32 via 10.0.0.253 via 10.0.0.254",
    ]);
    kernel.setLearned([[cidr("192.0.2.7/32"), undefined]]);
    assert.deepEqual(fake.bgpRoutes, []);
  });

  it("does not lead what belongs to an own block, and is not there, to the default route", () => {
    const { fake, kernel } = fixture();
    fake.setRoute(byDefault("10.0.0.254"));
    fake.addLink(7, "cali7");
    fake.addWorkload(7, "10.65.1.5/32");
    kernel.start();
    kernel.setBlackholes(new Set([cidr("10.65.1.0/26")]));
    kernel.setLearned([learned("172.20.0.0/24", "10.65.1.5"), learned("172.21.0.0/24", "10.65.1.6")]);
    assert.deepEqual(fake.bgpRoutes, ["172.20.0.0/24 via 10.65.1.5", "blackhole 10.65.1.0/26"]);
  });

  it("sweeps what an earlier run left only once everything that was learned is in", async () => {
    const { fake, kernel } = fixture();
    const earlier = {
      protocol: RouteProtocol.BGP,
      type: "unicast",
      metric: 1024,
      interfaceIndex: 2,
    } as const;
    const prefix = (i: number) => `10.${70 + (i >> 8)}.${i & 255}.0/24`;
    for (let i = 0; i < 2000; i++)
      fake.setRoute({ ...earlier, destination: cidr(prefix(i)), gateway: ip("10.0.0.2") });
    fake.setRoute({ ...earlier, destination: cidr("192.0.2.0/24"), gateway: ip("10.0.0.2") });
    await settled();
    kernel.setLearned(Array.from({ length: 2000 }, (_, i) => learned(prefix(i), "10.0.0.2")));
    kernel.sweep();
    assert.equal(fake.routes.size, 2002);
    await idle(kernel);
    assert.equal(fake.routes.size, 2001);
    assert.deepEqual(fake.writes, ["-192.0.2.0/24"]);
  });

  it("tries again what was refused, all of it as soon as one succeeds", async () => {
    const { fake, kernel, sim } = fixture();
    const prefixes = Array.from({ length: 1000 }, (_, i) => `10.70.${i >> 8}.${i & 255}/32`);
    for (const prefix of prefixes) fake.refused.add(prefix);
    kernel.setLearned(prefixes.map(prefix => learned(prefix, "10.0.0.2")));
    await idle(kernel);
    assert.equal(kernel.routeCount, 0);
    sim.advance(1000);
    await settled();
    assert.equal(kernel.routeCount, 0);
    fake.refused.clear();
    sim.advance(1000);
    for (let turn = 0; turn < 5; turn++) await settled();
    assert.equal(kernel.routeCount, 1000);
  });

  it("reads again and goes on when the kernel's answers are lost", async () => {
    const { fake, kernel, sim } = fixture();
    fake.writeError = new Error("ENOBUFS");
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2")]);
    assert.deepEqual(fake.bgpRoutes, []);
    sim.advance(1000);
    await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2"]);
  });

  it("believes what it hears while it reads more than what it reads", async () => {
    const { fake, kernel } = fixture();
    kernel.setLearned([learned("10.65.2.0/26", "10.9.0.2"), learned("10.65.3.0/26", "10.0.0.3")]);
    for (let i = 0; i < 50; i++)
      fake.setRoute({ ...byDefault("10.0.0.99"), destination: cidr(`10.${100 + i}.0.0/16`) });
    await settled();
    fake.portion = 1;
    fake.emit({ type: "overflow" });
    await Promise.resolve(); // The first portions have been read.
    fake.setRoute(byDefault("10.0.0.254"));
    fake.deleteRoute("10.65.3.0/26");
    await settled();
    assert.ok(fake.bgpRoutes.includes("10.65.2.0/26 via 10.0.0.254"));
    for (let turn = 0; turn < 60; turn++) await settled();
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.254", "10.65.3.0/26 via 10.0.0.3"]);
  });

  it("says which interface a next hop is behind, and when that changes", async () => {
    const { fake, kernel } = fixture();
    let changes = 0;
    kernel.start({ onWaysChange: () => changes++ });
    assert.equal(kernel.interfaceTowards(ip("10.0.0.2")), "eth0");
    assert.equal(kernel.interfaceTowards(ip("10.9.0.2")), undefined);
    changes = 0;
    fake.setRoute({ ...byDefault("10.0.0.254"), destination: cidr("10.8.0.0/16") });
    await settled();
    assert.equal(changes, 0);
    fake.setRoute(byDefault("10.0.0.254"));
    await settled();
    assert.equal(changes, 1);
    assert.equal(kernel.interfaceTowards(ip("10.9.0.2")), "eth0");
  });

  it("writes into a table of its own where it is told to, resolving by the main one", async () => {
    const { fake, kernel, sim } = fixture(100);
    kernel.setLearned([learned("10.65.2.0/26", "10.0.0.2"), learned("10.65.3.0/26", "10.65.2.1")]);
    const tables = () =>
      [...fake.routes.values()].filter(({ protocol }) => protocol === 186).map(({ table }) => table);
    assert.deepEqual(fake.bgpRoutes, ["10.65.2.0/26 via 10.0.0.2", "10.65.3.0/26 via 10.0.0.2"]);
    assert.deepEqual(tables(), [100, 100]);
    fake.deleteRoute("10.65.2.0/26");
    await settled();
    assert.equal(fake.bgpRoutes.length, 2);
    fake.writes.length = 0;
    sim.advance(30_000);
    await settled();
    assert.deepEqual(fake.writes, []);
  });

  it("puts addresses on workloads' interfaces as soon as they are there, and takes away only those", async () => {
    const { fake, kernel, sim } = fixture();
    const ours = [ip("169.254.1.1"), ip("fd00:ffff::1")];
    kernel.setLinkAddresses(new Map([["cali7", ours]]));
    assert.deepEqual(fake.addresses, ["eth0 10.0.0.1/24"]);
    fake.addLink(7, "cali7");
    fake.addAddress(7, "192.0.2.1/32");
    await settled();
    const present = [
      "eth0 10.0.0.1/24",
      "cali7 192.0.2.1/32",
      "cali7 169.254.1.1/32",
      "cali7 fd00:ffff::1/128",
    ];
    assert.deepEqual(fake.addresses, present);
    sim.advance(30_000);
    await settled();
    assert.deepEqual(fake.addresses, present);
    kernel.setLinkAddresses(new Map());
    assert.deepEqual(fake.addresses, present.slice(0, 2));
  });

  it("with 10,000 learned routes, an event costs what it touches", async () => {
    const { fake, kernel } = fixture();
    fake.setRoute(byDefault("10.0.0.254"));
    fake.addLink(7, "cali7");
    await settled();
    const prefix = (i: number) => `10.${64 + (i >> 10)}.${(i >> 2) & 255}.${(i & 3) * 64}/26`;
    const hop = (i: number) => `10.0.0.${2 + (i % 200)}` as Ip;
    kernel.setLearned(Array.from({ length: 10_000 }, (_, i) => learned(prefix(i), hop(i))));
    assert.ok((await idle(kernel)) >= 20, "no more than 500 in a turn");
    assert.equal(kernel.routeCount, 10_000);
    assert.equal(kernel.nextHopLookups, 200);
    const { listings } = fake;
    fake.writes.length = 0;
    for (let i = 0; i < 1000; i++) fake.addWorkload(7, `10.200.${i >> 8}.${i & 255}/32`);
    fake.deleteRoute(prefix(77));
    await settled();
    assert.deepEqual(fake.writes, [`+${prefix(77)} via ${hop(77)}`]);
    assert.equal(kernel.nextHopLookups, 200);
    fake.setRoute({ ...byDefault("10.0.0.253"), destination: cidr("10.0.0.50/32") });
    await settled();
    assert.equal(kernel.nextHopLookups, 201);
    assert.equal(fake.writes.length, 1 + 50);
    assert.equal(fake.listings, listings);
  });
});
