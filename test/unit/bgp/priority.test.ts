import assert from "node:assert/strict";
import { localPrefOf, metricOf, priorityOf } from "../../../bgp/priority.ts";

describe("bgp/priority", () => {
  it("says of a metric what Calico nodes say", () => {
    assert.equal(localPrefOf(1024), 2_147_482_623);
    assert.equal(localPrefOf(512), 2_147_483_135);
    assert.equal(localPrefOf(undefined), 2_147_482_623);
    assert.equal(localPrefOf(0), 2_147_482_623);
  });

  const metrics: [number | undefined, number, number][] = [
    [2_147_482_623, 1024, 1024],
    [2_147_483_135, 1024, 512],
    [2_147_483_646, 1024, 1],
    [2_147_483_647, 1024, 1024], // a metric of 0 would beat routes of workloads
    [4_294_967_295, 1024, 1024],
    [2_147_481_647, 1024, 1024], // worse than normal is normal
    [2_147_482_623, 2000, 1024],
    [100, 1024, 1024],
    [undefined, 1024, 1024],
    [undefined, 2000, 2000],
  ];
  for (const [localPref, normal, metric] of metrics) {
    it(`LOCAL_PREF ${localPref} gets metric ${metric} where ${normal} is normal`, () => {
      assert.equal(metricOf(localPref, normal), metric);
    });
  }

  it("compares priorities as they were said, better or worse than normal", () => {
    assert.equal(priorityOf(localPrefOf(512)), 512);
    assert.equal(priorityOf(localPrefOf(2000)), 2000);
    assert.equal(priorityOf(undefined), 1024);
  });
});
