/** Options of a neighbor that change while it is up. */

import assert from "node:assert/strict";
import { Lab, type LabSpeaker, prefixesOf, stateOf } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

async function pair(lab: Lab): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
  await lab.start(a, b);
  b.announce({ prefix: "10.2.0.0/16" });
  lab.advance(1);
  return [a, b];
}

describe("a neighbor whose options change", () => {
  it("gets a new session where the session is another, and keeps its history", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    a.updateNeighbor({ address: B, asn: 64512, holdTime: 30 });
    lab.advance(5);
    const status = a.neighbor(B);
    assert.deepEqual([status?.state, status?.holdTime, status?.established], ["Established", 30, 2]);
    assert.deepEqual(prefixesOf(a), ["10.2.0.0/16"]);
    assert.equal(a.changes.length, 1, "routes stay over the gap, as over a restart");
    assert.match(b.neighbor(A)?.lastSessionError?.text ?? "", /Other Configuration Change/);
    assert(a.neighbor(B)!.sent.open >= 2, "counters go on");
  });

  it("becomes one of another AS, internal or external", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    a.updateNeighbor({ address: B, asn: 65000 });
    lab.advance(1);
    assert.deepEqual([a.neighbor(B)?.type, a.neighbor(B)?.asn], ["external", 65000]);
    assert.deepEqual(prefixesOf(a), [], "nothing is left of what it sent as another");
    lab.advance(60);
    assert.notEqual(stateOf(a, B), "Established");
    a.updateNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
    lab.advance(70);
    assert.deepEqual(prefixesOf(a), ["10.2.0.0/16"]);
  });

  it("can be changed before the speaker is started", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 65000 });
    a.updateNeighbor({ address: B, asn: 64512 });
    const b = lab.speaker(B, 64512);
    b.addNeighbor({ address: A, asn: 64512 });
    await lab.start(a, b);
    lab.advance(1);
    assert.equal(stateOf(a, B), "Established");
  });
});
