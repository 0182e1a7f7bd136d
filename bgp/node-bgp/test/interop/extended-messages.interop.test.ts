/** Messages of more than 4096 bytes (RFC 8654) with the daemons that have them, and none where we do not want them. */

import assert from "node:assert/strict";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const PLAIN = "192.168.1.0/24";
const LONG = "192.168.2.0/24";
const THEIR_PLAIN = "10.20.1.0/24";
const THEIR_LONG = "10.20.2.0/24";
/** 6 KB of attributes. */
const COMMUNITIES = Array.from({ length: 500 }, (_, i) => `64512:1:${i}`);

withEachDaemon(
  "extended messages",
  lab => {
    // frr's configuration has no line that long.
    const canSend = lab.name === "bird";
    for (const extendedMessages of [true, false]) {
      const title = extendedMessages ? "go both ways" : "are not sent where we do not want them";
      it(title, async () => {
        const daemon = await lab.daemon({
          neighbors: [{ address: ours(), asn: THEIR_AS }],
          routes: [{ prefix: THEIR_LONG, largeCommunities: COMMUNITIES }, { prefix: THEIR_PLAIN }],
        });
        const us = await lab.speaker({ asn: THEIR_AS }, { address: THEIRS, asn: THEIR_AS, extendedMessages });
        us.speaker.announce({ prefix: LONG, largeCommunities: COMMUNITIES });
        us.speaker.announce({ prefix: PLAIN });
        await lab.established(us, daemon);
        await us.untilRoute(THEIR_PLAIN);
        if (extendedMessages && canSend) {
          const { largeCommunities } = await us.untilRoute(THEIR_LONG);
          assert.equal(largeCommunities.length, COMMUNITIES.length);
        }
        const expected = extendedMessages ? [PLAIN, LONG] : [PLAIN];
        const theirs = await until("our routes", async () => {
          const routes = await daemon.received(ours());
          return routes.length === expected.length ? routes : undefined;
        });
        assert.deepEqual(theirs.map(({ prefix }) => prefix).sort(), expected);
        const long = theirs.find(({ prefix }) => prefix === LONG);
        // birdc shows the beginning of a list.
        if (!canSend && extendedMessages) assert.equal(long?.largeCommunities.length, COMMUNITIES.length);
        if (!extendedMessages && canSend) assert.deepEqual(us.speaker.paths(THEIR_LONG), []);
      });
    }
  },
  ["bird", "frr"],
);
