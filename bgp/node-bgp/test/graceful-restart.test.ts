/** RFC 4724 between two or three speakers: who keeps what, who waits for whom, and for how long. */

import assert from "node:assert/strict";
import type { Capability } from "../index.ts";
import { Lab, type LabSpeaker, prefixesOf, routeOf, stateOf } from "./kit/lab.ts";
import { RawNeighbor } from "./kit/raw-neighbor.ts";

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

  it("drops what the neighbor does not send again in the time it is given for that", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512, { gracefulRestart: { resyncTime: 20 } });
    a.addNeighbor({ address: B, asn: 64512, passive: true });
    await a.start();
    const capability: Capability = {
      kind: "graceful-restart",
      restarting: false,
      notification: false,
      restartTime: 30,
      families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
    };
    const dial = () =>
      new RawNeighbor(lab, { address: B, speaker: A, asn: 64512, capabilities: [capability] });
    const first = dial();
    lab.advance(1);
    first.announce(BLOCK_B);
    lab.advance(1);
    first.close();
    lab.advance(1);
    const second = dial();
    lab.advance(45);
    assert.equal(second.isClosed, false);
    assert.deepEqual([stateOf(a, B), routeOf(a, BLOCK_B)?.stale], ["Established", true], "no End-of-RIB yet");
    lab.advance(10);
    assert.deepEqual([stateOf(a, B), prefixesOf(a)], ["Established", []]);
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

describe("a NOTIFICATION between neighbors with the N bit (RFC 8538)", () => {
  const changed = (speaker: LabSpeaker, since: number) => speaker.changes.length - since;

  it("ends the session and no route, on both sides, when an operator resets it", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const before = [a.changes.length, b.changes.length] as const;
    a.resetNeighbor(B, "new cable");
    lab.advance(0.5);
    assert.deepEqual([stateOf(a, B), routeOf(a, BLOCK_B)?.stale], ["Idle", true]);
    assert.equal(routeOf(b, BLOCK_A)?.stale, true);
    lab.advance(5);
    assert.deepEqual([a.neighbor(B)?.established, b.neighbor(A)?.established], [2, 2]);
    assert.deepEqual([routeOf(a, BLOCK_B)?.stale, routeOf(b, BLOCK_A)?.stale], [false, false]);
    assert.deepEqual([changed(a, before[0]), changed(b, before[1])], [0, 0]);
  });

  it("keeps routes over a hold time that is over, for the restart time", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const before = a.changes.length;
    lab.network.cut(A, B);
    lab.advance(100);
    assert.notEqual(stateOf(a, B), "Established");
    assert.deepEqual(prefixesOf(a), [BLOCK_A, BLOCK_B]);
    lab.network.heal();
    lab.advance(80);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(changed(a, before), 0);
    lab.network.cut(A, B);
    lab.advance(90 + 125);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
    await b.stop();
  });

  it("is a hard reset when nobody is to be expected back: shut down, taken out", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop({ message: "sold" });
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
    assert.equal(a.neighbor(B)?.lastError?.text, "Cease/Administrative Shutdown (sold)");
    const other = new Lab();
    const [c, d] = await pair(other);
    d.removeNeighbor(A);
    other.advance(0.1);
    assert.deepEqual(prefixesOf(c), [BLOCK_A]);
  });

  it("costs no route where new settings need a new session", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const before = [a.changes.length, b.changes.length] as const;
    a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1, holdTime: 30 });
    lab.advance(0.001);
    assert.deepEqual([routeOf(a, BLOCK_B)?.stale, routeOf(b, BLOCK_A)?.stale], [true, true]);
    lab.advance(5);
    assert.deepEqual([a.neighbor(B)?.holdTime, a.neighbor(B)?.established], [30, 2]);
    assert.deepEqual([changed(a, before[0]), changed(b, before[1])], [0, 0]);
    assert.equal(b.neighbor(A)?.lastSessionError?.text, "Cease/Other Configuration Change");
  });

  it("keeps nothing of a neighbor that is another one by its new settings", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    a.updateNeighbor({ address: B, asn: 64513, connectRetryTime: 1 });
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK_A]);
  });

  it("tells of a graceful stop, and why", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    await b.stop({ graceful: true, message: "version 2" });
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK_A, BLOCK_B]);
    assert.equal(a.neighbor(B)?.lastSessionError?.text, "Cease/Administrative Reset (version 2)");
  });

  it("does not do so where one side does not want it", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512, { gracefulRestart: { notification: false } });
    a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
    b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
    await lab.start(a, b);
    b.announce({ prefix: BLOCK_B });
    lab.advance(1);
    a.resetNeighbor(B);
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), []);
    lab.advance(5);
    await b.stop({ graceful: true, message: "not to be told" });
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK_B]);
    assert.equal(a.neighbor(B)?.lastSessionError?.text, "the neighbor closed the connection");
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

  it("says R also to who comes when route selection is over, and not to a neighbor that is only configured anew", async () => {
    const lab = new Lab();
    const again = restarted(lab);
    await again.start();
    lab.advance(60);
    assert.equal(again.deferring, false);
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
    await a.start();
    lab.advance(5);
    assert.equal(capabilityOf(a, B)?.restarting, true);
    again.updateNeighbor({ address: A, asn: 64512, connectRetryTime: 1, holdTime: 30 });
    lab.advance(5);
    assert.equal(a.neighbor(B)?.holdTime, 30);
    assert.equal(capabilityOf(a, B)?.restarting, false);
  });

  it("waits for nobody's End-of-RIB longer than the deferral time, nor for neighbors that keep no routes", async () => {
    const families = [{ afi: 1, safi: 1, forwardingPreserved: true }];
    const capability = (part: Partial<Extract<Capability, { kind: "graceful-restart" }>>): Capability => ({
      kind: "graceful-restart",
      restarting: false,
      notification: false,
      restartTime: 120,
      families,
      ...part,
    });
    /** Seconds until routes are selected, with a neighbor that is Established at once and never sends End-of-RIB. */
    const waited = async (...capabilities: Capability[]): Promise<number> => {
      const lab = new Lab();
      const again = lab.speaker(B, 64512, { gracefulRestart: { restarting: true, deferralTime: 20 } });
      again.addNeighbor({ address: A, asn: 64512, passive: true });
      await again.start();
      new RawNeighbor(lab, { address: A, speaker: B, asn: 64512, capabilities });
      let seconds = 0;
      for (; again.deferring && seconds < 100; seconds++) lab.advance(1);
      assert.equal(stateOf(again, A), "Established");
      return seconds;
    };
    assert.equal(await waited(capability({})), 20);
    assert.ok((await waited(capability({ restarting: true }))) <= 1, "restarts as well");
    assert.ok((await waited(capability({ families: [] }))) <= 1, "only helps");
    assert.ok(
      (await waited(capability({ families: [{ afi: 2, safi: 1, forwardingPreserved: true }] }))) <= 1,
    );
    assert.ok((await waited()) <= 1, "knows nothing of it");
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

  it("waits for its reflector client that restarts as well: who has the client's routes from it keeps them", async () => {
    const lab = new Lab();
    const options = { gracefulRestart: { restarting: true } };
    const client = (address: string, more = {}) => {
      const speaker = lab.speaker(address, 64512, more);
      speaker.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
      return speaker;
    };
    const reflector = (more = {}) => {
      const speaker = lab.speaker(B, 64512, more);
      for (const address of [A, C])
        speaker.addNeighbor({ address, asn: 64512, reflectorClient: true, passive: true });
      return speaker;
    };
    const [a, b, c] = [client(A), reflector(), client(C)];
    await lab.start(a, b, c);
    a.announce({ prefix: BLOCK_A });
    lab.advance(2);
    assert.ok(routeOf(c, BLOCK_A));
    await Promise.all([a.stop({ graceful: true }), b.stop({ graceful: true })]);
    const [reflectorAgain, clientAgain] = [reflector(options), client(A, options)];
    await lab.start(reflectorAgain);
    lab.advance(3);
    clientAgain.announce({ prefix: BLOCK_A });
    await lab.start(clientAgain);
    const changes = c.changes.length;
    lab.advance(30);
    assert.equal(routeOf(c, BLOCK_A)?.stale, false);
    assert.deepEqual(
      c.changes.slice(changes).filter(({ best }) => best === null),
      [],
    );
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
