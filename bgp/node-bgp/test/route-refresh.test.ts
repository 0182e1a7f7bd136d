/** Asking for everything again, and being asked (RFC 2918, 7313), with a neighbor that says exactly what the test wants. */

import assert from "node:assert/strict";
import type { Capability } from "../message/capabilities.ts";
import { MessageType } from "../message/constants.ts";
import { frame } from "../message/framing.ts";
import { Lab, type LabSpeaker, prefixesOf, routeOf, stateOf } from "./kit/lab.ts";
import { RawNeighbor } from "./kit/raw-neighbor.ts";

const US = "10.0.0.1";
const THEM = "10.0.0.2";
const ENHANCED: Capability = { kind: "enhanced-route-refresh" };
const GRACEFUL: Capability = {
  kind: "graceful-restart",
  restarting: false,
  notification: false,
  restartTime: 120,
  families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
};

/** A speaker with two routes of its own, and a neighbor that has just been told them. */
async function session(
  capabilities: readonly Capability[] = [ENHANCED],
): Promise<{ lab: Lab; us: LabSpeaker; them: RawNeighbor }> {
  const lab = new Lab();
  const us = lab.speaker(US, 64512);
  us.addNeighbor({ address: THEM, asn: 64512, passive: true });
  us.announce({ prefix: "192.168.1.0/24" });
  us.announce({ prefix: "192.168.2.0/24" });
  await us.start();
  const them = new RawNeighbor(lab, { address: THEM, speaker: US, asn: 64512, capabilities });
  lab.advance(1);
  assert.deepEqual(them.news(), ["OPEN", ...TABLE, "End-of-RIB"]);
  return { lab, us, them };
}

const TABLE = ["+192.168.1.0/24", "+192.168.2.0/24"];

describe("a request to send everything again", () => {
  it("is answered between BoRR and EoRR, to who knows them", async () => {
    const { lab, them } = await session();
    them.routeRefresh(0);
    lab.advance(0.1);
    assert.deepEqual(them.news(), ["BoRR", ...TABLE, "EoRR"]);
  });
  it("is answered plainly to others", async () => {
    const { lab, them } = await session([]);
    them.routeRefresh(0);
    lab.advance(0.1);
    assert.deepEqual(them.news(), TABLE);
  });
  it("waits for the End-of-RIB: no BoRR comes before it", async () => {
    const lab = new Lab();
    // A restarting speaker holds its routes back until it has heard from everybody.
    const us = lab.speaker(US, 64512, { gracefulRestart: { restarting: true, establishWait: 5 } });
    us.addNeighbor({ address: THEM, asn: 64512, passive: true });
    us.addNeighbor({ address: "10.0.0.3", asn: 64512, passive: true });
    us.announce({ prefix: "192.168.1.0/24" });
    await us.start();
    const capabilities = [ENHANCED, GRACEFUL];
    const them = new RawNeighbor(lab, { address: THEM, speaker: US, asn: 64512, capabilities });
    lab.advance(1);
    them.routeRefresh(0);
    lab.advance(1);
    assert.deepEqual(them.news(), ["OPEN"]);
    them.endOfRib();
    lab.advance(10);
    assert.deepEqual(them.news(), ["+192.168.1.0/24", "End-of-RIB", "BoRR", "+192.168.1.0/24", "EoRR"]);
  });
  it("that comes while another is being answered leads to one more answer, however many come", async () => {
    const { lab, them } = await session();
    const request = frame(MessageType.routeRefresh, Uint8Array.of(0, 1, 0, 1));
    them.sendBytes(Buffer.concat(Array(50).fill(request)));
    lab.advance(0.1);
    assert.deepEqual(them.news(), ["BoRR", ...TABLE, "EoRR", "BoRR", ...TABLE, "EoRR"]);
  });
  it("in a loop costs four tables, and then one in ten seconds", async () => {
    const { lab, them } = await session();
    let answers = 0;
    const ask = (seconds: number) => {
      for (let i = 0; i < seconds * 10; i++) {
        them.routeRefresh(0);
        lab.advance(0.1);
        answers += them.news().filter(word => word === "EoRR").length;
      }
    };
    ask(5);
    assert.equal(answers, 4);
    ask(100);
    assert.ok(answers >= 13 && answers <= 15, `${answers}`);
    lab.advance(100);
    answers += them.news().filter(word => word === "EoRR").length;
    const before = answers;
    ask(5);
    assert.equal(answers - before, 4, "who has been quiet may ask again");
  });
  it("for a family we do not have with it, or of an unknown kind, is nothing", async () => {
    const { lab, us, them } = await session();
    them.send(5, Uint8Array.of(0, 2, 0, 1));
    them.send(5, Uint8Array.of(0, 1, 0, 4));
    them.send(5, Uint8Array.of(0x12, 0x34, 0, 77));
    for (const subtype of [3, 254, 255]) them.routeRefresh(subtype);
    lab.advance(1);
    assert.deepEqual([them.news(), stateOf(us, THEM)], [[], "Established"]);
  });
  it("tells what has changed meanwhile once, after all", async () => {
    const { lab, us, them } = await session();
    them.routeRefresh(0);
    us.withdraw("192.168.1.0/24");
    us.announce({ prefix: "192.168.3.0/24" });
    lab.advance(0.1);
    const told = new Set<string>();
    for (const word of them.news()) {
      if (word.startsWith("+")) told.add(word.slice(1));
      if (word.startsWith("-")) told.delete(word.slice(1));
    }
    assert.deepEqual([...told].sort(), ["192.168.2.0/24", "192.168.3.0/24"]);
  });
});

describe("what comes between BoRR and EoRR (RFC 7313 4)", () => {
  it("is all the neighbor has", async () => {
    const { lab, us, them } = await session();
    them.announce("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16");
    lab.advance(0.1);
    them.routeRefresh(1);
    them.announce("10.2.0.0/16");
    lab.advance(0.1);
    assert.equal(prefixesOf(us).length, 5, "nothing goes before EoRR");
    assert.equal(us.neighbor(THEM)?.prefixes.stale, 2);
    them.withdraw("10.3.0.0/16");
    them.announce("10.4.0.0/16");
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.deepEqual(
      prefixesOf(us).filter(prefix => prefix.startsWith("10.")),
      ["10.2.0.0/16", "10.4.0.0/16"],
    );
    assert.equal(us.neighbor(THEM)?.prefixes.stale, 0);
  });
  it("begins anew with another BoRR, and an EoRR alone is nothing", async () => {
    const { lab, us, them } = await session();
    them.announce("10.1.0.0/16", "10.2.0.0/16");
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 2);
    them.routeRefresh(1);
    them.announce("10.1.0.0/16");
    them.routeRefresh(1);
    them.announce("10.2.0.0/16");
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.equal(routeOf(us, "10.1.0.0/16"), undefined);
    assert.equal(routeOf(us, "10.2.0.0/16")?.stale, false);
  });
  it("is waited for six minutes", async () => {
    const { lab, us, them } = await session();
    them.announce("10.1.0.0/16");
    them.routeRefresh(1);
    lab.advance(359);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 1);
    lab.advance(2);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 0);
    assert.equal(stateOf(us, THEM), "Established");
  });
  it("does not count before the End-of-RIB of a neighbor with graceful restart", async () => {
    const { lab, us, them } = await session([ENHANCED, GRACEFUL]);
    them.announce("10.1.0.0/16");
    them.routeRefresh(1);
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 1);
    them.endOfRib();
    them.routeRefresh(1);
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 0);
  });
  it("is not taken for a restart when the session is lost in the middle", async () => {
    const { lab, us, them } = await session([ENHANCED, GRACEFUL]);
    them.announce("10.1.0.0/16", "10.2.0.0/16");
    them.endOfRib();
    them.routeRefresh(1);
    them.announce("10.1.0.0/16");
    lab.advance(0.1);
    them.close();
    lab.advance(0.1);
    assert.equal(us.neighbor(THEM)?.prefixes.stale, 2, "both are kept");
  });
  it("from a neighbor that has not said it would send them is nothing", async () => {
    const { lab, us, them } = await session([]);
    them.announce("10.1.0.0/16");
    them.routeRefresh(1);
    them.routeRefresh(2);
    lab.advance(0.1);
    assert.equal(us.neighbor(THEM)?.prefixes.received, 1);
  });
  it("marked by a message of the wrong length ends the session with 7/1 and the message", async () => {
    const { lab, us, them } = await session();
    them.send(5, Uint8Array.of(0, 1, 1, 1, 0));
    lab.advance(0.1);
    assert.notEqual(stateOf(us, THEM), "Established");
    const { code, subcode, data } = them.notification!;
    assert.deepEqual([code, subcode, data.length, data[18]], [7, 1, 24, 5]);
  });
});

describe("our own request", () => {
  it("goes out for each family when the import policy answers differently", async () => {
    const { lab, us, them } = await session();
    them.announce("10.1.0.0/16", "10.2.0.0/16");
    lab.advance(0.1);
    us.refreshImports();
    lab.advance(0.1);
    assert.deepEqual(them.news(), ["refresh"]);
  });
});
