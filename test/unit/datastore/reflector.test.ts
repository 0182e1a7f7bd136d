import assert from "node:assert/strict";
import fc from "fast-check";
import type { Logger } from "../../../daemon/log.ts";
import type { Revision } from "../../../datastore/datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "../../../datastore/errors.ts";
import { type Key, key, keyText, type Query } from "../../../datastore/key.ts";
import { type MemoryDatastore, memoryDatastore } from "../../../datastore/memory.ts";
import { Reflector, type ReflectorStatus, type Update } from "../../../datastore/reflector.ts";

const SETS: Query = { kind: "GlobalNetworkSet" };
const PROFILES: Query = { kind: "Profile", namePrefix: "net" };
const set = (name: string) => key("GlobalNetworkSet", name);
const RESOURCES = "/calico/resources/v3/projectcalico.org";

/** Time that passes at once, with a record of how long was waited for. */
function impatientClock() {
  const waits: number[] = [];
  return {
    waits,
    now: () => 0,
    sleep: async (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      waits.push(ms);
      await new Promise(resolve => setImmediate(resolve));
    },
  };
}

/** A consumer that applies updates to a picture, and can be awaited. */
class Consumer {
  readonly picture = new Map<string, unknown>();
  readonly log: string[] = [];
  readonly statuses: ReflectorStatus[] = [];
  readonly said: string[] = [];
  readonly clock = impatientClock();
  readonly reflector: Reflector;
  readonly running: Promise<void>;
  readonly abort = new AbortController();
  #changed: () => void = () => {};

  constructor(datastore: MemoryDatastore, queries: Query[], onUpdates?: () => void) {
    const say = (first: unknown, second?: string) => {
      this.said.push(second ?? String(first));
    };
    const logger = { debug: () => {}, info: say, warn: say, error: say } as unknown as Logger;
    this.reflector = new Reflector({
      datastore,
      queries,
      clock: this.clock,
      logger,
      onUpdates: updates => {
        onUpdates?.();
        this.#apply(updates);
      },
      onStatus: status => {
        this.statuses.push(status);
        this.log.push(status);
        this.#changed();
      },
    });
    this.running = this.reflector.run(this.abort.signal);
  }

  #apply(updates: Update[]): void {
    for (const update of updates) {
      const name = keyText(update.key);
      this.log.push(`${update.type} ${update.key.name}`);
      if (update.type === "put") this.picture.set(name, update.value);
      else assert.ok(this.picture.delete(name), `deleted what was not there: ${name}`);
    }
    this.#changed();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>(resolve => {
        this.#changed = resolve;
      });
    }
  }

  inSync(): Promise<void> {
    return this.until(() => this.statuses.includes("in-sync"));
  }

  has(...names: string[]): () => boolean {
    return () =>
      [...this.picture.values()].map(v => (v as { metadata: { name: string } }).metadata.name).join() ===
      names.join();
  }
}

describe("the reflector", () => {
  let datastore: MemoryDatastore;
  let consumer: Consumer;

  beforeEach(() => {
    datastore = memoryDatastore();
  });

  afterEach(async () => {
    consumer.abort.abort();
    await consumer.running.catch(() => {});
  });

  it("gives what is there, says in-sync once, and follows", async () => {
    await datastore.create(set("a"), {});
    await datastore.create(key("Profile", "net1"), {});
    consumer = new Consumer(datastore, [SETS, PROFILES]);
    await consumer.inSync();
    assert.deepEqual(consumer.statuses, ["waiting", "syncing", "in-sync"]);
    assert.ok(consumer.log.indexOf("put net1") < consumer.log.indexOf("in-sync"));
    const { revision } = await datastore.create(set("b"), {});
    await datastore.update(set("b"), {}, revision);
    await datastore.delete(set("a"));
    await consumer.until(() => consumer.log.includes("delete a"));
    assert.deepEqual(consumer.log.slice(-3), ["put b", "put b", "delete a"]);
    assert.ok(consumer.reflector.connected);
  });

  it("is in-sync with an empty store, without a batch", async () => {
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    assert.deepEqual(consumer.log, ["waiting", "syncing", "in-sync"]);
  });

  it("begins a first list that broke off again: nothing is told twice, and what went meanwhile is told to be gone", async () => {
    for (const name of ["a", "b", "c"]) await datastore.create(set(name), {});
    const { store } = datastore;
    store.pageSize = 1;
    const whole = store.pages.bind(store);
    store.pages = async function* (range) {
      store.pages = whole;
      for await (const page of whole(range)) {
        yield page;
        await datastore.delete(set("a"));
        throw new DatastoreError(DatastoreErrorCode.Compacted);
      }
    };
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    assert.deepEqual(consumer.log, ["waiting", "put a", "put b", "put c", "delete a", "syncing", "in-sync"]);
    assert.ok(consumer.has("b", "c")());
  });

  it("waits for a store that is not there yet, longer each time, and says so once", async () => {
    let attempts = 0;
    datastore.store.onOperation = operation => {
      if (operation === "range" && ++attempts <= 8) throw new DatastoreError(DatastoreErrorCode.Unavailable);
    };
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    assert.equal(consumer.said.length, 1);
    await consumer.until(() => true);
    await datastore.create(set("a"), {});
    await consumer.until(consumer.has("a"));
    assert.equal(consumer.said.length, 2);
    assert.match(consumer.said[0]!, /lost/);
    assert.match(consumer.said[1]!, /back/);
    const { waits } = consumer.clock;
    assert.equal(waits.length, 8);
    assert.ok(waits[7]! > 3000 && waits[7]! <= 10_000, `waited ${waits}`);
  });

  it("resumes a lost watch where it stopped, without listing again", async () => {
    await datastore.create(set("a"), {});
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    const b = await datastore.create(set("b"), {});
    await consumer.until(consumer.has("a", "b"));
    let ranges = 0;
    let watches = 0;
    datastore.store.onOperation = operation => {
      if (operation === "range") ranges++;
      if (operation === "watch" && ++watches < 3) throw new DatastoreError(DatastoreErrorCode.Unavailable);
    };
    datastore.store.interrupt();
    await datastore.delete(set("b"), b.revision);
    await datastore.create(set("c"), {});
    await consumer.until(consumer.has("a", "c"));
    assert.deepEqual(consumer.log.slice(3), ["in-sync", "put b", "delete b", "put c"]);
    assert.equal(ranges, 0);
    assert.equal(consumer.said.length, 2);
  });

  it("lists again when history is compacted, and tells only what changed", async () => {
    for (const name of ["kept", "changed", "gone"]) await datastore.create(set(name), {});
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    // No watch gets through while the world changes.
    datastore.store.onOperation = operation => {
      if (operation === "watch") throw new DatastoreError(DatastoreErrorCode.Unavailable);
    };
    datastore.store.interrupt();
    await consumer.until(() => true);
    const before = consumer.log.length;
    await datastore.update(set("changed"), {}, (await datastore.get(set("changed"))).revision);
    await datastore.delete(set("gone"));
    await datastore.create(set("new"), {});
    datastore.store.compact();
    datastore.store.onOperation = undefined;
    await consumer.until(() => consumer.log.includes("put new"));
    assert.deepEqual(consumer.log.slice(before), ["delete gone", "put changed", "put new"]);
    assert.deepEqual(consumer.statuses, ["waiting", "syncing", "in-sync"]);
  });

  it("takes a value that became unreadable as deleted, and goes on", async () => {
    await datastore.create(set("a"), {});
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    datastore.store.put(`${RESOURCES}/globalnetworksets/a`, "{oops");
    datastore.store.put(`${RESOURCES}/globalnetworksets/b`, "{oops");
    await datastore.create(set("c"), {});
    await consumer.until(consumer.has("c"));
    assert.deepEqual(consumer.log.slice(-2), ["delete a", "put c"]);
    assert.equal(consumer.said.length, 2);
  });

  it("ends when told to, and when the store is closed", async () => {
    consumer = new Consumer(datastore, [SETS, PROFILES]);
    await consumer.inSync();
    consumer.abort.abort();
    await consumer.running;
    consumer = new Consumer(datastore, [SETS]);
    await consumer.inSync();
    await datastore.create(set("a"), {});
    await consumer.until(consumer.has("a"));
    await datastore.close();
    await consumer.running;
  });

  it("passes on what the consumer throws, and stops", async () => {
    await datastore.create(set("a"), {});
    consumer = new Consumer(datastore, [SETS, PROFILES], () => {
      throw new RangeError("mine");
    });
    await assert.rejects(consumer.running, RangeError);
  });

  it("arrives at the store's state, whatever happens on the way", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("put"), name: fc.constantFrom(..."abcdef") }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("delete"), name: fc.constantFrom(..."abcdef") }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("lose", "compact", "find", "corrupt") }) },
    ) as fc.Arbitrary<{ do: string; name: string }>;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
        const store = memoryDatastore();
        const one = new Consumer(store, [SETS]);
        const lost = () => {
          throw new DatastoreError(DatastoreErrorCode.Unavailable);
        };
        for (const { do: what, name } of steps) {
          const faults = store.store.onOperation;
          store.store.onOperation = undefined;
          if (what === "put") await put(store, set(name));
          else if (what === "delete") await store.delete(set(name)).catch(() => {});
          else if (what === "compact") store.store.compact();
          else if (what === "corrupt") store.store.put(`${RESOURCES}/globalnetworksets/a`, "?");
          store.store.onOperation = what === "lose" ? lost : what === "find" ? undefined : faults;
          if (what === "lose") store.store.interrupt();
          await new Promise(resolve => setImmediate(resolve));
        }
        store.store.onOperation = undefined;
        await put(store, set("last"));
        await one.until(() => one.picture.has("GlobalNetworkSet(last)"));
        const { entries } = await store.list(SETS);
        const expected = new Map(entries.map(e => [keyText(e.key), e.value]));
        assert.deepEqual(new Map([...one.picture].sort()), new Map([...expected].sort()));
        assert.deepEqual(one.statuses, ["waiting", "syncing", "in-sync"]);
        one.abort.abort();
        await one.running;
      }),
      { numRuns: 60 },
    );
  });
});

async function put(datastore: MemoryDatastore, k: Key): Promise<void> {
  let revision: Revision;
  try {
    ({ revision } = await datastore.get(k));
  } catch {
    await datastore.delete(k).catch(() => {});
    await datastore.create(k, {});
    return;
  }
  await datastore.update(k, {}, revision);
}
