/**
 * A datastore over a flat key-value store: `layout.ts` says where, `metadata.ts` says how, the store does the
 * rest. What is decided here is what a refused write means, and which of two stored policies of one name counts
 * (`policy-name.ts`): the one stored under its own name. The other is seen only where that one is absent.
 */

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "../daemon/log.ts";
import type {
  Datastore,
  Entry,
  Listing,
  OperationOptions,
  Revision,
  Value,
  WatchBatch,
  WatchEvent,
  WatchOptions,
} from "./datastore.ts";
import { defaultAllowEntry, isDefaultAllow, queryHasDefaultAllow } from "./default-allow.ts";
import { DatastoreError, DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { type Key, type Kind, key, type Query, queryMatches } from "./key.ts";
import type { KeyValue, KeyValueEvent, KeyValueStore } from "./key-value-store.ts";
import { keyAt, pathOf, rangeOf } from "./layout.ts";
import { decodeValue, encodeValue, type Stamps, systemStamps, withCreationStamps } from "./metadata.ts";
import { isTieredPolicy, legacyName } from "./policy-name.ts";

export interface KeyValueDatastoreOptions {
  readonly logger?: Logger | undefined;
  readonly stamps?: Stamps | undefined;
}

export class KeyValueDatastore implements Datastore {
  readonly #store: KeyValueStore;
  readonly #logger: Logger | undefined;
  readonly #stamps: Stamps;

  constructor(store: KeyValueStore, options: KeyValueDatastoreOptions = {}) {
    this.#store = store;
    this.#logger = options.logger;
    this.#stamps = options.stamps ?? systemStamps;
  }

  async get<K extends Kind>(k: Key<K>, options?: OperationOptions): Promise<Entry<K>> {
    if (isDefaultAllow(k)) return defaultAllowEntry() as Entry<Kind> as Entry<K>;
    const found = (await this.#store.get(pathOf(k), options)) ?? (await this.#legacy(k, options))?.stored;
    if (!found) throw new DatastoreError(DatastoreErrorCode.NotFound, { key: k });
    return decodeOrThrow(k.kind, found);
  }

  async list<K extends Kind>(query: Query<K>, options?: OperationOptions): Promise<Listing<K>> {
    for (;;) {
      try {
        return await this.#listAll(query, options);
      } catch (error) {
        if (!isDatastoreError(error, DatastoreErrorCode.Compacted)) throw error;
      }
    }
  }

  async *listPages<K extends Kind>(query: Query<K>, options?: OperationOptions): AsyncIterable<Listing<K>> {
    // Which of two policies of one name counts, only the whole tells; and what is nowhere stored comes with the whole.
    if (isTieredPolicy(query.kind) || queryHasDefaultAllow(query)) {
      yield await this.list(query, options);
      return;
    }
    for await (const { items, revision } of this.#store.pages(rangeOf(query), options)) {
      const entries = items.flatMap(item => {
        const stored = keyAt(query.kind, item.path);
        const entry = stored && this.#decodeOrSkip(stored, item);
        return entry && queryMatches(query, entry.key) ? [entry] : [];
      });
      yield { entries, revision };
      await nextTurn();
    }
  }

  async #listAll<K extends Kind>(query: Query<K>, options?: OperationOptions): Promise<Listing<K>> {
    // Older Calicos store a policy under a longer name, so a name prefix does not narrow the range.
    const { namePrefix: _, ...anyName } = query;
    const wanted = isTieredPolicy(query.kind) ? (anyName as Query<K>) : query;
    const entries: Entry<K>[] = [];
    const legacy: Entry<K>[] = [];
    let revision = "" as Revision;
    for await (const page of this.#store.pages(rangeOf(wanted), options)) {
      // Decoding a page takes some 5 ms; then whoever shares the event loop (BGP keepalives) gets a turn.
      if (revision !== "") await nextTurn();
      revision = page.revision;
      for (const item of page.items) {
        const stored = keyAt(query.kind, item.path);
        const entry = stored && this.#decodeOrSkip(stored, item);
        if (!entry || !queryMatches(query, entry.key)) continue;
        (entry.key.name === stored.name ? entries : legacy).push(entry);
      }
    }
    addUnshadowed(entries, legacy);
    if (queryHasDefaultAllow(query)) insertInOrder(entries, defaultAllowEntry() as Entry<Kind> as Entry<K>);
    return { entries, revision };
  }

  async create<K extends Kind>(k: Key<K>, value: Value, options?: OperationOptions): Promise<Entry<K>> {
    if (isDefaultAllow(k) || (await this.#legacy(k, options))) {
      throw new DatastoreError(DatastoreErrorCode.AlreadyExists, { key: k });
    }
    const text = encodeValue(k, withCreationStamps(k.kind, value, this.#stamps));
    const result = await this.#named(k, this.#store.create(pathOf(k), text, options));
    if (!result.written) throw new DatastoreError(DatastoreErrorCode.AlreadyExists, { key: k });
    return writtenEntry(k, k, text, result.revision);
  }

  async update<K extends Kind>(
    k: Key<K>,
    value: Value,
    revision: Revision,
    options?: OperationOptions,
  ): Promise<Entry<K>> {
    this.#refuseDefaultAllow(k);
    let stored = k;
    let text = encodeValue(k, value);
    let result = await this.#named(k, this.#store.update(pathOf(k), text, revision, options));
    if (!result.written && !result.current) {
      const legacy = await this.#legacy(k, options);
      if (legacy) {
        stored = legacy.key;
        text = encodeValue(k, value, stored.name);
        result = await this.#named(k, this.#store.update(pathOf(stored), text, revision, options));
      }
    }
    if (!result.written) throw refused(k, result.current);
    return writtenEntry(k, stored, text, result.revision);
  }

  async delete<K extends Kind>(
    k: Key<K>,
    revision?: Revision,
    options?: OperationOptions,
  ): Promise<Entry<K>> {
    this.#refuseDefaultAllow(k);
    let result = await this.#named(k, this.#store.delete(pathOf(k), revision, options));
    if (!result.deleted && !result.current) {
      const legacy = await this.#legacy(k, options);
      if (legacy) result = await this.#named(k, this.#store.delete(pathOf(legacy.key), revision, options));
    }
    if (!result.deleted) throw refused(k, result.current);
    try {
      return decodeOrThrow(k.kind, result.deleted);
    } catch {
      // What could not be read can still be deleted.
      return { key: k, value: {}, revision: result.deleted.revision };
    }
  }

  async *watch<K extends Kind>(query: Query<K>, options: WatchOptions): AsyncIterable<WatchBatch<K>> {
    const { namePrefix: _, ...anyName } = query;
    const range = rangeOf(isTieredPolicy(query.kind) ? anyName : query);
    for await (const batch of this.#store.watch(range, options.from, options.signal)) {
      const events: WatchEvent<K>[] = [];
      for (const event of batch.events) {
        const stored = keyAt(query.kind, event.path);
        if (!stored || isDefaultAllow(stored)) continue;
        const read = isTieredPolicy(query.kind)
          ? await this.#policyEvent(stored, event)
          : plainEvent(stored, event);
        if (!read) continue;
        if (queryMatches(query, read.type === "put" ? read.entry.key : read.key)) events.push(read);
      }
      yield { events, revision: batch.revision };
    }
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  /** The policy as an older Calico stored it, if it is. */
  async #legacy<K extends Kind>(
    k: Key<K>,
    options?: OperationOptions,
  ): Promise<{ key: Key<K>; stored: KeyValue } | undefined> {
    if (!isTieredPolicy(k.kind)) return undefined;
    const legacy = key(k.kind, legacyName(k.name), k.namespace);
    const stored = await this.#store.get(pathOf(legacy), options);
    return stored && effectiveKey(legacy, stored.value)?.name === k.name
      ? { key: legacy, stored }
      : undefined;
  }

  /**
   * A policy can be stored twice, and a migration moves it: created under its own name, then deleted under the
   * old one. Read literally, that second event would say that the policy is gone. So what is reported of the
   * lesser copy depends on whether the better one is there.
   */
  async #policyEvent<K extends Kind>(
    stored: Key<K>,
    event: KeyValueEvent,
  ): Promise<WatchEvent<K> | undefined> {
    const text = event.type === "put" ? event.value : event.previous;
    const own = (text === undefined ? undefined : effectiveKey(stored, text)) ?? stored;
    if (own.name !== stored.name) {
      if (await this.#store.get(pathOf(own))) return undefined;
    } else if (event.type === "delete") {
      const legacy = await this.#legacy(own);
      if (legacy) {
        return plainEvent(legacy.key, {
          type: "put",
          path: event.path,
          value: legacy.stored.value,
          revision: legacy.stored.revision,
          created: false,
        });
      }
    }
    return event.type === "delete"
      ? { type: "delete", key: own, revision: event.revision }
      : plainEvent(stored, event);
  }

  #decodeOrSkip<K extends Kind>(stored: Key<K>, item: KeyValue): Entry<K> | undefined {
    try {
      return entryOf(stored, item.value, item.revision);
    } catch (error) {
      this.#logger?.warn({ path: item.path, err: error }, "skipping a stored value that cannot be read");
      return undefined;
    }
  }

  /** Errors of the store, with the key they are about. */
  async #named<T>(k: Key, operation: Promise<T>): Promise<T> {
    try {
      return await operation;
    } catch (error) {
      if (error instanceof DatastoreError && error.code === DatastoreErrorCode.Full && !error.key) {
        throw new DatastoreError(error.code, { key: k, message: error.message, cause: error.cause });
      }
      throw error;
    }
  }

  #refuseDefaultAllow(k: Key): void {
    if (isDefaultAllow(k)) {
      throw new DatastoreError(DatastoreErrorCode.NotSupported, {
        key: k,
        message: "this profile is built in and cannot be changed",
      });
    }
  }
}

function refused(k: Key, current: KeyValue | undefined): DatastoreError {
  return current
    ? new DatastoreError(DatastoreErrorCode.Conflict, { key: k, message: "changed by someone else" })
    : new DatastoreError(DatastoreErrorCode.NotFound, { key: k });
}

/** What was written, as reading it gives it. Decoded when looked at: most writers want to know the revision only. */
function writtenEntry<K extends Kind>(k: Key<K>, stored: Key<K>, text: string, revision: Revision): Entry<K> {
  let value: Value;
  return {
    key: k,
    revision,
    get value() {
      value ??= decodeValue(stored, text, revision).value;
      return value;
    },
  };
}

function entryOf<K extends Kind>(stored: Key<K>, text: string, revision: Revision): Entry<K> {
  return { ...decodeValue(stored, text, revision), revision };
}

function decodeOrThrow<K extends Kind>(kind: K, item: KeyValue): Entry<K> {
  const stored = keyAt(kind, item.path)!;
  try {
    return entryOf(stored, item.value, item.revision);
  } catch (error) {
    throw new DatastoreError(DatastoreErrorCode.Corrupt, {
      key: stored,
      message: `what is stored cannot be read: ${(error as Error).message}`,
      cause: error,
    });
  }
}

function plainEvent<K extends Kind>(stored: Key<K>, event: KeyValueEvent): WatchEvent<K> {
  if (event.type === "delete") return { type: "delete", key: stored, revision: event.revision };
  try {
    return {
      type: "put",
      entry: entryOf(stored, event.value, event.revision),
      created: event.created,
    };
  } catch (error) {
    return { type: "corrupt", key: stored, message: (error as Error).message };
  }
}

function effectiveKey<K extends Kind>(stored: Key<K>, text: string): Key<K> | undefined {
  try {
    return decodeValue(stored, text, "" as Revision).key;
  } catch {
    return undefined;
  }
}

/** Adds the policies stored under an older name, save those that are also stored under their own. */
function addUnshadowed<K extends Kind>(entries: Entry<K>[], legacy: readonly Entry<K>[]): void {
  if (legacy.length === 0) return;
  const taken = new Set(entries.map(entry => pathOf(entry.key)));
  for (const entry of legacy) {
    const path = pathOf(entry.key);
    if (!taken.has(path)) entries.push(entry);
    taken.add(path);
  }
  entries.sort((a, b) => (pathOf(a.key) < pathOf(b.key) ? -1 : 1));
}

function insertInOrder<K extends Kind>(entries: Entry<K>[], entry: Entry<K>): void {
  const at = entries.findIndex(other => other.key.name > entry.key.name);
  entries.splice(at < 0 ? entries.length : at, 0, entry);
}
