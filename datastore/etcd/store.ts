/**
 * etcd as a flat store. Every write is a transaction on one key whose failure branch reads what is there
 * instead, so that a refusal costs no second trip. Ranges come in pages at one revision. Watches: `watch.ts`.
 */

import type { ICompare, IKeyValue, IRequestOp, ITxnResponse } from "etcd3";
import type { OperationOptions, Revision } from "../datastore.ts";
import type {
  DeleteResult,
  KeyValue,
  KeyValueBatch,
  KeyValueStore,
  Page,
  PathRange,
  WriteResult,
} from "../key-value-store.ts";
import type { WatchQueue } from "../watch-queue.ts";
import { EtcdConnection } from "./connection.ts";
import type { EtcdOptions } from "./options.ts";
import { openWatch } from "./watch.ts";

/** 2,000 blocks of 2 KB each are 4 MB: some 50 ms of one etcd member's time. */
const PAGE = 2000;

export class EtcdStore implements KeyValueStore {
  readonly #connection: EtcdConnection;
  readonly #watches = new Set<WatchQueue>();

  static async open(options: EtcdOptions): Promise<EtcdStore> {
    return new EtcdStore(await EtcdConnection.open(options));
  }

  constructor(connection: EtcdConnection) {
    this.#connection = connection;
  }

  async get(path: string, options?: OperationOptions): Promise<KeyValue | undefined> {
    const { kvs } = await this.#connection.read(({ kv }) => kv.range({ key: bytes(path) }), options);
    return keyValue(kvs[0]);
  }

  async *pages({ start, end }: PathRange, options?: OperationOptions): AsyncIterable<Page> {
    let revision: Revision | undefined;
    let key = bytes(start);
    for (;;) {
      const page = await this.#connection.read(
        ({ kv }) => kv.range({ key, range_end: bytes(end), limit: PAGE, revision: revision ?? 0 }),
        options,
      );
      revision ??= page.header.revision as Revision;
      yield { items: page.kvs.map(item => keyValue(item)!), revision };
      const last = page.kvs.at(-1);
      if (!page.more || !last) return;
      key = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  async create(path: string, value: string, options?: OperationOptions): Promise<WriteResult> {
    const key = bytes(path);
    const absent: ICompare = { key, target: "Version", result: "Equal", version: "0" };
    const put: IRequestOp = { request_put: { key, value: Buffer.from(value) } };
    return this.#put(await this.#transaction(absent, put, options));
  }

  async update(
    path: string,
    value: string,
    revision: Revision,
    options?: OperationOptions,
  ): Promise<WriteResult> {
    const put: IRequestOp = { request_put: { key: bytes(path), value: Buffer.from(value) } };
    return this.#put(await this.#transaction(unchanged(path, revision), put, options));
  }

  async delete(path: string, revision?: Revision, options?: OperationOptions): Promise<DeleteResult> {
    const request = { key: bytes(path), prev_kv: true };
    if (revision === undefined) {
      const { prev_kvs } = await this.#connection.write(({ kv }) => kv.deleteRange(request), options);
      const deleted = keyValue(prev_kvs[0]);
      return deleted ? { deleted } : { deleted: undefined, current: undefined };
    }
    const remove: IRequestOp = { request_delete_range: request };
    const { succeeded, responses } = await this.#transaction(unchanged(path, revision), remove, options);
    const deleted = succeeded ? keyValue(responses[0]?.response_delete_range.prev_kvs[0]) : undefined;
    return deleted ? { deleted } : { deleted: undefined, current: found(responses) };
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

  #transaction(
    compare: ICompare,
    then: IRequestOp,
    options: OperationOptions | undefined,
  ): Promise<ITxnResponse> {
    const read: IRequestOp = { request_range: { key: compare.key! } };
    return this.#connection.write(
      ({ kv }) => kv.txn({ compare: [compare], success: [then], failure: [read] }),
      options,
    );
  }

  #put({ succeeded, header, responses }: ITxnResponse): WriteResult {
    return succeeded
      ? { written: true, revision: header.revision as Revision }
      : { written: false, current: found(responses) };
  }
}

function unchanged(path: string, revision: Revision): ICompare {
  return { key: bytes(path), target: "Mod", result: "Equal", mod_revision: revision };
}

function found(responses: ITxnResponse["responses"]): KeyValue | undefined {
  return keyValue(responses[0]?.response_range?.kvs[0]);
}

function keyValue(item: IKeyValue | undefined): KeyValue | undefined {
  return (
    item && {
      path: item.key.toString(),
      value: item.value.toString(),
      revision: item.mod_revision as Revision,
    }
  );
}

function bytes(text: string): Buffer {
  return Buffer.from(text);
}
