/**
 * One reader of the change log per process, however many watches there are: it is woken by the doorbell (or by
 * this process's own commits, or by the clock), reads what is new once, and hands each watch what is in its
 * range. While nobody watches, nothing runs.
 */

import type { Clock } from "../../daemon/clock.ts";
import { DatastoreError, DatastoreErrorCode } from "../errors.ts";
import type { KeyValueEvent, PathRange } from "../key-value-store.ts";
import { WatchQueue } from "../watch-queue.ts";
import type { Doorbell } from "./doorbell.ts";
import { isBusy } from "./sqlite-error.ts";
import { revisionText } from "./statements.ts";

const POLL_MS = 500;
const POLL_WITHOUT_BELL_MS = 25;
const BUSY_MS = 2;
const READ_AT_ONCE = 2000;

export interface ChangeRow {
  readonly revision: number;
  readonly path: string;
  readonly operation: "create" | "update" | "delete";
  readonly value: string;
}

/** What the feed reads from; each call is one short read transaction. */
export interface ChangeLog {
  bounds(): { revision: number; compacted: number };
  changes(after: number, limit: number): ChangeRow[];
  changesIn(range: PathRange, after: number, upTo: number): ChangeRow[];
}

interface Watch {
  readonly range: PathRange;
  readonly queue: WatchQueue;
}

export class ChangeFeed {
  readonly #log: ChangeLog;
  readonly #bell: Doorbell;
  readonly #clock: Clock;
  readonly #watches = new Set<Watch>();
  /** All watches have been given everything up to here. */
  #position = 0;
  #scheduled = false;
  #running: AbortController | undefined;

  constructor(log: ChangeLog, bell: Doorbell, clock: Clock) {
    this.#log = log;
    this.#bell = bell;
    this.#clock = clock;
  }

  /** @throws DatastoreError Compacted; SQLite's errors */
  subscribe(range: PathRange, from: number): { queue: WatchQueue; unsubscribe: () => void } {
    const { revision, compacted } = this.#log.bounds();
    // A revision from the future is one of a store that has since been replaced.
    if (from < compacted || from > revision) {
      throw new DatastoreError(DatastoreErrorCode.Compacted, {
        message: `revision ${from} is no longer known (${compacted} to ${revision} are)`,
      });
    }
    if (this.#watches.size === 0) this.#position = revision;
    const subscription = { range, queue: new WatchQueue() };
    const missed = this.#log.changesIn(range, from, this.#position).map(eventOf);
    subscription.queue.push(missed, revisionText(Math.max(from, this.#position)));
    this.#watches.add(subscription);
    this.#start();
    return {
      queue: subscription.queue,
      unsubscribe: () => {
        this.#watches.delete(subscription);
        if (this.#watches.size === 0) this.#stop();
      },
    };
  }

  /** There may be something new. */
  poke(): void {
    if (this.#scheduled || this.#watches.size === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#drain();
    });
  }

  fail(error: unknown): void {
    for (const { queue } of this.#watches) queue.fail(error);
  }

  end(): void {
    for (const { queue } of this.#watches) queue.end();
    this.#stop();
  }

  #drain(): void {
    try {
      for (;;) {
        if (this.#watches.size === 0) return;
        const { revision, compacted } = this.#log.bounds();
        if (compacted > this.#position || revision < this.#position) {
          this.#position = revision;
          this.fail(new DatastoreError(DatastoreErrorCode.Compacted));
          return;
        }
        if (revision === this.#position) return;
        this.#dispatch(this.#log.changes(this.#position, READ_AT_ONCE));
      }
    } catch (error) {
      if (isBusy(error)) {
        const { signal } = this.#running ?? {};
        this.#clock.sleep(BUSY_MS, signal).then(
          () => this.poke(),
          () => {},
        );
      } else this.fail(error);
    }
  }

  #dispatch(rows: readonly ChangeRow[]): void {
    const last = rows.at(-1);
    if (!last) return;
    const events = rows.map(eventOf);
    for (const { range, queue } of this.#watches) {
      const mine = events.filter(({ path }) => range.start <= path && path < range.end);
      if (mine.length > 0) queue.push(mine, revisionText(last.revision));
    }
    this.#position = last.revision;
  }

  #start(): void {
    if (this.#running) return;
    this.#running = new AbortController();
    const heard = this.#bell.listen(() => this.poke());
    void this.#poll(heard ? POLL_MS : POLL_WITHOUT_BELL_MS, this.#running.signal);
  }

  async #poll(everyMs: number, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await this.#clock.sleep(everyMs, signal);
        this.poke();
      }
    } catch {
      // Stopped.
    }
  }

  #stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#bell.silence();
  }
}

function eventOf({ revision, path, operation, value }: ChangeRow): KeyValueEvent {
  return operation === "delete"
    ? { type: "delete", path, revision: revisionText(revision), previous: value }
    : { type: "put", path, value, revision: revisionText(revision), created: operation === "create" };
}
