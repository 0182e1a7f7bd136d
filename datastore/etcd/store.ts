/**
 * etcd as a flat store. Every write is a transaction on one key whose failure branch reads what is there
 * instead, so that a refusal costs no second trip. Ranges come in pages at one revision. Watches: `watch.ts`.
 */

import type { OperationOptions, Revision } from "../datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "../errors.ts";
import type {
  DeleteResult,
  KeyValue,
  KeyValueBatch,
  KeyValueStore,
  PathRange,
  WriteResult,
} from "../key-value-store.ts";
import type { WatchQueue } from "../watch-queue.ts";
import { EtcdConnection } from "./connection.ts";
import {
  type Condition,
  deleteRequest,
  deleteTransaction,
  getRequest,
  METHOD,
  putTransaction,
  rangeRequest,
  readDeleted,
  readRange,
  readTransaction,
  type Transaction,
} from "./messages.ts";
import type { EtcdOptions } from "./options.ts";
import { openWatch } from "./watch.ts";

/** 2,000 blocks of 2 KB each are 4 MB: some 50 ms of one etcd member's time. */
const PAGE = 2000;

export class EtcdStore implements KeyValueStore {
  readonly #connection: EtcdConnection;
  readonly #watches = new Set<WatchQueue>();

  /** Connects at the first request. */
  constructor(options: EtcdOptions) {
    this.#connection = new EtcdConnection(options);
  }

  async get(path: string, options?: OperationOptions): Promise<KeyValue | undefined> {
    return readRange(await this.#connection.read(METHOD.range, getRequest(path), options)).items[0];
  }

  async range(
    range: PathRange,
    options?: OperationOptions,
  ): Promise<{ items: KeyValue[]; revision: Revision }> {
    for (;;) {
      try {
        return await this.#pages(range, options);
      } catch (error) {
        // Compacted between two pages: the picture has to be taken again.
        if (!isDatastoreError(error, DatastoreErrorCode.Compacted)) throw error;
      }
    }
  }

  create(path: string, value: string, options?: OperationOptions): Promise<WriteResult> {
    return this.#put({ path, revision: undefined }, value, options);
  }

  update(path: string, value: string, revision: Revision, options?: OperationOptions): Promise<WriteResult> {
    return this.#put({ path, revision }, value, options);
  }

  async delete(path: string, revision?: Revision, options?: OperationOptions): Promise<DeleteResult> {
    if (revision === undefined) {
      const answer = await this.#connection.write(METHOD.deleteRange, deleteRequest(path), options);
      const [deleted] = readDeleted(answer);
      return deleted ? { deleted } : { deleted, current: undefined };
    }
    const { succeeded, items } = await this.#transaction(deleteTransaction({ path, revision }), options);
    const [item] = items;
    return succeeded && item ? { deleted: item } : { deleted: undefined, current: item };
  }

  async *watch(range: PathRange, from: Revision, signal?: AbortSignal): AsyncIterable<KeyValueBatch> {
    if (signal?.aborted) return;
    const { queue, cancel } = openWatch(this.#connection, range, from);
    this.#watches.add(queue);
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      yield* queue;
    } finally {
      cancel();
      this.#watches.delete(queue);
      signal?.removeEventListener("abort", cancel);
    }
  }

  async close(): Promise<void> {
    for (const queue of this.#watches) queue.end();
    // The watches cancel their streams when they notice; closing under them would look like a failure.
    await new Promise(resolve => setImmediate(resolve));
    this.#connection.close();
  }

  async #pages(
    { start, end }: PathRange,
    options: OperationOptions | undefined,
  ): Promise<{ items: KeyValue[]; revision: Revision }> {
    const items: KeyValue[] = [];
    let revision: Revision | undefined;
    let from = start;
    for (;;) {
      const request = rangeRequest({ start: from, end }, PAGE, revision);
      const page = readRange(await this.#connection.read(METHOD.range, request, options));
      revision ??= page.revision;
      for (const item of page.items) items.push(item);
      const last = page.items.at(-1);
      if (!page.more || !last) return { items, revision };
      from = `${last.path}\0`;
    }
  }

  async #put(
    condition: Condition,
    value: string,
    options: OperationOptions | undefined,
  ): Promise<WriteResult> {
    const { succeeded, revision, items } = await this.#transaction(putTransaction(condition, value), options);
    return succeeded ? { written: true, revision } : { written: false, current: items[0] };
  }

  async #transaction(request: Buffer, options: OperationOptions | undefined): Promise<Transaction> {
    return readTransaction(await this.#connection.write(METHOD.transaction, request, options));
  }
}
