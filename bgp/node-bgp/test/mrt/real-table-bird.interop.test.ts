/** The real table of 2002 over real sockets, through a bird that reflects it from one of our speakers to another. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readMrtFile } from "../../mrt/reader.ts";
import type { PathAttributes } from "../../route.ts";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { attributeLine } from "./naive-update.ts";
import { TABLE } from "./real-data.ts";

withEachDaemon(
  "real table through a reflector",
  lab => {
    const table = new Map<string, PathAttributes>();

    before(async function () {
      if (!existsSync(TABLE)) {
        process.stdout.write(`    skipped: ${TABLE} is not there\n`);
        this.skip();
      }
      for await (const record of readMrtFile(TABLE)) {
        // Its next hops are not on our cable, and bird would not take them: the feed's own stands for all.
        if (record.type === "rib")
          table.set(record.prefix, { ...record.entries[0]!.attributes!, nextHop: ours(1) });
      }
    });

    it("arrives whole, with every attribute", async () => {
      const clients = [1, 2].map(at => ({ address: ours(at), asn: THEIR_AS, reflectorClient: true }));
      const daemon = await lab.daemon({ neighbors: clients });
      const session = { address: THEIRS, asn: THEIR_AS };
      const feed = await lab.speaker({ asn: THEIR_AS, at: 1 }, session);
      const client = await lab.speaker({ asn: THEIR_AS, at: 2 }, session);
      await lab.established(feed, daemon, { ours: ours(1) });
      await lab.established(client, daemon, { ours: ours(2) });
      for (const [prefix, attributes] of table) feed.speaker.announce({ prefix, ...(attributes as object) });
      const status = () => client.speaker.neighbor(THEIRS)?.prefixes;
      await client.until("the whole table", () => (status()?.received ?? 0) >= table.size || undefined, 50);
      for (const route of client.speaker.routes()) {
        const expected = {
          ...table.get(route.prefix)!,
          localPref: 100,
          originatorId: ours(1),
          clusterList: [THEIRS],
        };
        assert.equal(attributeLine(route), attributeLine(expected), route.prefix);
      }
      assert.equal(status()?.received, table.size);
      for (const prefix of table.keys()) feed.speaker.withdraw(prefix);
      await client.until("nothing", () => status()?.received === 0 || undefined, 50);
    });
  },
  ["bird"],
);
