/** How sessions come, go and come again between speakers: DelayOpen, damping, limits, what is remembered and what is said on parting. */

import assert from "node:assert/strict";
import type { NeighborOptions } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

/** Two internal neighbors, started, a moment later. */
async function pair(
  lab: Lab,
  ours: Partial<NeighborOptions> = {},
  theirs: Partial<NeighborOptions> = {},
): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1, ...ours });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1, ...theirs });
  await lab.start(a, b);
  lab.advance(1);
  return [a, b];
}

const establishedOf = (speaker: LabSpeaker, neighbor: string) => speaker.neighbor(neighbor)?.established;

describe("DelayOpen", () => {
  it("lets the neighbor speak first, and answers at once", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { delayOpenTime: 60 }, { passive: true });
    assert.deepEqual([stateOf(a, B), stateOf(b, A)], ["Established", "Established"]);
  });
  it("of both sides is over after the time, and one session stands", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { delayOpenTime: 20 }, { delayOpenTime: 30, passive: true });
    assert.deepEqual([stateOf(a, B), stateOf(b, A)], ["Connect", "Active"]);
    lab.advance(18);
    assert.deepEqual([stateOf(a, B), stateOf(b, A)], ["Connect", "Active"]);
    lab.advance(2);
    assert.deepEqual([stateOf(a, B), stateOf(b, A)], ["Established", "Established"]);
  });
  it("leaves one session where both sides dial", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const lab = new Lab();
      lab.network.latency = 1 + seed * 7;
      const [a, b] = await pair(lab, { delayOpenTime: seed % 3 }, { delayOpenTime: seed % 4 });
      lab.advance(10);
      assert.deepEqual([stateOf(a, B), stateOf(b, A)], ["Established", "Established"], `seed ${seed}`);
      lab.advance(60);
      assert.deepEqual([establishedOf(a, B), establishedOf(b, A)], [1, 1], `seed ${seed}`);
      assert.equal(lab.network.connections.filter(({ isClosed }) => !isClosed).length, 2);
    }
  });
  it("ends with the connection", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { delayOpenTime: 20 }, { delayOpenTime: 20, passive: true });
    lab.network.connections.find(({ localAddress }) => localAddress === A)!.fail();
    lab.network.cut(A, B);
    lab.advance(0.1);
    assert.equal(stateOf(a, B), "Active");
    lab.advance(60);
    assert.deepEqual([establishedOf(a, B), establishedOf(b, A)], [0, 0]);
  });
});

describe("a neighbor whose sessions do not last", () => {
  it("is dialled again at once, then ever more rarely, and at once after a long session", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { passive: true }, { gracefulRestartTime: 0 });
    /** Cuts B's connection and tells after how many seconds the session is back. */
    const cut = (): number => {
      const before = establishedOf(a, B)!;
      lab.network.connections
        .findLast(({ localAddress, isClosed }) => localAddress === B && !isClosed)!
        .fail();
      let seconds = 0;
      for (; establishedOf(a, B) === before && seconds < 200; seconds++) lab.advance(1);
      return seconds;
    };
    assert.ok(cut() <= 2);
    const waits = Array.from({ length: 8 }, cut);
    assert.ok(
      waits.every((wait, i) => i === 0 || wait >= waits[i - 1]! - 1),
      `${waits}`,
    );
    assert.ok(waits.at(-1)! >= 45 && waits.at(-1)! <= 61, `${waits}`);
    lab.advance(120);
    assert.ok(cut() <= 2);
    await b.stop();
  });

  it("is told by its history, failures in a row counted", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { gracefulRestartTime: 0 });
    const start = lab.clock.now();
    await b.stop({ message: "moving to rack 5" });
    lab.advance(600);
    const { history, lastError, lastSessionError } = a.neighbor(B)!;
    assert.deepEqual(
      history.map(({ from, to, reason }) => [from, to, reason]),
      [
        ["OpenConfirm", "Established", undefined],
        ["Established", "Idle", "Cease/Administrative Shutdown (moving to rack 5)"],
        ["Connect", "Active", "connect ECONNREFUSED 10.0.0.2:179"],
      ],
    );
    const attempts = history[2]!;
    assert.ok(attempts.times > 400, `${attempts.times} attempts`);
    assert.ok(attempts.at - start < 5_000 && lab.clock.now() - attempts.last < 5_000);
    assert.equal(lastError?.reason, "connect-failed");
    assert.equal(
      lastSessionError?.communication,
      "moving to rack 5",
      "an attempt that fails does not hide it",
    );
  });

  it("has a history of twenty entries", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    for (let i = 0; i < 20; i++) {
      a.resetNeighbor(B, `no. ${i}`);
      lab.advance(3);
    }
    const { history } = a.neighbor(B)!;
    assert.equal(history.length, 20);
    assert.equal(history.at(-2)?.reason, "Cease/Administrative Reset (no. 19)");
    assert.equal(history.at(-1)?.to, "Established");
  });
});

describe("an operator's reset", () => {
  it("is no fault of the neighbor: the tenth is as quick as the first", async () => {
    const lab = new Lab();
    const [a] = await pair(lab, {}, { passive: true });
    for (let i = 1; i <= 10; i++) {
      a.resetNeighbor(B);
      lab.advance(1.5);
      assert.equal(stateOf(a, B), "Established", `after ${i}`);
    }
  });
  it("cuts a wait short", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64513);
    a.addNeighbor({ address: B, asn: 65000 });
    b.addNeighbor({ address: A, asn: 64512, passive: true });
    await lab.start(a, b);
    lab.advance(200);
    assert.equal(stateOf(a, B), "Idle");
    const { dials } = lab.network;
    a.resetNeighbor(B);
    assert.equal(lab.network.dials, dials + 1);
  });
});

describe("a shutdown communication (RFC 9003)", () => {
  it("is heard on the other side and remembered on ours, also inside a hard reset", async () => {
    for (const gracefulRestartTime of [0, 120]) {
      const lab = new Lab();
      const [a, b] = await pair(lab, { gracefulRestartTime });
      a.resetNeighbor(B, "neue Firmware für rack 4 🛠");
      lab.advance(0.1);
      assert.equal(b.neighbor(A)?.lastError?.communication, "neue Firmware für rack 4 🛠");
      assert.equal(a.neighbor(B)?.lastError?.communication, "neue Firmware für rack 4 🛠");
      lab.advance(5);
      await a.stop({ message: "x".repeat(300) });
      lab.advance(0.1);
      const { lastError } = b.neighbor(A)!;
      assert.deepEqual([lastError?.code, lastError?.subcode], [6, 2]);
      assert.equal(lastError?.communication, "x".repeat(255));
    }
  });
});

describe("a limit of prefixes", () => {
  const announce = (speaker: LabSpeaker, count: number) => {
    for (let i = 0; i < count; i++) speaker.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24` });
  };
  const watch = (speaker: LabSpeaker): string[] => {
    const seen: string[] = [];
    speaker.onWarning(warning => {
      if (warning.code === "MaxPrefixes") seen.push(`${warning.action}: ${warning.text}`);
    });
    return seen;
  };

  it("warns when it is near, once", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { maxPrefixes: { limit: 100, warnAt: 50 } });
    const seen = watch(a);
    announce(b, 50);
    lab.advance(1);
    assert.deepEqual(seen, []);
    announce(b, 60);
    lab.advance(1);
    announce(b, 100);
    lab.advance(1);
    assert.deepEqual(seen, ["warn: 10.0.0.2 has sent 60 of at most 100 prefixes (ipv4-unicast)"]);
    assert.equal(prefixesOf(a).length, 100);
    assert.equal(establishedOf(a, B), 1);
  });

  it("ends the session above it, with the family and the limit, and keeps nothing", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { maxPrefixes: { limit: 10, restartAfter: 300 } });
    const seen = watch(a);
    announce(b, 20);
    lab.advance(0.1);
    assert.equal(stateOf(a, B), "Idle");
    assert.deepEqual(prefixesOf(a), []);
    assert.match(seen.at(-1)!, /^reset: .* 20 of at most 10 prefixes/);
    const error = b.neighbor(A)?.lastError;
    assert.deepEqual([error?.code, error?.subcode], [6, 1]);
    assert.match(a.neighbor(B)!.lastError!.text, /Maximum Number of Prefixes Reached: 20 of at most 10/);
    lab.advance(298);
    assert.equal(establishedOf(a, B), 1);
    lab.advance(70);
    assert.ok(establishedOf(a, B)! > 1, "tried again after the time it was given");
  });

  it("keeps the neighbor down until the operator says otherwise, where it is told so", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { maxPrefixes: { limit: 10, restartAfter: "never" } });
    announce(b, 11);
    lab.advance(1800);
    assert.deepEqual([stateOf(a, B), establishedOf(a, B)], ["Idle", 1]);
    b.withdraw("10.0.10.0/24");
    a.resetNeighbor(B);
    lab.advance(70);
    assert.deepEqual([stateOf(a, B), prefixesOf(a).length], ["Established", 10]);
  });

  it("may only warn, and counts per family and anew in each session", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { maxPrefixes: { limit: 10, action: "warn", warnAt: 100 } });
    const seen = watch(a);
    announce(b, 12);
    lab.advance(1);
    a.resetNeighbor(B);
    lab.advance(5);
    assert.equal(establishedOf(a, B), 2);
    assert.equal(prefixesOf(a).length, 12);
    assert.deepEqual(seen, Array(2).fill("warn: 10.0.0.2 has sent 12 of at most 10 prefixes (ipv4-unicast)"));
  });

  it("can be lowered and lifted in a running session", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab, { maxPrefixes: 10 });
    a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
    announce(b, 50);
    lab.advance(1);
    assert.deepEqual([prefixesOf(a).length, establishedOf(a, B)], [50, 1]);
    a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1, maxPrefixes: 20 });
    b.announce({ prefix: "10.99.0.0/16" });
    lab.advance(0.1);
    assert.notEqual(stateOf(a, B), "Established");
  });
});
