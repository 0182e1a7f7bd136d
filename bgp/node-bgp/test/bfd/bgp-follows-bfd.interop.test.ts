/** BGP sessions with bird and frr that follow BFD on both sides, over a real cable. Needs root; skips, with the reason, where it cannot run. */

import assert from "node:assert/strict";
import { type NeighborBfdOptions, type NeighborEvent, Speaker } from "../../index.ts";
import { BfdLab, whatIsMissing } from "../kit/bfd-lab.ts";
import type { PeerSession } from "../kit/bfd-peers.ts";
import { until } from "../kit/namespaces.ts";

const ROUTE = "10.20.0.0/24";
const OURS = "10.30.0.0/24";
const IPV4: PeerSession = { ours: "10.99.0.1", theirs: "10.99.0.2" };
const IPV6: PeerSession = { ours: "fd99::1", theirs: "fd99::2" };
const SLACK_MS = 250;

for (const name of ["bird", "frr"] as const) {
  describe(`BGP follows BFD, with ${name}`, function () {
    this.timeout(60_000);
    let lab: BfdLab;
    let speaker: Speaker;
    let events: NeighborEvent[];

    before(function () {
      const missing = whatIsMissing(name);
      if (missing === undefined) {
        lab = new BfdLab(name);
        return;
      }
      process.stdout.write(`    skipped: needs ${missing}\n`);
      this.skip();
    });
    afterEach(async function () {
      if (this.currentTest?.state === "failed") {
        process.stdout.write(`${JSON.stringify(events)}\n${lab.peer.log()}\n`);
      }
      await speaker?.stop();
      await lab?.end();
    });
    after(() => lab?.close());

    async function start(session: PeerSession, bfd: NeighborBfdOptions = {}): Promise<void> {
      await lab.peer.start({ sessions: [session], bgp: true });
      const { ours, theirs, multihop = false } = session;
      speaker = new Speaker({ asn: 64512, routerId: "10.99.0.1", listen: { addresses: [ours] } });
      events = [];
      speaker.onNeighbor(event => events.push(event));
      speaker.addNeighbor({
        address: theirs,
        asn: 64512,
        localAddress: ours,
        connectRetryTime: 1,
        families: ["ipv4-unicast"],
        bfd: { multihop, ...bfd },
      });
      await speaker.start();
      await following(session);
    }

    /** Established, BFD up on both sides, its route here. */
    async function following(session: PeerSession): Promise<void> {
      await until(
        "BGP and BFD up",
        async () => {
          const { state, bfd } = speaker.neighbor(session.theirs)!;
          const isUp = state === "Established" && bfd?.state === "Up" && bfd.remoteTransmitInterval === 300;
          const isLearned = speaker.route(ROUTE) !== undefined;
          return isUp && isLearned && (await lab.peer.state(session)) === "Up" ? true : undefined;
        },
        20,
      );
    }

    for (const [kind, session] of [
      ["IPv4", IPV4],
      ["IPv6", IPV6],
      ["IPv4, several hops", { ...IPV4, multihop: true }],
    ] as const) {
      // For it an internal neighbor on the same link is one hop away.
      if (name === "frr" && session.multihop) continue;
      it(`ends with its routes in the detection time when the path fails, and is back when the path is: ${kind}`, async () => {
        await start(session);
        const { theirs } = session;
        const seen = events.length;
        const cutAt = Date.now();
        lab.cut();
        await until("no route", () => (speaker.route(ROUTE) === undefined ? true : undefined));
        const ended = events.slice(seen)[0]!;
        assert.equal(ended.previous, "Established");
        assert.deepEqual([ended.error?.code, ended.error?.subcode], [6, 10]);
        assert.equal(ended.error?.text, "Cease/BFD Down: Control Detection Time Expired");
        assert.ok(ended.since - cutAt <= 900 + SLACK_MS, `${ended.since - cutAt} ms, the hold time is 90 s`);
        lab.mend();
        await following(session);
        assert.equal(speaker.neighbor(theirs)?.established, 2);
      });
    }

    it("stays while the main thread does nothing else for two seconds", async () => {
      await start(IPV4);
      const end = Date.now() + 2_000;
      while (Date.now() < end);
      assert.equal(await lab.peer.state(IPV4), "Up");
      await new Promise(resolve => setImmediate(resolve));
      await following(IPV4);
      assert.equal(speaker.neighbor(IPV4.theirs)?.established, 1);
      assert.equal(speaker.neighbor(IPV4.theirs)?.bfd?.ups, 1);
    });

    it("does without BFD when told to, and with it again: these two end the session for it, against RFC 5882 3.2, and take it back", async () => {
      await start(IPV4);
      const { theirs, ours } = IPV4;
      const families = ["ipv4-unicast"] as const;
      const neighbor = { address: theirs, asn: 64512, localAddress: ours, connectRetryTime: 1, families };
      const seen = events.length;
      speaker.updateNeighbor(neighbor);
      const ended = await until("its end", () => events.slice(seen).find(({ error }) => error !== undefined));
      assert.match(ended.error!.reason, /notification-received|connection-lost/, "it is not our doing");
      await speaker.established(theirs);
      assert.equal(speaker.neighbor(theirs)?.bfd, undefined);
      speaker.updateNeighbor({ ...neighbor, bfd: { multihop: false } });
      await following(IPV4);
      assert.equal(speaker.neighbor(theirs)?.established, 2);
    });

    it("leaves for a graceful restart, and BFD does not stand in its way", async () => {
      await start(IPV4);
      speaker.announce({ prefix: OURS, nextHop: IPV4.ours });
      await until("our route there", async () => ((await lab.peer.hasRoute(OURS)) ? true : undefined));
      await speaker.stop({ graceful: true });
      await until("their BFD down", async () => ((await lab.peer.state(IPV4)) === "Down" ? true : undefined));
      assert.ok(await lab.peer.hasRoute(OURS), "kept over the restart");
    });

    it("waits for BFD where that is strict", async function () {
      // Its BFD begins when BGP is up.
      if (name === "frr") this.skip();
      await start(IPV4, { strict: true });
      assert.deepEqual(
        events.map(({ state }) => state).filter(state => state === "Established"),
        ["Established"],
      );
      const bfdUp = speaker.neighbor(IPV4.theirs)!.bfd!.since;
      assert.ok(
        events.every(({ since }) => since >= bfdUp),
        "nothing was tried before",
      );
      lab.cut();
      await until("Idle", () => (speaker.neighbor(IPV4.theirs)?.state === "Idle" ? true : undefined));
      lab.mend();
      await following(IPV4);
    });
  });
}
