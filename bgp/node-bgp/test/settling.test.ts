/**
 * Whatever happens to two neighbors - cuts, broken connections, resets, restarts, new settings, at any moment and with any latency - when it is
 * over there is one session between them, each has what the other announces, and nothing stale is left.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import type { NeighborOptions } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

const settings = fc.record({
  delayOpenTime: fc.constantFrom(0, 0, 1, 3),
  gracefulRestartTime: fc.constantFrom(0, 5, 120),
  passive: fc.constant(false),
  holdTime: fc.constantFrom(3, 9, 90),
  longLivedStaleTime: fc.constantFrom(0, 10, 600),
  addPath: fc.constantFrom({}, { receive: true, send: "all" as const }),
  enhancedRefresh: fc.boolean(),
});

const step = fc.record({
  what: fc.constantFrom(
    "announce",
    "announce",
    "withdraw",
    "break",
    "cut",
    "heal",
    "reset",
    "refresh",
    "settings",
    "restart",
    "wait",
    "wait",
  ),
  who: fc.nat(1),
  prefix: fc.nat(7),
  /** Milliseconds to the next step. */
  pause: fc.constantFrom(0, 1, 5, 50, 700, 3_000, 20_000),
  settings,
});

describe("two neighbors", () => {
  it("settle, whatever happens", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 400 }),
        settings,
        settings,
        fc.array(step, { maxLength: 30 }),
        async (latency, left, right, steps) => {
          const lab = new Lab();
          lab.network.latency = latency;
          const addresses = [A, B];
          const own = [new Set<string>(), new Set<string>()];
          const options: Partial<NeighborOptions>[] = [left, right];
          const neighbor = (who: number): NeighborOptions => ({
            address: addresses[1 - who]!,
            asn: 64512,
            connectRetryTime: 2,
            ...options[who],
          });
          const make = (who: number, restarting: boolean): LabSpeaker => {
            const speaker = lab.speaker(addresses[who]!, 64512, {
              gracefulRestart: { restarting, establishWait: 3, deferralTime: 10 },
            });
            speaker.addNeighbor(neighbor(who));
            for (const prefix of own[who]!) speaker.announce({ prefix });
            return speaker;
          };
          const speakers = [make(0, false), make(1, false)];
          await lab.start(...speakers);
          for (const { what, who, prefix, pause, settings: next } of steps) {
            const speaker = speakers[who]!;
            const name = `10.${who}.${prefix}.0/24`;
            if (what === "announce") {
              own[who]!.add(name);
              speaker.announce({ prefix: name });
            } else if (what === "withdraw") {
              own[who]!.delete(name);
              speaker.withdraw(name);
            } else if (what === "break") {
              lab.network.connections.findLast(({ isClosed }) => !isClosed)?.fail();
            } else if (what === "cut") lab.network.cut(A, B);
            else if (what === "heal") lab.network.heal();
            else if (what === "reset") speaker.resetNeighbor(addresses[1 - who]!);
            else if (what === "refresh") speaker.refreshImports();
            else if (what === "settings") {
              options[who] = next;
              speaker.updateNeighbor(neighbor(who));
            } else if (what === "restart") {
              await speaker.stop({ graceful: true });
              lab.clock.advance(pause);
              speakers[who] = make(who, true);
              await speakers[who].start();
            }
            lab.clock.advance(pause);
          }
          lab.network.heal();
          lab.advance(900);
          const all = [...own[0]!, ...own[1]!].sort();
          for (const [who, speaker] of speakers.entries()) {
            const other = addresses[1 - who]!;
            assert.equal(stateOf(speaker, other), "Established");
            assert.deepEqual(prefixesOf(speaker), all);
            assert.ok(
              [...speaker.routes()].every(({ communities }) => communities === undefined),
              "no mark is left",
            );
            assert.equal(speaker.neighbor(other)?.prefixes.stale, 0);
            assert.equal(speaker.neighbor(other)?.restarting, false);
            assert.equal(speaker.neighbor(other)?.synchronized, true);
          }
          // Ends of cut connections that were never told are closed by their hold timers.
          assert.equal(lab.network.connections.filter(({ isClosed }) => !isClosed).length, 2);
          await Promise.all(speakers.map(speaker => speaker.stop()));
        },
      ),
      { numRuns: 60 },
    );
  }).timeout(60_000);
});
