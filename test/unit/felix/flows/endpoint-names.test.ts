import assert from "node:assert/strict";
import { EndpointNames } from "../../../../felix/flows/endpoint-names.ts";
import { ip } from "../../../../net/ip.ts";
import { gone, put, workload } from "../calc/resources.ts";

describe("felix/flows/endpoint-names", () => {
  it("knows workloads, host endpoints and nodes by their addresses", () => {
    const names = new EndpointNames();
    names.apply([
      workload("web", { namespace: "shop", address: ["10.0.0.1", "fd00::1"] }),
      put("HostEndpoint", "eth0-of-b", { node: "b", interfaceName: "eth0", expectedIPs: ["192.0.2.7"] }),
      put("Node", "b", {
        bgp: { ipv4Address: "192.0.2.2/24", ipv4IPIPTunnelAddr: "10.1.0.1" },
        ipv4VXLANTunnelAddr: "10.1.0.2",
      }),
    ]);
    const web = { kind: "workload", namespace: "shop", name: "web" };
    assert.deepEqual(names.end(ip("10.0.0.1")), { address: "10.0.0.1", ...web });
    assert.deepEqual(names.end(ip("fd00::1")), { address: "fd00::1", ...web });
    assert.deepEqual(names.end(ip("192.0.2.7")), {
      address: "192.0.2.7",
      kind: "host-endpoint",
      name: "eth0-of-b",
    });
    for (const address of ["192.0.2.2", "10.1.0.1", "10.1.0.2"])
      assert.deepEqual(names.end(ip(address)), { address, kind: "node", name: "b" });
    assert.deepEqual(names.end(ip("203.0.113.1")), { address: "203.0.113.1" });
  });

  it("follows addresses that change, and endpoints that go", () => {
    const names = new EndpointNames();
    names.apply([workload("web", { address: "10.0.0.1" })]);
    const moved = workload("web", { address: "10.0.0.2" });
    names.apply([moved]);
    assert.equal(names.end(ip("10.0.0.1")).name, undefined);
    assert.equal(names.end(ip("10.0.0.2")).name, "web");
    names.apply([gone(moved)]);
    assert.equal(names.end(ip("10.0.0.2")).name, undefined);
  });
});
