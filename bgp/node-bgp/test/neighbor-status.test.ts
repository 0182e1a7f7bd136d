/** What a neighbor's status counts, under simulated time. */

import assert from "node:assert/strict";
import { Family, type NeighborOptions } from "../index.ts";
import { Lab, type LabSpeaker } from "./kit/lab.ts";
import type { SimConnection } from "./kit/sim-network.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

async function pair(lab: Lab, options: Partial<NeighborOptions> = {}): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1, ...options });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1, ...options });
  await lab.start(a, b);
  lab.advance(1);
  return [a, b];
}

describe("the status of a neighbor", () => {
  it("counts ups and downs and says when the last ones were", async () => {
    const lab = new Lab();
    const before = lab.clock.now();
    const [a] = await pair(lab);
    const first = a.neighbor(B)!;
    assert.deepEqual([first.established, first.flaps, first.lastDown], [1, 0, undefined]);
    assert(first.lastUp! > before);
    a.resetNeighbor(B);
    const down = a.neighbor(B)!;
    assert.deepEqual([down.established, down.flaps, down.lastUp], [1, 1, first.lastUp]);
    assert.equal(down.lastDown, lab.clock.now());
    lab.advance(30);
    const again = a.neighbor(B)!;
    assert.deepEqual([again.established, again.flaps, again.lastDown], [2, 1, down.lastDown]);
    assert(again.lastUp! > down.lastDown!);
  });

  it("has prefixes by family, and their sums", async () => {
    const lab = new Lab();
    const nextHopSelf = { ipv6: "fd00::1" };
    const [a, b] = await pair(lab, { families: Object.values(Family), nextHopSelf });
    for (const prefix of ["10.1.0.0/16", "10.2.0.0/16", "fd10::/64"]) b.announce({ prefix });
    a.announce({ prefix: "fd20::/64" });
    lab.advance(1);
    assert.deepEqual(a.neighbor(B)?.prefixes, {
      received: 3,
      stale: 0,
      advertised: 1,
      byFamily: {
        "ipv4-unicast": { received: 2, stale: 0, advertised: 0 },
        "ipv6-unicast": { received: 1, stale: 0, advertised: 1 },
      },
    });
    assert.deepEqual(
      [...a.received(B)].map(({ prefix }) => prefix),
      ["10.1.0.0/16", "10.2.0.0/16", "fd10::/64"],
    );
    assert.deepEqual(
      [...a.received(B, Family.ipv6Unicast)].map(({ prefix }) => prefix),
      ["fd10::/64"],
    );
    assert.throws(() => a.received("10.9.9.9"), { code: "NeighborUnknown" });
  });

  it("has the UPDATEs of the last ten seconds", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    lab.advance(60);
    assert.deepEqual(a.neighbor(B)?.updateRate, { sent: 0, received: 0 });
    // Ten a second, for a minute.
    for (let i = 0; i < 600; i++) {
      b.announce({ prefix: "10.1.0.0/16", med: i });
      lab.advance(0.1);
    }
    assert.equal(Math.round(a.neighbor(B)!.updateRate.received), 10);
    assert.equal(Math.round(b.neighbor(A)!.updateRate.sent), 10);
    assert.equal(a.neighbor(B)!.updateRate.sent, 0);
    lab.advance(5);
    const fading = a.neighbor(B)!.updateRate.received;
    assert(fading > 3 && fading < 7, `${fading} after half of the time`);
    lab.advance(15);
    assert.equal(a.neighbor(B)!.updateRate.received, 0);
  });

  it("has the bytes that wait for a neighbor that does not read", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    assert.equal(a.neighbor(B)?.sendQueue, 0);
    const connection = lab.network.connections.findLast(
      ({ localAddress, isClosed }) => localAddress === A && !isClosed,
    ) as SimConnection;
    connection.isStalled = true;
    a.announce({ prefix: "10.1.0.0/16" });
    lab.advance(1);
    assert(a.neighbor(B)!.sendQueue >= 23);
    connection.unstall();
    lab.advance(1);
    assert.equal(a.neighbor(B)?.sendQueue, 0);
  });

  it("is safe to send as JSON", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    b.announce({
      prefix: "10.1.0.0/16",
      communities: ["64512:1"],
      extendedCommunities: ["0002fc0000000064"],
    });
    lab.advance(1);
    a.resetNeighbor(B, "maintenance");
    lab.advance(30);
    for (const value of [a.neighbors(), [...a.routes()], a.paths("10.1.0.0/16"), [...a.received(B)]]) {
      const plain = JSON.parse(JSON.stringify(value));
      // What is undefined is absent afterwards; nothing else may differ.
      const defined = (_: string, part: unknown) => (part === undefined ? undefined : part);
      assert.deepEqual(JSON.parse(JSON.stringify(plain, defined)), plain);
      assert(!JSON.stringify(value).includes("{}"), "no object that JSON cannot tell");
    }
  });
});
