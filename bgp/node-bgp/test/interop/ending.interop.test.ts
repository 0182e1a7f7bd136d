/**
 * How sessions end: each Cease subcode (RFC 4486) with its shutdown communication (RFC 9003) from our side and from theirs, and a hold time that is over on either. What
 * one side says, the other must have understood.
 */

import assert from "node:assert/strict";
import { Cease, type NeighborError, type NeighborOptions, NotificationCode } from "../../index.ts";
import type { Daemon, DaemonName, DaemonNeighbor } from "../kit/daemons/daemon.ts";
import {
  type InteropLab,
  type LabSpeaker,
  ours,
  THEIR_AS,
  THEIRS,
  withEachDaemon,
} from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";
import { SeparateSpeaker } from "../kit/separate-speaker.ts";

const OUR_AS = 64513;
const WHY = "rack 4 is moving";

async function up(
  lab: InteropLab,
  their: Partial<DaemonNeighbor> = {},
  our: Partial<NeighborOptions> = {},
): Promise<{ daemon: Daemon; us: LabSpeaker }> {
  const daemon = await lab.daemon({ neighbors: [{ address: ours(), asn: OUR_AS, ...their }] });
  const us = await lab.speaker({ asn: OUR_AS }, { address: THEIRS, asn: THEIR_AS, ...our });
  await lab.established(us, daemon);
  return { daemon, us };
}

/** What daemons call it, as far as they have a word for it. */
const WORDS: Record<DaemonName, Record<string, RegExp>> = {
  bird: {
    shutdown: /Received: Administrative shutdown/i,
    reset: /Received: Administrative reset/i,
    deconfigured: /Received: Peer de-configured/i,
    maxPrefixes: /Received: Maximum number of prefixes reached/i,
    holdTimer: /Received: Hold timer expired/i,
    ownHoldTimer: /Hold timer expired/i,
  },
  frr: {
    shutdown: /Cease\/Administrative Shutdown/i,
    reset: /Cease\/Administrative Reset/i,
    deconfigured: /Cease\/Peer De-configured/i,
    maxPrefixes: /Cease\/Maximum Number of Prefixes Reached/i,
    holdTimer: /Hold Timer Expired/i,
    ownHoldTimer: /Hold Timer Expired/i,
  },
  gobgp: {
    shutdown: /code 6\(cease\) subcode 2\(/i,
    reset: /code 6\(cease\) subcode 4\(/i,
    deconfigured: /code 6\(cease\) subcode 3\(/i,
    maxPrefixes: /code 6\(cease\) subcode 1\(/i,
    holdTimer: /code 4\(/i,
    ownHoldTimer: /hold-timer-expired/i,
  },
};

withEachDaemon("our ends", lab => {
  for (const [name, end, text] of [
    ["shutdown", us => us.speaker.stop({ message: WHY }), WHY],
    ["reset", us => us.speaker.resetNeighbor(THEIRS, WHY), WHY],
    ["deconfigured", us => us.speaker.removeNeighbor(THEIRS), undefined],
  ] as [string, (us: LabSpeaker) => unknown, string | undefined][]) {
    it(`${name}: they read it${text === undefined ? "" : ", text and all"}`, async () => {
      const { daemon, us } = await up(lab);
      await end(us);
      await until(`"${name}" at theirs`, async () =>
        WORDS[lab.name][name]!.test(await daemon.lastError(ours())) ? true : undefined,
      ).catch(async error => assert.fail(`${error.message}: ${await daemon.lastError(ours())}`));
      if (text !== undefined) assert.match(daemon.log(), new RegExp(text));
    });
  }

  it("maximum of prefixes: they read it, and hear why", async () => {
    const { daemon, us } = await up(lab, {}, { maxPrefixes: 2 });
    await daemon.announce([1, 2, 3].map(i => ({ prefix: `10.20.${i}.0/24` })));
    await until("it at theirs", async () =>
      WORDS[lab.name]["maxPrefixes"]!.test(await daemon.lastError(ours())) ? true : undefined,
    );
    const error = us.speaker.neighbor(THEIRS)?.lastSessionError;
    assert.deepEqual([error?.reason, error?.code, error?.subcode], ["notification-sent", 6, 1]);
  });
});

withEachDaemon("their ends", lab => {
  // gobgp stays away for 30 s after a shutdown or reset of its own; its coming back is not waited for.
  const received = (error: NeighborError) => [error.reason, error.code, error.subcode, error.communication];

  it("shutdown: we read it, text and all, and are back when they are", async () => {
    const { daemon, us } = await up(lab);
    await daemon.shutdown(ours(), WHY);
    const error = await ended(us);
    assert.deepEqual(received(error), ["notification-received", 6, Cease.administrativeShutdown, WHY]);
    assert.match(error.text, /Cease\/Administrative Shutdown \(rack 4 is moving\)/);
    if (lab.name === "gobgp") return;
    await daemon.enable(ours());
    await lab.established(us, daemon, { seconds: 30 });
  });

  it("reset: we read it, and are back", async () => {
    const { daemon, us } = await up(lab);
    // frr's has no text.
    const text = lab.name === "frr" ? undefined : WHY;
    await daemon.reset(ours(), text);
    const error = await ended(us);
    assert.deepEqual(received(error), ["notification-received", 6, Cease.administrativeReset, text]);
    if (lab.name === "gobgp") return;
    await lab.established(us, daemon, { seconds: 30 });
  });

  it("peer de-configured: we read it", async () => {
    const { daemon, us } = await up(lab);
    await daemon.setNeighbors([]);
    assert.deepEqual(received(await ended(us)).slice(0, 3), [
      "notification-received",
      6,
      Cease.peerDeconfigured,
    ]);
  });

  it("maximum of prefixes: we read it", async () => {
    const { us } = await up(lab, { maxPrefixes: 5 });
    // frr counts a prefix after it has looked whether there are too many.
    for (let i = 0; i < 10; i++) us.speaker.announce({ prefix: `192.168.${i}.0/24` });
    assert.deepEqual(received(await ended(us)).slice(0, 3), [
      "notification-received",
      6,
      Cease.maximumPrefixes,
    ]);
  });
});

withEachDaemon("hold time", lab => {
  it("of ours is over when they are frozen: they read it when they wake, and are back", async () => {
    const { daemon, us } = await up(lab, { holdTime: 3 }, { holdTime: 3 });
    const begin = performance.now();
    daemon.freeze();
    const error = await ended(us);
    const seconds = (performance.now() - begin) / 1000;
    assert.deepEqual([error.reason, error.code], ["notification-sent", NotificationCode.holdTimer]);
    assert.ok(seconds > 1.9 && seconds < 4, `after ${seconds} s`);
    daemon.thaw();
    await until("it at theirs", () => (WORDS[lab.name]["holdTimer"]!.test(daemon.log()) ? true : undefined));
    await lab.established(us, daemon, { seconds: 30 });
  });

  it("of theirs is over when we are frozen: we read it when we wake, and are back", async () => {
    const daemon = await lab.daemon({ neighbors: [{ address: ours(), asn: OUR_AS, holdTime: 3 }] });
    const us = lab.keep(
      new SeparateSpeaker({
        speaker: { asn: OUR_AS, routerId: ours(), holdTime: 3 },
        neighbors: [{ address: THEIRS, asn: THEIR_AS, localAddress: ours(), connectRetryTime: 1 }],
        routes: [],
      }),
    );
    await us.untilState(THEIRS, "Established");
    us.freeze();
    await until("theirs to be over", async () =>
      (await daemon.session(ours())).isEstablished ? undefined : true,
    );
    us.thaw();
    await until(
      "us to have read it",
      () => us.errors.some(text => /Hold Timer Expired/.test(text)) || undefined,
    );
    await us.untilState(THEIRS, "Established", 30);
  });
});

function ended(us: LabSpeaker): Promise<NeighborError> {
  return us.until("the session to end", () => us.speaker.neighbor(THEIRS)?.lastSessionError);
}
