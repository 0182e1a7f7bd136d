/**
 * A process that writes to an embedded store until it is killed or done, and says each time what has been
 * acknowledged. `node writer.ts <path> count <n>`: adds n to a counter by compare-and-swap, one by one.
 * `append <name>`: creates /calico/<name>/<i> for ever. `fill`: see the disk-full test.
 */

import { writeSync } from "node:fs";
import { EmbeddedStore } from "../../../datastore/embedded/store.ts";
import { isDatastoreError } from "../../../datastore/errors.ts";
import { wholeRange } from "../../unit/datastore/whole-range.ts";

const [path, job, argument] = process.argv.slice(2) as [string, string, string];
const store = new EmbeddedStore({ path });

/** At once and unbuffered: what is said here must not be ahead of, nor lost with, the process. */
const say = (line: string) => writeSync(1, `${line}\n`);

if (job === "count") {
  for (let added = 0; added < Number(argument); ) {
    const current = await store.get("/calico/counter");
    const result = current
      ? await store.update("/calico/counter", String(Number(current.value) + 1), current.revision)
      : await store.create("/calico/counter", "1");
    if (!result.written) continue;
    added++;
    say("added");
  }
} else if (job === "append") {
  for (let i = 0; ; i++) {
    const result = await store.create(`/calico/${argument}/${i}`, `${argument}-${i}`);
    if (!result.written) throw new Error(`${argument}/${i} is there already`);
    say(String(i));
  }
} else if (job === "fill") {
  let stored = 0;
  try {
    for (;;) {
      await store.create(`/calico/fill/${stored}`, "x".repeat(2000));
      stored++;
    }
  } catch (error) {
    say(`full ${isDatastoreError(error, "FULL")} ${(error as Error).message}`);
  }
  const { items } = await wholeRange(store, { start: "/calico/fill/", end: "/calico/fill0" });
  say(`readable ${items.length === stored}`);
  const shrunk = items[0]!;
  const update = await store.update(shrunk.path, "y", shrunk.revision);
  say(`shrinking ${update.written}`);
  let deleted = 0;
  for (const { path: victim } of items.slice(1)) {
    if ((await store.delete(victim)).deleted) deleted++;
  }
  say(`deletable ${deleted === items.length - 1}`);
  let again = 0;
  for (; again < stored / 2; again++) await store.create(`/calico/again/${again}`, "x".repeat(2000));
  say(`usable again ${again > 100}`);
}
await store.close();
