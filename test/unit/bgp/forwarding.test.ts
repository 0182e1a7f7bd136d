import assert from "node:assert/strict";
import type { Route } from "node-bgp";
import { type ForwardingView, forwardingRoute } from "../../../bgp/forwarding.ts";
import { poolViews } from "../../../bgp/pool-view.ts";
import { cidr } from "../../../net/cidr.ts";
import { ipPool } from "./resources.ts";

const VIEW: ForwardingView = {
  pools: poolViews([
    ipPool("10.65.0.0/16"),
    ipPool("10.66.0.0/16", { vxlanMode: "CrossSubnet" }),
    ipPool("10.67.0.0/16", { ipipMode: "Always" }),
    ipPool("10.68.0.0/16", { vxlanMode: "Never", ipipMode: "Never" }),
    ipPool("not an address"),
  ]),
  normalPriority: version => (version === 4 ? 1024 : 2048),
  programmed: new Set(["none"]),
  rejected: new Set([cidr("10.96.0.0/12")]),
  subnet: cidr("10.0.0.0/24"),
  wireguardPeers: new Set(),
};

function learned(prefix: string, more: Partial<Route> = {}): Route {
  return {
    prefix,
    family: prefix.includes(":") ? "ipv6-unicast" : "ipv4-unicast",
    source: "10.0.0.2",
    sourceType: "internal",
    nextHops: ["10.0.0.2"],
    stale: false,
    origin: "igp",
    asPath: [],
    ...more,
  };
}

describe("bgp/forwarding", () => {
  it("installs what we learned, in pools without encapsulation and outside of all", () => {
    for (const prefix of ["10.65.1.0/26", "10.68.1.0/26", "0.0.0.0/0", "192.0.2.0/24"]) {
      assert.deepEqual(forwardingRoute(learned(prefix), VIEW), {
        prefix,
        metric: 1024,
        nextHops: ["10.0.0.2"],
      });
    }
  });

  it("takes every next hop that is as good", () => {
    const route = learned("10.65.1.0/26", { nextHops: ["10.0.0.2", "10.0.0.3"] });
    assert.deepEqual(forwardingRoute(route, VIEW)?.nextHops, ["10.0.0.2", "10.0.0.3"]);
  });

  it("takes over a priority that is better than normal, and no other LOCAL_PREF", () => {
    const metric = (prefix: string, localPref: number) =>
      forwardingRoute(learned(prefix, { localPref }), VIEW)?.metric;
    assert.equal(metric("10.65.1.5/32", 2_147_483_135), 512);
    assert.equal(metric("10.65.1.0/26", 100), 1024);
    assert.equal(metric("fd00::/64", 100), 2048);
    assert.equal(metric("fd00::/64", 2_147_482_623), 1024);
  });

  it("leaves pools with tunnels to felix", () => {
    assert.equal(forwardingRoute(learned("10.66.1.0/26"), VIEW), undefined);
    assert.equal(forwardingRoute(learned("10.67.1.0/26"), VIEW), undefined);
  });

  it("leaves all pools to felix where programClusterRoutes says so, and nothing else", () => {
    const view = { ...VIEW, programmed: new Set<never>() };
    assert.equal(forwardingRoute(learned("10.65.1.0/26"), view), undefined);
    assert.ok(forwardingRoute(learned("0.0.0.0/0"), view));
  });

  it("installs neither our own routes nor our own services nor what has no next hop", () => {
    assert.equal(forwardingRoute(learned("10.65.1.0/26", { source: "local" }), VIEW), undefined);
    assert.equal(forwardingRoute(learned("10.96.0.0/12"), VIEW), undefined);
    assert.ok(forwardingRoute(learned("10.96.0.1/32"), VIEW));
    assert.equal(forwardingRoute(learned("10.65.1.0/26", { nextHops: [] }), VIEW), undefined);
  });

  it("leads IPIP pools into the tunnel where it writes their routes: always, or to other subnets only", () => {
    const view: ForwardingView = {
      ...VIEW,
      programmed: new Set(["ipip"]),
      pools: poolViews([
        ipPool("10.67.0.0/16", { ipipMode: "Always" }),
        ipPool("10.69.0.0/16", { ipipMode: "CrossSubnet" }),
        ipPool("10.65.0.0/16"),
      ]),
    };
    const hops = (prefix: string) =>
      forwardingRoute(learned(prefix, { nextHops: ["10.0.0.2", "10.0.9.2"] }), view)?.nextHops;
    assert.deepEqual(hops("10.67.1.0/26"), ["10.0.0.2%tunl0", "10.0.9.2%tunl0"]);
    assert.deepEqual(hops("10.69.1.0/26"), ["10.0.0.2", "10.0.9.2%tunl0"]);
    assert.equal(hops("10.65.1.0/26"), undefined);
    assert.deepEqual(hops("192.0.2.0/24"), ["10.0.0.2", "10.0.9.2"]);
  });

  it("leaves routes to nodes that are reached through WireGuard to felix", () => {
    const view = { ...VIEW, wireguardPeers: new Set(["10.0.0.2"]) };
    assert.equal(forwardingRoute(learned("10.65.1.0/26"), view), undefined);
    assert.ok(forwardingRoute(learned("10.65.1.0/26", { nextHops: ["10.0.0.3"] }), view));
  });
});
