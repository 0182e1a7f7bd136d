/** The store's statements, prepared once per connection, and what their rows mean. The tables are in `schema.ts`. */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Revision } from "../datastore.ts";
import type { KeyValue } from "../key-value-store.ts";

export type Statements = ReturnType<typeof prepareStatements>;

interface EntryRow {
  readonly path: string;
  readonly revision: number;
  readonly value: string;
}

export function prepareStatements(db: DatabaseSync) {
  const statement = (sql: string): StatementSync => db.prepare(sql);
  return {
    bounds: statement("SELECT revision, compacted FROM counter"),
    next: statement("UPDATE counter SET revision = revision + 1 RETURNING revision"),
    get: statement("SELECT path, revision, value FROM entry WHERE path = ?"),
    range: statement(
      "SELECT path, revision, value FROM entry WHERE path >= ? AND path < ? ORDER BY path LIMIT ?",
    ),
    insert: statement("INSERT INTO entry (path, revision, value) VALUES (?, ?, ?)"),
    replace: statement("UPDATE entry SET revision = ?, value = ? WHERE path = ?"),
    remove: statement("DELETE FROM entry WHERE path = ?"),
    record: statement("INSERT INTO change (revision, path, operation, value) VALUES (?, ?, ?, ?)"),
    changes: statement(
      "SELECT revision, path, operation, value FROM change WHERE revision > ? ORDER BY revision LIMIT ?",
    ),
    changesIn: statement(
      "SELECT revision, path, operation, value FROM change WHERE revision > ? AND revision <= ? AND path >= ? AND path < ? ORDER BY revision",
    ),
    forget: statement("DELETE FROM change WHERE revision <= ?"),
    compacted: statement("UPDATE counter SET compacted = max(compacted, ?)"),
  };
}

export function bounds(sql: Statements): { revision: number; compacted: number } {
  return sql.bounds.get() as { revision: number; compacted: number };
}

export function nextRevision(sql: Statements): number {
  return (sql.next.get() as { revision: number }).revision;
}

/** Forgets history up to and with this revision. */
export function trim(sql: Statements, upTo: number): void {
  if (upTo <= 0) return;
  sql.forget.run(upTo);
  sql.compacted.run(upTo);
}

export function keyValue(row: unknown): KeyValue | undefined {
  if (!row) return undefined;
  const { path, revision, value } = row as EntryRow;
  return { path, revision: revisionText(revision), value };
}

export function revisionText(revision: number): Revision {
  return String(revision) as Revision;
}
