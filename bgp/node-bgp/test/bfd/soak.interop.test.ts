/**
 * BFD under load: the main thread parses 1,000,000 prefixes in one turn, again and again, and every processor has a process that never rests.
 * 20 seconds in the suite; `CALYX_BFD_SOAK_MINUTES=60` for the hour of the issue, which also holds 50 ms x 3 for as long. Needs root and bird.
 */

import assert from "node:assert/strict";
import { Speaker } from "../../index.ts";
import { BfdLab, whatIsMissing } from "../kit/bfd-lab.ts";
import type { PeerSession } from "../kit/bfd-peers.ts";
import { Load } from "../kit/load.ts";
import { until } from "../kit/namespaces.ts";

const minutes = Number(process.env["CALYX_BFD_SOAK_MINUTES"] ?? 0);
const seconds = minutes > 0 ? minutes * 60 : 20;
const SESSION: PeerSession = { ours: "10.99.0.1", theirs: "10.99.0.2" };

describe("BFD under full load", function () {
  this.timeout(seconds * 1000 + 60_000);
  let lab: BfdLab;
  let speaker: Speaker;
  let load: Load;

  before(function () {
    const missing = whatIsMissing("bird");
    if (missing === undefined) {
      lab = new BfdLab("bird");
      return;
    }
    process.stdout.write(`    skipped: needs ${missing}\n`);
    this.skip();
  });
  afterEach(async () => {
    await load?.stop();
    await speaker?.stop();
    await lab?.end();
  });
  after(() => lab?.close());

  async function hold(interval: number, realtime: boolean): Promise<void> {
    const session = { ...SESSION, interval };
    await lab.peer.start({ sessions: [session], bgp: true, realtime });
    speaker = new Speaker({ asn: 64512, routerId: session.ours, listen: { addresses: [session.ours] } });
    const bfd = { multihop: false, transmitInterval: interval, receiveInterval: interval };
    speaker.addNeighbor({ address: session.theirs, asn: 64512, localAddress: session.ours, bfd });
    await speaker.start();
    const status = () => speaker.neighbor(session.theirs)!;
    await until(
      "both Up",
      async () => {
        const { state, bfd: watched } = status();
        const isFast = state === "Established" && watched?.remoteTransmitInterval === interval;
        return isFast && (await lab.peer.state(session)) === "Up" ? true : undefined;
      },
      20,
    );
    load = new Load();
    load.start();
    const sentBefore = status().bfd!.sent;
    await new Promise(resolve => setTimeout(resolve, seconds * 1000));
    const { bfd: watched, established } = status();
    const { sent, longestGap, longestDelay, ups, roundTrip } = watched!;
    process.stdout.write(
      `      ${interval} ms x 3 for ${seconds} s, thread ${speaker.bfd!.priority}: ${load.tables} tables, ` +
        `turns up to ${Math.round(load.longestTurn)} ms; packets late by up to ${longestDelay.toFixed(1)} ms, ` +
        `${longestGap.toFixed(1)} ms between two of theirs, round trip ${roundTrip?.smoothed.toFixed(2)} ms\n`,
    );
    assert.equal(ups, 1, "no flap");
    assert.equal(established, 1);
    assert.equal(await lab.peer.state(session), "Up");
    // At most an interval apart, at least three quarters of one.
    assert.ok(sent - sentBefore >= (seconds * 1000) / interval);
  }

  it("holds 300 ms x 3", () => hold(300, false));

  it("holds 50 ms x 3 with real-time priority on both sides", async function () {
    if (minutes === 0) this.skip();
    await hold(50, true);
  });
});
