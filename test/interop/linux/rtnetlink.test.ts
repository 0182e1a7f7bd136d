import assert from "node:assert/strict";
import {
  isAbsent,
  type Route,
  RouteProtocol,
  Rtnetlink,
  routeKey,
  routeSatisfies,
} from "../../../linux/rtnetlink.ts";
import { type Cidr, cidr, nthAddress } from "../../../net/cidr.ts";
import { ip as address } from "../../../net/ip.ts";
import { mac } from "../../../net/mac.ts";
import { ip, run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/rtnetlink", () => {
  const scratch = new ScratchNamespaces();

  /** Two namespaces joined by a veth: v0 with 10.0.0.1/24 and fd00::1/64 here, v1 over there. */
  function joined() {
    const [namespace, peer] = [scratch.create(), scratch.create()];
    const netlink = Rtnetlink.open({ namespace });
    const there = Rtnetlink.open({ namespace: peer });
    netlink.createVeth({ name: "v0", peerName: "v1", peerNamespace: peer, txQueues: 1 });
    netlink.setLink("lo", { up: true });
    netlink.setLink("v0", { up: true });
    there.setLink("v1", { up: true });
    const index = netlink.getLink("v0")!.index;
    netlink.addAddress({ interfaceIndex: index, ip: address("10.0.0.1"), prefixLength: 24 });
    netlink.addAddress({ interfaceIndex: index, ip: address("fd00::1"), prefixLength: 64, noDad: true });
    return {
      namespace,
      peer,
      netlink,
      there,
      index,
      [Symbol.dispose]() {
        netlink.close();
        there.close();
      },
    };
  }

  const unicast = (destination: string, rest: Partial<Route> = {}): Route => ({
    destination: cidr(destination),
    protocol: 80,
    type: "unicast",
    ...rest,
  });

  describe("links", () => {
    it("creates a veth whose peer is in another namespace from the start", () => {
      const [namespace, peer] = [scratch.create(), scratch.create()];
      using netlink = Rtnetlink.open({ namespace });
      using there = Rtnetlink.open({ namespace: `/run/netns/${peer}` });
      netlink.createVeth({
        name: "cali0",
        peerName: "eth0",
        peerNamespace: peer,
        mtu: 1410,
        mac: mac("ee:ee:ee:ee:ee:ee"),
        peerMac: mac("02:00:00:00:00:01"),
        txQueues: 1,
      });
      const [here] = ip(namespace, "link", "show", "cali0");
      const [over] = ip(peer, "link", "show", "eth0");
      assert.equal(here.address, "ee:ee:ee:ee:ee:ee");
      assert.equal(here.mtu, 1410);
      assert.equal(here.num_tx_queues, 1);
      assert.equal(over.address, "02:00:00:00:00:01");
      assert.equal(over.mtu, 1410);
      assert.deepEqual(
        netlink.listLinks().map(link => link.name),
        ["lo", "cali0"],
      );
      const link = netlink.getLink("cali0")!;
      assert.equal(link.kind, "veth");
      assert.equal(link.up, false);
      assert.equal(link.peerIndex, over.ifindex);
      assert.equal(typeof link.peerNamespaceId, "number");
      assert.equal(there.getLink(over.ifindex)!.name, "eth0");
    });

    it("changes state, MTU, MAC, name, master and namespace", () => {
      const [namespace, peer] = [scratch.create(), scratch.create()];
      using netlink = Rtnetlink.open({ namespace });
      netlink.createVeth({ name: "a", peerName: "b" });
      netlink.createPlainLink({ kind: "bridge", name: "br0", mac: mac("02:00:00:00:00:aa") });
      const bridge = netlink.getLink("br0")!;
      assert.equal(bridge.kind, "bridge");
      assert.equal(bridge.mac, "02:00:00:00:00:aa");
      const { index } = netlink.getLink("a")!;
      netlink.setLink("a", { name: "a2", mtu: 1300, mac: mac("02:00:00:00:00:0a"), master: bridge.index });
      netlink.setLink(index, { up: true });
      netlink.setLink("b", { up: true });
      const link = netlink.getLink(index)!;
      assert.deepEqual(
        [link.name, link.mtu, link.mac, link.master, link.up],
        ["a2", 1300, "02:00:00:00:00:0a", bridge.index, true],
      );
      assert.equal(ip(namespace, "link", "show", "a2")[0].master, "br0");
      assert.equal(link.operState, "up");
      netlink.setLink("a2", { master: 0, up: false });
      assert.equal(netlink.getLink("a2")!.master, undefined);
      assert.equal(netlink.getLink("a2")!.up, false);
      netlink.setLink("a2", { namespace: peer });
      assert.equal(netlink.getLink("a2"), undefined);
      assert.equal(ip(peer, "link", "show", "a2").length, 1);
    });

    it("creates a vxlan and reads its parameters back", () => {
      using at = joined();
      at.netlink.createVxlan({
        name: "vxlan.calico",
        id: 4096,
        local: address("10.0.0.1"),
        parent: at.index,
        port: 4789,
        learning: false,
        mac: mac("66:00:00:00:00:01"),
        mtu: 1410,
      });
      const link = at.netlink.getLink("vxlan.calico")!;
      assert.deepEqual(link.vxlan, {
        id: 4096,
        local: "10.0.0.1",
        parent: at.index,
        port: 4789,
        learning: false,
      });
      const [{ linkinfo }] = ip(at.namespace, "link", "show", "vxlan.calico");
      assert.equal(linkinfo.info_kind, "vxlan");
      assert.equal(linkinfo.info_data.id, 4096);
      assert.equal(linkinfo.info_data.port, 4789);
      assert.equal(linkinfo.info_data.learning, false);

      const entry = {
        interfaceIndex: link.index,
        mac: mac("66:00:00:00:00:02"),
        remote: address("10.0.0.2"),
      };
      at.netlink.replaceForwardingEntry(entry);
      at.netlink.replaceForwardingEntry({ ...entry, remote: address("10.0.0.3") });
      assert.deepEqual(at.netlink.listForwardingEntries(link.index), [
        { ...entry, remote: "10.0.0.3", state: "permanent" },
      ]);
      assert.match(
        run(at.namespace, "bridge", "fdb", "show", "dev", "vxlan.calico"),
        /66:.*:02 dst 10.0.0.3/,
      );
      assert.equal(at.netlink.deleteForwardingEntry({ ...entry, remote: address("10.0.0.3") }), true);
      assert.equal(at.netlink.deleteForwardingEntry({ ...entry, remote: address("10.0.0.3") }), false);
    });

    it("answers with typed errors and the kernel's words", () => {
      using at = joined();
      assert.throws(() => at.netlink.createVeth({ name: "v0", peerName: "x" }), {
        name: "NetlinkError",
        code: "EEXIST",
        operation: "create veth v0",
      });
      assert.throws(() => at.netlink.setLink("nolink", { up: true }), { code: "ENODEV" });
      assert.throws(() => at.netlink.setLink("v0", { mtu: 1 }), /mtu less than device minimum \(EINVAL\)/);
      assert.equal(at.netlink.deleteLink("v0"), true);
      assert.equal(at.netlink.deleteLink("v0"), false);
      assert.equal(at.there.getLink("v1"), undefined);
    });
  });

  describe("addresses", () => {
    it("adds, replaces, lists and deletes", () => {
      using at = joined();
      const { netlink, index } = at;
      const v4 = { interfaceIndex: index, ip: address("10.1.0.1"), prefixLength: 32, scope: "link" } as const;
      const v6 = { interfaceIndex: index, ip: address("fd01::1"), prefixLength: 64, noDad: true } as const;
      netlink.addAddress(v4);
      netlink.addAddress(v6);
      assert.throws(() => netlink.addAddress(v6), { code: "EEXIST" });
      netlink.replaceAddress({ ...v6, noPrefixRoute: true });
      const infos = ip(at.namespace, "address", "show", "v0")[0].addr_info;
      const found = (local: string) => infos.find((info: { local: string }) => info.local === local);
      assert.equal(found("10.1.0.1").scope, "link");
      assert.equal(found("10.1.0.1").prefixlen, 32);
      assert.equal(found("fd01::1").noprefixroute, true);
      assert.equal(found("fd01::1").nodad, true);
      assert.deepEqual(
        netlink
          .listAddresses({ interfaceIndex: index })
          .filter(one => one.scope !== "link" || one.ip === v4.ip)
          .map(one => `${one.ip}/${one.prefixLength} ${one.scope} ${one.noPrefixRoute ?? false}`)
          .sort(),
        [
          "10.0.0.1/24 global false",
          "10.1.0.1/32 link false",
          "fd00::1/64 global false",
          "fd01::1/64 global true",
        ],
      );
      assert.equal(
        netlink.listAddresses({ family: 6 }).some(one => one.ip === "::1"),
        true,
      );
      assert.equal(netlink.deleteAddress(v6), true);
      assert.equal(netlink.deleteAddress(v6), false);
      assert.equal(netlink.deleteAddress({ ...v4, interfaceIndex: 999 }), false);
    });
  });

  describe("routes", () => {
    it("writes what `ip route` shows, and reads back what it wrote", () => {
      using at = joined();
      const { netlink, index } = at;
      const routes: Route[] = [
        unicast("10.9.0.0/16", { gateway: address("10.0.0.2"), protocol: RouteProtocol.BGP }),
        unicast("10.65.0.2/32", { interfaceIndex: index }),
        unicast("10.66.0.0/26", { type: "blackhole" }),
        unicast("10.67.0.0/26", { type: "unreachable", metric: 5 }),
        unicast("10.67.1.0/26", { type: "prohibit" }),
        unicast("10.67.2.0/26", { type: "throw", table: 1000 }),
        unicast("10.68.0.0/26", { gateway: address("172.31.0.9"), interfaceIndex: index, onlink: true }),
        unicast("10.69.0.0/26", {
          interfaceIndex: index,
          source: address("10.0.0.1"),
          mtu: 1300,
          scope: "link",
        }),
        unicast("10.70.0.0/16", {
          nextHops: [{ gateway: address("10.0.0.3") }, { gateway: address("10.0.0.4"), weight: 7 }],
        }),
        unicast("10.71.0.0/16", { gateway: address("fd00::2"), interfaceIndex: index }),
        unicast("0.0.0.0/0", { gateway: address("10.0.0.254") }),
        unicast("10.72.0.1/32", { type: "local", interfaceIndex: index, table: 255 }),
        unicast("fd09::/64", { gateway: address("fd00::2") }),
        unicast("fd10::/122", { type: "blackhole" }),
        unicast("fd11::/64", {
          gateway: address("fe80::99"),
          interfaceIndex: index,
          onlink: true,
          metric: 77,
        }),
        unicast("fd12::1/128", { interfaceIndex: index, mtu: 1400 }),
        unicast("fd13::/64", {
          nextHops: [{ gateway: address("fd00::3") }, { gateway: address("fd00::4"), weight: 2 }],
        }),
        unicast("::/0", { gateway: address("fd00::fe") }),
      ];
      assert.deepEqual(netlink.replaceRoutes(routes), []);
      const kernel = new Map(netlink.listRoutes().map(route => [routeKey(route), route]));
      for (const route of routes) {
        const actual = kernel.get(routeKey(route));
        assert.ok(actual !== undefined, `missing ${route.destination}`);
        assert.ok(routeSatisfies(actual, route), JSON.stringify({ actual, route }));
        assert.ok(!routeSatisfies({ ...actual, protocol: 99 }, route));
      }

      const shown = new Map<string, Record<string, unknown>>();
      for (const args of [["route"], ["-6", "route"]]) {
        for (const route of ip(at.namespace, ...args, "show", "table", "all")) shown.set(route.dst, route);
      }
      assert.partialDeepStrictEqual(shown.get("10.9.0.0/16"), {
        gateway: "10.0.0.2",
        protocol: "bgp",
        dev: "v0",
      });
      assert.partialDeepStrictEqual(shown.get("10.65.0.2"), { dev: "v0", scope: "link", protocol: "80" });
      assert.partialDeepStrictEqual(shown.get("10.66.0.0/26"), { type: "blackhole", protocol: "80" });
      assert.partialDeepStrictEqual(shown.get("10.67.2.0/26"), { type: "throw", table: "1000" });
      assert.partialDeepStrictEqual(shown.get("10.68.0.0/26"), { gateway: "172.31.0.9", flags: ["onlink"] });
      assert.partialDeepStrictEqual(shown.get("10.69.0.0/26"), {
        prefsrc: "10.0.0.1",
        metrics: [{ mtu: 1300 }],
      });
      assert.partialDeepStrictEqual(shown.get("10.71.0.0/16"), { via: { family: "inet6", host: "fd00::2" } });
      assert.partialDeepStrictEqual(shown.get("10.70.0.0/16"), {
        nexthops: [
          { gateway: "10.0.0.3", weight: 1 },
          { gateway: "10.0.0.4", weight: 7 },
        ],
      });
      assert.partialDeepStrictEqual(shown.get("fd11::/64"), { gateway: "fe80::99", metric: 77 });

      // And away again, table and metric as given.
      assert.deepEqual(netlink.deleteRoutes(routes), []);
      assert.deepEqual(netlink.listRoutes({ protocol: 80 }), []);
    });

    it("reads what `ip route` writes", () => {
      using at = joined();
      run(
        at.namespace,
        "ip",
        "route",
        "add",
        "10.9.0.0/16",
        "via",
        "10.0.0.2",
        "proto",
        "bird",
        "metric",
        "32",
        "mtu",
        "1280",
      );
      run(at.namespace, "ip", "-6", "route", "add", "unreachable", "fd77::/48", "table", "500");
      assert.deepEqual(at.netlink.listRoutes({ protocol: RouteProtocol.BIRD }), [
        {
          destination: "10.9.0.0/16",
          table: 254,
          protocol: 12,
          type: "unicast",
          scope: "global",
          gateway: "10.0.0.2",
          interfaceIndex: at.index,
          metric: 32,
          mtu: 1280,
        },
      ]);
      assert.deepEqual(
        at.netlink.listRoutes({ table: 500 }).map(({ destination, type }) => [destination, type]),
        [["fd77::/48", "unreachable"]],
      );
    });

    it("filters by family, table, protocol and link", () => {
      using at = joined();
      const { netlink, index } = at;
      netlink.replaceRoutes([
        unicast("10.9.0.0/16", { gateway: address("10.0.0.2") }),
        unicast("10.9.0.0/16", { gateway: address("10.0.0.2"), table: 700, protocol: 186 }),
        unicast("10.10.0.0/16", { type: "blackhole" }),
        unicast("fd09::/64", { gateway: address("fd00::2") }),
      ]);
      const list = (filter: Parameters<Rtnetlink["listRoutes"]>[0]) =>
        netlink.listRoutes(filter).map(route => `${route.destination} ${route.table}`);
      assert.deepEqual(list({ protocol: 80, family: 4 }), ["10.9.0.0/16 254", "10.10.0.0/16 254"]);
      assert.deepEqual(list({ protocol: 80, family: 6 }), ["fd09::/64 254"]);
      assert.deepEqual(list({ table: 700 }), ["10.9.0.0/16 700"]);
      assert.deepEqual(list({ table: 701 }), []);
      assert.deepEqual(list({ protocol: 80, interfaceIndex: index }), ["10.9.0.0/16 254", "fd09::/64 254"]);
      assert.deepEqual(list({ interfaceIndex: 999 }), []);
    });

    it("replaces a route in place, and deletes no one else's", () => {
      using at = joined();
      const { netlink } = at;
      const route = unicast("10.9.0.0/16", { gateway: address("10.0.0.2") });
      netlink.addRoute(route);
      assert.throws(() => netlink.addRoute(route), { code: "EEXIST" });
      netlink.replaceRoute({ ...route, gateway: address("10.0.0.3") });
      assert.deepEqual(
        netlink.listRoutes({ protocol: 80 }).map(one => one.gateway),
        ["10.0.0.3"],
      );
      assert.equal(
        netlink.deleteRoute(unicast("10.9.0.0/16", { protocol: 186 })),
        false,
        "another's protocol",
      );
      assert.equal(netlink.deleteRoute(route), false, "another gateway");
      assert.equal(netlink.deleteRoute(unicast("10.9.0.0/16")), true);
      assert.equal(netlink.deleteRoute(unicast("10.9.0.0/16")), false);
      const v6 = unicast("fd09::/64", { gateway: address("fd00::2") });
      netlink.replaceRoute(v6);
      netlink.replaceRoute({ ...v6, gateway: address("fd00::3") });
      assert.equal(netlink.listRoutes({ protocol: 80, family: 6 }).length, 1);
      assert.equal(netlink.deleteRoute(unicast("fd09::/64", { protocol: 186 })), false);
      assert.equal(netlink.deleteRoute(unicast("fd09::/64")), true);
    });

    it("reports the bad ones of a batch and carries out the rest", () => {
      using at = joined();
      const { netlink } = at;
      const routes = Array.from({ length: 1000 }, (_, i) =>
        unicast(`${nthAddress(cidr("10.128.0.0/16"), i)}/32`, {
          // Every hundredth has a gateway that no link leads to.
          gateway: address(i % 100 === 50 ? "203.0.113.1" : "10.0.0.2"),
        }),
      );
      const failures = netlink.replaceRoutes(routes);
      assert.deepEqual(
        failures.map(failure => failure.item),
        routes.filter(route => route.gateway === "203.0.113.1"),
      );
      assert.ok(failures.every(({ error }) => error.code === "ENETUNREACH"));
      assert.match(
        failures[0]!.error.message,
        /10\.128\.0\.50\/32 via 203\.0\.113\.1: Nexthop has invalid gateway/,
      );
      assert.equal(netlink.listRoutes({ protocol: 80 }).length, 990);
      const absent = netlink.deleteRoutes(routes);
      assert.equal(absent.length, 10);
      assert.ok(absent.every(({ error }) => isAbsent(error)));
      assert.deepEqual(netlink.listRoutes({ protocol: 80 }), []);
    });

    it("reads a table in portions, with other requests and changes in between", () => {
      using lab = joined();
      const { netlink, index } = lab;
      const routes = Array.from({ length: 3000 }, (_, i) =>
        unicast(`${nthAddress(cidr("10.128.0.0/9"), i)}/32`, { interfaceIndex: index }),
      );
      assert.deepEqual(netlink.replaceRoutes(routes), []);
      const read = (between: () => void): [number, number, boolean] => {
        const scan = netlink.scanRoutes({ protocol: 80 });
        let count = 0;
        for (let portions = 0; ; portions++) {
          const { value, done } = scan.next();
          if (done) return [count, portions, value];
          count += value.length;
          between();
        }
      };
      const [count, portions, complete] = read(() => assert.equal(netlink.getLink("v0")?.index, index));
      assert.deepEqual([count, complete], [3000, true]);
      assert.ok(portions > 2, `${portions} portions`);
      const churn = unicast("192.0.2.0/24", { interfaceIndex: index });
      const [disturbed] = read(() => {
        netlink.replaceRoute(churn);
        netlink.deleteRoute(churn);
      });
      assert.equal(disturbed, 3000);
      for (const _ of netlink.scanRoutes({ protocol: 80 })) break; // Left early: its socket is closed.
      assert.equal(netlink.listRoutes({ protocol: 80 }).length, 3000);
    });

    it("survives a batch in which every one of 10,000 fails", () => {
      using at = joined();
      const routes = Array.from({ length: 10_000 }, (_, i) =>
        unicast(`${nthAddress(cidr("10.128.0.0/16"), i)}/32`, { gateway: address("203.0.113.1") }),
      );
      assert.equal(at.netlink.replaceRoutes(routes).length, 10_000);
    });

    for (const [version, block, gateway] of [
      [4, "10.128.0.0/16", "10.0.0.2"],
      [6, "fd80::/64", "fd00::2"],
    ] as const) {
      it(`adds, dumps and removes 10,000 IPv${version} routes`, function () {
        this.timeout(20_000);
        using at = joined();
        const { netlink } = at;
        const routes = Array.from({ length: 10_000 }, (_, i) =>
          unicast(nthAddress(cidr(block), i), { gateway: address(gateway) }),
        );
        assert.deepEqual(netlink.replaceRoutes(routes), []);
        const destinations = (list: Route[]) => list.map(route => route.destination).sort();
        assert.deepEqual(destinations(netlink.listRoutes({ protocol: 80 })), destinations(routes));
        assert.equal(ip(at.namespace, `-${version}`, "route", "show", "proto", "80").length, 10_000);
        assert.deepEqual(netlink.deleteRoutes(routes), []);
        assert.deepEqual(netlink.listRoutes({ protocol: 80 }), []);
      });
    }
  });

  describe("neighbours", () => {
    it("pins, lists and deletes neighbours of both versions", () => {
      using at = joined();
      const { netlink, index } = at;
      const v4 = { interfaceIndex: index, ip: address("10.0.0.2"), mac: mac("02:00:00:00:00:02") };
      const v6 = { interfaceIndex: index, ip: address("fd00::2"), mac: mac("02:00:00:00:00:02") };
      for (const one of [{ ...v4, mac: mac("02:00:00:00:00:01") }, v4, v6]) netlink.replaceNeighbour(one);
      assert.deepEqual(
        netlink.listNeighbours({ interfaceIndex: index }).filter(({ state }) => state === "permanent"),
        [
          { ...v4, state: "permanent" },
          { ...v6, state: "permanent" },
        ],
      );
      assert.partialDeepStrictEqual(ip(at.namespace, "neigh", "show", "10.0.0.2"), [
        { dst: "10.0.0.2", lladdr: "02:00:00:00:00:02", state: ["PERMANENT"] },
      ]);
      assert.equal(netlink.deleteNeighbour(v4), true);
      assert.equal(netlink.deleteNeighbour({ ...v4, ip: address("10.0.0.77") }), false);
    });

    it("answers for addresses that are not its own", () => {
      using at = joined();
      const { netlink, index } = at;
      const proxies = [
        { interfaceIndex: index, ip: address("169.254.1.1") },
        { interfaceIndex: index, ip: address("fe80::1") },
      ];
      for (const proxy of proxies) netlink.replaceProxyNeighbour(proxy);
      assert.deepEqual(netlink.listProxyNeighbours(), proxies);
      assert.match(run(at.namespace, "ip", "neigh", "show", "proxy"), /169\.254\.1\.1 dev v0/);
      assert.equal(netlink.deleteProxyNeighbour(proxies[0]!), true);
      assert.equal(netlink.deleteProxyNeighbour(proxies[0]!), false);
      assert.deepEqual(netlink.listProxyNeighbours({ family: 6 }), [proxies[1]]);
    });
  });

  describe("rules", () => {
    it("adds, lists and deletes, with mark, mask, inversion, addresses and tables", () => {
      const namespace = scratch.create();
      using netlink = Rtnetlink.open({ namespace });
      const wireguard = {
        family: 4,
        priority: 99,
        mark: 0x100000,
        mask: 0x100000,
        invert: true,
        table: 1,
      } as const;
      const source = {
        family: 4,
        priority: 100,
        from: cidr("10.0.0.0/8"),
        to: cidr("10.9.0.0/16"),
        table: 1000,
      } as const;
      const v6 = {
        family: 6,
        priority: 101,
        from: cidr("fd00::/8"),
        action: "prohibit",
        protocol: 80,
      } as const;
      const byLink = { family: 4, priority: 102, inputInterface: "lo", mark: 7, table: 2 } as const;
      for (const rule of [wireguard, source, v6, byLink]) netlink.addRule(rule);
      assert.throws(() => netlink.addRule(wireguard), { code: "EEXIST" });
      assert.throws(() => netlink.addRule({ ...wireguard, from: cidr("fd00::/8") as Cidr }), TypeError);
      const ours = netlink.listRules().filter(rule => [99, 100, 101, 102].includes(rule.priority ?? 0));
      assert.deepEqual(ours, [
        { action: "table", ...wireguard },
        { action: "table", ...source },
        { action: "table", ...byLink },
        v6,
      ]);
      assert.match(run(namespace, "ip", "rule"), /99:\s+not from all fwmark 0x100000\/0x100000 lookup 1/);
      assert.match(run(namespace, "ip", "rule"), /100:\s+from 10\.0\.0\.0\/8 to 10\.9\.0\.0\/16 lookup 1000/);
      assert.equal(netlink.deleteRule(wireguard), true);
      assert.equal(netlink.deleteRule(wireguard), false);
      assert.equal(netlink.deleteRule({ family: 4, priority: 100 }), true);
      assert.equal(netlink.deleteRule(v6), true);
      assert.equal(netlink.listRules({ family: 4 }).length, 4);
    });
  });

  it("says that it is closed, instead of writing to a descriptor that may be another's by now", () => {
    const netlink = Rtnetlink.open({ namespace: scratch.create() });
    netlink.close();
    netlink.close();
    assert.throws(() => netlink.listLinks(), { code: "EBADF" });
  });
});
