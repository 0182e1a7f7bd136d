/**
 * The embedded store with processes that die in the middle of anything, race, and fill the disk. What is claimed:
 * an acknowledged write is never lost, a compare-and-swap never counts twice, the file is never damaged, and a
 * full disk is a state one can get out of with calctl alone.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { EmbeddedStore } from "../../../datastore/embedded/store.ts";
import { prefixRange } from "../../../datastore/key-value-store.ts";
import { wholeRange } from "../../unit/datastore/whole-range.ts";

const WRITER = join(import.meta.dirname, "writer.ts");
const EVERYTHING = prefixRange("/calico/");

class Writer {
  readonly said: string[] = [];
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  #changed: () => void = () => {};

  constructor(path: string, ...job: string[]) {
    this.process = spawn(process.execPath, [WRITER, path, ...job], { stdio: ["ignore", "pipe", "inherit"] });
    const lines = createInterface({ input: this.process.stdout! });
    lines.on("line", line => {
      this.said.push(line);
      this.#changed();
    });
    this.ended = Promise.all([once(this.process, "exit"), once(lines, "close")]);
  }

  async says(count: number): Promise<void> {
    while (this.said.length < count) {
      await new Promise<void>(resolve => {
        this.#changed = resolve;
      });
    }
  }

  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

describe("the embedded store under faults", function () {
  this.timeout(60_000);
  let folder: string;
  let path: string;
  const writers: Writer[] = [];

  const write = (...job: string[]) => {
    const writer = new Writer(path, ...job);
    writers.push(writer);
    return writer;
  };

  /** The file is sound, and the log tells the same story as the entries. */
  const assertSound = () => {
    const db = new DatabaseSync(path);
    const all = (sql: string) => db.prepare(sql).all() as Record<string, unknown>[];
    assert.deepEqual(Object.values(all("PRAGMA integrity_check")[0]!), ["ok"]);
    const torn = `SELECT path FROM entry e WHERE NOT EXISTS
      (SELECT 1 FROM change c WHERE c.revision = e.revision AND c.path = e.path AND c.value = e.value)
      AND e.revision > (SELECT compacted FROM counter)`;
    assert.deepEqual(all(torn), []);
    assert.deepEqual(all("SELECT revision FROM change WHERE revision > (SELECT revision FROM counter)"), []);
    db.close();
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "calyx-fault-"));
    path = join(folder, "datastore.db");
  });

  afterEach(async () => {
    await Promise.all(writers.splice(0).map(writer => writer.kill()));
    rmSync(folder, { recursive: true });
  });

  it("counts exactly when many processes race", async () => {
    const racing = Array.from({ length: 4 }, () => write("count", "250"));
    await Promise.all(racing.map(writer => writer.ended));
    const store = new EmbeddedStore({ path });
    assert.equal((await store.get("/calico/counter"))?.value, "1000");
    await store.close();
    assertSound();
  });

  it("loses no acknowledged write when writers are killed in the middle of anything", async () => {
    const watching = new EmbeddedStore({ path });
    const { revision } = await wholeRange(watching, EVERYTHING);
    const abort = new AbortController();
    const replayed = new Map<string, string>();
    const watched = (async () => {
      for await (const { events } of watching.watch(EVERYTHING, revision, abort.signal)) {
        for (const event of events) {
          if (event.type === "put") replayed.set(event.path, event.value);
        }
      }
    })();
    const acknowledged: string[] = [];
    let increments = 0;
    let kills = 0;
    for (let round = 0; round < 15; round++) {
      const appending = write("append", `round${round}`);
      const counting = write("count", "1000000");
      await Promise.all([appending.says(1), counting.says(1)]);
      await new Promise(resolve => setTimeout(resolve, Math.random() * 40));
      await Promise.all([appending.kill(), counting.kill()]);
      kills++;
      acknowledged.push(...appending.said.map(i => `/calico/round${round}/${i}`));
      increments += counting.said.length;
    }
    const { items } = await wholeRange(watching, EVERYTHING);
    const stored = new Map(items.map(item => [item.path, item.value]));
    assert.deepEqual(
      acknowledged.filter(one => !stored.has(one)),
      [],
    );
    const counted = Number(stored.get("/calico/counter"));
    assert.ok(counted >= increments && counted <= increments + kills, `${counted} of ${increments}`);
    assertSound();
    await watching.create("/calico/zz-last", "");
    while (!replayed.has("/calico/zz-last")) await new Promise(resolve => setTimeout(resolve, 5));
    replayed.delete("/calico/zz-last");
    assert.deepEqual(replayed, stored, "a watch through all of it ends with the same picture");
    abort.abort();
    await watched;
    await watching.close();
  });

  it("gets out of a full disk by deleting", async function () {
    // In a mount namespace of its own, so that nothing is left of the small file system whatever happens.
    const script = `mount -t tmpfs -o size=8m none "$1" && exec "$2" "$3" "$1/datastore.db" fill`;
    let said: string;
    try {
      const args = ["-m", "sh", "-c", script, "sh", folder, process.execPath, WRITER];
      said = execFileSync("unshare", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      if (process.getuid?.() === 0) throw error;
      process.stderr.write("      skipped: mounting a small file system needs root\n");
      this.skip();
    }
    const lines = said.trim().split("\n");
    assert.match(lines[0]!, /^full true .*the disk is full/);
    assert.deepEqual(lines.slice(1), [
      "readable true",
      "shrinking true",
      "deletable true",
      "usable again true",
    ]);
  });
});
