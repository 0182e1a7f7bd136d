/** Messages of more than 4096 bytes (RFC 8654) with the daemons that have them, and none where we do not want them. */

import assert from "node:assert/strict";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

/** About 20 KB of prefixes with the same attributes. */
const COUNT = 5000;
const MANY = Array.from({ length: COUNT }, (_, i) => `10.${100 + (i >> 8)}.${i & 255}.0/24`);
const PLAIN = "192.168.1.0/24";
/** 12 KB of attributes. */
const LONG = "192.168.2.0/24";
const COMMUNITIES = Array.from({ length: 1000 }, (_, i) => `64512:1:${i}`);

withEachDaemon(
  "extended messages",
  lab => {
    for (const extendedMessages of [true, false]) {
      const title = extendedMessages ? "go both ways" : "are not sent where we do not want them";
      it(title, async () => {
        const daemon = await lab.daemon({
          neighbors: [{ address: ours(), asn: THEIR_AS }],
          routes: MANY.map(prefix => ({ prefix })),
        });
        const us = await lab.speaker({ asn: THEIR_AS }, { address: THEIRS, asn: THEIR_AS, extendedMessages });
        us.speaker.announce({ prefix: LONG, largeCommunities: COMMUNITIES });
        us.speaker.announce({ prefix: PLAIN });
        await lab.established(us, daemon);
        await until("their routes", () =>
          us.speaker.neighbor(THEIRS)?.prefixes.received === COUNT ? true : undefined,
        );
        const expected = extendedMessages ? [PLAIN, LONG] : [PLAIN];
        const theirs = await until("our routes", async () => {
          const routes = await daemon.received(ours());
          return routes.length === expected.length ? routes : undefined;
        });
        assert.deepEqual(theirs.map(({ prefix }) => prefix).sort(), expected);
        const { update } = us.speaker.neighbor(THEIRS)!.received;
        if (!extendedMessages) assert.ok(update > 5, `${update} UPDATEs for 20 KB of prefixes`);
        else {
          const long = theirs.find(({ prefix }) => prefix === LONG);
          // birdc shows the beginning of a list.
          if (lab.name === "frr") assert.equal(long?.largeCommunities.length, COMMUNITIES.length);
          assert.ok(update < 5, `${update} UPDATEs for 20 KB of prefixes`);
        }
      });
    }
  },
  ["bird", "frr"],
);
