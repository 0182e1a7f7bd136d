/**
 * GRACEFUL_SHUTDOWN (RFC 8326): before a session is shut down both ends make its paths the last choice, so that traffic has moved away, and
 * the withdraw finds nobody using them.
 *
 *      a (65001) --- b (64512) --- c (64512)       a announces to b and to d; d is c's other way to a
 *          \------------ d (64512) --/
 */

import assert from "node:assert/strict";
import { WellKnownCommunity } from "../index.ts";
import { EVERYTHING, Lab, type LabSpeaker, routeOf, stateOf } from "./kit/lab.ts";

const [A, B, C, D] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] as const;
const BLOCK = "192.168.1.0/24";

async function square(lab: Lab): Promise<{ a: LabSpeaker; b: LabSpeaker; c: LabSpeaker; d: LabSpeaker }> {
  const a = lab.speaker(A, 65001);
  const [b, c, d] = [B, C, D].map(address => lab.speaker(address, 64512)) as [
    LabSpeaker,
    LabSpeaker,
    LabSpeaker,
  ];
  a.addNeighbor({ address: B, asn: 64512, ...EVERYTHING });
  a.addNeighbor({ address: D, asn: 64512, ...EVERYTHING });
  for (const edge of [b, d]) {
    edge.addNeighbor({ address: A, asn: 65001, nextHopMode: "self", ...EVERYTHING });
    edge.addNeighbor({ address: C, asn: 64512, nextHopMode: "self" });
  }
  for (const address of [B, D]) c.addNeighbor({ address, asn: 64512 });
  await lab.start(a, b, c, d);
  a.announce({ prefix: BLOCK });
  c.announce({ prefix: "172.16.0.0/16" });
  lab.advance(10);
  return { a, b, c, d };
}

describe("graceful shutdown", () => {
  it("of a session moves the traffic to other paths before it goes, in both directions", async () => {
    const lab = new Lab();
    const { a, b, c } = await square(lab);
    assert.equal(routeOf(c, BLOCK)?.source, B, "by the lower identifier");
    assert.equal(routeOf(a, "172.16.0.0/16")?.source, B);
    const gone: string[] = [];
    for (const speaker of [a, c]) {
      speaker.onRoutes(changes =>
        gone.push(...changes.filter(({ best }) => best === null).map(({ prefix }) => prefix)),
      );
    }

    b.setGracefulShutdown(A, true);
    lab.advance(1);
    assert.equal(stateOf(b, A), "Established");
    // What b has from a is its last choice, and that of its AS.
    assert.equal(b.paths(BLOCK).find(({ source }) => source === A)?.localPref, 0);
    assert.equal(routeOf(c, BLOCK)?.source, D);
    // What a has from b carries the community, and is its last choice.
    const tagged = a.paths("172.16.0.0/16").find(({ source }) => source === B);
    assert.deepEqual(tagged?.communities, [WellKnownCommunity.gracefulShutdown]);
    assert.equal(routeOf(a, "172.16.0.0/16")?.source, D);

    b.removeNeighbor(A, "new line card");
    lab.advance(1);
    assert.deepEqual(gone, [], "nobody was without a path");
  });

  it("can be taken back", async () => {
    const lab = new Lab();
    const { a, b, c } = await square(lab);
    b.setGracefulShutdown(A, true);
    lab.advance(1);
    b.setGracefulShutdown(A, false);
    lab.advance(1);
    assert.equal(routeOf(c, BLOCK)?.source, B);
    assert.equal(routeOf(a, "172.16.0.0/16")?.source, B);
    assert.equal(a.paths("172.16.0.0/16")[0]?.communities, undefined);
    assert.equal(b.neighbor(A)?.established, 1);
  });
});
