import assert from "node:assert/strict";
import { Calculation, gone, node, put } from "./resources.ts";

const SET = "all-hosts-net";
const one = node("one", { bgp: { ipv4Address: "192.0.2.1/24", ipv6Address: "2001:db8::1/64" } });
const two = node("two", { addresses: [{ address: "192.0.2.2", type: "InternalIP" }] });
const tunnelled = put("IPPool", "p", { cidr: "10.65.0.0/16", ipipMode: "Always" });

function members(calculation: Calculation): string[] | undefined {
  const set = calculation.picture.sets.get(SET);
  return set && [...set].sort();
}

describe("felix/calc/host-addresses", () => {
  it("are every node's, while a pool is tunnelled by IPIP", () => {
    const calculation = Calculation.configured({}, one, two);
    assert.equal(members(calculation), undefined);
    calculation.apply(tunnelled);
    assert.deepEqual(members(calculation), ["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    calculation.apply(gone(two));
    assert.deepEqual(members(calculation), ["192.0.2.1", "2001:db8::1"]);
    calculation.apply(gone(tunnelled));
    assert.equal(members(calculation), undefined);
  });

  it("are there where masquerading spares them, with those of hosts outside the cluster", () => {
    const calculation = Calculation.configured(
      { natOutgoingExclusions: "IPPoolsAndHostIPs", externalNodesList: ["198.51.100.0/24", "203.0.113.5"] },
      two,
    );
    assert.deepEqual(members(calculation), ["192.0.2.2", "198.51.100.0/24", "203.0.113.5"]);
  });

  it("follow a node that moves", () => {
    const calculation = Calculation.configured({}, two, tunnelled);
    calculation.apply(node("two", { addresses: [{ address: "192.0.2.3", type: "InternalIP" }] }));
    assert.deepEqual(members(calculation), ["192.0.2.3"]);
  });
});
