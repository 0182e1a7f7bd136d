/**
 * A range in pages, all at one revision. What fits into one page is read on the store's own connection; for more, a
 * connection of its own holds a read transaction open from the first page to the last, some seconds at most. Writers do
 * not wait for it; only what they append to the WAL is moved later.
 */

import type { DatabaseSync } from "node:sqlite";
import type { KeyValue, Page, PathRange } from "../key-value-store.ts";
import { bounds, keyValue, prepareStatements, revisionText, type Statements } from "./statements.ts";

/** 1,000 endpoints are some 800 kB: what is held at once, and a few milliseconds of reading. */
export const PAGE = 1000;

/** In one transaction, or a write between the two reads would tear them. @throws what SQLite throws */
export function readFirstPage(db: DatabaseSync, sql: Statements, { start, end }: PathRange): Page {
  db.exec("BEGIN");
  try {
    const { revision } = bounds(sql);
    return { items: readItems(sql, start, end), revision: revisionText(revision) };
  } finally {
    db.exec("COMMIT");
  }
}

/** Closes the database when it ends, however it ends. @throws what SQLite throws */
export function* readPages(db: DatabaseSync, { start, end }: PathRange): Generator<Page, void, undefined> {
  try {
    db.exec("BEGIN");
    const sql = prepareStatements(db);
    const { revision } = bounds(sql);
    for (let from = start; ; ) {
      const items = readItems(sql, from, end);
      yield { items, revision: revisionText(revision) };
      const last = items.at(-1);
      if (!last || items.length < PAGE) return;
      // The next path there can be.
      from = `${last.path}\0`;
    }
  } finally {
    db.close();
  }
}

function readItems(sql: Statements, start: string, end: string): KeyValue[] {
  return sql.range.all(start, end, PAGE).map(row => keyValue(row)!);
}
