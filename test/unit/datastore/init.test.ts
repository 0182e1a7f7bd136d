import assert from "node:assert/strict";
import { ensureInitialized } from "../../../datastore/init.ts";
import { key } from "../../../datastore/key.ts";
import { type MemoryDatastore, memoryDatastore } from "../../../datastore/memory.ts";

describe("datastore/init", () => {
  let datastore: MemoryDatastore;
  const cluster = async () => (await datastore.get(key("ClusterInformation", "default"))).value.spec;

  beforeEach(() => {
    datastore = memoryDatastore();
  });

  it("gives a new cluster an identity and its protected tiers", async () => {
    await ensureInitialized(datastore, { clusterType: "calyx" });
    const { clusterGUID, ...rest } = await cluster();
    assert.match(clusterGUID, /^[0-9a-f]{32}$/);
    assert.deepEqual(rest, { clusterType: "calyx", datastoreReady: true });
    const { entries } = await datastore.list({ kind: "Tier" });
    assert.deepEqual(
      entries.map(e => [e.key.name, e.value.spec.order, e.value.spec.defaultAction]),
      [
        ["default", 1_000_000, "Deny"],
        ["kube-admin", 1000, "Pass"],
        ["kube-baseline", 10_000_000, "Pass"],
      ],
    );
  });

  it("changes nothing the second time", async () => {
    await ensureInitialized(datastore, { clusterType: "calyx" });
    const { revision } = await datastore.list({ kind: "Tier" });
    await ensureInitialized(datastore, { clusterType: "calyx" });
    assert.equal((await datastore.list({ kind: "Tier" })).revision, revision);
  });

  it("adds to what others have said, and does not open what an operator has locked", async () => {
    const spec = {
      clusterGUID: "mine",
      clusterType: "k8s,bgp",
      calicoVersion: "v3.30",
      datastoreReady: false,
    };
    await datastore.create(key("ClusterInformation", "default"), { spec });
    await ensureInitialized(datastore, { clusterType: "bgp,calyx" });
    assert.deepEqual(await cluster(), { ...spec, clusterType: "k8s,bgp,calyx" });
  });

  it("agrees with itself when many begin at once", async () => {
    datastore.store.onOperation = () => new Promise(resolve => setImmediate(resolve));
    const types = Array.from({ length: 8 }, (_, i) => `type${i}`);
    await Promise.all(types.map(clusterType => ensureInitialized(datastore, { clusterType })));
    assert.deepEqual((await cluster()).clusterType.split(",").sort(), types);
    assert.equal((await datastore.list({ kind: "Tier" })).entries.length, 3);
  });
});
