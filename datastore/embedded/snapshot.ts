/**
 * A long range in pages, all at one revision: a connection of its own holds a read transaction open from the first page
 * to the last, some seconds at most. Writers do not wait for it; only what they append to the WAL is moved later.
 */

import type { DatabaseSync } from "node:sqlite";
import type { Revision } from "../datastore.ts";
import type { Page, PathRange } from "../key-value-store.ts";

/** 1,000 endpoints are some 800 kB: what is held at once, and a few milliseconds of reading. */
export const PAGE = 1000;

interface Row {
  readonly path: string;
  readonly revision: number;
  readonly value: string;
}

/** Closes the database when it ends, however it ends. @throws what SQLite throws */
export function* readPages(db: DatabaseSync, { start, end }: PathRange): Generator<Page, void, undefined> {
  try {
    db.exec("BEGIN");
    const { revision } = db.prepare("SELECT revision FROM counter").get() as { revision: number };
    const next = db.prepare(
      "SELECT path, revision, value FROM entry WHERE path >= ? AND path < ? ORDER BY path LIMIT ?",
    );
    for (let from = start; ; ) {
      const rows = next.all(from, end, PAGE) as unknown as Row[];
      const items = rows.map(row => ({ ...row, revision: String(row.revision) as Revision }));
      yield { items, revision: String(revision) as Revision };
      const last = items.at(-1);
      if (!last || items.length < PAGE) return;
      // The next path there can be.
      from = `${last.path}\0`;
    }
  } finally {
    db.close();
  }
}
