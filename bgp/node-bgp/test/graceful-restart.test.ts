/** RFC 4724 between two or three speakers: who keeps what, who waits for whom, and for how long. */

import assert from "node:assert/strict";
import type { Capability } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf, routeOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const C = "10.0.0.3";
const BLOCK_A = "192.168.1.0/26";
const BLOCK_B = "192.168.2.0/26";

async function pair(lab: Lab): Promise<[LabSpeaker, LabSpeaker]> {
  const speakers: [LabSpeaker, LabSpeaker] = [lab.speaker(A, 64512), lab.speaker(B, 64512)];
  speakers[0].addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
  speakers[1].addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
  await lab.start(...speakers);
  speakers[0].announce({ prefix: BLOCK_A });
  speakers[1].announce({ prefix: BLOCK_B });
  lab.advance(1);
  return speakers;
}

/** B as it comes back. */
function restarted(
  lab: Lab,
  options: { restarting?: boolean; forwardingPreserved?: boolean } = {},
): LabSpeaker {
  const { restarting = true, forwardingPreserved = true } = options;
  const b = lab.speaker(B, 64512, { gracefulRestart: { restarting, forwardingPreserved } });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
  return b;
}

const capabilityOf = (speaker: LabSpeaker, neighbor: string) =>
  speaker
    .neighbor(neighbor)
    ?.remoteCapabilities?.find(
      (capability): capability is Extract<Capability, { kind: "graceful-restart" }> =>
        capability.kind === "graceful-restart",
    );

describe("a neighbor", () => {
  it("is synchronized from its End-of-RIB on, and not before or after its session", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
    // A restarting speaker holds its End-of-RIB back until all its neighbors are there, or for some seconds.
    const b = restarted(lab);
    b.addNeighbor({ address: C, asn: 64512 });
    await lab.start(a, b);
    lab.advance(2);
    assert.deepEqual([stateOf(a, B), a.neighbor(B)?.synchronized], ["Established", false]);
    lab.advance(10);
    assert.deepEqual([stateOf(a, B), a.neighbor(B)?.synchronized], ["Established", true]);
    await b.stop({ graceful: true });
    lab.advance(1);
    assert.equal(a.neighbor(B)?.synchronized, false);
  });
});

describe("the helper", () => {
  it("keeps the routes of a neighbor that restarts, without a change to anybody", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const before = a.changes.length;
    await b.stop({ graceful: true });
    lab.advance(30);
    assert.notEqual(stateOf(a, B), "Established");
    assert.equal(routeOf(a, BLOCK_B)?.stale, true);
    assert.deepEqual([a.neighbor(B)?.restarting, a.neighbor(B)?.prefixes.stale], [true, 1]);
    const again = restarted(lab);
    again.announce({ prefix: BLOCK_B });
    await again.start();
    lab.advance(2);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(routeOf(a, BLOCK_B)?.stale, false);
    assert.equal(a.neighbor(B)?.restarting, false);
    assert.equal(a.changes.length, before);
  });

  it("drops at End-of-RIB what was not sent again", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop({ graceful: true });
    lab.advance(5);
    const again = restarted(lab);
    await again.start();
    lab.advance(2);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
  });

  it("drops everything when the restart time is over", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop({ graceful: true });
    lab.advance(119);
    assert.deepEqual(prefixesOf(a), [BLOCK_A, BLOCK_B]);
    lab.advance(2);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
  });

  it("drops everything when the neighbor did not preserve its forwarding", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop({ graceful: true });
    lab.advance(5);
    const again = restarted(lab, { forwardingPreserved: false });
    await again.start();
    const withdrawn = () => a.changes.some(({ prefix, best }) => prefix === BLOCK_B && best === null);
    for (let i = 0; i < 200 && stateOf(a, B) !== "Established"; i++) lab.advance(0.01);
    lab.advance(0.001);
    assert.ok(withdrawn());
  });

  it("drops everything after a stop that is not graceful", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop();
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
  });

  it("takes a new connection for a restart when the old one died unseen", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    lab.advance(10);
    // B's host loses power: nobody says goodbye.
    lab.network.cut(A, B);
    await b.stop({ graceful: true });
    lab.advance(2);
    lab.network.heal();
    const before = a.changes.length;
    const again = restarted(lab);
    again.announce({ prefix: BLOCK_B });
    await again.start();
    lab.advance(2);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(a.neighbor(B)?.established, 2);
    assert.equal(a.changes.length, before);
    assert.deepEqual(prefixesOf(a), [BLOCK_A, BLOCK_B]);
  });
});

describe("the restarting speaker", () => {
  it("says R and F in its first OPEN, and not R in a later one", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    assert.equal(capabilityOf(a, B)?.restarting, false);
    await b.stop({ graceful: true });
    const again = restarted(lab);
    await again.start();
    lab.advance(2);
    assert.equal(capabilityOf(a, B)?.restarting, true);
    assert.equal(capabilityOf(a, B)?.families[0]?.forwardingPreserved, true);
    again.resetNeighbor(A);
    lab.advance(5);
    assert.equal(capabilityOf(a, B)?.restarting, false);
  });

  it("selects routes when it has everybody's End-of-RIB, and reports them as one batch", async () => {
    const lab = new Lab();
    const [, b] = await pair(lab);
    await b.stop({ graceful: true });
    lab.advance(2);
    const again = restarted(lab);
    again.announce({ prefix: BLOCK_B });
    const batches: string[][] = [];
    let readyAfter = -1;
    again.onRoutes(changes => batches.push(changes.map(({ prefix }) => prefix).sort()));
    void again.ready.then(() => {
      readyAfter = batches.length;
    });
    assert.equal(again.deferring, true);
    await again.start();
    lab.advance(3);
    await again.ready;
    assert.equal(again.deferring, false);
    assert.deepEqual(batches, [[BLOCK_A, BLOCK_B]]);
    assert.equal(readyAfter, 1);
  });

  it("waits for a dead neighbor only a few seconds", async () => {
    const lab = new Lab();
    const [, b] = await pair(lab);
    await b.stop({ graceful: true });
    lab.advance(2);
    const again = restarted(lab);
    again.addNeighbor({ address: C, asn: 64512 });
    await again.start();
    lab.advance(4);
    assert.equal(again.deferring, true);
    assert.deepEqual(prefixesOf(again), []);
    lab.advance(2);
    assert.equal(again.deferring, false);
    assert.deepEqual(prefixesOf(again), [BLOCK_A]);
  });

  it("does not wait for a neighbor that restarts as well", async () => {
    const lab = new Lab();
    const both = [A, B].map(address =>
      lab.speaker(address, 64512, { gracefulRestart: { restarting: true } }),
    );
    both[0]!.addNeighbor({ address: B, asn: 64512 });
    both[1]!.addNeighbor({ address: A, asn: 64512 });
    for (const [i, speaker] of both.entries()) speaker.announce({ prefix: [BLOCK_A, BLOCK_B][i]! });
    await lab.start(...both);
    lab.advance(1);
    for (const speaker of both) {
      assert.equal(speaker.deferring, false);
      assert.deepEqual(prefixesOf(speaker), [BLOCK_A, BLOCK_B]);
    }
  });

  it("waits for nobody when it has no neighbors", async () => {
    const lab = new Lab();
    const alone = lab.speaker(A, 64512, { gracefulRestart: { restarting: true, establishWait: 1 } });
    await alone.start();
    lab.advance(1.1);
    await alone.ready;
    assert.equal(alone.deferring, false);
  });
});
