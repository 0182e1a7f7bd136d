/** What the embedded store does besides what every store does: files, locks, and other programs' hands on them. */

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Revision } from "../../../../datastore/datastore.ts";
import { type EmbeddedOptions, EmbeddedStore } from "../../../../datastore/embedded/store.ts";
import { type DatastoreErrorCode, isDatastoreError } from "../../../../datastore/errors.ts";
import type { Page } from "../../../../datastore/key-value-store.ts";
import { prefixRange } from "../../../../datastore/key-value-store.ts";
import { wholeRange } from "../whole-range.ts";

const EVERYTHING = prefixRange("/calico/");
const refuses = (code: DatastoreErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(isDatastoreError(error, code), `${code} expected, not ${error}`);
  assert.match(error.message, message);
  return true;
};

describe("datastore/embedded", () => {
  let folder: string;
  let path: string;
  const stores: EmbeddedStore[] = [];

  const open = (options: EmbeddedOptions = {}) => {
    const store = new EmbeddedStore({ path, reserveBytes: 4096, ...options });
    stores.push(store);
    return store;
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "calyx-embedded-"));
    path = join(folder, "deep", "down", "datastore.db");
  });

  afterEach(async () => {
    for (const store of stores.splice(0)) await store.close();
    rmSync(folder, { recursive: true });
  });

  it("makes its file and folder for its owner only", async () => {
    await open().create("/calico/a", "1");
    assert.equal(statSync(join(folder, "deep", "down")).mode & 0o777, 0o700);
    for (const suffix of ["", "-wal", "-shm", "-bell", "-reserve"]) {
      assert.equal(statSync(path + suffix).mode & 0o077, 0, suffix);
    }
  });

  it("keeps what was written when it is closed and opened again, and goes on counting", async () => {
    const before = open();
    const first = await before.create("/calico/a", "1");
    await before.close();
    const after = open();
    assert.equal((await after.get("/calico/a"))?.value, "1");
    const second = await after.create("/calico/b", "2");
    assert.ok(first.written && second.written && Number(second.revision) === Number(first.revision) + 1);
  });

  it("takes many first openings at once", async () => {
    const all = Array.from({ length: 8 }, () => open());
    await Promise.all(all.map((store, i) => store.create(`/calico/${i}`, "x")));
    assert.equal((await wholeRange(all[0]!, EVERYTHING)).items.length, 8);
  });

  it("shows a long range as it was when the first page was read, and keeps nobody from writing", async () => {
    const store = open();
    const count = 2500;
    for (let i = 0; i < count; i++) await store.create(`/calico/${String(i).padStart(4, "0")}`, "before");
    const pages: Page[] = [];
    for await (const page of store.pages(EVERYTHING)) {
      pages.push(page);
      if (pages.length === 1) await store.delete("/calico/2400");
      const last = await store.get("/calico/2499");
      await store.update("/calico/2499", "after", last!.revision);
      await store.create(`/calico/new${pages.length}`, "after");
    }
    assert.deepEqual(
      pages.map(({ items }) => items.length),
      [1000, 1000, 500],
    );
    assert.equal(new Set(pages.map(({ revision }) => revision)).size, 1);
    const items = pages.flatMap(page => page.items);
    assert.ok(items.every(({ value }) => value === "before"));
    assert.equal(items[2400]?.path, "/calico/2400");
  }).timeout(30_000); // 2,500 commits that reach the disk.

  it("waits for another writer without blocking the process, and not for ever", async () => {
    const store = open({ lockTimeoutMs: 200 });
    await store.create("/calico/a", "1");
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await assert.rejects(store.create("/calico/b", "2"), refuses("UNAVAILABLE", /locked by another process/));
    clearInterval(timer);
    // Blocked it would not have turned at all; how often it does is the machine's business.
    assert.ok(turns > 3, `the event loop turned ${turns} times`);
    assert.equal((await store.get("/calico/a"))?.value, "1", "reading goes on");
    const waiting = store.create("/calico/b", "2");
    other.exec("ROLLBACK");
    assert.ok((await waiting).written);
    other.close();
  });

  it("sees a commit whose writer died before it could ring", async () => {
    const store = open();
    const { revision } = await wholeRange(store, EVERYTHING);
    const seen: string[] = [];
    const watching = (async () => {
      for await (const { events } of store.watch(EVERYTHING, revision)) {
        for (const event of events) seen.push(event.path);
        if (seen.length > 0) return;
      }
    })();
    await new Promise(resolve => setTimeout(resolve, 20));
    const silent = new DatabaseSync(path);
    silent.exec(`BEGIN IMMEDIATE; UPDATE counter SET revision = revision + 1;
      INSERT INTO change SELECT revision, '/calico/silent', 'create', 'x' FROM counter; COMMIT`);
    silent.close();
    await watching;
    assert.deepEqual(seen, ["/calico/silent"]);
  });

  it("forgets old history, and tells a watch that needs it", async () => {
    const store = open({ history: 40 });
    const start = (await wholeRange(store, EVERYTHING)).revision;
    let revision = start;
    for (let i = 0; i < 270; i++) {
      const result = await store.create(`/calico/${i}`, "x");
      if (result.written && i === 260) revision = result.revision;
    }
    const tooOld = store.watch(EVERYTHING, start)[Symbol.asyncIterator]();
    await assert.rejects(tooOld.next(), refuses("COMPACTED", /no longer known/));
    const recent = store.watch(EVERYTHING, revision)[Symbol.asyncIterator]();
    const first = await recent.next();
    assert.equal(first.done ? -1 : first.value.events.length, 9);
    await recent.return?.();
  });

  it("notices that its file was replaced, and uses the new one", async () => {
    const store = open();
    await store.create("/calico/old", "1");
    const watch = store.watch(EVERYTHING, "1" as Revision)[Symbol.asyncIterator]();
    await watch.next();
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix);
    const noticed = watch.next();
    assert.ok((await open().create("/calico/new", "2")).written);
    assert.ok((await store.get("/calico/new")) !== undefined);
    await assert.rejects(noticed, refuses("COMPACTED", /replaced/));
    assert.deepEqual(
      (await wholeRange(store, EVERYTHING)).items.map(item => item.path),
      ["/calico/new"],
    );
  });

  it("is unavailable while its file is away, and goes on where it was once it is back", async () => {
    const store = open();
    await store.create("/calico/old", "1");
    const files = ["", "-wal", "-shm"].map(suffix => path + suffix);
    for (const file of files) renameSync(file, `${file}.away`);
    await assert.rejects(store.get("/calico/old"), refuses("UNAVAILABLE", /is not there/));
    await assert.rejects(store.create("/calico/new", "2"), refuses("UNAVAILABLE", /is not there/));
    for (const file of files) renameSync(`${file}.away`, file);
    assert.equal((await store.get("/calico/old"))?.value, "1");
  });

  it("refuses files that are not its own, leaving them as they are", async () => {
    mkdirSync(join(folder, "deep", "down"), { recursive: true });
    writeFileSync(path, "this is a text file, and rather longer than a header ".repeat(40));
    await assert.rejects(open().get("/calico/a"), refuses("CORRUPT", /damaged/));
    rmSync(path);
    const foreign = new DatabaseSync(path);
    foreign.exec("CREATE TABLE theirs (x)");
    await assert.rejects(open().get("/calico/a"), refuses("NOT_SUPPORTED", /not a Calyx datastore/));
    foreign.exec("DROP TABLE theirs");
    foreign.close();
    const own = open();
    await own.create("/calico/a", "1");
    await own.close();
    const newer = new DatabaseSync(path);
    newer.exec("PRAGMA user_version = 7");
    newer.close();
    await assert.rejects(open().get("/calico/a"), refuses("NOT_SUPPORTED", /format 7/));
  });

  it("says that its folder cannot be made", async () => {
    writeFileSync(join(folder, "deep"), "in the way");
    await assert.rejects(open().get("/calico/a"), refuses("UNAVAILABLE", /cannot be used/));
    assert.ok(!existsSync(path));
  });

  it("cannot be used once closed", async () => {
    const store = open();
    await store.close();
    await assert.rejects(store.get("/calico/a"), refuses("UNAVAILABLE", /closed/));
    await store.close();
  });
});
