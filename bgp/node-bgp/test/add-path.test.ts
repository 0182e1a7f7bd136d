/** Several paths for one prefix (RFC 7911), from speaker to speaker. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { Lab, type LabSpeaker } from "./kit/lab.ts";

const RR = "10.0.0.1";
const PREFIX = "192.168.7.0/24";
const CLIENTS = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
const VIEWER = "10.0.0.9";

/** Three clients of a reflector, and one that is sent several paths. */
async function star(
  lab: Lab,
  send: number | "all",
): Promise<{ rr: LabSpeaker; clients: LabSpeaker[]; viewer: LabSpeaker }> {
  const rr = lab.speaker(RR, 64512);
  const clients = CLIENTS.map(address => lab.speaker(address, 64512));
  const viewer = lab.speaker(VIEWER, 64512);
  for (const address of CLIENTS)
    rr.addNeighbor({ address, asn: 64512, reflectorClient: true, passive: true });
  rr.addNeighbor({ address: VIEWER, asn: 64512, reflectorClient: true, passive: true, addPath: { send } });
  for (const client of clients) client.addNeighbor({ address: RR, asn: 64512 });
  viewer.addNeighbor({ address: RR, asn: 64512, addPath: { receive: true } });
  await lab.start(rr, ...clients, viewer);
  lab.advance(1);
  return { rr, clients, viewer };
}

const hops = (speaker: LabSpeaker, prefix = PREFIX) =>
  speaker
    .paths(prefix)
    .map(({ nextHop }) => nextHop)
    .sort();

describe("add-path", () => {
  it("tells every path, and which one is gone", async () => {
    const lab = new Lab();
    const { rr, clients, viewer } = await star(lab, "all");
    for (const client of clients) client.announce({ prefix: PREFIX });
    lab.advance(1);
    assert.deepEqual(hops(viewer), CLIENTS);
    assert.deepEqual([...rr.advertised(VIEWER)].map(({ nextHop }) => nextHop).sort(), CLIENTS);
    clients[0]!.withdraw(PREFIX);
    lab.advance(1);
    assert.deepEqual(hops(viewer), CLIENTS.slice(1));
    clients[1]!.announce({ prefix: PREFIX, med: 7 });
    lab.advance(1);
    assert.deepEqual(
      viewer
        .paths(PREFIX)
        .map(({ nextHop, med }) => [nextHop, med])
        .sort(),
      [
        [CLIENTS[1], 7],
        [CLIENTS[2], undefined],
      ],
    );
    for (const client of clients) client.withdraw(PREFIX);
    lab.advance(1);
    assert.deepEqual(hops(viewer), []);
  });

  it("tells the best ones where not all are asked for, and the next when one of them goes", async () => {
    const lab = new Lab();
    const { clients, viewer } = await star(lab, 2);
    for (const [i, client] of clients.entries()) client.announce({ prefix: PREFIX, med: i });
    lab.advance(1);
    assert.deepEqual(hops(viewer), CLIENTS.slice(0, 2));
    clients[0]!.withdraw(PREFIX);
    lab.advance(1);
    assert.deepEqual(hops(viewer), CLIENTS.slice(1));
    clients[0]!.announce({ prefix: PREFIX, med: 9 });
    lab.advance(1);
    assert.deepEqual(hops(viewer), CLIENTS.slice(1), "the third is not among the best two");
  });

  it("brings a late one up to date, again on request, and takes everything back when the source is gone", async () => {
    const lab = new Lab();
    const { rr, clients, viewer } = await star(lab, "all");
    viewer.removeNeighbor(RR);
    for (const client of clients)
      for (let i = 0; i < 1000; i++) client.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24` });
    lab.advance(1);
    viewer.addNeighbor({ address: RR, asn: 64512, addPath: { receive: true } });
    lab.advance(10);
    const counts = () => [viewer.neighbor(RR)?.prefixes.received, rr.neighbor(VIEWER)?.prefixes.advertised];
    assert.deepEqual(counts(), [3000, 3000]);
    viewer.refreshImports();
    lab.advance(1);
    assert.deepEqual(counts(), [3000, 3000]);
    clients[1]!.removeNeighbor(RR);
    lab.advance(1);
    assert.deepEqual(counts(), [2000, 2000]);
    assert.deepEqual(hops(viewer, "10.0.0.0/24"), [CLIENTS[0], CLIENTS[2]]);
  });

  it("catches up a neighbor that was not reading, identifiers included", async () => {
    const lab = new Lab();
    const { clients, viewer } = await star(lab, "all");
    const link = lab.network.connections.find(
      ({ localAddress, remoteAddress, isClosed }) =>
        localAddress === RR && remoteAddress === VIEWER && !isClosed,
    )!;
    const announce = (client: LabSpeaker, round: number) => {
      // Attributes of their own for every route, and some weight: more than a neighbor's queue may hold.
      const largeCommunities = Array.from({ length: 14 }, (_, i) => `${round + 1}:${i}:0`);
      for (let i = 0; i < 1500; i++)
        client.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24`, med: i, largeCommunities });
      lab.advance(0.1);
    };
    for (const client of clients) announce(client, 0);
    link.isStalled = true;
    for (let round = 1; round <= 3; round++) for (const client of clients) announce(client, round);
    assert.ok(link.writableLength < 4 << 20, `${link.writableLength} bytes wait`);
    for (let i = 0; i < 1500; i += 2) clients[0]!.withdraw(`10.${i >> 8}.${i & 255}.0/24`);
    lab.advance(1);
    link.unstall();
    lab.advance(5);
    assert.equal(viewer.neighbor(RR)?.prefixes.received, 3750);
    assert.deepEqual(hops(viewer, "10.0.0.0/24"), CLIENTS.slice(1));
    assert.deepEqual(hops(viewer, "10.0.1.0/24"), CLIENTS);
    for (const route of viewer.paths("10.0.1.0/24")) assert.equal(route.largeCommunities?.[0], "4:0:0");
  }).timeout(20_000);

  it("ends with exactly the paths there are, whatever happens in between", async () => {
    const step = fc.record({
      client: fc.nat(2),
      prefix: fc.nat(3),
      med: fc.option(fc.nat(2)),
      settle: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(2, "all" as const),
        async (steps, send) => {
          const lab = new Lab();
          const { clients, viewer, rr } = await star(lab, send);
          for (const { client, prefix, med, settle } of steps) {
            const text = `10.${prefix}.0.0/16`;
            if (med === null) clients[client]!.withdraw(text);
            else clients[client]!.announce({ prefix: text, med });
            if (settle) lab.advance(0.05);
          }
          lab.advance(1);
          for (let prefix = 0; prefix < 4; prefix++) {
            const text = `10.${prefix}.0.0/16`;
            const of = (speaker: LabSpeaker) =>
              speaker.paths(text).map(({ nextHop, med }) => `${nextHop} ${med}`);
            const expected = rr.explain(text).map(({ nextHop, med }) => `${nextHop} ${med}`);
            assert.deepEqual(of(viewer).sort(), expected.slice(0, send === "all" ? 9 : send).sort());
          }
        },
      ),
      { numRuns: 15 },
    );
  }).timeout(20_000);
});
