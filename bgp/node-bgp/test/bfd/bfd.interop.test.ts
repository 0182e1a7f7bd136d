/** Our BFD with bird's and frr's, over a real cable. Needs root; skips, with the reason, where it cannot run. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { BfdLab, WatchedSession, whatIsMissing } from "../kit/bfd-lab.ts";
import type { PeerSession } from "../kit/bfd-peers.ts";
import { until } from "../kit/namespaces.ts";

const IPV4: PeerSession = { ours: "10.99.0.1", theirs: "10.99.0.2" };
const IPV6: PeerSession = { ours: "fd99::1", theirs: "fd99::2" };
const KINDS: readonly (readonly [string, PeerSession])[] = [
  ["IPv4, one hop", IPV4],
  ["IPv6, one hop", IPV6],
  ["IPv4, several hops", { ...IPV4, multihop: true }],
  ["IPv6, several hops", { ...IPV6, multihop: true }],
];

/** How late a timer of ours may be in a test beside others on a busy machine; the neighbor's packet may have come late as well. */
const SLACK_MS = 250;

for (const name of ["bird", "frr"] as const) {
  describe(`BFD with ${name}`, function () {
    this.timeout(60_000);
    let lab: BfdLab;

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
      if (this.currentTest?.state === "failed") process.stdout.write(`${lab.peer.log()}\n`);
      await lab?.end();
    });
    after(() => lab?.close());

    function watch(session: PeerSession, bfd = lab.bfd()): WatchedSession {
      const { ours, theirs, multihop, interval, multiplier } = session;
      return new WatchedSession(bfd, {
        address: theirs,
        localAddress: ours,
        multihop,
        transmitInterval: interval,
        receiveInterval: interval,
        multiplier,
      });
    }

    /** Up on both sides, with the timers of both. */
    async function bothUp(watched: WatchedSession, session: PeerSession): Promise<void> {
      await watched.up();
      const { interval = 300 } = session;
      await until(`${interval} ms on both sides`, async () => {
        const { transmitInterval, remoteTransmitInterval } = watched.session.status();
        const isFast = transmitInterval === interval && remoteTransmitInterval === interval;
        const state = await lab.peer.state(session);
        return isFast && state === "Up" && (await lab.peer.interval(session)) === interval ? true : undefined;
      });
    }

    it("comes up over IPv4 and IPv6, one hop and several, all at once, and knows the round trip", async () => {
      const sessions = KINDS.map(([, session]) => session);
      await lab.peer.start({ sessions });
      const bfd = lab.bfd();
      const watched = sessions.map(session => watch(session, bfd));
      for (const [i, session] of sessions.entries()) await bothUp(watched[i]!, session);
      for (const { session } of watched) {
        const { detectionTime, roundTrip, longestGap } = await until("a round trip", () => {
          const status = session.status();
          return status.roundTrip === undefined ? undefined : status;
        });
        assert.equal(detectionTime, 900);
        assert.ok(roundTrip!.last > 0 && roundTrip!.last < 100, `${roundTrip!.last} ms`);
        assert.ok(longestGap < 900);
      }
      assert.deepEqual(
        Object.entries(bfd.status().discarded).filter(([, count]) => count > 0),
        [],
      );
    });

    it("comes up over link-local addresses", async () => {
      const session = { ours: await lab.linkLocal("left"), theirs: await lab.linkLocal("right") };
      await lab.peer.start({ sessions: [session] });
      const watched = watch(session);
      await bothUp(watched, session);
      assert.equal(watched.session.status().interface, "eth0");
    });

    for (const [kind, session] of KINDS) {
      it(`notices a cut within the detection time: ${kind}`, async () => {
        await lab.peer.start({ sessions: [session] });
        const watched = watch(session);
        await bothUp(watched, session);
        const cutAt = Date.now();
        lab.cut();
        const { at, cause, diagnostic } = await watched.down();
        assert.equal(cause, "detection-expired");
        assert.equal(diagnostic, "Control Detection Time Expired");
        assert.ok(at - cutAt <= 900 + SLACK_MS, `${at - cutAt} ms`);
        assert.ok(at - cutAt >= 600 - SLACK_MS, `${at - cutAt} ms`);
        lab.mend();
        await watched.up(watched.events.length);
      });
    }

    it("tells its neighbor when it is shut down, and hears when that is", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const watched = watch(IPV4);
      await bothUp(watched, IPV4);
      watched.session.update({ adminDown: true });
      await until("theirs Down", async () => ((await lab.peer.state(IPV4)) === "Down" ? true : undefined));
      watched.session.update({});
      const count = watched.events.length;
      await watched.up(count);
      await lab.peer.shutdown(IPV4);
      const { cause } = await watched.down(count);
      // bird says nothing when its BFD is disabled.
      assert.equal(cause, name === "frr" ? "neighbor-admin-down" : "detection-expired");
    });

    it("says good-bye when a session is removed, and when all end", async () => {
      await lab.peer.start({ sessions: [IPV4, IPV6] });
      const bfd = lab.bfd();
      const [four, six] = [watch(IPV4, bfd), watch(IPV6, bfd)];
      await bothUp(four, IPV4);
      await bothUp(six, IPV6);
      const state = (session: PeerSession) => async () =>
        (await lab.peer.state(session)) === "Down" ? Date.now() : undefined;
      const removedAt = Date.now();
      four.session.remove();
      assert.ok((await until("IPv4 Down", state(IPV4))) - removedAt < 600, "it does not take a time-out");
      assert.ok(six.hasNotFlapped);
      const closedAt = Date.now();
      await bfd.close();
      assert.ok((await until("IPv6 Down", state(IPV6))) - closedAt < 600);
    });

    it("may be closed at any moment, and leaves nothing open", async () => {
      const descriptors = openDescriptors();
      for (const ms of [0, 1, 10, 30, 50, 70, 100]) {
        const bfd = lab.bfd();
        watch(IPV4, bfd);
        await new Promise(resolve => setTimeout(resolve, ms));
        await bfd.close();
      }
      assert.deepEqual(openDescriptors(), descriptors);
    });

    it("comes up again with a neighbor that was killed", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const watched = watch(IPV4);
      await bothUp(watched, IPV4);
      await lab.peer.kill();
      const { cause } = await watched.down();
      assert.equal(cause, "detection-expired");
      const count = watched.events.length;
      await lab.peer.start({ sessions: [IPV4] });
      await watched.up(count);
    });

    it("changes timers in flight, ours and theirs, without a flap", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const watched = watch(IPV4);
      await bothUp(watched, IPV4);
      const settled = (transmit: number, detection: number) =>
        until(`${transmit} ms, detection in ${detection} ms`, () => {
          const { transmitInterval, detectionTime } = watched.session.status();
          return transmitInterval === transmit && detectionTime === detection ? true : undefined;
        });
      watched.session.update({ transmitInterval: 1_000, receiveInterval: 500, multiplier: 5 });
      await settled(1_000, 1_500);
      watched.session.update({ transmitInterval: 100, receiveInterval: 100 });
      await settled(300, 900);
      await lab.peer.change({ ...IPV4, interval: 100, multiplier: 4 });
      await settled(100, 400);
      await lab.peer.change({ ...IPV4, interval: 700 });
      await settled(700, 2_100);
      assert.ok(watched.hasNotFlapped);
      assert.equal(await lab.peer.state(IPV4), "Up");
    });

    it("does not flap while the main thread does nothing else for seconds", async () => {
      const fast = { ...IPV4, interval: 100 };
      await lab.peer.start({ sessions: [fast] });
      const watched = watch(fast);
      await bothUp(watched, fast);
      const { sent } = watched.session.status();
      const end = Date.now() + 2_000;
      while (Date.now() < end);
      const status = watched.session.status();
      assert.equal(await lab.peer.state(fast), "Up");
      assert.ok(watched.hasNotFlapped);
      assert.ok(status.sent - sent >= 18, `${status.sent - sent} packets`);
      assert.ok(status.longestGap < 300, `${status.longestGap} ms`);
    });

    it("goes on after the death of its thread, and the neighbor has not noticed", async () => {
      await lab.peer.start({ sessions: [IPV4, IPV6] });
      const order = join(lab.cable.folder, "die");
      process.env["BFD_TEST_DIE"] = order;
      const bfd = lab.bfd({ workerFile: join(import.meta.dirname, "../kit/mortal-bfd-worker.ts") });
      const watched = [IPV4, IPV6].map(session => watch(session, bfd));
      await bothUp(watched[0]!, IPV4);
      await bothUp(watched[1]!, IPV6);
      const descriptors = openDescriptors();
      const discriminators = () => bfd.sessions().map(({ localDiscriminator }) => localDiscriminator);
      const before = discriminators();
      const failed = new Promise<Error>(resolve => bfd.onFailure(resolve));
      execFileSync("touch", [order]);
      assert.equal((await failed).message, "killed by the test");
      const sent = () => watched.map(({ session }) => session.status().sent);
      const then = sent();
      await until("packets again", () =>
        sent().every((count, i) => count > then[i]! + 5) ? true : undefined,
      );
      assert.equal(bfd.status().thread, "running");
      assert.equal(bfd.status().failures, 1);
      assert.deepEqual(discriminators(), before);
      assert.ok(watched.every(({ hasNotFlapped }) => hasNotFlapped));
      assert.equal(await lab.peer.state(IPV4), "Up");
      assert.equal(await lab.peer.state(IPV6), "Up");
      assert.deepEqual(openDescriptors(), descriptors, "nothing is left open by the dead one");
    });

    it("says that another program has the port, and works once that is gone", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const other = lab.cable.spawn(lab.cable.left, process.execPath, [
        "-e",
        `require("node:dgram").createSocket("udp4").bind(3784, () => process.stdout.write("bound"))`,
      ]);
      await new Promise(resolve => other.stdout!.once("data", resolve));
      const bfd = lab.bfd();
      const watched = watch(IPV4, bfd);
      const trouble = await until("trouble", () => watched.session.status().trouble);
      assert.equal(trouble, "UDP port 3784: EADDRINUSE");
      assert.equal(watched.state, "Down");
      other.kill("SIGKILL");
      await watched.up();
      assert.equal(watched.session.status().trouble, undefined);
    });

    it("drops what has come over a router", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const bfd = lab.bfd();
      const watched = watch(IPV4, bfd);
      await bothUp(watched, IPV4);
      const { localDiscriminator } = watched.session.status();
      // Down, from the right discriminator to ours: it would take the session down.
      const packet = `2040031800000001${localDiscriminator.toString(16).padStart(8, "0")}000f4240000f424000000000`;
      for (const ttl of [1, 64, 254]) {
        execFileSync("ip", [
          ...["netns", "exec", lab.cable.right, process.execPath, "-e"],
          `const socket = require("node:dgram").createSocket("udp4");
           socket.bind(() => {
             socket.setTTL(${ttl});
             socket.send(Buffer.from("${packet}", "hex"), 3784, "10.99.0.1", () => socket.close());
           });`,
        ]);
      }
      await until("three dropped", () => (bfd.status().discarded.ttl === 3 ? true : undefined));
      assert.ok(watched.hasNotFlapped);
    });

    it("waits for an interface that is not there, and takes packets of no other", async () => {
      await lab.peer.start({ sessions: [IPV4] });
      const bfd = lab.bfd();
      const watched = new WatchedSession(bfd, { address: IPV4.theirs, interface: "eth7" });
      await until("trouble", () =>
        watched.session.status().trouble === "there is no interface eth7" ? true : undefined,
      );
      await until("a packet dropped", () => (bfd.status().discarded["no-session"] > 0 ? true : undefined));
      lab.ip(lab.cable.left, "link", "set", "eth0", "down");
      lab.ip(lab.cable.left, "link", "set", "eth0", "name", "eth7");
      lab.ip(lab.cable.left, "link", "set", "eth7", "up");
      await watched.up();
      assert.equal(watched.session.status().trouble, undefined);
      lab.ip(lab.cable.left, "link", "set", "eth7", "down");
      lab.ip(lab.cable.left, "link", "set", "eth7", "name", "eth0");
      lab.ip(lab.cable.left, "link", "set", "eth0", "up");
      lab.ip(lab.cable.left, "addr", "replace", "fd99::1/64", "dev", "eth0", "nodad");
    });
  });
}

/** What the process has open, by kind: sockets, eventfds and so on. */
function openDescriptors(): string[] {
  const folder = `/proc/${process.pid}/fd`;
  const targets = readdirSync(folder).map(fd => {
    try {
      return readlinkSync(join(folder, fd));
    } catch {
      return "";
    }
  });
  return targets.map(target => target.replace(/\d+/, "")).sort();
}
