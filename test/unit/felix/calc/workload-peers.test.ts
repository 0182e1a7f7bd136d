import assert from "node:assert/strict";
import { Calculation, gone, HERE, profile, put, workload } from "./resources.ts";

const peer = (name: string, spec: object) => put("BGPPeer", name, { asNumber: 65_001, ...spec });
const selected = { localWorkloadSelector: "role == 'router'" };
const router = workload("r", { labels: { role: "router" } });
const isPeer = (calculation: Calculation, name = "r") => calculation.endpoint(`cali${name}`).bgpPeer ?? false;

describe("felix/calc/workload-peers", () => {
  it("are the local workloads that a peer selects, while it does", () => {
    const calculation = new Calculation(router, workload("w", { address: "10.0.0.2" }));
    assert.deepEqual([isPeer(calculation), isPeer(calculation, "w")], [false, false]);
    calculation.apply(peer("p", selected));
    assert.deepEqual([isPeer(calculation), isPeer(calculation, "w")], [true, false]);
    calculation.apply(peer("q", selected), gone(peer("p", selected)));
    assert.equal(isPeer(calculation), true);
    calculation.apply(gone(peer("q", selected)));
    assert.equal(isPeer(calculation), false);
  });

  it("are those of peers for this node", () => {
    const calculation = new Calculation(router, peer("p", { ...selected, node: "there" }));
    assert.equal(isPeer(calculation), false);
    calculation.apply(peer("p", { ...selected, node: HERE }));
    assert.equal(isPeer(calculation), true);
    calculation.apply(peer("p", { ...selected, nodeSelector: "rack == 'a'" }));
    assert.equal(isPeer(calculation), false);
    const node = put("Node", HERE, { bgp: { ipv4Address: "192.0.2.1/24" } }, { labels: { rack: "a" } });
    calculation.apply(node);
    assert.equal(isPeer(calculation), true);
  });

  it("are nobody's where the selector makes no sense, whatever else changes", () => {
    const calculation = new Calculation(
      router,
      peer("p", { localWorkloadSelector: "role ==", node: "there" }),
    );
    assert.match(calculation.problems[0] as string, /BGPPeer p/);
    calculation.apply(put("Node", HERE, { bgp: { ipv4Address: "192.0.2.1/24" } }));
    assert.equal(calculation.problems.length, 1);
    assert.equal(isPeer(calculation), false);
  });

  it("may have the label from their profile", () => {
    const calculation = new Calculation(workload("r", { profiles: ["p"] }), peer("p", selected));
    assert.equal(isPeer(calculation), false);
    calculation.apply(profile("p", { labelsToApply: { role: "router" } }));
    assert.equal(isPeer(calculation), true);
  });
});
