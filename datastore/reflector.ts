/**
 * Keeps a consumer's picture of some queries up to date for as long as it runs: list, watch, and whatever it
 * takes to get back to watching. This is what the agents live on.
 *
 * What the consumer can rely on: once a query has been listed, applying the updates in order to an empty picture gives,
 * after each batch, a state that its part of the store had; every deletion is told, also one that happened while the store
 * could not be reached; what has not changed is not repeated. `in-sync` comes exactly once, after all queries
 * have been listed. A lost store changes nothing for the consumer: the last known state stays in force.
 *
 * Cost: O(1) per event; O(listed) per relist, which only a compacted history makes necessary: a connection that
 * was merely lost resumes where it stopped. Per key two words of memory besides its name.
 */

import { jitteredBackoff } from "../daemon/backoff.ts";
import { type Clock, systemClock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { Datastore, Listing, Revision, Value, WatchEvent } from "./datastore.ts";
import { DatastoreErrorCode, isDatastoreError } from "./errors.ts";
import { type Key, type Kind, key, keyText, type Query } from "./key.ts";
import { isNamespaced } from "./layout.ts";

export type Update<K extends Kind = Kind> =
  | { readonly type: "put"; readonly key: Key<K>; readonly value: Value; readonly revision: Revision }
  | { readonly type: "delete"; readonly key: Key<K> };

/** waiting: nothing listed yet; syncing: some queries listed; in-sync: all have been. Only ever moves forward. */
export type ReflectorStatus = "waiting" | "syncing" | "in-sync";

export interface ReflectorOptions {
  readonly datastore: Datastore;
  readonly queries: readonly Query[];
  /** Never called with an empty batch; the next batch waits for a returned promise. */
  readonly onUpdates: (updates: Update[]) => void | Promise<void>;
  readonly onStatus?: (status: ReflectorStatus) => void;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  readonly backoff?: { readonly firstMs?: number; readonly maxMs?: number };
}

/** What the consumer has been told of one query: name (and namespace) to revision. There may be 100,000 of these. */
type Known = Map<string, Revision>;

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #clock: Clock;
  readonly #unlisted: Set<Query>;
  readonly #lost = new Set<Query>();
  readonly #progress = new Map<Query, Revision>();
  #status: ReflectorStatus = "waiting";

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#unlisted = new Set(options.queries);
  }

  get status(): ReflectorStatus {
    return this.#status;
  }

  /** Whether all queries are being followed right now. */
  get connected(): boolean {
    return this.#lost.size === 0 && this.#unlisted.size === 0;
  }

  /** Up to where the consumer has been told, of each query that has been listed. */
  get progress(): ReadonlyMap<Query, Revision> {
    return this.#progress;
  }

  /** Runs until the signal aborts or the store is closed. Rejects only with what the consumer threw. */
  async run(signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    this.#options.onStatus?.("waiting");
    const followers = this.#options.queries.map(async query => {
      try {
        await this.#follow(query, either);
      } catch (error) {
        failed.abort();
        throw error instanceof ConsumerFailure ? error.cause : error;
      }
    });
    const results = await Promise.allSettled(followers);
    const rejected = results.find(result => result.status === "rejected");
    if (rejected) throw rejected.reason;
  }

  async #follow(query: Query, signal: AbortSignal): Promise<void> {
    const { datastore, random = Math.random } = this.#options;
    const backoff = jitteredBackoff({ ...this.#options.backoff, random });
    const known: Known = new Map();
    let from: Revision | undefined;
    while (!signal.aborted) {
      try {
        if (from === undefined) {
          from = this.#unlisted.has(query)
            ? await this.#listFirst(query, known, signal)
            : await this.#listAgain(query, known, signal);
          this.#progress.set(query, from);
          this.#listed(query);
        }
        for await (const batch of datastore.watch(query, { from, signal })) {
          this.#found(query);
          backoff.reset();
          await this.#deliver(this.#news(known, batch.events));
          from = batch.revision;
          this.#progress.set(query, from);
        }
        return;
      } catch (error) {
        if (error instanceof ConsumerFailure) throw error;
        if (signal.aborted) return;
        // History that is forgotten is no loss of the store; anything else is, whatever it is called.
        if (isDatastoreError(error, DatastoreErrorCode.Compacted)) {
          this.#options.logger?.debug({ query }, "history compacted, listing again");
          from = undefined;
        } else this.#losing(query, error);
      }
      await this.#clock.sleep(backoff.next(), signal).catch(() => {});
    }
  }

  /**
   * Portion by portion: until all is listed nobody takes it for a whole, and nobody has to hold it. What an attempt that
   * broke off has told already is not told again, and what has gone since is told at the end.
   */
  async #listFirst(query: Query, known: Known, signal: AbortSignal): Promise<Revision> {
    const told = known.size > 0 ? new Set<string>() : undefined;
    let revision = "" as Revision;
    for await (const page of this.#options.datastore.listPages(query, { signal })) {
      revision = page.revision;
      for (const { key } of page.entries) told?.add(idOf(key));
      await this.#deliver(newOf(known, page));
    }
    if (told) await this.#deliver(goneOf(query, known, told));
    return revision;
  }

  /** In one step, from one state to another. */
  async #listAgain(query: Query, known: Known, signal: AbortSignal): Promise<Revision> {
    const listing = await this.#options.datastore.list(query, { signal });
    const listed = new Set(listing.entries.map(entry => idOf(entry.key)));
    await this.#deliver([...goneOf(query, known, listed), ...newOf(known, listing)]);
    return listing.revision;
  }

  async #deliver(updates: Update[]): Promise<void> {
    if (updates.length === 0) return;
    try {
      await this.#options.onUpdates(updates);
    } catch (error) {
      throw new ConsumerFailure(error);
    }
  }

  #news(known: Known, events: readonly WatchEvent[]): Update[] {
    const updates: Update[] = [];
    for (const event of events) {
      if (event.type === "put") {
        const { key, value, revision } = event.entry;
        if (learn(known, key, revision)) updates.push({ type: "put", key, value, revision });
        continue;
      }
      if (event.type === "corrupt") {
        // As a list does, which skips it: the state must not depend on when the agent was started.
        this.#options.logger?.error(
          { key: keyText(event.key), reason: event.message },
          "a stored value cannot be read, treating it as deleted",
        );
      }
      if (known.delete(idOf(event.key))) updates.push({ type: "delete", key: event.key });
    }
    return updates;
  }

  #listed(query: Query): void {
    if (!this.#unlisted.delete(query)) return;
    this.#advance("syncing");
    if (this.#unlisted.size === 0) this.#advance("in-sync");
  }

  #advance(status: ReflectorStatus): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#options.onStatus?.(status);
  }

  #losing(query: Query, error: unknown): void {
    if (this.#lost.size === 0) {
      this.#options.logger?.warn({ err: error }, "lost the datastore; the last known state stays in force");
    }
    this.#lost.add(query);
  }

  #found(query: Query): void {
    if (this.#lost.delete(query) && this.#lost.size === 0) {
      this.#options.logger?.info("the datastore is back");
    }
  }
}

/** What the consumer threw, told apart from what the store threw. */
class ConsumerFailure extends Error {
  constructor(cause: unknown) {
    super("the consumer failed", { cause });
  }
}

/** False if this revision is what the consumer already has. */
function learn(known: Known, key: Key, revision: Revision): boolean {
  const id = idOf(key);
  if (known.get(id) === revision) return false;
  known.set(id, revision);
  return true;
}

/** Of a key whose kind is known; a namespace has no slash. */
function idOf({ name, namespace }: Key): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function keyOf({ kind }: Query, id: string): Key {
  if (!isNamespaced(kind) && kind !== "BlockAffinity") return key(kind, id);
  const slash = id.indexOf("/");
  return key(kind, id.slice(slash + 1), id.slice(0, slash));
}

/** What is known and not listed; afterwards it is not known. */
function goneOf(query: Query, known: Known, listed: ReadonlySet<string>): Update[] {
  const updates: Update[] = [];
  for (const id of known.keys()) {
    if (listed.has(id)) continue;
    known.delete(id);
    updates.push({ type: "delete", key: keyOf(query, id) });
  }
  return updates;
}

/** What is listed and not known as it is; afterwards it is. */
function newOf(known: Known, { entries }: Listing): Update[] {
  const updates: Update[] = [];
  for (const { key, value, revision } of entries) {
    if (learn(known, key, revision)) updates.push({ type: "put", key, value, revision });
  }
  return updates;
}
