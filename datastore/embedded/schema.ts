/**
 * The database file: three tables, WAL, and the settings that several processes on one file need.
 *
 * - `counter` holds the one revision counter of the store, and up to where history has been forgotten.
 * - `entry` is what is stored now; `change` is what happened, newest `revision` last, for watches to replay.
 *   An entry and its newest change carry the same revision; both are written in one transaction.
 *
 * synchronous=FULL: an acknowledged write survives power loss. A policy that denies must not be forgotten for
 * the sake of a tenth of a millisecond.
 */

import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { DatastoreError, DatastoreErrorCode } from "../errors.ts";

const SCHEMA_VERSION = 1;
/** "Clyx": tells our file from any other SQLite database. */
const APPLICATION_ID = 0x436c7978;
/**
 * After so many 4 KB pages the WAL is moved into the database. What is not moved yet may make the database grow
 * by as much: on a full disk that room must come from the reserve, which is twice as large (`reserve.ts`).
 */
const CHECKPOINT_PAGES = 256;
/** The WAL is cut to this after a checkpoint; it can be longer in between. */
const WAL_LIMIT_BYTES = CHECKPOINT_PAGES * 4096;

const SCHEMA = `
  CREATE TABLE counter (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    compacted INTEGER NOT NULL
  ) STRICT;
  INSERT INTO counter VALUES (1, 1, 0);
  CREATE TABLE entry (
    path TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    value TEXT NOT NULL
  ) STRICT;
  CREATE TABLE change (
    revision INTEGER PRIMARY KEY,
    path TEXT NOT NULL,
    operation TEXT NOT NULL CHECK (operation IN ('create', 'update', 'delete')),
    value TEXT NOT NULL
  ) STRICT;
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/**
 * Opens the file, and makes it (and its folder, for its owner only) if need be. Never waits for a lock: throws
 * SQLite's BUSY, and the caller tries again.
 */
export function openDatabase(path: string): DatabaseSync {
  if (/^\/(proc|sys)\//.test(path)) {
    // Node's recursive mkdir never comes back from there.
    throw new DatastoreError(DatastoreErrorCode.Unavailable, {
      message: `${path}: no file can be made there`,
    });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  createForOwnerOnly(path);
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    const version = number(db, "user_version");
    if (version === 0) create(db, path);
    else if (number(db, "application_id") !== APPLICATION_ID) throw notOurs(path);
    else if (version !== SCHEMA_VERSION) {
      throw new DatastoreError(DatastoreErrorCode.NotSupported, {
        message: `the datastore ${path} has format ${version}; this version of Calyx reads ${SCHEMA_VERSION}`,
      });
    }
    db.exec(`PRAGMA synchronous = FULL;
      PRAGMA wal_autocheckpoint = ${CHECKPOINT_PAGES};
      PRAGMA journal_size_limit = ${WAL_LIMIT_BYTES}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * SQLite gives its WAL the mode of the database file. Only ever done for a file that is not there: closing any
 * descriptor of an open database drops the locks that this process holds on it.
 */
function createForOwnerOnly(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function create(db: DatabaseSync, path: string): void {
  db.exec("PRAGMA journal_mode = WAL");
  db.exec("BEGIN IMMEDIATE");
  try {
    // Another process may have been first.
    if (number(db, "user_version") === 0) {
      const { tables } = db.prepare("SELECT count(*) AS tables FROM sqlite_schema").get() as {
        tables: number;
      };
      if (tables > 0) throw notOurs(path);
      db.exec(SCHEMA);
    }
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) db.exec("ROLLBACK");
    throw error;
  }
}

function notOurs(path: string): DatastoreError {
  return new DatastoreError(DatastoreErrorCode.NotSupported, {
    message: `${path} is a database, but not a Calyx datastore`,
  });
}

function number(db: DatabaseSync, pragma: string): number {
  return Number(Object.values(db.prepare(`PRAGMA ${pragma}`).get() ?? {})[0]);
}
