/**
 * Sessions with timers of one and three seconds while 1,000,000 prefixes go through, several times: keepalives go out on time, and nobody's hold timer expires. The
 * reflector and its flood are processes of their own, in namespaces of their own.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Family, type NeighborOptions } from "../../index.ts";
import type { FloodReport } from "../kit/flood.ts";
import { Cable, exited } from "../kit/namespaces.ts";

const PREFIXES = 1_000_000;
/** So that it takes several keepalives. */
const ROUNDS = 4;

describe("a full table over sessions with timers of 1 s and 3 s", function () {
  this.timeout(120_000);
  let cable: Cable | undefined;

  before(function () {
    if (process.getuid?.() === 0) {
      cable = new Cable();
      return;
    }
    process.stdout.write("    skipped: needs root\n");
    this.skip();
  });
  after(() => cable?.remove());

  it("keepalives go out on time, and both sessions stand", async () => {
    const kit = join(import.meta.dirname, "../kit");
    const neighbor = (address: string): NeighborOptions => ({
      address,
      asn: 64512,
      families: [Family.ipv4Unicast],
      passive: true,
      holdTime: 3,
      keepaliveTime: 1,
      reflectorClient: true,
    });
    const setup = {
      speaker: { asn: 64512, routerId: "10.99.0.1" },
      neighbors: [neighbor("10.99.0.2"), neighbor("fd99::2")],
      routes: [],
      quiet: true,
    };
    const reflector = cable!.spawn(
      cable!.left,
      process.execPath,
      [join(kit, "speaker-process.ts"), JSON.stringify(setup)],
      "inherit",
    );
    const states: string[] = [];
    const isReady = Promise.withResolvers<void>();
    createInterface({ input: reflector.stdout! }).on("line", line => {
      const event = JSON.parse(line);
      if (event.event === "ready") isReady.resolve();
      if (event.event === "neighbor")
        states.push(`${event.address} ${event.state} ${event.error?.text ?? ""}`.trim());
    });
    await isReady.promise;
    const flood = cable!.spawn(
      cable!.right,
      process.execPath,
      [join(kit, "flood.ts"), "10.99.0.1", "fd99::1", `${PREFIXES}`, `${ROUNDS}`],
      "inherit",
    );
    let answer = "";
    flood.stdout!.on("data", chunk => {
      answer += chunk;
    });
    await exited(flood);
    const report: FloodReport & { error?: string } = JSON.parse(answer);
    assert.equal(report.error, undefined, states.join(", "));
    assert.ok(report.received > PREFIXES, `${report.received} prefixes`);
    assert.deepEqual(states.filter(text => text.endsWith("Established")).sort(), [
      "10.99.0.2 Established",
      "fd99::2 Established",
    ]);
    assert.deepEqual(
      states.filter(text => /Hold Timer/.test(text)),
      [],
    );
    const [toSender, toReceiver] = report.silence;
    assert.ok(toSender < 1500, `the sender heard nothing for ${Math.round(toSender)} ms`);
    assert.ok(toReceiver < 1500, `the receiver heard nothing for ${Math.round(toReceiver)} ms`);
    process.stdout.write(
      `      ${PREFIXES} prefixes ${ROUNDS} times in ${Math.round(report.took)} ms; longest silence ${report.silence.map(Math.round).join(" and ")} ms\n`,
    );
    reflector.kill("SIGKILL");
    await exited(reflector);
  });
});
