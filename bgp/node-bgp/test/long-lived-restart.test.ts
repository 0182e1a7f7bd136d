/**
 * RFC 9494 between speakers: what a neighbor had announced is the last resort when its restart time is over, marked so that everybody who
 * is told of it knows, for as long as it asked for.
 *
 *      b --- a --- c          a is the helper, c knows LLGR, d does not; e announces the same prefix as b, at a worse preference
 *      e ---/  \-- d
 */

import assert from "node:assert/strict";
import { type NeighborOptions, WellKnownCommunity } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf, routeOf } from "./kit/lab.ts";

const [A, B, C, D, E] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"] as const;
const BLOCK = "192.168.1.0/24";
const SHARED = "192.168.2.0/24";
const NOT_LONG = "192.168.3.0/24";

const LONG_LIVED: Partial<NeighborOptions> = { gracefulRestartTime: 60, longLivedStaleTime: 1000 };

interface Star {
  readonly lab: Lab;
  readonly a: LabSpeaker;
  readonly b: LabSpeaker;
  readonly c: LabSpeaker;
  readonly d: LabSpeaker;
}

function announceB(b: LabSpeaker): void {
  b.announce({ prefix: BLOCK, communities: ["64512:1"] });
  b.announce({ prefix: SHARED, localPref: 300 });
  b.announce({ prefix: NOT_LONG, communities: [WellKnownCommunity.noLlgr] });
}

function makeB(lab: Lab, options: Partial<NeighborOptions> = LONG_LIVED, restarting = false): LabSpeaker {
  const b = lab.speaker(B, 64512, { gracefulRestart: { restarting } });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1, ...options });
  announceB(b);
  return b;
}

/** All but `b` stay; `b` is gone for `away` seconds. */
async function star(away: number, options: Partial<NeighborOptions> = LONG_LIVED): Promise<Star> {
  const lab = new Lab();
  const a = lab.speaker(A, 64512);
  for (const address of [B, C]) a.addNeighbor({ address, asn: 64512, reflectorClient: true, ...LONG_LIVED });
  for (const address of [D, E]) a.addNeighbor({ address, asn: 64512, reflectorClient: true });
  const others = [C, D, E].map(address => {
    const speaker = lab.speaker(address, 64512);
    speaker.addNeighbor({ address: A, asn: 64512, ...(address === C ? LONG_LIVED : {}) });
    return speaker;
  });
  others[2]!.announce({ prefix: SHARED, localPref: 100 });
  const b = makeB(lab, options);
  await lab.start(a, b, ...others);
  lab.advance(10);
  assert.deepEqual(prefixesOf(a), [BLOCK, SHARED, NOT_LONG]);
  await b.stop({ graceful: true });
  lab.advance(away);
  return { lab, a, b, c: others[0]!, d: others[1]! };
}

describe("long-lived graceful restart (RFC 9494)", () => {
  it("begins when the restart time is over: marked, last choice, and without NO_LLGR", async () => {
    const before = await star(59);
    assert.equal(routeOf(before.a, SHARED)?.source, B);
    assert.deepEqual(routeOf(before.c, BLOCK)?.communities, ["64512:1"]);
    const { a, c } = await star(62);
    assert.deepEqual(prefixesOf(a), [BLOCK, SHARED]);
    const kept = routeOf(a, BLOCK);
    assert.deepEqual([kept?.stale, kept?.communities], [true, ["64512:1", WellKnownCommunity.llgrStale]]);
    assert.equal(routeOf(a, SHARED)?.source, E, "any other path is better, whatever its LOCAL_PREF");
    assert.deepEqual(routeOf(c, BLOCK)?.communities, ["64512:1", WellKnownCommunity.llgrStale]);
  });

  it("is told to who knows it, and withdrawn from who does not", async () => {
    const { c, d } = await star(62);
    assert.deepEqual(prefixesOf(c), [BLOCK, SHARED]);
    assert.deepEqual(prefixesOf(d), [SHARED]);
  });

  it("ends with the stale time", async () => {
    const { lab, a, c } = await star(60 + 998);
    assert.deepEqual(prefixesOf(a), [BLOCK, SHARED]);
    lab.advance(4);
    assert.deepEqual(prefixesOf(a), [SHARED]);
    assert.deepEqual(prefixesOf(c), [SHARED]);
  });

  it("ends when the neighbor is back: its routes are what it sends", async () => {
    const { lab, a, c } = await star(300);
    const again = makeB(lab, LONG_LIVED, true);
    await again.start();
    lab.advance(10);
    assert.deepEqual(prefixesOf(a), [BLOCK, SHARED, NOT_LONG]);
    for (const speaker of [a, c]) {
      assert.deepEqual(routeOf(speaker, BLOCK)?.communities, ["64512:1"]);
      assert.equal(speaker.paths(SHARED)[0]?.localPref, 300);
    }
    assert.deepEqual([a.neighbor(B)?.prefixes.stale, a.neighbor(B)?.restarting], [0, false]);
    lab.advance(2000);
    assert.equal(prefixesOf(a).length, 3);
  });

  it("is not there where one side does not want it", async () => {
    const { a } = await star(62, { gracefulRestartTime: 60 });
    assert.deepEqual(prefixesOf(a), [SHARED]);
  });

  it("leaves a thousand routes marked, and takes the marks off again", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512, ...LONG_LIVED });
    const start = async (restarting: boolean, count: number) => {
      const b = lab.speaker(B, 64512, { gracefulRestart: { restarting } });
      b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1, ...LONG_LIVED });
      for (let i = 0; i < count; i++) b.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24`, med: i % 50 });
      await b.start();
      lab.advance(5);
      return b;
    };
    await a.start();
    const b = await start(false, 10_000);
    await b.stop({ graceful: true });
    lab.advance(100);
    const marked = () =>
      [...a.routes()].filter(({ communities }) => communities?.includes(WellKnownCommunity.llgrStale)).length;
    assert.deepEqual([prefixesOf(a).length, marked()], [10_000, 10_000]);
    await start(true, 7_000);
    assert.deepEqual([prefixesOf(a).length, marked()], [7_000, 0]);
  });
});
