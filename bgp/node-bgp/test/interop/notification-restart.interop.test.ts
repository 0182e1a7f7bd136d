/**
 * Sessions that end with a NOTIFICATION and routes that stay (RFC 8538), with the daemons that set the N bit, and what ends them for good.
 * bird 2.0.12 has no N bit: with it any NOTIFICATION takes the routes away, as RFC 4724 says.
 */

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

const OUR_PREFIX = "192.168.1.0/24";
const THEIR_PREFIX = "10.20.0.0/24";

const starting = (lab: InteropLab) => async (): Promise<{ daemon: Daemon; us: LabSpeaker }> => {
  const daemon = await lab.daemon({
    neighbors: [{ address: ours(), asn: THEIR_AS, gracefulRestart: 60, holdTime: 9 }],
    routes: [{ prefix: THEIR_PREFIX }],
  });
  const us = await lab.speaker({ asn: THEIR_AS }, { address: THEIRS, asn: THEIR_AS });
  us.speaker.announce({ prefix: OUR_PREFIX });
  await lab.established(us, daemon);
  await us.untilRoute(THEIR_PREFIX);
  await until("our route on their side", async () =>
    (await daemon.received(ours())).length === 1 ? true : undefined,
  );
  await until("their End-of-RIB", () => us.speaker.neighbor(THEIRS)?.synchronized || undefined);
  return { daemon, us };
};

/** Our routes on their side; gobgpd has no answer but an error for a neighbor it keeps nothing of. */
const stillThere = (daemon: Daemon) =>
  daemon.received(ours()).catch((error: unknown) => {
    if (daemon.name === "gobgp") return [];
    throw error;
  });

const capability = (us: LabSpeaker) =>
  us.speaker.neighbor(THEIRS)?.remoteCapabilities?.find(found => found.kind === "graceful-restart");
const isThere = (us: LabSpeaker) => us.speaker.paths(THEIR_PREFIX).length === 1;

withEachDaemon(
  "graceful restart on NOTIFICATION",
  lab => {
    const start = starting(lab);

    it("both sides set the N bit", async () => {
      const { us } = await start();
      const found = capability(us);
      assert.equal(found?.kind === "graceful-restart" && found.notification, true);
    });

    it("a reset of ours takes no route away, here or there", async () => {
      const { daemon, us } = await start();
      const gone: string[] = [];
      us.speaker.onRoutes(changes =>
        gone.push(...changes.filter(({ best }) => best === null).map(({ prefix }) => prefix)),
      );
      us.speaker.resetNeighbor(THEIRS, "new policy");
      assert.equal(us.speaker.paths(THEIR_PREFIX)[0]?.stale, true);
      const kept = await daemon.received(ours());
      assert.deepEqual(
        kept.map(({ prefix }) => prefix),
        [OUR_PREFIX],
        "kept on their side, without a session",
      );
      await lab.established(us, daemon);
      await until("fresh", () => (us.speaker.paths(THEIR_PREFIX)[0]?.stale === false ? true : undefined));
      // gobgpd 3.10 clears its F bit although it has not restarted, which says its forwarding is gone (RFC 4724 4.2):
      // its routes are dropped, and sent again a moment later.
      const again = capability(us);
      const isPreserved = again?.kind === "graceful-restart" && again.families[0]?.forwardingPreserved;
      assert.equal(isPreserved, lab.name !== "gobgp");
      if (isPreserved) assert.deepEqual(gone, []);
    });

    it("a hold time that is over takes none away", async () => {
      const { daemon, us } = await start();
      daemon.freeze();
      await us.untilError(/Hold Timer Expired/, 20);
      assert.equal(isThere(us), true);
      daemon.thaw();
      await lab.established(us, daemon, { seconds: 30 });
      assert.equal(isThere(us), true);
    });

    it("our graceful stop tells why, and our routes stay there", async () => {
      const { daemon, us } = await start();
      await us.speaker.stop({ graceful: true, message: "version 2" });
      await until(
        "the end of the session",
        async () => !(await daemon.session(ours())).isEstablished || undefined,
      );
      const kept = await daemon.received(ours());
      assert.deepEqual(
        kept.map(({ prefix }) => prefix),
        [OUR_PREFIX],
      );
    });

    it("our shutdown is a hard reset: our routes go there", async () => {
      const { daemon, us } = await start();
      await us.speaker.stop({ message: "for good" });
      await until("our route gone", async () => ((await stillThere(daemon)).length === 0 ? true : undefined));
    });

    it("taking the neighbor out is a hard reset too", async () => {
      const { daemon, us } = await start();
      us.speaker.removeNeighbor(THEIRS);
      await until("our route gone", async () => ((await stillThere(daemon)).length === 0 ? true : undefined));
    });
  },
  ["frr", "gobgp"],
);

withEachDaemon(
  "their shutdown",
  lab => {
    const start = starting(lab);

    it("takes their routes away and says why", async () => {
      const { daemon, us } = await start();
      await daemon.shutdown(ours(), "rack 4 is moving");
      await us.untilGone(THEIR_PREFIX);
      const error = us.speaker.neighbor(THEIRS)?.lastSessionError;
      assert.deepEqual([error?.reason, error?.code, error?.subcode], ["notification-received", 6, 2]);
      assert.equal(error?.communication, "rack 4 is moving");
      await daemon.enable(ours());
      await lab.established(us, daemon, { seconds: 30 });
    });
  },
  ["bird", "frr"],
);

// gobgpd 3.10 sets the N bit and sends its shutdown without a hard reset: that is graceful by RFC 8538 4, and is taken so.
withEachDaemon(
  "their shutdown that is no hard reset",
  lab => {
    const start = starting(lab);

    it("says why, and leaves the routes for the restart time", async () => {
      const { daemon, us } = await start();
      await daemon.shutdown(ours());
      await us.untilError(/Cease\/Administrative Shutdown/);
      assert.equal(us.speaker.paths(THEIR_PREFIX)[0]?.stale, true);
      assert.equal(us.speaker.neighbor(THEIRS)?.restarting, true);
    });
  },
  ["gobgp"],
);
