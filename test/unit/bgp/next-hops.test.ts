import assert from "node:assert/strict";
import fc from "fast-check";
import { type Gateway, NextHops } from "../../../bgp/next-hops.ts";
import type { UnderlayHop, UnderlayRoute } from "../../../bgp/underlay.ts";
import { type Cidr, cidr, cidrOf } from "../../../net/cidr.ts";
import { type Ip, ip } from "../../../net/ip.ts";

const underlay = (destination: string, hop: UnderlayHop = {}, metric = 0): UnderlayRoute => ({
  destination: cidr(destination),
  metric,
  hops: [hop],
});

function fixture(...routes: [string, UnderlayRoute][]) {
  const nextHops = new NextHops();
  for (const [key, route] of routes) nextHops.setRoute(key, route);
  const prefix = cidr("10.65.1.0/26");
  const resolve = (...hops: string[]) => nextHops.resolve(prefix, hops.map(ip));
  return { nextHops, prefix, resolve };
}

const connected: [string, UnderlayRoute] = ["lan", underlay("10.0.0.0/24", { interfaceIndex: 2 })];
const byDefault: [string, UnderlayRoute] = [
  "default",
  underlay("0.0.0.0/0", { gateway: ip("10.0.0.254"), interfaceIndex: 2 }),
];

describe("bgp/next-hops", () => {
  it("a hop on a connected subnet is its own gateway", () => {
    const { resolve } = fixture(connected, byDefault);
    assert.deepEqual(resolve("10.0.0.2"), [{ gateway: "10.0.0.2", interfaceIndex: 2 }]);
  });

  it("any other goes where the longest route towards it goes", () => {
    const rack: [string, UnderlayRoute] = [
      "rack",
      underlay("10.9.0.0/16", { gateway: ip("10.0.0.253"), interfaceIndex: 2 }),
    ];
    const { resolve } = fixture(connected, byDefault, rack);
    assert.equal(resolve("10.9.0.1")[0]?.gateway, "10.0.0.253");
    assert.equal(resolve("10.8.0.1")[0]?.gateway, "10.0.0.254");
  });

  it("of routes to one destination the one with the lowest metric counts", () => {
    const { resolve, nextHops, prefix } = fixture(
      ["wifi", underlay("10.0.0.0/24", { interfaceIndex: 3 }, 600)],
      ["wire", underlay("10.0.0.0/24", { interfaceIndex: 2 }, 100)],
    );
    assert.equal(resolve("10.0.0.2")[0]?.interfaceIndex, 2);
    nextHops.deleteRoute("wire");
    assert.deepEqual(nextHops.takeChanged(), [prefix]);
    assert.equal(resolve("10.0.0.2")[0]?.interfaceIndex, 3);
  });

  it("a gateway that is on the link by flag only, or link-local, keeps its interface and its flag", () => {
    const { resolve, nextHops } = fixture(
      ["cloud", underlay("0.0.0.0/0", { gateway: ip("172.31.1.1"), interfaceIndex: 2, onlink: true })],
      ["v6", underlay("::/0", { gateway: ip("fe80::1"), interfaceIndex: 4 })],
    );
    assert.deepEqual(resolve("10.0.0.2"), [{ gateway: "172.31.1.1", interfaceIndex: 2, onlink: true }]);
    assert.deepEqual(nextHops.resolve(cidr("fd00:65::/122"), [ip("fd00::2")]), [
      { gateway: "fe80::1", interfaceIndex: 4 },
    ]);
  });

  it("without a route there is no gateway, and none for our own addresses", () => {
    const { resolve, nextHops, prefix } = fixture(connected);
    assert.deepEqual(resolve("10.9.0.1"), []);
    assert.equal(resolve("10.0.0.2").length, 1);
    nextHops.setOwnAddresses(new Set([ip("10.0.0.2")]));
    assert.deepEqual(nextHops.takeChanged(), [prefix]);
    assert.deepEqual(resolve("10.0.0.2"), []);
  });

  it("several hops by one gateway are one way", () => {
    const { resolve } = fixture(connected, byDefault);
    assert.equal(resolve("10.9.0.1", "10.8.0.1").length, 1);
    assert.equal(resolve("10.0.0.1", "10.0.0.2").length, 2);
  });

  it("says which prefixes go another way now, and not those that do not", () => {
    const { nextHops, prefix, resolve } = fixture(connected, byDefault);
    resolve("10.9.0.1");
    const near = cidr("10.65.2.0/26");
    nextHops.resolve(near, [ip("10.0.0.2")]);
    nextHops.setRoute("default", underlay("0.0.0.0/0", { gateway: ip("10.0.0.250"), interfaceIndex: 2 }));
    assert.deepEqual(nextHops.takeChanged(), [prefix]);
    nextHops.setRoute("default", underlay("0.0.0.0/0", { gateway: ip("10.0.0.250"), interfaceIndex: 2 }));
    assert.deepEqual(nextHops.takeChanged(), []);
    nextHops.release(prefix);
    nextHops.deleteRoute("default");
    assert.deepEqual(nextHops.takeChanged(), []);
  });

  it("an interface that goes takes its routes with it, and of a route with several ways only one", () => {
    const { nextHops, resolve } = fixture(
      connected,
      ["other", underlay("10.1.0.0/24", { interfaceIndex: 3 })],
      [
        "both",
        {
          destination: cidr("0.0.0.0/0"),
          metric: 0,
          hops: [
            { gateway: ip("10.0.0.254"), interfaceIndex: 2 },
            { gateway: ip("10.1.0.254"), interfaceIndex: 3 },
          ],
        },
      ],
    );
    assert.equal(resolve("10.9.0.1")[0]?.gateway, "10.0.0.254");
    nextHops.forgetInterface(2);
    assert.equal(resolve("10.9.0.1")[0]?.gateway, "10.1.0.254");
    assert.equal(resolve("10.0.0.2")[0]?.gateway, "10.1.0.254");
    nextHops.forgetInterface(3);
    assert.deepEqual(resolve("10.9.0.1"), []);
  });

  it("costs nothing per learned prefix and nothing for routes that cover no hop", () => {
    const { nextHops } = fixture(connected, byDefault);
    for (let i = 0; i < 10_000; i++) {
      const prefix = cidr(`10.${64 + (i >> 10)}.${(i >> 2) & 255}.${(i & 3) * 64}/26`);
      nextHops.resolve(prefix, [ip(`10.0.0.${2 + (i % 100)}`)]);
    }
    assert.equal(nextHops.lookups, 100);
    for (let i = 0; i < 1000; i++) {
      nextHops.setRoute(
        `tunnel ${i}`,
        underlay(`10.200.${i >> 2}.${(i & 3) * 64}/26`, { interfaceIndex: 9 }),
      );
    }
    nextHops.forgetInterface(9);
    assert.equal(nextHops.lookups, 100);
    assert.deepEqual(nextHops.takeChanged(), []);
    nextHops.setRoute("host", underlay("10.0.0.7/32", { gateway: ip("10.0.0.254"), interfaceIndex: 2 }));
    assert.equal(nextHops.lookups, 101);
    assert.equal(nextHops.takeChanged().length, 100);
  });

  describe("through learned routes", () => {
    it("a hop that only a learned route leads to goes where that route's hops go", () => {
      const { nextHops, resolve, prefix } = fixture(connected);
      assert.deepEqual(resolve("192.0.2.7"), []);
      nextHops.resolve(cidr("192.0.2.7/32"), [ip("10.0.0.2"), ip("10.0.0.3")]);
      assert.deepEqual(nextHops.takeChanged(), [prefix]);
      assert.deepEqual(resolve("192.0.2.7"), [
        { gateway: "10.0.0.2", interfaceIndex: 2 },
        { gateway: "10.0.0.3", interfaceIndex: 2 },
      ]);
      nextHops.resolve(cidr("192.0.2.7/32"), [ip("10.0.0.3")]);
      assert.deepEqual(nextHops.takeChanged(), [prefix]);
      assert.deepEqual(resolve("192.0.2.7"), [{ gateway: "10.0.0.3", interfaceIndex: 2 }]);
      nextHops.release(cidr("192.0.2.7/32"));
      assert.deepEqual(nextHops.takeChanged(), [prefix]);
      assert.deepEqual(resolve("192.0.2.7"), []);
    });

    it("follows what is two routes away", () => {
      const { nextHops, resolve, prefix } = fixture(connected);
      nextHops.resolve(cidr("192.0.2.7/32"), [ip("198.51.100.1")]);
      nextHops.resolve(cidr("198.51.100.0/24"), [ip("10.0.0.2")]);
      assert.deepEqual(resolve("192.0.2.7"), [{ gateway: "10.0.0.2", interfaceIndex: 2 }]);
      nextHops.deleteRoute("lan");
      assert.ok(nextHops.takeChanged().includes(prefix));
      assert.deepEqual(resolve("192.0.2.7"), []);
    });

    it("a route to its own next hop is no way to it: the next shorter one is", () => {
      const { nextHops, resolve } = fixture(connected);
      assert.deepEqual(nextHops.resolve(cidr("10.0.0.2/32"), [ip("10.0.0.2")]), [
        { gateway: "10.0.0.2", interfaceIndex: 2 },
      ]);
      assert.deepEqual(resolve("10.0.0.2"), [{ gateway: "10.0.0.2", interfaceIndex: 2 }]);
    });

    it("routes that lead to each other lead nowhere, unless somebody else's leads out", () => {
      const { nextHops } = fixture();
      const [p, q] = [cidr("192.0.2.0/24"), cidr("198.51.100.0/24")];
      nextHops.resolve(p, [ip("198.51.100.1")]);
      assert.deepEqual(nextHops.resolve(q, [ip("192.0.2.1")]), []);
      assert.deepEqual(nextHops.resolve(cidr("0.0.0.0/0"), [ip("203.0.113.1")]), []);
      nextHops.setRoute(...connected);
      nextHops.setRoute("out", underlay("192.0.0.0/8", { gateway: ip("10.0.0.9"), interfaceIndex: 2 }));
      assert.deepEqual(nextHops.resolve(q, [ip("192.0.2.1")]), [{ gateway: "10.0.0.9", interfaceIndex: 2 }]);
      assert.deepEqual(nextHops.resolve(p, [ip("198.51.100.1")]), [
        { gateway: "10.0.0.9", interfaceIndex: 2 },
      ]);
    });

    it("somebody else's route to the same destination with a lower metric counts, as it does for the kernel", () => {
      const { nextHops, resolve } = fixture(connected);
      nextHops.resolve(cidr("192.0.2.0/24"), [ip("10.0.0.2")], 1024);
      assert.equal(resolve("192.0.2.1")[0]?.gateway, "10.0.0.2");
      nextHops.setRoute(
        "static",
        underlay("192.0.2.0/24", { gateway: ip("10.0.0.9"), interfaceIndex: 2 }, 7),
      );
      assert.equal(resolve("192.0.2.1")[0]?.gateway, "10.0.0.9");
      nextHops.setRoute(
        "static",
        underlay("192.0.2.0/24", { gateway: ip("10.0.0.9"), interfaceIndex: 2 }, 2000),
      );
      assert.equal(resolve("192.0.2.1")[0]?.gateway, "10.0.0.2");
    });
  });

  it("what lies behind a hole cannot be reached, although there is a default route", () => {
    const { nextHops, resolve } = fixture(connected, byDefault);
    nextHops.setRoute("hole", { destination: cidr("10.65.7.0/26"), metric: 1024, hops: [] });
    assert.deepEqual(resolve("10.65.7.1"), []);
    nextHops.setRoute("workload", underlay("10.65.7.1/32", { interfaceIndex: 7 }));
    assert.deepEqual(resolve("10.65.7.1"), [{ gateway: "10.65.7.1", interfaceIndex: 7 }]);
  });

  it("a hop with a zone is on that link while it is up, whatever the routes say", () => {
    const { nextHops, prefix } = fixture(connected, byDefault);
    const over = (hop: string) => nextHops.resolve(prefix, [hop as Ip]);
    assert.deepEqual(over("10.0.0.2%tunl0"), []);
    nextHops.setLink("tunl0", 5);
    assert.deepEqual(nextHops.takeChanged(), [prefix]);
    assert.deepEqual(over("10.0.0.2%tunl0"), [{ gateway: "10.0.0.2", interfaceIndex: 5, onlink: true }]);
    nextHops.setLink("tunl0", undefined);
    assert.deepEqual(nextHops.takeChanged(), [prefix]);
    nextHops.setLink("eth0", 2);
    assert.deepEqual(over("fe80::1%eth0"), [{ gateway: "fe80::1", interfaceIndex: 2 }]);
  });

  it("gives the kernel 64 ways at most", () => {
    const { nextHops, prefix } = fixture(connected);
    const hops = Array.from({ length: 100 }, (_, i) => ip(`10.0.0.${i + 2}`));
    assert.equal(nextHops.resolve(prefix, hops).length, 64);
  });

  it("always gives what a search through all routes would", () => {
    const device = fc.integer({ min: 1, max: 3 });
    const key = fc.integer({ min: 0, max: 5 });
    const net = fc.constantFrom(
      ...["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.2/32", "10.0.1.0/24", "192.0.2.0/24"].map(cidr),
    );
    const hop = fc.constantFrom(...["10.0.0.2", "10.0.0.3", "10.0.1.9", "192.0.2.1", "198.51.100.1"].map(ip));
    // The key says the metric too, so that no two routes are equally good.
    const anyRoute = fc
      .record({ key, net, device, gateway: fc.option(fc.constantFrom("10.0.0.254", "10.0.1.254").map(ip)) })
      .map(({ key, net, device, gateway }): [string, UnderlayRoute] => [
        `${key}`,
        underlay(net, { ...(gateway !== null && { gateway }), interfaceIndex: device }, key * 10),
      ]);
    const anyStep = fc.oneof(
      fc.record({ do: fc.constant("set" as const), route: anyRoute }),
      fc.record({ do: fc.constant("delete" as const), key: key.map(String) }),
      fc.record({ do: fc.constant("down" as const), device }),
      fc.record({ do: fc.constant("replace" as const), routes: fc.array(anyRoute, { maxLength: 4 }) }),
      fc.record({
        do: fc.constant("learn" as const),
        net: fc.oneof(net, fc.constantFrom(...["10.65.1.0/26", "198.51.100.0/24"].map(cidr))),
        hops: fc.uniqueArray(hop, { maxLength: 2 }),
        metric: fc.constantFrom(5, 25, 1024),
      }),
    );
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 25 }), steps => {
        const nextHops = new NextHops();
        let routes = new Map<string, UnderlayRoute>();
        const learned = new Map<Cidr, { hops: Ip[]; metric: number }>();
        const known = new Map<Cidr, readonly Gateway[]>();
        const union = (ways: Gateway[][]) =>
          [...new Map(ways.flat().map(way => [JSON.stringify(way), way])).values()].map(way => ({ ...way }));
        const waysTo = (address: Ip, path: readonly Ip[]): Gateway[] => {
          for (let length = 32; length >= 0; length--) {
            const block = cidrOf(address, length);
            const [best] = [...routes.values()]
              .filter(({ destination }) => destination === block)
              .sort((a, b) => a.metric - b.metric);
            const other = learned.get(block);
            if (other && (!best || other.metric < best.metric) && !other.hops.some(h => path.includes(h))) {
              const ways = union(other.hops.map(h => waysTo(h, [...path, h])));
              if (ways.length > 0) return ways;
            }
            if (best) return best.hops.map(way => ({ gateway: address, ...way }));
          }
          return [];
        };
        for (const step of steps) {
          switch (step.do) {
            case "set":
              routes.set(...step.route);
              nextHops.setRoute(...step.route);
              break;
            case "delete":
              routes.delete(step.key);
              nextHops.deleteRoute(step.key);
              break;
            case "down":
              routes = new Map([...routes].filter(([, { hops }]) => hops[0]?.interfaceIndex !== step.device));
              nextHops.forgetInterface(step.device);
              break;
            case "replace":
              routes = new Map(step.routes);
              nextHops.replaceRoutes(routes);
              break;
            case "learn":
              if (step.hops.length > 0) learned.set(step.net, step);
              else learned.delete(step.net);
              known.delete(step.net);
              known.set(step.net, nextHops.resolve(step.net, step.hops, step.metric));
          }
          for (const prefix of nextHops.takeChanged()) {
            const { hops, metric } = learned.get(prefix)!;
            known.set(prefix, nextHops.resolve(prefix, hops, metric));
          }
          for (const [prefix, { hops }] of learned) {
            const expected = union(hops.map(h => waysTo(h, [h])));
            assert.deepEqual(known.get(prefix), expected, prefix);
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
