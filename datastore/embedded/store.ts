/**
 * The embedded store: one SQLite file that every process on the machine opens for itself. There is no server,
 * so nothing to start first and nothing to lose: a process can be killed at any instruction and the others go
 * on. Measured facts behind the choices: reference/kernel.md section 2.
 *
 * - All writes are BEGIN IMMEDIATE (a deferred transaction fails at once when it turns into a writer too late).
 * - SQLite never waits for a lock here: its waiting blocks the event loop, and starves (26 : 1 between equal
 *   writers). We try, sleep a random moment, try again.
 * - A commit may have happened although its writer died before saying so. Callers cannot tell, and need not:
 *   every write is compare-and-swap, they look and go on.
 * - Disk full: nothing is written and nothing breaks; what makes room is still possible (`reserve.ts`).
 */

import { statSync } from "node:fs";
import type { DatabaseSync } from "node:sqlite";
import { type Clock, systemClock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { OperationOptions, Revision } from "../datastore.ts";
import { DatastoreError, DatastoreErrorCode, isDatastoreError } from "../errors.ts";
import type {
  DeleteResult,
  KeyValue,
  KeyValueBatch,
  KeyValueStore,
  Page,
  PathRange,
  WriteResult,
} from "../key-value-store.ts";
import { ChangeFeed, type ChangeLog, type ChangeRow } from "./change-feed.ts";
import { Doorbell } from "./doorbell.ts";
import { Reserve } from "./reserve.ts";
import { openDatabase } from "./schema.ts";
import { PAGE, readFirstPage, readPages } from "./snapshot.ts";
import { isBusy, toDatastoreError } from "./sqlite-error.ts";
import {
  bounds,
  keyValue,
  nextRevision,
  prepareStatements,
  revisionText,
  type Statements,
  trim,
} from "./statements.ts";

export const DEFAULT_PATH = "/var/lib/calyx/datastore.db";

const DEFAULT_HISTORY = 10_000;
/** History is trimmed, and the WAL cut, each time this many revisions have passed. */
const TRIM_EVERY = 256;
const CHECKPOINT_EVERY = 4096;
/** What history is worth when the disk is full. */
const HISTORY_WHEN_FULL = 100;
const MAX_PAUSE_MS = 16;
const LOCK_TIMEOUT_MS = 10_000;

export interface EmbeddedOptions {
  readonly path?: string | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** How many changes a watch can be behind. */
  readonly history?: number | undefined;
  /** How long to wait for other writers before giving up as Unavailable. */
  readonly lockTimeoutMs?: number | undefined;
  readonly reserveBytes?: number | undefined;
  /** A file that is not there makes the store unavailable, instead of being made. */
  readonly mustExist?: boolean | undefined;
}

interface Connection {
  readonly db: DatabaseSync;
  readonly sql: Statements;
  readonly inode: number;
}

export class EmbeddedStore implements KeyValueStore {
  readonly path: string;
  readonly #logger: Logger | undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #history: number;
  readonly #lockTimeoutMs: number;
  readonly #mustExist: boolean;
  readonly #bell: Doorbell;
  readonly #reserve: Reserve;
  readonly #feed: ChangeFeed;
  #connection: Connection | undefined;
  #closed = false;

  constructor(options: EmbeddedOptions = {}) {
    this.path = options.path ?? DEFAULT_PATH;
    this.#logger = options.logger;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#history = options.history ?? DEFAULT_HISTORY;
    this.#lockTimeoutMs = options.lockTimeoutMs ?? LOCK_TIMEOUT_MS;
    this.#mustExist = options.mustExist ?? false;
    this.#bell = new Doorbell(`${this.path}-bell`, this.#logger);
    this.#reserve = new Reserve(`${this.path}-reserve`, options.reserveBytes);
    this.#feed = new ChangeFeed(this.#changeLog(), this.#bell, this.#clock);
  }

  /** Opens the file now rather than at the first use, to learn early that it cannot be. */
  async open(): Promise<void> {
    await this.#attempt(() => this.#connected());
  }

  get(path: string, options?: OperationOptions): Promise<KeyValue | undefined> {
    return this.#attempt(({ sql }) => keyValue(sql.get.get(path)), options?.signal);
  }

  async *pages(range: PathRange, options?: OperationOptions): AsyncIterable<Page> {
    const first = await this.#attempt(({ db, sql }) => readFirstPage(db, sql, range), options?.signal);
    if (first.items.length < PAGE) {
      yield first;
      return;
    }
    const reader = await this.#attempt(() => openDatabase(this.path), options?.signal);
    try {
      yield* readPages(reader, range);
    } catch (error) {
      throw toDatastoreError(error, this.path);
    }
  }

  create(path: string, value: string, options?: OperationOptions): Promise<WriteResult> {
    return this.#write(false, options?.signal, sql => {
      const current = keyValue(sql.get.get(path));
      if (current) return { written: false, current };
      const revision = nextRevision(sql);
      sql.insert.run(path, revision, value);
      sql.record.run(revision, path, "create", value);
      return { written: true, revision: revisionText(revision) };
    });
  }

  async update(
    path: string,
    value: string,
    expected: Revision,
    options?: OperationOptions,
  ): Promise<WriteResult> {
    const write = (makesRoom: boolean) =>
      this.#write<WriteResult>(makesRoom, options?.signal, sql => {
        const current = keyValue(sql.get.get(path));
        if (current?.revision !== expected) return { written: false, current };
        const revision = nextRevision(sql);
        sql.replace.run(revision, value, path);
        sql.record.run(revision, path, "update", value);
        return { written: true, revision: revisionText(revision) };
      });
    try {
      return await write(false);
    } catch (error) {
      if (!isDatastoreError(error, DatastoreErrorCode.Full)) throw error;
      // Releasing an address is an update: it must go through on a full disk, as deletes do.
      const current = await this.get(path, options);
      if (!current || value.length > current.value.length) throw error;
      return await write(true);
    }
  }

  delete(path: string, expected?: Revision, options?: OperationOptions): Promise<DeleteResult> {
    return this.#write(true, options?.signal, sql => {
      const current = keyValue(sql.get.get(path));
      if (!current || (expected !== undefined && current.revision !== expected)) {
        return { deleted: undefined, current };
      }
      const revision = nextRevision(sql);
      sql.remove.run(path);
      sql.record.run(revision, path, "delete", current.value);
      return { deleted: current };
    });
  }

  async *watch(range: PathRange, from: Revision, signal?: AbortSignal): AsyncIterable<KeyValueBatch> {
    if (signal?.aborted) return;
    const { queue, unsubscribe } = await this.#attempt(() => this.#feed.subscribe(range, Number(from)));
    const end = () => queue.end();
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
    try {
      yield* queue;
    } finally {
      unsubscribe();
      signal?.removeEventListener("abort", end);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#feed.end();
    this.#disconnect();
    this.#bell.close();
  }

  /**
   * Runs one transaction; what it returns has been committed, and is on disk.
   * `makesRoom`: may use the reserve when the disk is full.
   */
  async #write<T>(
    makesRoom: boolean,
    signal: AbortSignal | undefined,
    work: (sql: Statements) => T,
  ): Promise<T> {
    const transaction = ({ db, sql }: Connection): T => {
      db.exec("BEGIN IMMEDIATE");
      try {
        const before = bounds(sql).revision;
        const result = work(sql);
        const { revision } = bounds(sql);
        if (revision === before) {
          db.exec("ROLLBACK");
          return result;
        }
        if (revision % TRIM_EVERY === 0) trim(sql, revision - this.#history);
        db.exec("COMMIT");
        if (revision % CHECKPOINT_EVERY === 0) this.#checkpoint(db);
        return result;
      } catch (error) {
        // SQLite has already rolled back by itself when the disk is full.
        if (db.isTransaction) db.exec("ROLLBACK");
        throw error;
      }
    };
    const result = await this.#attempt(transaction, signal).catch(error =>
      this.#writeOnFullDisk(error, makesRoom, () => this.#attempt(transaction, signal)),
    );
    this.#bell.ring();
    this.#feed.poke();
    return result;
  }

  /** The disk may be full of what can be moved (the WAL), or given up (the reserve). */
  async #writeOnFullDisk<T>(error: unknown, makesRoom: boolean, again: () => Promise<T>): Promise<T> {
    if (!isDatastoreError(error, DatastoreErrorCode.Full)) throw error;
    const { path } = this;
    if (this.#connection && this.#checkpoint(this.#connection.db)) {
      try {
        return await again();
      } catch (stillFull) {
        if (!isDatastoreError(stillFull, DatastoreErrorCode.Full)) throw stillFull;
      }
    }
    if (!(makesRoom && this.#reserve.release())) throw error;
    this.#logger?.warn({ path }, "the disk is full: giving up the datastore's reserve to make room");
    const result = await again();
    await this.#makeRoom();
    return result;
  }

  /** Gives back what history and the WAL take, then tries to put the reserve back. */
  async #makeRoom(): Promise<void> {
    try {
      await this.#attempt(({ db, sql }) => {
        db.exec("BEGIN IMMEDIATE");
        try {
          trim(sql, bounds(sql).revision - HISTORY_WHEN_FULL);
          db.exec("COMMIT");
        } catch (error) {
          if (db.isTransaction) db.exec("ROLLBACK");
          throw error;
        }
        this.#checkpoint(db);
      });
    } catch (error) {
      this.#logger?.warn({ err: error }, "cannot make room in the datastore");
    }
    this.#reserve.restore();
  }

  /** Moves the WAL into the database and cuts it; where somebody is reading, another time. */
  #checkpoint(db: DatabaseSync): boolean {
    try {
      db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
      this.#reserve.restore();
      return true;
    } catch (error) {
      this.#logger?.debug({ err: error }, "checkpoint of the datastore put off");
      return false;
    }
  }

  /** Calls `operation` until no other process is in its way. @throws DatastoreError */
  async #attempt<T>(operation: (connection: Connection) => T, signal?: AbortSignal): Promise<T> {
    let pause = 1;
    let deadline: number | undefined;
    for (;;) {
      signal?.throwIfAborted();
      try {
        return operation(this.#connected());
      } catch (error) {
        if (!isBusy(error)) throw toDatastoreError(error, this.path);
        deadline ??= this.#clock.now() + this.#lockTimeoutMs;
        if (this.#clock.now() >= deadline) throw toDatastoreError(error, this.path);
      }
      await this.#clock.sleep(pause * (0.5 + this.#random()), signal);
      pause = Math.min(MAX_PAUSE_MS, pause * 2);
    }
  }

  /**
   * The open database. A file that was removed or replaced under us would take writes that nobody will ever
   * read, so each use looks whether it is still the one (2 microseconds). One that is gone is not made anew: agents
   * would take the empty store for an order to remove everything.
   */
  #connected(): Connection {
    if (this.#closed) {
      throw new DatastoreError(DatastoreErrorCode.Unavailable, { message: "the datastore has been closed" });
    }
    const inode = inodeOf(this.path);
    if (inode === undefined && (this.#connection || this.#mustExist)) {
      const message = `the datastore's file ${this.path} is not there`;
      throw new DatastoreError(DatastoreErrorCode.Unavailable, { message });
    }
    if (this.#connection) {
      if (inode === this.#connection.inode) return this.#connection;
      this.#logger?.warn({ path: this.path }, "the datastore's file was replaced, opening the new one");
      this.#disconnect();
      this.#bell.close();
      this.#feed.fail(
        new DatastoreError(DatastoreErrorCode.Compacted, { message: "the datastore was replaced" }),
      );
    }
    const db = openDatabase(this.path);
    this.#connection = { db, sql: prepareStatements(db), inode: inodeOf(this.path) ?? 0 };
    this.#reserve.restore();
    return this.#connection;
  }

  #disconnect(): void {
    try {
      this.#connection?.db.close();
    } catch (error) {
      this.#logger?.debug({ err: error }, "closing the datastore");
    }
    this.#connection = undefined;
  }

  #changeLog(): ChangeLog {
    return {
      bounds: () => bounds(this.#connected().sql),
      changes: (after, limit) => this.#connected().sql.changes.all(after, limit) as unknown as ChangeRow[],
      changesIn: ({ start, end }, after, upTo) =>
        this.#connected().sql.changesIn.all(after, upTo, start, end) as unknown as ChangeRow[],
    };
  }
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}
