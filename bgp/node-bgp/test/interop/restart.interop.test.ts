/** Graceful restart (RFC 4724) of our speaker, planned, and of theirs, by a crash. With kernels and traffic: test/interop/bgp/graceful-restart.test.ts. */

import assert from "node:assert/strict";
import type { Daemon } from "../kit/daemons/daemon.ts";
import {
  type InteropLab,
  type LabSpeaker,
  ours,
  THEIR_AS,
  THEIRS,
  withEachDaemon,
} from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
const STAYING = ["192.168.1.0/24", "10.20.1.0/24"] as const;
const PASSING = ["192.168.2.0/24", "10.20.2.0/24"] as const;

async function startUs(lab: InteropLab, restarting: boolean): Promise<LabSpeaker> {
  return lab.speaker({ asn: OUR_AS, gracefulRestart: { restarting } }, { address: THEIRS, asn: THEIR_AS });
}

/** What they have from us. */
async function there(daemon: Daemon): Promise<string[]> {
  return (await daemon.received(ours())).map(({ prefix }) => prefix).sort();
}

withEachDaemon("graceful restart", lab => {
  async function running(): Promise<{ daemon: Daemon; us: LabSpeaker }> {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(), asn: OUR_AS, gracefulRestart: 60 }],
      routes: [STAYING[1], PASSING[1]].map(prefix => ({ prefix })),
    });
    const us = await startUs(lab, false);
    for (const prefix of [STAYING[0], PASSING[0]]) us.speaker.announce({ prefix });
    await lab.established(us, daemon);
    for (const prefix of [STAYING[1], PASSING[1]]) await us.untilRoute(prefix);
    await until("ours at theirs", async () => ((await there(daemon)).length === 2 ? true : undefined));
    return { daemon, us };
  }

  it("of ours: they keep our routes, and let go of what we no longer have", async () => {
    const { daemon, us } = await running();
    await us.speaker.stop({ graceful: true });
    await until("them to notice", async () =>
      (await daemon.session(ours())).isEstablished ? undefined : true,
    );
    assert.deepEqual(await there(daemon), [STAYING[0], PASSING[0]]);

    const again = await startUs(lab, true);
    again.speaker.announce({ prefix: STAYING[0] });
    let seen = await there(daemon);
    await until(
      "them to let go",
      async () => {
        seen = await there(daemon);
        assert.ok(seen.includes(STAYING[0]), "kept all the time");
        return seen.includes(PASSING[0]) ? undefined : true;
      },
      30,
    );
    await lab.established(again, daemon);
    await again.speaker.ready;
    // frr says for its whole restart time that it has just restarted, so nobody waits for it.
    for (const prefix of [STAYING[1], PASSING[1]]) await again.untilRoute(prefix);
  });

  it("of theirs: we keep their routes as stale, and let go of what they no longer have", async () => {
    const { daemon, us } = await running();
    const changes: string[] = [];
    us.speaker.onRoutes(batch => {
      for (const { prefix, best } of batch) if (best === null) changes.push(prefix);
    });
    await us.until("their End-of-RIB", () => us.speaker.neighbor(THEIRS)?.synchronized || undefined);
    await daemon.kill();
    await us.until("the loss", () => us.speaker.neighbor(THEIRS)?.state !== "Established" || undefined);
    assert.deepEqual(
      us
        .received(THEIRS)
        .map(({ prefix, stale }) => [prefix, stale])
        .sort(),
      [
        [STAYING[1], true],
        [PASSING[1], true],
      ],
    );
    assert.equal(us.speaker.neighbor(THEIRS)?.restarting, true);
    daemon.forget([PASSING[1]]);
    await daemon.start(true);
    await lab.established(us, daemon, { seconds: 30 });
    await us.untilGone(PASSING[1], 30);
    await us.until("a fresh route", () => us.received(THEIRS).every(({ stale }) => !stale) || undefined);
    assert.deepEqual(changes, [PASSING[1]]);
    await until("ours at theirs again", async () => ((await there(daemon)).length === 2 ? true : undefined));
  });
});
