import { KeyValueDatastore } from "../../../datastore/key-value-datastore.ts";
import { MemoryStore, memoryDatastore } from "../../../datastore/memory.ts";
import { describeDatastore } from "./compliance.ts";

describeDatastore("memory", async () => {
  const datastore = memoryDatastore();
  const { store } = datastore;
  return {
    datastore,
    connect: async () => new KeyValueDatastore(new SharedView(store)),
    putRaw: async (path, value) => store.put(path, value),
    hasRaw: async path => (await store.get(path)) !== undefined,
    compact: async () => store.compact(),
    dispose: () => datastore.close(),
  };
});

/** Another connection: closing it ends its own watches only. */
class SharedView extends MemoryStore {
  readonly #shared: MemoryStore;
  readonly #closed = new AbortController();
  constructor(shared: MemoryStore) {
    super();
    this.#shared = shared;
  }
  override get: MemoryStore["get"] = path => this.#shared.get(path);
  override async *pages(range: Parameters<MemoryStore["pages"]>[0]) {
    yield* this.#shared.pages(range);
  }
  override create: MemoryStore["create"] = (path, value) => this.#shared.create(path, value);
  override update: MemoryStore["update"] = (...args) => this.#shared.update(...args);
  override delete: MemoryStore["delete"] = (...args) => this.#shared.delete(...args);
  override watch: MemoryStore["watch"] = (range, from, signal) =>
    this.#shared.watch(range, from, AbortSignal.any([this.#closed.signal, ...(signal ? [signal] : [])]));
  override close = async () => this.#closed.abort();
}
