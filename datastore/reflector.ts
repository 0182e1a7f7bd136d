/**
 * Keeps a consumer's picture of some queries up to date for as long as it runs: list, watch, and whatever it
 * takes to get back to watching. This is what the agents live on.
 *
 * What the consumer can rely on: applying the updates in order to an empty picture gives, after each batch, a
 * state that each query's part of the store had; every deletion is told, also one that happened while the store
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
import { type Key, type Kind, keyText, type Query } from "./key.ts";

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

/** What the consumer has been told of one query. */
type Known = Map<string, { readonly key: Key; revision: Revision }>;

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
          const listing = await datastore.list(query, { signal });
          await this.#deliver(difference(known, listing));
          from = listing.revision;
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
      if (known.delete(keyText(event.key))) updates.push({ type: "delete", key: event.key });
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
  const text = keyText(key);
  const previous = known.get(text);
  if (!previous) known.set(text, { key, revision });
  else if (previous.revision === revision) return false;
  else previous.revision = revision;
  return true;
}

/** From what is known to what was listed; afterwards that is what is known. */
function difference(known: Known, listing: Listing): Update[] {
  const updates: Update[] = [];
  if (known.size > 0) {
    const listed = new Set(listing.entries.map(entry => keyText(entry.key)));
    for (const [text, { key }] of known) {
      if (listed.has(text)) continue;
      known.delete(text);
      updates.push({ type: "delete", key });
    }
  }
  for (const { key, value, revision } of listing.entries) {
    if (learn(known, key, revision)) updates.push({ type: "put", key, value, revision });
  }
  return updates;
}
