/**
 * What a flat, revisioned key-value store must offer for `key-value-datastore.ts` to make a datastore of it:
 * paths to text, one counter of changes for the whole store, compare-and-swap on one path, and a watch over a
 * range of paths. The embedded store, etcd and the in-memory double are such stores; Kubernetes is not.
 *
 * A refused compare is a value, not an error: the caller knows best what it means. Errors thrown are
 * DatastoreError without a key: Unavailable, Unauthorized, Full, Compacted (watch only), Corrupt.
 */

import type { OperationOptions, Revision } from "./datastore.ts";

/** The paths p with start <= p < end, in byte order. */
export interface PathRange {
  readonly start: string;
  readonly end: string;
}

export interface KeyValue {
  readonly path: string;
  readonly value: string;
  /** The revision of the last write to this path. */
  readonly revision: Revision;
}

export interface Page {
  readonly items: KeyValue[];
  /** Of all pages. */
  readonly revision: Revision;
}

export type WriteResult =
  | { readonly written: true; readonly revision: Revision }
  /** What is there instead, if anything. */
  | { readonly written: false; readonly current: KeyValue | undefined };

export type DeleteResult =
  | { readonly deleted: KeyValue }
  | { readonly deleted: undefined; readonly current: KeyValue | undefined };

export type KeyValueEvent =
  | {
      readonly type: "put";
      readonly path: string;
      readonly value: string;
      readonly revision: Revision;
      readonly created: boolean;
    }
  | {
      readonly type: "delete";
      readonly path: string;
      readonly revision: Revision;
      /** The deleted value, where the store still has it. */
      readonly previous: string | undefined;
    };

export interface KeyValueBatch {
  readonly events: readonly KeyValueEvent[];
  readonly revision: Revision;
}

export interface KeyValueStore {
  get(path: string, options?: OperationOptions): Promise<KeyValue | undefined>;
  /**
   * A consistent picture of the range at one revision, in path order, in pages of some thousand, one at least. What
   * reads them need not hold them all. @throws Compacted: it has to be begun again
   */
  pages(range: PathRange, options?: OperationOptions): AsyncIterable<Page>;
  create(path: string, value: string, options?: OperationOptions): Promise<WriteResult>;
  update(path: string, value: string, revision: Revision, options?: OperationOptions): Promise<WriteResult>;
  delete(path: string, revision?: Revision, options?: OperationOptions): Promise<DeleteResult>;
  watch(range: PathRange, from: Revision, signal?: AbortSignal): AsyncIterable<KeyValueBatch>;
  close(): Promise<void>;
}

/** The range of all paths that start with `prefix`. */
export function prefixRange(prefix: string): PathRange {
  const last = prefix.codePointAt(prefix.length - 1) ?? 0;
  return { start: prefix, end: prefix.slice(0, -1) + String.fromCodePoint(last + 1) };
}
