/**
 * Between a store that reports changes when they happen and a watcher that takes them when it can: an unbounded
 * promise queue would hide a watcher that has stopped, so beyond `limit` events the queue fails with Compacted,
 * which means what it says: what you missed is no longer kept, list again.
 */

import type { Revision } from "./datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "./errors.ts";
import type { KeyValueBatch, KeyValueEvent } from "./key-value-store.ts";

const DEFAULT_LIMIT = 100_000;

export class WatchQueue implements AsyncIterable<KeyValueBatch> {
  #events: KeyValueEvent[] = [];
  #revision: Revision | undefined;
  #failure: unknown;
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #limit: number;

  constructor(limit = DEFAULT_LIMIT) {
    this.#limit = limit;
  }

  push(events: readonly KeyValueEvent[], revision: Revision): void {
    if (this.#ended) return;
    if (this.#events.length + events.length > this.#limit) {
      this.fail(
        new DatastoreError(DatastoreErrorCode.Compacted, {
          message: `the watcher is more than ${this.#limit} changes behind`,
        }),
      );
      return;
    }
    // Not push(...events): a catch-up batch can be longer than the argument limit.
    for (const event of events) this.#events.push(event);
    this.#revision = revision;
    this.#wake?.();
  }

  /** Ends the iteration with an error, after what is already queued has been taken. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = error;
    this.end();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<KeyValueBatch, void, undefined> {
    for (;;) {
      if (this.#revision !== undefined) {
        const batch = { events: this.#events, revision: this.#revision };
        this.#events = [];
        this.#revision = undefined;
        yield batch;
      } else if (this.#ended) {
        if (this.#failure !== undefined) throw this.#failure;
        return;
      } else {
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
