import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openEmbedded } from "../../../../datastore/embedded/open.ts";
import { EmbeddedStore } from "../../../../datastore/embedded/store.ts";
import { describeDatastore } from "../compliance.ts";

describeDatastore("embedded", async () => {
  const folder = mkdtempSync(join(tmpdir(), "calyx-embedded-"));
  const path = join(folder, "datastore.db");
  const options = { path, reserveBytes: 4096 };
  const datastore = await openEmbedded(options);
  const raw = new EmbeddedStore(options);
  return {
    datastore,
    connect: () => openEmbedded(options),
    putRaw: async (at, value) => {
      const current = await raw.get(at);
      if (current) await raw.update(at, value, current.revision);
      else await raw.create(at, value);
    },
    hasRaw: async at => (await raw.get(at)) !== undefined,
    compact: async () => {
      const db = new DatabaseSync(path);
      db.exec("DELETE FROM change; UPDATE counter SET compacted = revision");
      db.close();
    },
    dispose: async () => {
      await datastore.close();
      await raw.close();
      rmSync(folder, { recursive: true });
    },
  };
});
