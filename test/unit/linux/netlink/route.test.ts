import assert from "node:assert/strict";
import fc from "fast-check";
import {
  matchesFilter,
  type NextHop,
  type Route,
  readRoute,
  routeKey,
  routeSatisfies,
  writeDeleteRoute,
  writeGetRoutes,
  writeReplaceRoute,
} from "../../../../linux/netlink/route.ts";
import { cidr, cidrOf } from "../../../../net/cidr.ts";
import { bytesToIp, ip } from "../../../../net/ip.ts";
import { messages, readBack, written } from "./golden.ts";

const via: Route = {
  destination: cidr("10.9.0.0/16"),
  protocol: 80,
  type: "unicast",
  gateway: ip("10.0.0.2"),
  interfaceIndex: 3,
};

describe("linux/netlink/route", () => {
  it("writes the bytes that `ip route replace` sends", () => {
    assert.equal(
      written(w => writeReplaceRoute(w, via)),
      "34000000 18000105 00000000 00000000 02100000 fe500001 00000000 08000100 0a090000 08000500 0a000002 08000400 03000000",
    );
    const hops = [
      { gateway: ip("10.0.0.3"), interfaceIndex: 3 },
      { gateway: ip("10.0.0.4"), interfaceIndex: 3, weight: 3 },
    ];
    assert.equal(
      written(w =>
        writeReplaceRoute(w, {
          destination: cidr("10.12.0.0/16"),
          protocol: 186,
          type: "unicast",
          nextHops: hops,
        }),
      ),
      "48000000 18000105 00000000 00000000 02100000 feba0001 00000000 08000100 0a0c0000 " +
        "24000980 10000000 03000000 08000500 0a000003 10000002 03000000 08000500 0a000004",
    );
  });

  it("deletes in any scope, but of the protocol named only", () => {
    const text = written(w =>
      writeDeleteRoute(w, { destination: cidr("10.9.0.0/16"), protocol: 80, type: "unicast" }),
    );
    assert.equal(text, "24000000 19000100 00000000 00000000 02100000 fe50ff01 00000000 08000100 0a090000");
  });

  it("asks the kernel to filter by family, table and protocol", () => {
    assert.equal(
      written(w => writeGetRoutes(w, 6, { protocol: 186, table: 1000 })),
      "24000000 1a000103 00000000 00000000 0a000000 00ba0000 00000000 08000f00 e8030000",
    );
  });

  it("reads what Linux 6.18 dumps", () => {
    const dump = messages(
      // 10.12.0.0/16 proto bgp mtu 1400, two next hops; an IPv4 route via an IPv6 gateway; an IPv6 blackhole
      "5c0000001800020000000000f7b7a4ca02100000feba00010000000008000f00fe000000080001000a0c00000c0008000800020078050000" +
        "240009001000000003000000080005000a0000031000000203000000080005000a000004" +
        "4c0000001800020000000000f7b7a4ca02100000fe5000010000000008000f00fe000000080001000a4700001600" +
        "12000a00fe8000000000000000000000000000020000080004000300000074000000180002000000" +
        "0000f7b7a4ca0a400000fe5000060000000008000f00fe00000014000100fd010000000000000000000000000000080006000004" +
        "0000080004000100000024000c0000000000000000000000000000000000000000000000000000000000000000000500140000000000",
    );
    assert.deepEqual(dump.map(readRoute), [
      {
        destination: "10.12.0.0/16",
        table: 254,
        protocol: 186,
        type: "unicast",
        scope: "global",
        mtu: 1400,
        nextHops: [
          { gateway: "10.0.0.3", interfaceIndex: 3, weight: 1 },
          { gateway: "10.0.0.4", interfaceIndex: 3, weight: 3 },
        ],
      },
      {
        destination: "10.71.0.0/16",
        table: 254,
        protocol: 80,
        type: "unicast",
        scope: "global",
        gateway: "fe80::2",
        interfaceIndex: 3,
      },
      { destination: "fd01::/64", table: 254, protocol: 80, type: "blackhole", metric: 1024 },
    ]);
  });

  it("reads back any route it writes as one that satisfies it", () => {
    const index = fc.integer({ min: 1, max: 1 << 20 });
    const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
    const route = fc.constantFrom(4 as const, 6 as const).chain(version => {
      const width = version === 4 ? 4 : 16;
      const address = fc.uint8Array({ minLength: width, maxLength: width }).map(bytesToIp);
      const hop = fc.record(
        {
          gateway: address,
          interfaceIndex: index,
          weight: fc.integer({ min: 1, max: 256 }),
          onlink: fc.boolean(),
        },
        { requiredKeys: ["gateway"] },
      );
      return fc
        .record({
          destination: fc.tuple(address, fc.nat(width * 8)).map(([one, length]) => cidrOf(one, length)),
          table: optional(fc.integer({ min: 1, max: 1 << 30 })),
          protocol: fc.nat(255),
          type: fc.constantFrom("unicast", "blackhole", "unreachable", "prohibit", "throw", "local" as const),
          metric: optional(fc.nat(1 << 30)),
          source: optional(address),
          mtu: optional(fc.integer({ min: 68, max: 65535 })),
          hops: fc.array(hop, { minLength: 1, maxLength: 4 }),
        })
        .map(({ hops, ...rest }): Route => {
          const [only] = hops as NextHop[];
          const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
          const { weight: _, ...single } = only!;
          const way = rest.type === "unicast" ? (hops.length > 1 ? { nextHops: hops } : single) : {};
          return { ...given, ...way } as Route;
        });
    });
    fc.assert(
      fc.property(route, wanted => {
        const actual = readBack(w => writeReplaceRoute(w, wanted), readRoute);
        assert.ok(actual !== undefined && routeSatisfies(actual, wanted), JSON.stringify(actual));
        assert.ok(matchesFilter(actual, { protocol: wanted.protocol, table: wanted.table ?? 254 }));
        assert.ok(!matchesFilter(actual, { protocol: (wanted.protocol + 1) % 256 }));
      }),
    );
  });

  describe("routeSatisfies", () => {
    const actual: Route = { ...via, table: 254, scope: "global" };

    it("fills in defaults and accepts the interface that the kernel chose", () => {
      const { interfaceIndex: _, ...withoutInterface } = via;
      assert.ok(routeSatisfies(actual, via));
      assert.ok(routeSatisfies(actual, withoutInterface));
      const onLink: Route = {
        destination: via.destination,
        protocol: 80,
        type: "unicast",
        interfaceIndex: 3,
      };
      assert.ok(routeSatisfies({ ...onLink, table: 254, scope: "link" }, onLink));
      const v6: Route = { destination: cidr("fd01::/64"), protocol: 80, type: "blackhole" };
      assert.ok(routeSatisfies({ ...v6, table: 254, metric: 1024, interfaceIndex: 1 }, v6));
    });

    it("sees every difference that matters", () => {
      const differences: Partial<Route>[] = [
        { protocol: 186 },
        { gateway: ip("10.0.0.3") },
        { interfaceIndex: 4 },
        { metric: 1 },
        { table: 100 },
        { type: "blackhole" },
        { mtu: 1400 },
        { onlink: true },
        { source: ip("10.0.0.1") },
        { nextHops: [{ gateway: ip("10.0.0.2") }, { gateway: ip("10.0.0.3") }] },
      ];
      for (const difference of differences) {
        assert.ok(!routeSatisfies({ ...actual, ...difference }, via), JSON.stringify(difference));
      }
    });

    it("compares next hops in any order, with their weights", () => {
      const one = { gateway: ip("10.0.0.3"), weight: 2 };
      const two = { gateway: ip("10.0.0.4") };
      const base: Route = { destination: via.destination, protocol: 80, type: "unicast" };
      assert.ok(routeSatisfies({ ...base, nextHops: [two, one] }, { ...base, nextHops: [one, two] }));
      assert.ok(!routeSatisfies({ ...base, nextHops: [one, one] }, { ...base, nextHops: [one, two] }));
      assert.ok(
        !routeSatisfies(
          { ...base, nextHops: [{ ...one, weight: 3 }, two] },
          { ...base, nextHops: [one, two] },
        ),
      );
      assert.ok(routeSatisfies({ ...base, gateway: ip("10.0.0.4") }, { ...base, nextHops: [two] }));
    });
  });

  it("knows which routes replace each other", () => {
    assert.equal(
      routeKey(via),
      routeKey({ ...via, gateway: ip("10.0.0.9"), protocol: 4, table: 254, metric: 0 }),
    );
    assert.notEqual(routeKey(via), routeKey({ ...via, metric: 1 }));
    assert.notEqual(routeKey(via), routeKey({ ...via, table: 255 }));
    const v6: Route = { destination: cidr("fd01::/64"), protocol: 80, type: "blackhole" };
    assert.equal(routeKey(v6), routeKey({ ...v6, metric: 1024 }));
  });
});
