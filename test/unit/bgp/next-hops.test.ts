import assert from "node:assert/strict";
import fc from "fast-check";
import { NextHops, type UnderlayHop, type UnderlayRoute } from "../../../bgp/next-hops.ts";
import { cidr, contains, prefixLength } from "../../../net/cidr.ts";
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

  it("always gives what a search through all routes would", () => {
    const anyRoute = fc.record({
      key: fc.integer({ min: 0, max: 5 }),
      net: fc.constantFrom("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.2/32", "10.0.1.0/24"),
      device: fc.integer({ min: 1, max: 3 }),
      gateway: fc.option(fc.constantFrom("10.0.0.254", "10.0.1.254"), { nil: undefined }),
    });
    const anyStep = fc.oneof(
      fc.record({ do: fc.constant("set" as const), route: anyRoute }),
      fc.record({ do: fc.constant("delete" as const), key: fc.integer({ min: 0, max: 5 }) }),
      fc.record({ do: fc.constant("down" as const), device: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ do: fc.constant("replace" as const), routes: fc.array(anyRoute, { maxLength: 4 }) }),
    );
    const hops = ["10.0.0.2", "10.0.0.3", "10.0.1.9", "192.0.2.1"].map(ip);
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 20 }), steps => {
        const nextHops = new NextHops();
        let model = new Map<string, UnderlayRoute>();
        const known = new Map<Ip, string>();
        const prefixOf = (hop: Ip) => cidr(`10.65.0.${hops.indexOf(hop)}/32`);
        const ask = (hop: Ip) => JSON.stringify(nextHops.resolve(prefixOf(hop), [hop]));
        for (const hop of hops) known.set(hop, ask(hop));
        // The key says the metric too, so that no two routes are equally good.
        const routeOf = ({
          key,
          net,
          device,
          gateway,
        }: {
          key: number;
          net: string;
          device: number;
          gateway?: string | undefined;
        }) => underlay(net, { ...(gateway && { gateway: ip(gateway) }), interfaceIndex: device }, key);
        for (const step of steps) {
          if (step.do === "set") {
            model.set(`${step.route.key}`, routeOf(step.route));
            nextHops.setRoute(`${step.route.key}`, routeOf(step.route));
          } else if (step.do === "delete") {
            model.delete(`${step.key}`);
            nextHops.deleteRoute(`${step.key}`);
          } else if (step.do === "down") {
            model = new Map(
              [...model].filter(
                ([
                  ,
                  {
                    hops: [hop],
                  },
                ]) => hop?.interfaceIndex !== step.device,
              ),
            );
            nextHops.forgetInterface(step.device);
          } else {
            model = new Map(step.routes.map(route => [`${route.key}`, routeOf(route)]));
            nextHops.replaceRoutes(model);
          }
          for (const prefix of nextHops.takeChanged()) {
            const hop = hops.find(other => prefixOf(other) === prefix) as Ip;
            known.set(hop, ask(hop));
          }
          for (const hop of hops) {
            const [best] = [...model.values()]
              .filter(({ destination }) => contains(destination, hop))
              .sort(
                (a, b) => prefixLength(b.destination) - prefixLength(a.destination) || a.metric - b.metric,
              );
            const [way] = best?.hops ?? [];
            const expected = way ? [{ ...way, gateway: way.gateway ?? hop }] : [];
            assert.deepEqual(JSON.parse(known.get(hop) as string), expected);
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
