/** Options of a session that the other side notices: limits of prefixes on both sides, and an OPEN that waits. */

import assert from "node:assert/strict";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const prefixes = (count: number) => Array.from({ length: count }, (_, i) => `10.20.${i}.0/24`);

withEachDaemon("a limit of prefixes", lab => {
  it("of ours ends the session with Cease/1, and the daemon comes back with less", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(), asn: THEIR_AS }],
      routes: prefixes(8).map(prefix => ({ prefix })),
    });
    const us = await lab.speaker(
      { asn: THEIR_AS },
      { address: THEIRS, asn: THEIR_AS, maxPrefixes: { limit: 5, restartAfter: 2 } },
    );
    await us.untilError(/Maximum Number of Prefixes Reached/);
    await us.until("no route kept", () => us.received(THEIRS).length === 0 || undefined);
    await until("the reason on their side", async () =>
      /max|prefix|cease|6\/1/i.test(await daemon.lastError(ours())) ? true : undefined,
    );
    await daemon.withdraw(prefixes(8).slice(5));
    await lab.established(us, daemon, { seconds: 40 });
    await us.until("five routes", () => us.received(THEIRS).length === 5 || undefined);
  });

  it("of theirs ends the session, and we know why", async () => {
    await lab.daemon({ neighbors: [{ address: ours(), asn: THEIR_AS, maxPrefixes: 5 }] });
    const us = await lab.speaker({ asn: THEIR_AS }, { address: THEIRS, asn: THEIR_AS });
    for (const prefix of prefixes(8)) us.speaker.announce({ prefix });
    await us.untilError(/Cease\/Maximum Number of Prefixes Reached/);
    const error = us.speaker.neighbor(THEIRS)?.lastSessionError;
    assert.deepEqual([error?.reason, error?.code, error?.subcode], ["notification-received", 6, 1]);
  });
});

withEachDaemon("an OPEN that waits for theirs", lab => {
  for (const [who, options] of [
    ["we dial", { passive: false }],
    ["they dial", { passive: true }],
  ] as const) {
    it(`costs no time where ${who}`, async () => {
      const daemon = await lab.daemon({
        neighbors: [{ address: ours(), asn: THEIR_AS, passive: !options.passive }],
      });
      const us = await lab.speaker(
        { asn: THEIR_AS },
        { address: THEIRS, asn: THEIR_AS, delayOpenTime: 60, ...options },
      );
      await lab.established(us, daemon);
    });
  }
});
