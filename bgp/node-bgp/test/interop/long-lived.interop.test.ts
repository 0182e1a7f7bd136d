/** Long-lived graceful restart (RFC 9494) both ways: who keeps what, and how it is marked. */

import assert from "node:assert/strict";
import { WellKnownCommunity } from "../../index.ts";
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

const OUR_PREFIX = "192.168.1.0/24";
const THEIR_PREFIX = "10.20.0.0/24";
const RESTART = 3;
const STALE = 60;

const starting = (lab: InteropLab) => async (): Promise<{ daemon: Daemon; us: LabSpeaker }> => {
  const daemon = await lab.daemon({
    neighbors: [{ address: ours(), asn: THEIR_AS, gracefulRestart: RESTART, longLived: STALE }],
    routes: [{ prefix: THEIR_PREFIX }],
  });
  const us = await lab.speaker(
    { asn: THEIR_AS },
    { address: THEIRS, asn: THEIR_AS, gracefulRestartTime: RESTART, longLivedStaleTime: STALE },
  );
  us.speaker.announce({ prefix: OUR_PREFIX });
  await lab.established(us, daemon);
  await us.untilRoute(THEIR_PREFIX);
  await until("their End-of-RIB", () => us.speaker.neighbor(THEIRS)?.synchronized || undefined);
  await until("our route on their side", async () =>
    (await daemon.received(ours())).length === 1 ? true : undefined,
  );
  return { daemon, us };
};

withEachDaemon("long-lived graceful restart", lab => {
  const start = starting(lab);

  it("of theirs: their routes are marked after the restart time, and fresh again when they are back", async () => {
    const { daemon, us } = await start();
    const capability = us.speaker
      .neighbor(THEIRS)
      ?.remoteCapabilities?.find(({ kind }) => kind === "long-lived-graceful-restart");
    assert.equal(
      capability?.kind === "long-lived-graceful-restart" && capability.families[0]?.staleTime,
      STALE,
    );
    await daemon.kill();
    await us.until(
      "long-lived",
      () =>
        us.speaker.paths(THEIR_PREFIX)[0]?.communities?.includes(WellKnownCommunity.llgrStale) || undefined,
    );
    assert.equal(us.speaker.paths(THEIR_PREFIX)[0]?.stale, true);
    await daemon.start(true);
    await lab.established(us, daemon, { seconds: 30 });
    await until("fresh", () => {
      const [path] = us.speaker.paths(THEIR_PREFIX);
      return path !== undefined && !path.stale && path.communities === undefined ? true : undefined;
    });
  });

  it("of ours: they keep our route beyond the restart time, marked", async () => {
    const { daemon, us } = await start();
    await us.speaker.stop({ graceful: true });
    const marked = await until(
      "the mark on their side",
      async () => (await daemon.received(ours())).find(({ communities }) => communities.includes("65535:6")),
      20,
    );
    assert.equal(marked.prefix, OUR_PREFIX);
  });
});
