/**
 * The in-memory datastore: for unit tests of everything above, and as the smallest complete example of a store.
 * It is strict where the real ones are (revisions, compare-and-swap, history that is forgotten) and adds what
 * tests need of a store: faults on demand.
 */

import type { Revision } from "./datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "./errors.ts";
import { KeyValueDatastore, type KeyValueDatastoreOptions } from "./key-value-datastore.ts";
import type {
  DeleteResult,
  KeyValue,
  KeyValueBatch,
  KeyValueEvent,
  KeyValueStore,
  Page,
  PathRange,
  WriteResult,
} from "./key-value-store.ts";
import { WatchQueue } from "./watch-queue.ts";

export type MemoryOperation = "get" | "range" | "create" | "update" | "delete" | "watch";

interface Watcher {
  readonly range: PathRange;
  readonly queue: WatchQueue;
}

export class MemoryStore implements KeyValueStore {
  readonly #items = new Map<string, { value: string; revision: number }>();
  #changes: KeyValueEvent[] = [];
  #revision = 1;
  #compacted = 0;
  readonly #watchers = new Set<Watcher>();

  /** Entries of one page. */
  pageSize = 1000;

  /** Called before each operation: throw (or wait) here to make it fail (or be slow). */
  onOperation: ((operation: MemoryOperation, path: string) => void | Promise<void>) | undefined;

  async get(path: string): Promise<KeyValue | undefined> {
    await this.onOperation?.("get", path);
    return this.#at(path);
  }

  async *pages(range: PathRange): AsyncIterable<Page> {
    await this.onOperation?.("range", range.start);
    const paths = [...this.#items.keys()].filter(path => within(range, path)).sort();
    const items = paths.map(path => this.#at(path)!);
    const revision = text(this.#revision);
    do yield { items: items.splice(0, this.pageSize), revision };
    while (items.length > 0);
  }

  async create(path: string, value: string): Promise<WriteResult> {
    await this.onOperation?.("create", path);
    const current = this.#at(path);
    return current ? { written: false, current } : this.#write(path, value, true);
  }

  async update(path: string, value: string, revision: Revision): Promise<WriteResult> {
    await this.onOperation?.("update", path);
    const current = this.#at(path);
    return current?.revision === revision ? this.#write(path, value, false) : { written: false, current };
  }

  async delete(path: string, revision?: Revision): Promise<DeleteResult> {
    await this.onOperation?.("delete", path);
    const current = this.#at(path);
    if (!current || (revision !== undefined && current.revision !== revision)) {
      return { deleted: undefined, current };
    }
    this.#items.delete(path);
    this.#report({ type: "delete", path, revision: text(++this.#revision), previous: current.value });
    return { deleted: current };
  }

  async *watch(range: PathRange, from: Revision, signal?: AbortSignal): AsyncIterable<KeyValueBatch> {
    await this.onOperation?.("watch", range.start);
    if (Number(from) < this.#compacted || Number(from) > this.#revision) {
      throw new DatastoreError(DatastoreErrorCode.Compacted);
    }
    const watcher = { range, queue: new WatchQueue() };
    const missed = this.#changes.filter(c => Number(c.revision) > Number(from) && within(range, c.path));
    watcher.queue.push(missed, text(this.#revision));
    const end = () => watcher.queue.end();
    if (signal?.aborted) return;
    signal?.addEventListener("abort", end, { once: true });
    this.#watchers.add(watcher);
    try {
      yield* watcher.queue;
    } finally {
      this.#watchers.delete(watcher);
      signal?.removeEventListener("abort", end);
    }
  }

  async close(): Promise<void> {
    for (const watcher of this.#watchers) watcher.queue.end();
  }

  /** Forgets the history, as etcd does when it is compacted. */
  compact(): void {
    this.#changes = [];
    this.#compacted = this.#revision;
  }

  /** Breaks all watches, as a lost connection does. */
  interrupt(error: Error = new DatastoreError(DatastoreErrorCode.Unavailable)): void {
    for (const watcher of this.#watchers) watcher.queue.fail(error);
  }

  /** Stores text past all rules: what another program, or a fault, may have left there. */
  put(path: string, value: string): void {
    this.#write(path, value, !this.#items.has(path));
  }

  #at(path: string): KeyValue | undefined {
    const item = this.#items.get(path);
    return item && { path, value: item.value, revision: text(item.revision) };
  }

  #write(path: string, value: string, created: boolean): WriteResult {
    const revision = ++this.#revision;
    this.#items.set(path, { value, revision });
    this.#report({ type: "put", path, value, revision: text(revision), created });
    return { written: true, revision: text(revision) };
  }

  #report(event: KeyValueEvent): void {
    this.#changes.push(event);
    for (const { range, queue } of this.#watchers) {
      if (within(range, event.path)) queue.push([event], event.revision);
    }
  }
}

export interface MemoryDatastore extends KeyValueDatastore {
  readonly store: MemoryStore;
}

/** `store` gives tests the faults and the raw contents. */
export function memoryDatastore(options: KeyValueDatastoreOptions = {}): MemoryDatastore {
  const store = new MemoryStore();
  return Object.assign(new KeyValueDatastore(store, options), { store });
}

function within(range: PathRange, path: string): boolean {
  return range.start <= path && path < range.end;
}

function text(revision: number): Revision {
  return String(revision) as Revision;
}
