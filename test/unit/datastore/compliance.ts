/**
 * What every store must do, said once. `describeDatastore(name, factory)` runs it against a store; a store that
 * passes can stand under everything above.
 */

import assert from "node:assert/strict";
import type { Datastore, Entry, Revision, WatchBatch, WatchEvent } from "../../../datastore/datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../../../datastore/errors.ts";
import { type Key, type Kind, key, keyText, type Query } from "../../../datastore/key.ts";

export interface StoreUnderTest {
  readonly datastore: Datastore;
  /** A second connection to the same contents, as another process has it. */
  connect(): Promise<Datastore>;
  /** Stores text past all rules. */
  putRaw(path: string, value: string): Promise<void>;
  hasRaw(path: string): Promise<boolean>;
  /** Makes the store forget its history up to now. */
  compact(): Promise<void>;
  dispose(): Promise<void>;
}

const RESOURCES = "/calico/resources/v3/projectcalico.org";

/** Collects a watch's events, so that a test can await the n-th instead of sleeping. */
export class Watched {
  readonly events: WatchEvent[] = [];
  revision: Revision | undefined;
  failure: unknown;
  readonly done: Promise<void>;
  readonly #abort = new AbortController();
  #changed: () => void = () => {};

  constructor(datastore: Datastore, query: Query, from: Revision) {
    const batches = datastore.watch(query, { from, signal: this.#abort.signal });
    this.done = this.#collect(batches);
  }

  async #collect(batches: AsyncIterable<WatchBatch>): Promise<void> {
    try {
      for await (const batch of batches) {
        this.events.push(...batch.events);
        this.revision = batch.revision;
        this.#changed();
      }
    } catch (error) {
      this.failure = error;
    }
    this.#changed();
  }

  async until(condition: (events: WatchEvent[]) => boolean): Promise<WatchEvent[]> {
    while (!condition(this.events)) {
      if (this.failure) throw this.failure;
      await new Promise<void>(resolve => {
        this.#changed = resolve;
      });
    }
    return this.events;
  }

  count(n: number): Promise<WatchEvent[]> {
    return this.until(events => events.length >= n);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.done;
  }
}

export function eventText(event: WatchEvent): string {
  switch (event.type) {
    case "put":
      return `${event.created ? "create" : "update"} ${keyText(event.entry.key)}`;
    default:
      return `${event.type} ${keyText(event.key)}`;
  }
}

const refuses = (code: DatastoreErrorCode) => (error: unknown) => isDatastoreError(error, code);
const set = (name: string) => key("GlobalNetworkSet", name);
const nets = (...cidrs: string[]) => ({ spec: { nets: cidrs } });
const names = (entries: readonly Entry[]) => entries.map(entry => entry.key.name);

export function describeDatastore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`${name} as a datastore`, () => {
    let store: StoreUnderTest;
    let datastore: Datastore;
    const watches: Watched[] = [];

    const watch = (query: Query, from: Revision, on = datastore) => {
      const watched = new Watched(on, query, from);
      watches.push(watched);
      return watched;
    };

    beforeEach(async () => {
      store = await open();
      datastore = store.datastore;
    });

    afterEach(async () => {
      await Promise.all(watches.splice(0).map(w => w.stop()));
      await store.dispose();
    });

    describe("one key", () => {
      it("gives back what was created, with its revision", async () => {
        const created = await datastore.create(set("a"), nets("10.0.0.0/8"));
        const got = await datastore.get(set("a"));
        assert.deepEqual(got, created);
        assert.deepEqual(got.key, set("a"));
        assert.deepEqual(got.value.spec, { nets: ["10.0.0.0/8"] });
        assert.equal(got.value.metadata.resourceVersion, got.revision);
      });

      it("knows nothing of what was never created", async () => {
        await assert.rejects(datastore.get(set("a")), refuses("NOT_FOUND"));
        await assert.rejects(datastore.update(set("a"), nets(), "1" as Revision), refuses("NOT_FOUND"));
        await assert.rejects(datastore.delete(set("a")), refuses("NOT_FOUND"));
        await assert.rejects(datastore.delete(set("a"), "1" as Revision), refuses("NOT_FOUND"));
      });

      it("creates only once", async () => {
        await datastore.create(set("a"), nets("10.0.0.0/8"));
        await assert.rejects(datastore.create(set("a"), nets("11.0.0.0/8")), refuses("ALREADY_EXISTS"));
        assert.deepEqual((await datastore.get(set("a"))).value.spec.nets, ["10.0.0.0/8"]);
      });

      it("updates exactly the revision that was read", async () => {
        const first = await datastore.create(set("a"), nets("10.0.0.0/8"));
        const second = await datastore.update(set("a"), nets("11.0.0.0/8"), first.revision);
        assert.notEqual(second.revision, first.revision);
        await assert.rejects(datastore.update(set("a"), nets(), first.revision), refuses("CONFLICT"));
        assert.deepEqual(await datastore.get(set("a")), second);
      });

      it("deletes exactly the revision that was read, or any if none is named", async () => {
        const first = await datastore.create(set("a"), nets());
        const second = await datastore.update(set("a"), nets("10.0.0.0/8"), first.revision);
        await assert.rejects(datastore.delete(set("a"), first.revision), refuses("CONFLICT"));
        const deleted = await datastore.delete(set("a"), second.revision);
        assert.deepEqual(deleted.value.spec.nets, ["10.0.0.0/8"]);
        await datastore.create(set("a"), nets());
        await datastore.delete(set("a"));
        await assert.rejects(datastore.get(set("a")), refuses("NOT_FOUND"));
      });

      it("does not take a deleted key's revision for its successor's", async () => {
        const first = await datastore.create(set("a"), nets());
        await datastore.delete(set("a"));
        await datastore.create(set("a"), nets());
        await assert.rejects(datastore.update(set("a"), nets(), first.revision), refuses("CONFLICT"));
      });

      it("hands out values that are the reader's own", async () => {
        const value = nets("10.0.0.0/8");
        await datastore.create(set("a"), value);
        value.spec.nets.push("11.0.0.0/8");
        const got = await datastore.get(set("a"));
        got.value.spec.nets.push("12.0.0.0/8");
        assert.deepEqual((await datastore.get(set("a"))).value.spec.nets, ["10.0.0.0/8"]);
      });

      it("keeps text as it is, in any script, and large", async () => {
        const text = `zürich 東京 🦉 "quotes" \\ \n ${"x".repeat(200_000)}`;
        await datastore.create(set("a"), { spec: {}, metadata: { annotations: { text } } });
        assert.equal((await datastore.get(set("a"))).value.metadata.annotations.text, text);
      });

      it("lets one of many racing writers win each revision", async () => {
        const others = await Promise.all([1, 2, 3].map(() => store.connect()));
        await datastore.create(set("counter"), { spec: { count: 0 } });
        const add = async (on: Datastore) => {
          for (let added = 0; added < 10; ) {
            const { value, revision } = await on.get(set("counter"));
            try {
              await on.update(set("counter"), { ...value, spec: { count: value.spec.count + 1 } }, revision);
              added++;
            } catch (error) {
              if (!isDatastoreError(error, "CONFLICT")) throw error;
            }
          }
        };
        await Promise.all([datastore, ...others].map(add));
        assert.equal((await datastore.get(set("counter"))).value.spec.count, 40);
        await Promise.all(others.map(other => other.close()));
      });

      it("says which key is the matter", async () => {
        await assert.rejects(datastore.get(set("a")), /GlobalNetworkSet\(a\)/);
      });

      it("refuses names that have no place", async () => {
        await assert.rejects(datastore.create(set("a/b"), nets()), refuses("NOT_SUPPORTED"));
        await assert.rejects(datastore.create(set(""), nets()), refuses("NOT_SUPPORTED"));
        await assert.rejects(datastore.create(key("NetworkSet", "a"), nets()), refuses("NOT_SUPPORTED"));
      });
    });

    describe("metadata", () => {
      it("stamps what is new and keeps what is not", async () => {
        const created = await datastore.create(set("a"), { ...nets(), metadata: { labels: { k: "v" } } });
        const { uid, creationTimestamp } = created.value.metadata;
        assert.match(uid, /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
        assert.match(creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
        const updated = await datastore.update(set("a"), created.value, created.revision);
        assert.equal(updated.value.metadata.uid, uid);
        assert.equal(updated.value.metadata.creationTimestamp, creationTimestamp);
        assert.deepEqual(updated.value.metadata.labels, { k: "v" });
      });

      it("says kind, apiVersion and name whatever was given", async () => {
        const { value } = await datastore.create(set("a"), { kind: "Wrong", metadata: { name: "b" } });
        assert.equal(value.kind, "GlobalNetworkSet");
        assert.equal(value.apiVersion, "projectcalico.org/v3");
        assert.equal(value.metadata.name, "a");
      });

      it("keeps fields it does not know", async () => {
        const { value } = await datastore.create(set("a"), { spec: { newer: { field: 1 } }, extra: true });
        assert.deepEqual(value.spec, { newer: { field: 1 } });
        assert.equal(value.extra, true);
      });

      it("labels policies with their tier", async () => {
        const inTier = await datastore.create(key("GlobalNetworkPolicy", "a"), { spec: { tier: "t1" } });
        assert.equal(inTier.value.metadata.labels["projectcalico.org/tier"], "t1");
        const inNone = await datastore.create(key("NetworkPolicy", "a", "ns"), { spec: {} });
        assert.equal(inNone.value.metadata.labels["projectcalico.org/tier"], "default");
      });

      it("labels workload endpoints with namespace and orchestrator", async () => {
        const { value } = await datastore.create(key("WorkloadEndpoint", "h1-cni-c1-eth0", "ns1"), {
          metadata: { labels: { app: "web" } },
          spec: { orchestrator: "cni" },
        });
        assert.deepEqual(value.metadata.labels, {
          app: "web",
          "projectcalico.org/namespace": "ns1",
          "projectcalico.org/orchestrator": "cni",
        });
      });
    });

    describe("lists", () => {
      it("gives a kind's entries in key order and nothing else", async () => {
        for (const n of ["c", "a", "b"]) await datastore.create(set(n), nets());
        await datastore.create(key("GlobalNetworkPolicy", "a"), { spec: {} });
        const { entries } = await datastore.list({ kind: "GlobalNetworkSet" });
        assert.deepEqual(names(entries), ["a", "b", "c"]);
        assert.deepEqual(entries[0], await datastore.get(set("a")));
      });

      it("gives the same in portions, all of one revision", async () => {
        for (let i = 0; i < 12; i++)
          await datastore.create(key("GlobalNetworkSet", `set${i}`), { spec: { nets: [] } });
        for (const query of [
          { kind: "GlobalNetworkSet" },
          { kind: "Profile" },
          { kind: "NetworkPolicy" },
        ] as const) {
          const found: string[] = [];
          const { entries, revision } = await datastore.list(query);
          for await (const page of datastore.listPages(query)) {
            assert.equal(page.revision, revision);
            found.push(...names(page.entries));
          }
          assert.deepEqual(found.sort(), names(entries).sort());
        }
      });

      it("narrows by namespace and by name prefix", async () => {
        for (const [ns, n] of [
          ["one", "web-1"],
          ["one", "db-1"],
          ["one-more", "web-2"],
        ] as const) {
          await datastore.create(key("NetworkSet", n, ns), nets());
        }
        const list = async (query: Query) => names((await datastore.list(query)).entries);
        assert.deepEqual((await list({ kind: "NetworkSet" })).sort(), ["db-1", "web-1", "web-2"]);
        assert.deepEqual(await list({ kind: "NetworkSet", namespace: "one" }), ["db-1", "web-1"]);
        assert.deepEqual(await list({ kind: "NetworkSet", namespace: "one", namePrefix: "web" }), ["web-1"]);
        assert.deepEqual((await list({ kind: "NetworkSet", namePrefix: "web" })).sort(), ["web-1", "web-2"]);
      });

      it("does not mix up kinds whose names begin alike", async () => {
        await datastore.create(key("IPAMConfiguration", "default"), { spec: {} });
        await datastore.create(key("IPAMConfig", "default"), { strict_affinity: true });
        assert.equal((await datastore.list({ kind: "IPAMConfig" })).entries.length, 1);
        assert.equal((await datastore.list({ kind: "IPAMConfiguration" })).entries.length, 1);
      });

      it("skips what it cannot read, and says so when asked for it", async () => {
        await datastore.create(set("good"), nets());
        await store.putRaw(`${RESOURCES}/globalnetworksets/bad`, "{not json");
        await store.putRaw(`${RESOURCES}/globalnetworksets/list`, "[]");
        assert.deepEqual(names((await datastore.list({ kind: "GlobalNetworkSet" })).entries), ["good"]);
        await assert.rejects(datastore.get(set("bad")), refuses("CORRUPT"));
        await datastore.delete(set("bad"));
        await assert.rejects(datastore.get(set("bad")), refuses("NOT_FOUND"));
      });

      it("always shows the default-allow profile, which nobody can change", async () => {
        const builtIn = key("Profile", "projectcalico-default-allow");
        await datastore.create(key("Profile", "net1"), { spec: {} });
        await datastore.create(key("Profile", "web"), { spec: {} });
        const { entries, revision } = await datastore.list({ kind: "Profile" });
        assert.deepEqual(names(entries), ["net1", "projectcalico-default-allow", "web"]);
        const got = await datastore.get(builtIn);
        assert.deepEqual(got.value.spec, { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
        await assert.rejects(datastore.create(builtIn, { spec: {} }), refuses("ALREADY_EXISTS"));
        await assert.rejects(datastore.update(builtIn, { spec: {} }, got.revision), refuses("NOT_SUPPORTED"));
        await assert.rejects(datastore.delete(builtIn), refuses("NOT_SUPPORTED"));
        assert.ok(revision);
      });
    });

    describe("IPAM records", () => {
      const affinity = (owner: string, block: string) => key("BlockAffinity", block, owner);

      it("stores them at Calico's paths and finds them again", async () => {
        const expected: [Key, string][] = [
          [key("IPAMBlock", "10.65.0.0/26"), "assignment/ipv4/block/10.65.0.0-26"],
          [key("IPAMBlock", "fd00::/122"), "assignment/ipv6/block/fd00::-122"],
          [affinity("host:node1", "10.65.0.0/26"), "host/node1/ipv4/block/10.65.0.0-26"],
          [affinity("host:node1", "fd00::/122"), "host/node1/ipv6/block/fd00::-122"],
          [
            affinity("virtual:load-balancer", "10.66.0.0/26"),
            "virtual/load-balancer/ipv4/block/10.66.0.0-26",
          ],
          [key("IPAMHandle", "k8s-pod-network.abc"), "handle/k8s-pod-network.abc"],
          [key("IPAMConfig", "default"), "config"],
        ];
        for (const [k, path] of expected) {
          await datastore.create(k, { deleted: false });
          assert.ok(await store.hasRaw(`/calico/ipam/v2/${path}`), path);
          assert.deepEqual((await datastore.get(k)).value, { deleted: false });
        }
        const listed = async (kind: Kind) =>
          (await datastore.list({ kind })).entries.map(e => keyText(e.key));
        assert.deepEqual(await listed("IPAMBlock"), ["IPAMBlock(10.65.0.0/26)", "IPAMBlock(fd00::/122)"]);
        assert.deepEqual(await listed("BlockAffinity"), [
          "BlockAffinity(host:node1/10.65.0.0/26)",
          "BlockAffinity(host:node1/fd00::/122)",
          "BlockAffinity(virtual:load-balancer/10.66.0.0/26)",
        ]);
      });

      it("lists one owner's affinities, and reads the empty ones of old as confirmed", async () => {
        await datastore.create(affinity("host:node1", "10.65.0.0/26"), { state: "pending" });
        await datastore.create(affinity("host:node10", "10.65.0.64/26"), { state: "pending" });
        await store.putRaw("/calico/ipam/v2/host/node1/ipv4/block/10.65.1.0-26", "");
        await store.putRaw("/calico/ipam/v2/host/node1", "");
        const { entries } = await datastore.list({ kind: "BlockAffinity", namespace: "host:node1" });
        assert.deepEqual(
          entries.map(e => [e.key.name, e.value.state]),
          [
            ["10.65.0.0/26", "pending"],
            ["10.65.1.0/26", "confirmed"],
          ],
        );
      });
    });

    describe("policies stored by older Calicos", () => {
      const policies = `${RESOURCES}/globalnetworkpolicies`;
      const web = key("GlobalNetworkPolicy", "web");
      const oldest = JSON.stringify({ metadata: { name: "default.web" }, spec: { order: 1 } });
      const annotated = JSON.stringify({
        metadata: {
          name: "default.web",
          annotations: { "projectcalico.org/metadata": '{"name":"web"}', own: "kept" },
        },
        spec: { order: 2, tier: "default" },
      });

      it("have the name their user gave them", async () => {
        for (const stored of [oldest, annotated]) {
          await store.putRaw(`${policies}/default.web`, stored);
          const got = await datastore.get(web);
          assert.deepEqual(got.key, web);
          assert.equal(got.value.metadata.name, "web");
          const { entries } = await datastore.list({ kind: "GlobalNetworkPolicy", namePrefix: "we" });
          assert.deepEqual(entries, [got]);
        }
        assert.deepEqual((await datastore.get(web)).value.metadata.annotations, { own: "kept" });
      });

      it("are updated and deleted where they are", async () => {
        await store.putRaw(`${policies}/default.web`, annotated);
        await assert.rejects(datastore.create(web, { spec: {} }), refuses("ALREADY_EXISTS"));
        const got = await datastore.get(web);
        const updated = await datastore.update(web, { ...got.value, spec: { order: 3 } }, got.revision);
        assert.equal(updated.value.metadata.name, "web");
        assert.equal(await store.hasRaw(`${policies}/web`), false);
        await assert.rejects(datastore.delete(web, got.revision), refuses("CONFLICT"));
        await datastore.delete(web, updated.revision);
        assert.equal(await store.hasRaw(`${policies}/default.web`), false);
      });

      it("give way to a copy under their own name", async () => {
        await store.putRaw(`${policies}/default.web`, oldest);
        await store.putRaw(
          `${policies}/web`,
          JSON.stringify({ metadata: { name: "web" }, spec: { order: 9 } }),
        );
        const { entries } = await datastore.list({ kind: "GlobalNetworkPolicy" });
        assert.deepEqual(
          entries.map(e => [e.key.name, e.value.spec.order]),
          [["web", 9]],
        );
        assert.equal((await datastore.get(web)).value.spec.order, 9);
      });

      it("are never reported gone while they are being moved", async () => {
        await store.putRaw(`${policies}/default.web`, oldest);
        const { revision } = await datastore.list({ kind: "GlobalNetworkPolicy" });
        const watched = watch({ kind: "GlobalNetworkPolicy" }, revision);
        const moved = await datastore.get(web);
        await store.putRaw(`${policies}/web`, JSON.stringify(moved.value));
        await datastore.delete(key("GlobalNetworkPolicy", "default.web"));
        await datastore.create(key("GlobalNetworkPolicy", "last"), { spec: {} });
        const events = await watched.until(all => all.some(e => eventText(e).includes("last")));
        assert.deepEqual(events.map(eventText), [
          "create GlobalNetworkPolicy(web)",
          "create GlobalNetworkPolicy(last)",
        ]);
      });

      it("come back into view when the better copy goes", async () => {
        await store.putRaw(`${policies}/default.web`, oldest);
        await store.putRaw(`${policies}/web`, JSON.stringify({ spec: { order: 9 } }));
        const { revision } = await datastore.list({ kind: "GlobalNetworkPolicy" });
        const watched = watch({ kind: "GlobalNetworkPolicy" }, revision);
        await datastore.delete(web);
        const [event] = await watched.count(1);
        assert.ok(event?.type === "put" && event.entry.value.spec.order === 1);
        await datastore.delete(web);
        const events = await watched.count(2);
        assert.equal(eventText(events[1]!), "delete GlobalNetworkPolicy(web)");
      });
    });

    describe("watches", () => {
      it("report each change after the list, once, in order", async () => {
        await datastore.create(set("before"), nets());
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const a = await datastore.create(set("a"), nets());
        const watched = watch({ kind: "GlobalNetworkSet" }, revision);
        await watched.count(1);
        const b = await datastore.update(set("a"), nets("10.0.0.0/8"), a.revision);
        await datastore.delete(set("a"));
        await datastore.create(set("a"), nets());
        const events = await watched.count(4);
        assert.deepEqual(events.map(eventText), [
          "create GlobalNetworkSet(a)",
          "update GlobalNetworkSet(a)",
          "delete GlobalNetworkSet(a)",
          "create GlobalNetworkSet(a)",
        ]);
        assert.deepEqual(events[1]?.type === "put" && events[1].entry, b);
      });

      it("see what other connections write", async () => {
        const other = await store.connect();
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const watched = watch({ kind: "GlobalNetworkSet" }, revision);
        for (let i = 0; i < 50; i++) await other.create(set(`n${i}`), nets());
        const events = await watched.count(50);
        assert.deepEqual(
          events.map(eventText),
          Array.from({ length: 50 }, (_, i) => `create GlobalNetworkSet(n${i})`),
        );
        await other.close();
      });

      it("report only what the query asks for", async () => {
        const { revision } = await datastore.list({ kind: "NetworkSet" });
        const watched = watch({ kind: "NetworkSet", namespace: "one", namePrefix: "w" }, revision);
        await datastore.create(key("NetworkSet", "web", "two"), nets());
        await datastore.create(key("NetworkSet", "db", "one"), nets());
        await datastore.create(set("web"), nets());
        await datastore.create(key("NetworkSet", "web", "one"), nets());
        const events = await watched.count(1);
        assert.deepEqual(events.map(eventText), ["create NetworkSet(one/web)"]);
      });

      it("go on after a value that cannot be read", async () => {
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const watched = watch({ kind: "GlobalNetworkSet" }, revision);
        await store.putRaw(`${RESOURCES}/globalnetworksets/bad`, "{not json");
        await store.putRaw(`${RESOURCES}/globalnetworksets/not/ours`, "{}");
        await datastore.create(set("good"), nets());
        const events = await watched.count(2);
        assert.deepEqual(events.map(eventText), [
          "corrupt GlobalNetworkSet(bad)",
          "create GlobalNetworkSet(good)",
        ]);
      });

      it("resume from a batch's revision without loss or repetition", async () => {
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const first = watch({ kind: "GlobalNetworkSet" }, revision);
        for (const n of ["a", "b", "c"]) await datastore.create(set(n), nets());
        await first.count(3);
        await first.stop();
        await datastore.create(set("d"), nets());
        const second = watch({ kind: "GlobalNetworkSet" }, first.revision!);
        await datastore.create(set("e"), nets());
        assert.deepEqual((await second.count(2)).map(eventText), [
          "create GlobalNetworkSet(d)",
          "create GlobalNetworkSet(e)",
        ]);
      });

      it("end without error when aborted, before and after", async () => {
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const watched = watch({ kind: "GlobalNetworkSet" }, revision);
        await watched.stop();
        assert.equal(watched.failure, undefined);
        const aborted = datastore.watch(
          { kind: "GlobalNetworkSet" },
          { from: revision, signal: AbortSignal.abort() },
        );
        for await (const _ of aborted) assert.fail("nothing may come");
      });

      it("end when the store is closed", async () => {
        const other = await store.connect();
        const { revision } = await other.list({ kind: "GlobalNetworkSet" });
        const watched = watch({ kind: "GlobalNetworkSet" }, revision, other);
        await datastore.create(set("a"), nets());
        await watched.count(1);
        await other.close();
        await watched.done;
        assert.equal(watched.failure, undefined);
        await other.close();
      });

      it("say so when the history they need is forgotten", async () => {
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        for (const n of ["a", "b", "c"]) await datastore.create(set(n), nets());
        await store.compact();
        const watched = watch({ kind: "GlobalNetworkSet" }, revision);
        await watched.done;
        assert.ok(isDatastoreError(watched.failure, DatastoreErrorCode.Compacted), String(watched.failure));
      });

      it("do not wait for a future that is not theirs", async () => {
        const watched = watch({ kind: "GlobalNetworkSet" }, "999999999" as Revision);
        await watched.done;
        assert.ok(isDatastoreError(watched.failure, DatastoreErrorCode.Compacted), String(watched.failure));
      });

      it("serve many watchers at once", async () => {
        const { revision } = await datastore.list({ kind: "GlobalNetworkSet" });
        const all = Array.from({ length: 20 }, () => watch({ kind: "GlobalNetworkSet" }, revision));
        await datastore.create(set("a"), nets());
        await datastore.create(set("b"), nets());
        for (const watched of all) assert.equal((await watched.count(2)).length, 2);
      });
    });
  });
}
