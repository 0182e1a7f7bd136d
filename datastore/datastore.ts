/**
 * The one interface between Calyx and whatever keeps its state. Every store passes the same compliance suite
 * (`test/unit/datastore/compliance.ts`); what is above never knows which one it talks to.
 *
 * - Every write is compare-and-swap on a single key; there are no multi-key transactions (etcd in Calico's
 *   layout and the Kubernetes API have none that fit), so protocols above are built to be resumable.
 * - Revisions are opaque decimal strings, comparable only for equality.
 * - A value read from a store is the reader's own: changing it changes nothing else.
 */

import type { Key, Kind, Query } from "./key.ts";

declare const revisionBrand: unique symbol;

/** The version of one key, or of a whole list, as the store counts. */
export type Revision = string & { readonly [revisionBrand]: true };

/** Values are JSON objects: API resources, or IPAM records. */
// biome-ignore lint/suspicious/noExplicitAny: the typed views are the clients' (client.ts, ipam/records.ts)
export type Value = any;

export interface Entry<K extends Kind = Kind, V = Value> {
  readonly key: Key<K>;
  readonly value: V;
  readonly revision: Revision;
}

export interface Listing<K extends Kind = Kind, V = Value> {
  readonly entries: Entry<K, V>[];
  /** Watching from here misses nothing that happened after the list. */
  readonly revision: Revision;
}

export type WatchEvent<K extends Kind = Kind, V = Value> =
  | { readonly type: "put"; readonly entry: Entry<K, V>; readonly created: boolean }
  | { readonly type: "delete"; readonly key: Key<K>; readonly revision: Revision }
  /** A stored value that cannot be read; the watch goes on. */
  | { readonly type: "corrupt"; readonly key: Key<K>; readonly message: string };

export interface WatchBatch<K extends Kind = Kind, V = Value> {
  /** In the order of the store. May be empty: then the batch only reports progress. */
  readonly events: WatchEvent<K, V>[];
  /** Everything up to here has been reported: a watch that broke resumes from here without loss or repetition. */
  readonly revision: Revision;
}

export interface OperationOptions {
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends OperationOptions {
  /** Only what happened after this revision (of a listing, or of a watch's last batch) is reported. */
  readonly from: Revision;
}

export interface Datastore {
  /** @throws DatastoreError NotFound, Corrupt, Unavailable, Unauthorized (these last two from every method) */
  get<K extends Kind>(key: Key<K>, options?: OperationOptions): Promise<Entry<K>>;

  /** Unreadable entries are skipped. Entries come in the order of their paths in Calico's layout (`layout.ts`). */
  list<K extends Kind>(query: Query<K>, options?: OperationOptions): Promise<Listing<K>>;

  /**
   * The same in portions, all of one revision, for those who need not hold it all; entries in no particular order.
   * @throws DatastoreError Compacted: too much time has passed between two portions, and it has to be begun again
   */
  listPages<K extends Kind>(query: Query<K>, options?: OperationOptions): AsyncIterable<Listing<K>>;

  /** @throws DatastoreError AlreadyExists, Full */
  create<K extends Kind>(key: Key<K>, value: Value, options?: OperationOptions): Promise<Entry<K>>;

  /** Writes only if the key still has `revision`. @throws DatastoreError NotFound, Conflict, Full */
  update<K extends Kind>(
    key: Key<K>,
    value: Value,
    revision: Revision,
    options?: OperationOptions,
  ): Promise<Entry<K>>;

  /** Deletes if the key still has `revision`, or whatever it has if none is given; gives what was deleted. @throws DatastoreError NotFound, Conflict */
  delete<K extends Kind>(key: Key<K>, revision?: Revision, options?: OperationOptions): Promise<Entry<K>>;

  /**
   * Changes after `from`, in the order of the store, each once, in batches as they arrive. The first batch comes
   * as soon as the watch stands, empty if there is nothing yet. Ends without error when the signal aborts or
   * the store is closed.
   * @throws DatastoreError Unavailable: watch again from the last batch's revision; Compacted: list again
   * (`reflector.ts` does both).
   */
  watch<K extends Kind>(query: Query<K>, options: WatchOptions): AsyncIterable<WatchBatch<K>>;

  /** Ends all watches and frees the connection. Idempotent. */
  close(): Promise<void>;
}
