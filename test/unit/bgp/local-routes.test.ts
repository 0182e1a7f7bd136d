import assert from "node:assert/strict";
import { LocalRoutes } from "../../../bgp/local-routes.ts";
import type { LinkAddress, Route } from "../../../linux/rtnetlink.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";

const route = (destination: string, more: Partial<Route> = {}): Route => ({
  destination: cidr(destination),
  protocol: 4,
  type: "unicast",
  interfaceIndex: 2,
  ...more,
});
const address = (text: string, interfaceIndex = 2, more: Partial<LinkAddress> = {}): LinkAddress => {
  const [host = "", length = ""] = text.split("/");
  return { ip: ip(host), prefixLength: Number(length), interfaceIndex, ...more };
};

function fixture(...routes: Route[]): LocalRoutes {
  const local = new LocalRoutes(["cali"]);
  const links = [
    { index: 2, name: "eth0" },
    { index: 7, name: "cali7" },
    { index: 9, name: "vxlan.calico" },
  ];
  local.replace(links, routes);
  return local;
}

/** `kind prefix interface` */
const told = (local: LocalRoutes) =>
  [...local.routes()].map(({ kind, prefix, interfaceName }) => `${kind} ${prefix} ${interfaceName}`);

describe("bgp/local-routes", () => {
  it("tell workloads, felix's routes and everybody else's apart, and leave out the kernel's own", () => {
    const local = fixture(
      route("10.65.1.5/32", { interfaceIndex: 7, protocol: 80 }),
      route("10.65.1.0/24", { interfaceIndex: 7, protocol: 80 }),
      route("10.65.2.0/26", { interfaceIndex: 9, protocol: 80 }),
      route("10.0.0.0/24", { protocol: 2 }),
      route("0.0.0.0/0"),
      route("fe80::/64"),
      route("ff00::/8"),
      route("192.0.2.0/24", { type: "throw" }),
      route("198.51.100.0/24", { type: "blackhole" }),
    );
    assert.deepEqual(told(local), [
      "workload 10.65.1.5/32 cali7",
      "cluster 10.65.2.0/26 vxlan.calico",
      "foreign 0.0.0.0/0 eth0",
      "foreign 198.51.100.0/24 undefined",
    ]);
  });

  it("take subnets from addresses: of the far end of a point-to-point link, and none of workloads or of the host alone", () => {
    const local = fixture();
    local.setAddresses([
      address("10.0.0.1/24"),
      address("192.0.2.1/32", 2, { peer: ip("192.0.2.2") }),
      address("127.0.0.1/8", 1, { scope: "host" }),
      address("169.254.1.1/32", 7),
      address("fe80::1/64"),
      address("fd00::1/64"),
    ]);
    assert.deepEqual(told(local), [
      "connected 10.0.0.0/24 eth0",
      "connected 192.0.2.2/32 eth0",
      "connected fd00::/64 eth0",
    ]);
    assert.ok(local.hostAddresses.includes(cidr("169.254.1.1/32")));
  });

  it("go by what an interface is called now, whenever it was named", () => {
    const local = fixture();
    assert.equal(local.noteLink({ index: 8, name: "veth8" }, true), false);
    assert.equal(local.noteRoute("new", route("10.65.1.8/32", { interfaceIndex: 8, protocol: 80 })), true);
    assert.deepEqual(told(local), ["cluster 10.65.1.8/32 veth8"]);
    assert.equal(local.noteLink({ index: 8, name: "cali8" }, true), true);
    assert.deepEqual(told(local), ["workload 10.65.1.8/32 cali8"]);
    assert.equal(local.setWorkloadPrefixes(["tap"]), true);
    assert.deepEqual(told(local), ["cluster 10.65.1.8/32 cali8"]);
  });

  it("say whether a change means anything", () => {
    const local = fixture(route("10.65.9.0/24"));
    assert.equal(local.noteRoute("new", route("10.65.9.0/24")), false);
    assert.equal(local.noteRoute("new", route("10.65.9.0/24", { interfaceIndex: 9 })), true);
    assert.equal(local.noteRoute("delete", route("10.65.8.0/24")), false);
    assert.equal(local.forgetInterface(2), false);
    assert.equal(local.forgetInterface(9), true);
    assert.deepEqual(told(local), []);
    assert.equal(local.setAddresses([address("10.0.0.1/24")]), true);
    assert.equal(local.setAddresses([address("10.0.0.1/24")]), false);
    assert.equal(local.setAddresses([address("10.0.0.1/25")]), true);
  });
});
