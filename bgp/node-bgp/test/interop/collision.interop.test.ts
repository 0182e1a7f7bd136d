/**
 * Both sides dial at once, 200 times: each time exactly one connection is left, it becomes Established, and stays (RFC 4271 6.8). Half of our speakers have the
 * higher identifier, half the lower one; half dial first, half second.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { acceptAll } from "../../index.ts";
import type { Daemon, DaemonName } from "../kit/daemons/daemon.ts";
import { type LabSpeaker, ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";
import { type Rendezvous, rendezvous } from "../kit/rendezvous.ts";

const OUR_AS = 64513;
const COLLISIONS = 200;
/**
 * frr 8.4.4 loses some sessions again just after they came up, where our identifier is the higher one and several peers collide at once: the stop it meant for the
 * losing connection hits the winning one. They come back by themselves.
 */
const MAY_COME_UP: Record<DaemonName, number> = { bird: 1, frr: 3, gobgp: 1 };
/** bird lets eight wait to be accepted; gobgp dials once in 5 to 10 seconds, so that is done by many together. */
const AT_ONCE: Record<DaemonName, number> = { bird: 40, frr: 40, gobgp: 200 };
const TCP_ESTABLISHED = "01";

withEachDaemon("both dial at once", lab => {
  const pairs = Array.from({ length: AT_ONCE[lab.name] }, (_, i) => i + 2);
  const rounds = Math.ceil(COLLISIONS / pairs.length);
  let daemon: Daemon;

  before(async () => {
    if (lab.isOpen)
      daemon = await lab.daemon({ neighbors: pairs.map(i => ({ address: ours(i), asn: OUR_AS })) });
  });

  for (let round = 1; round <= rounds; round++) {
    it(`${pairs.length} times, ${round} of ${rounds}: one session each`, async () => {
      const met: Rendezvous[] = [];
      const speakers = await Promise.all(
        pairs.map(async (i, n) => {
          // gobgp stops dialling once it has been dialled.
          const order = n % 2 === 0 || lab.name === "gobgp" ? "they-first" : "we-first";
          const meeting = rendezvous(order, Math.random);
          met.push(meeting);
          const routerId = n % 4 < 2 ? `10.98.0.${i}` : `10.100.0.${i}`;
          return lab.speaker(
            { asn: OUR_AS, at: i, routerId, transport: meeting.transport },
            { address: THEIRS, asn: THEIR_AS, importPolicy: acceptAll, connectRetryTime: 30 },
          );
        }),
      );
      await until(
        "one connection for each pair, Established on both sides",
        async () => {
          if (speakers.some(us => us.speaker.neighbor(THEIRS)?.state !== "Established")) return undefined;
          const counts = [process.pid, daemon.main.pid!].map(connectionsByAddress);
          if (counts.some(count => pairs.some(i => count.get(ours(i)) !== 1))) return undefined;
          const sessions = await daemon.sessions();
          return pairs.every(i => sessions.get(ours(i))?.isEstablished) || undefined;
        },
        30,
      );
      const most = Math.max(...speakers.map(timesEstablished));
      assert.ok(most <= MAY_COME_UP[lab.name], `one has been Established ${most} times`);
      const collisions = met.filter(meeting => meeting.met).length;
      assert.ok(collisions >= pairs.length * 0.9, `only ${collisions} of ${pairs.length} were collisions`);
    });
  }
});

function timesEstablished(us: LabSpeaker): number {
  return us.events.filter(({ state }) => state === "Established").length;
}

/** TCP connections in the namespace of a process, by the one address of the two that is not the daemon's. */
function connectionsByAddress(pid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n").slice(1)) {
    const [, local, remote, state] = line.trim().split(/\s+/);
    if (state !== TCP_ESTABLISHED) continue;
    const address = [local!, remote!].map(dotted).find(text => text !== THEIRS)!;
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  return counts;
}

/** `0201630A:00B3` is 10.99.1.2. */
function dotted(text: string): string {
  const bytes = Buffer.from(text.slice(0, 8), "hex").reverse();
  return bytes.join(".");
}
