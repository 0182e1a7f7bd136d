/**
 * Keepalives of 1 s, hold times of 3 s, and a table that comes in as fast as the sockets carry it: nobody must hear nothing for long, and
 * no session may end. KEEPALIVE_PREFIXES=1000000 makes it a full table.
 */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Speaker } from "../index.ts";
import { enterNamespace } from "./kit/network-namespace.ts";
import type { FeederOptions } from "./kit/table-feeder.ts";

const PREFIXES = Number(process.env["KEEPALIVE_PREFIXES"] ?? 100_000);
const ROUNDS = 10;
const FEEDER = new URL("./kit/table-feeder.ts", import.meta.url).pathname;
const SENDER = "127.0.0.2";
const READER = "127.0.0.3";

describe("under the load of a big table", () => {
  const name = `nbka${process.pid}`;
  let leave = () => {};
  before(() => {
    execFileSync("ip", ["netns", "add", name]);
    execFileSync("ip", ["-n", name, "link", "set", "lo", "up"]);
    leave = enterNamespace(name);
  });
  after(() => {
    leave();
    execFileSync("ip", ["netns", "del", name]);
  });

  it("keepalives go out in time, and nobody's hold timer expires", async () => {
    const speaker = new Speaker({
      asn: 64512,
      routerId: "127.0.0.1",
      holdTime: 3,
      listen: { port: 0, addresses: ["127.0.0.1"] },
    });
    const ends: string[] = [];
    speaker.onNeighbor(({ previous, error }) => {
      if (previous === "Established") ends.push(error?.text ?? "ended");
    });
    for (const address of [SENDER, READER])
      speaker.addNeighbor({ address, asn: 64512, passive: true, reflectorClient: true });
    await speaker.start();
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const feed = (address: string, prefixes: number) => {
      const options: FeederOptions = {
        port: speaker.port!,
        address,
        asn: 64512,
        holdTime: 3,
        prefixes,
        rounds: prefixes > 0 ? ROUNDS : 0,
      };
      return spawn(process.execPath, [FEEDER, JSON.stringify(options)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
    };
    const feeders = [feed(SENDER, PREFIXES), feed(READER, 0)];
    const reports = feeders.map(async ({ stdout }) => JSON.parse(String((await once(stdout!, "data"))[0])));
    try {
      await Promise.all([SENDER, READER].map(address => speaker.established(address)));
      delay.enable();
      const isThrough = () => speaker.neighbor(SENDER)?.synchronized || ends.length > 0;
      while (!isThrough()) await new Promise(resolve => setTimeout(resolve, 20));
      assert.deepEqual(ends, []);
      assert.equal(speaker.neighbor(SENDER)?.prefixes.received, PREFIXES);
    } finally {
      delay.disable();
      await speaker.stop();
    }
    const [sender, reader] = await Promise.all(reports);
    process.stderr.write(
      `      ${PREFIXES} prefixes, ${ROUNDS} times: longest silence ${sender.longestSilence} and ${reader.longestSilence} ms, longest turn ${(delay.max / 1e6 - 1).toFixed(1)} ms, p99 ${(delay.percentile(99) / 1e6 - 1).toFixed(1)} ms\n`,
    );
    // A keepalive is due after a second at most; the hold time is three.
    for (const { longestSilence } of [sender, reader])
      assert.ok(longestSilence < 2000, `${longestSilence} ms of silence`);
  }).timeout(300_000);
});
