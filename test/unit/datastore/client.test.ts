import assert from "node:assert/strict";
import { CalicoClient, type Draft } from "../../../datastore/client.ts";
import { DatastoreError, isDatastoreError } from "../../../datastore/errors.ts";
import { ensureInitialized } from "../../../datastore/init.ts";
import { key } from "../../../datastore/key.ts";
import { type MemoryDatastore, memoryDatastore } from "../../../datastore/memory.ts";
import { ValidationError } from "../../../datastore/validation-error.ts";

const pool = (name: string, cidr: string, spec = {}): Draft<"IPPool"> => ({
  kind: "IPPool",
  metadata: { name },
  spec: { cidr, ...spec },
});
const policy = (name: string, spec = {}): Draft<"GlobalNetworkPolicy"> => ({
  kind: "GlobalNetworkPolicy",
  metadata: { name },
  spec: { selector: "app == 'web'", ...spec },
});

const invalid = (path: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ValidationError, String(error));
  assert.ok(
    error.problems.some(p => p.path.join(".") === path && message.test(p.message)),
    `${path} ${message} in ${JSON.stringify(error.problems)}`,
  );
  return true;
};

describe("the client", () => {
  let datastore: MemoryDatastore;
  let client: CalicoClient;

  beforeEach(async () => {
    datastore = memoryDatastore();
    client = new CalicoClient(datastore);
    await ensureInitialized(datastore);
  });

  describe("writes what is valid", () => {
    it("with defaults filled in", async () => {
      const created = await client.create(pool("p", "10.65.0.0/16"));
      assert.equal(created.spec.blockSize, 26);
      assert.equal(created.spec.nodeSelector, "all()");
      assert.deepEqual(await client.get("IPPool", "p"), created);
    });

    it("and says of the rest what is wrong with it, storing nothing", async () => {
      await assert.rejects(
        client.create(pool("p", "10.65.0.0/30")),
        invalid("spec.cidr", /smaller than a block/),
      );
      await assert.rejects(
        client.create(policy("web", { selector: "app ==" })),
        invalid("spec.selector", /./),
      );
      await assert.rejects(client.apply(policy("web", { slector: "all()" })), ValidationError);
      assert.deepEqual((await client.list("IPPool")).items, []);
      assert.deepEqual((await client.list("GlobalNetworkPolicy")).items, []);
    });

    it("keeping fields a newer Calico has stored, when they are only passed through", async () => {
      await datastore.create(key("IPPool", "p"), {
        spec: { cidr: "10.65.0.0/16", blockSize: 26, newer: { a: 1 } },
      });
      const read = await client.get("IPPool", "p");
      const updated = await client.update({ ...read, spec: { ...read.spec, natOutgoing: true } });
      assert.deepEqual((updated.spec as unknown as { newer: unknown }).newer, { a: 1 });
    });
  });

  describe("update, replace and apply", () => {
    it("update needs the revision that was read, and that it is still the one", async () => {
      const read = await client.create(policy("web"));
      await assert.rejects(client.update(policy("web")), invalid("metadata.resourceVersion", /revision/));
      await client.update({ ...read, spec: { ...read.spec, order: 1 } });
      await assert.rejects(client.update(read), (e: unknown) => isDatastoreError(e, "CONFLICT"));
    });

    it("replace takes the place of what is there, whatever its revision", async () => {
      await assert.rejects(client.replace(policy("web")), (e: unknown) => isDatastoreError(e, "NOT_FOUND"));
      const first = await client.create(policy("web", { order: 1 }));
      const second = await client.replace(policy("web", { order: 2 }));
      assert.equal(second.metadata.uid, first.metadata.uid);
      assert.equal(second.metadata.creationTimestamp, first.metadata.creationTimestamp);
      await assert.rejects(client.replace(first), (e: unknown) => isDatastoreError(e, "CONFLICT"));
    });

    it("apply creates, then replaces, keeping labels that are not mentioned", async () => {
      const labels = { team: "a" };
      await client.apply({ ...policy("web"), metadata: { name: "web", labels } });
      const second = await client.apply(policy("web", { order: 7 }));
      assert.equal(second.spec.order, 7);
      assert.equal(second.metadata.labels?.["team"], "a");
      const third = await client.apply({
        ...policy("web"),
        metadata: { name: "web", labels: { team: "b" } },
      });
      assert.equal(third.metadata.labels?.["team"], "b");
      assert.equal(third.spec.order, undefined);
    });

    it("apply gets through whatever others do meanwhile", async () => {
      let disturbances = 0;
      datastore.store.onOperation = async (operation, path) => {
        if (!path.endsWith("/web") || disturbances > 6) return;
        if (operation === "update" || operation === "create") {
          const turn = disturbances++ % 3;
          const current = await datastore.store.get(path);
          if (turn === 2 && current) await datastore.store.delete(path);
          else datastore.store.put(path, JSON.stringify({ spec: { order: disturbances } }));
        }
      };
      const applied = await client.apply(policy("web", { order: 99 }));
      assert.equal(applied.spec.order, 99);
      assert.equal(disturbances, 7);
    });

    it("racing appliers all end in one resource", async () => {
      datastore.store.onOperation = () => new Promise(resolve => setImmediate(resolve));
      await Promise.all([1, 2, 3, 4, 5].map(order => client.apply(policy("web", { order }))));
      assert.equal((await client.list("GlobalNetworkPolicy")).items.length, 1);
    });
  });

  describe("pools", () => {
    it("do not overlap", async () => {
      await client.create(pool("a", "10.65.0.0/16"));
      await assert.rejects(
        client.create(pool("b", "10.65.128.0/17")),
        invalid("spec.cidr", /overlaps with the pool "a" \(10.65.0.0\/16\)/),
      );
      await assert.rejects(client.apply(pool("b", "10.0.0.0/8")), invalid("spec.cidr", /overlaps/));
      await client.create(pool("c", "10.66.0.0/16"));
      await client.create(pool("six", "fd00::/64"));
    });

    it("that exist already are said to exist, not to overlap with themselves", async () => {
      await client.create(pool("a", "10.65.0.0/16"));
      await assert.rejects(client.create(pool("a", "10.65.0.0/16")), (e: unknown) =>
        isDatastoreError(e, "ALREADY_EXISTS"),
      );
    });

    it("keep their range and block size", async () => {
      const a = await client.create(pool("a", "10.65.0.0/16"));
      await assert.rejects(
        client.apply(pool("a", "10.66.0.0/16")),
        invalid("spec.cidr", /cannot be changed/),
      );
      await assert.rejects(
        client.update({ ...a, spec: { ...a.spec, blockSize: 28 } }),
        invalid("spec.blockSize", /from 26 to 28/),
      );
      await client.apply(pool("a", "10.65.0.0/16", { disabled: true }));
    });

    it("do not cut blocks of another size where some are in use", async () => {
      await datastore.create(key("IPAMBlock", "10.65.0.0/26"), {});
      await assert.rejects(
        client.create(pool("a", "10.65.0.0/16", { blockSize: 28 })),
        invalid("spec.blockSize", /10.65.0.0\/26/),
      );
      await client.create(pool("a", "10.65.0.0/16"));
    });

    it("are disabled, emptied and only then deleted", async () => {
      const steps: string[] = [];
      const emptying = new CalicoClient(datastore, {
        clock: {
          now: () => 0,
          sleep: async ms => {
            steps.push(`sleep ${ms}`);
          },
        },
        addresses: {
          releaseAddresses: async () => {},
          releaseHost: async () => {},
          releasePool: async range => {
            const { spec } = await client.get("IPPool", "a");
            steps.push(`release ${range} disabled=${spec.disabled}`);
          },
        },
      });
      const { metadata } = await client.create(pool("a", "10.65.0.0/16"));
      await assert.rejects(emptying.delete("IPPool", "a", undefined, "999"), (e: unknown) =>
        isDatastoreError(e, "CONFLICT"),
      );
      assert.deepEqual(steps, []);
      await emptying.delete("IPPool", "a", undefined, metadata.resourceVersion);
      assert.deepEqual(steps, ["sleep 500", "release 10.65.0.0/16 disabled=true"]);
      assert.deepEqual((await client.list("IPPool")).items, []);
    });
  });

  describe("tiers", () => {
    it("must be there for a policy to be in", async () => {
      await assert.rejects(
        client.create(policy("web", { tier: "sec" })),
        invalid("spec.tier", /no tier "sec"/),
      );
      await client.create({ kind: "Tier", metadata: { name: "sec" }, spec: { order: 10 } });
      const created = await client.create(policy("web", { tier: "sec" }));
      await assert.rejects(
        client.update({ ...created, spec: { ...created.spec, tier: "other" } }),
        invalid("spec.tier", /no tier "other"/),
      );
    });

    it("cannot be deleted while they hold policies, and three never", async () => {
      await client.create({ kind: "Tier", metadata: { name: "sec" }, spec: { order: 10 } });
      await client.create(policy("web", { tier: "sec" }));
      await assert.rejects(client.delete("Tier", "sec"), /not empty: it holds GlobalNetworkPolicy "web"/);
      await client.delete("GlobalNetworkPolicy", "web");
      await client.delete("Tier", "sec");
      for (const name of ["default", "kube-admin", "kube-baseline"]) {
        await assert.rejects(client.delete("Tier", name), /protected/);
      }
    });

    it("that are protected keep their order and action", async () => {
      const tier = await client.get("Tier", "kube-admin");
      await assert.rejects(
        client.update({ ...tier, spec: { ...tier.spec, order: 5 } }),
        invalid("spec.order", /./),
      );
    });
  });

  it("does not touch the default-allow profile", async () => {
    const profile = await client.get("Profile", "projectcalico-default-allow");
    const refused = (e: unknown) => isDatastoreError(e, "NOT_SUPPORTED");
    await assert.rejects(client.update({ ...profile, spec: {} }), refused);
    await assert.rejects(client.delete("Profile", "projectcalico-default-allow"), refused);
  });

  it("takes a node's workloads, addresses and settings down with it, and nobody else's", async () => {
    const released: string[] = [];
    const removing = new CalicoClient(datastore, {
      addresses: {
        releaseAddresses: async addresses => {
          released.push(...addresses);
        },
        releaseHost: async node => {
          released.push(`host ${node}`);
        },
        releasePool: async () => {},
      },
    });
    for (const n of ["h1", "h1-2"]) {
      const spec = { bgp: { ipv4Address: "10.0.0.1/24", ipv4IPIPTunnelAddr: "10.65.0.1" } };
      await datastore.create(key("Node", n), { spec: n === "h1" ? spec : {} });
      await datastore.create(key("WorkloadEndpoint", `${n}-cni-c-eth0`, "ns"), {
        spec: { node: n, ipNetworks: [n === "h1" ? "10.65.0.2/32" : "10.65.0.3/32"] },
      });
      await datastore.create(key("BGPPeer", n), { spec: { node: n } });
      await datastore.create(key("HostEndpoint", n), { spec: { node: n } });
      await datastore.create(key("FelixConfiguration", `node.${n}`), { spec: {} });
    }
    await removing.delete("Node", "h1");
    assert.deepEqual(released, ["10.65.0.2", "10.65.0.1", "host h1"]);
    for (const kind of [
      "Node",
      "WorkloadEndpoint",
      "BGPPeer",
      "HostEndpoint",
      "FelixConfiguration",
    ] as const) {
      const { items } = await client.list(kind);
      assert.equal(items.length, 1, kind);
      assert.match(items[0]!.metadata.name, /h1-2/, kind);
    }
  });

  it("watches resources", async () => {
    const { resourceVersion } = await client.list("GlobalNetworkPolicy");
    const abort = new AbortController();
    const seen: string[] = [];
    await client.create(policy("web"));
    await client.apply(policy("web", { order: 1 }));
    await client.delete("GlobalNetworkPolicy", "web");
    const options = { from: resourceVersion, signal: abort.signal };
    for await (const event of client.watch("GlobalNetworkPolicy", {}, options)) {
      seen.push(event.type);
      if (seen.length === 3) abort.abort();
    }
    assert.deepEqual(seen, ["added", "modified", "deleted"]);
  });

  it("passes on that the store cannot be reached", async () => {
    datastore.store.onOperation = () => {
      throw new DatastoreError("UNAVAILABLE", { message: "etcd at x cannot be reached" });
    };
    await assert.rejects(client.apply(policy("web")), /etcd at x cannot be reached/);
  });
});
