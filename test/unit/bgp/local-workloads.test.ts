import assert from "node:assert/strict";
import { LocalWorkloads } from "../../../bgp/local-workloads.ts";
import type { Revision, Value } from "../../../datastore/datastore.ts";
import { type Kind, key } from "../../../datastore/key.ts";
import type { Update } from "../../../datastore/reflector.ts";
import { profile, workloadEndpoint } from "./resources.ts";

const put = (kind: Kind, name: string, value: Value): Update => ({
  type: "put",
  key: kind === "Profile" ? key(kind, name) : key(kind, name, "default"),
  value,
  revision: "1" as Revision,
});
const remove = (name: string): Update => ({ type: "delete", key: key("WorkloadEndpoint", name, "default") });
const endpoint = (node: string, labels: Record<string, string> = {}, spec: object = {}) =>
  workloadEndpoint(
    "w",
    { node, ipNetworks: ["10.65.1.5/32", "fd65::5/128"], interfaceName: "cali1", ...spec },
    labels,
  );

describe("bgp/local-workloads", () => {
  it("are those of this node that have an address and an interface", () => {
    const workloads = new LocalWorkloads("a");
    assert.equal(workloads.apply([put("WorkloadEndpoint", "w", endpoint("a", { role: "router" }))]), true);
    const expected = {
      interfaceName: "cali1",
      addresses: ["10.65.1.5", "fd65::5"],
      labels: { role: "router" },
    };
    assert.deepEqual(workloads.all(), [expected]);
    assert.equal(workloads.apply([put("WorkloadEndpoint", "v", endpoint("b"))]), false);
    assert.equal(
      workloads.apply([put("WorkloadEndpoint", "u", endpoint("a", {}, { ipNetworks: [] }))]),
      true,
    );
    assert.deepEqual(workloads.all(), [expected]);
    assert.equal(workloads.apply([put("WorkloadEndpoint", "w", endpoint("b"))]), true);
    assert.deepEqual(workloads.all(), []);
    assert.equal(workloads.apply([remove("w")]), false);
  });

  it("have the labels of their profiles besides their own, but none that only profiles may give", () => {
    const workloads = new LocalWorkloads("a");
    const own = { role: "router", "pcns.tier": "forged" };
    workloads.apply([
      put("WorkloadEndpoint", "w", endpoint("a", own, { profiles: ["net", "kns.shop"] })),
      put("Profile", "net", profile("net", { net: "", role: "none", both: "net" })),
      put("Profile", "kns.shop", profile("kns.shop", { "pcns.tier": "gold", both: "shop" })),
    ]);
    assert.deepEqual(workloads.all()[0]?.labels, {
      role: "router",
      net: "",
      both: "net",
      "pcns.tier": "gold",
    });
    assert.equal(
      workloads.apply([put("Profile", "net", profile("net", { net: "", role: "none", both: "net" }))]),
      false,
    );
    assert.equal(workloads.apply([put("Profile", "net", profile("net", {}))]), true);
  });

  it("that make no sense are absent", () => {
    const workloads = new LocalWorkloads("a");
    workloads.apply([put("WorkloadEndpoint", "w", endpoint("a"))]);
    workloads.apply([put("WorkloadEndpoint", "w", { kind: "WorkloadEndpoint" })]);
    assert.deepEqual(workloads.all(), []);
  });
});
