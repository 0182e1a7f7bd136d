/** What a reader at its own pace gets: routeChanges(), neighborEvents(), established(). */

import assert from "node:assert/strict";
import {
  type Family,
  type NeighborEvent,
  type PullQueue,
  type Route,
  type RouteChange,
  Speaker,
} from "../index.ts";
import { RouteChanges } from "../route-changes.ts";
import { Lab, type LabSpeaker } from "./kit/lab.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";

async function pair(lab: Lab): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512 });
  b.addNeighbor({ address: A, asn: 64512 });
  await lab.start(a, b);
  lab.advance(1);
  return [a, b];
}

const SIGN = { added: "+", changed: "~", removed: "-" } as const;
const told = ({ prefix, kind }: RouteChange) => `${SIGN[kind]}${prefix}`;

/** What can be had without waiting for the speaker. */
async function drain<T>(lab: Lab, queue: PullQueue<T>): Promise<T[]> {
  const items: T[] = [];
  const reading = (async () => {
    for await (const item of queue) items.push(item);
  })();
  for (let calm = 0, seen = 0; calm < 20; calm = items.length > seen ? 0 : calm + 1) {
    seen = items.length;
    lab.clock.settle();
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }
  await queue.return();
  await reading;
  return items;
}

describe("routeChanges()", () => {
  it("gives what changes from now on", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    a.announce({ prefix: "10.1.0.0/16" });
    lab.advance(1);
    const changes = b.routeChanges();
    a.announce({ prefix: "10.2.0.0/16" });
    lab.advance(1);
    a.withdraw("10.1.0.0/16");
    lab.advance(1);
    assert.deepEqual((await drain(lab, changes)).map(told), ["+10.2.0.0/16", "-10.1.0.0/16"]);
  });

  it("begins with everything there is, where asked", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    for (const prefix of ["10.1.0.0/16", "10.2.0.0/16"]) a.announce({ prefix });
    lab.advance(1);
    const changes = b.routeChanges({ snapshot: true });
    assert.equal(told((await changes.next()).value!), "+10.1.0.0/16");
    a.withdraw("10.1.0.0/16");
    a.announce({ prefix: "10.2.0.0/16", med: 7 });
    lab.advance(1);
    const rest = await drain(lab, changes);
    assert.deepEqual(rest.map(told), ["+10.2.0.0/16", "-10.1.0.0/16"]);
    assert.equal(rest[0]?.best?.med, 7, "as it is when it is its turn, and then not once more");
  });

  it("wakes a reader that waits", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const changes = b.routeChanges();
    const next = changes.next();
    a.announce({ prefix: "10.1.0.0/16" });
    lab.advance(1);
    assert.equal((await next).value?.best?.nextHop, A);
    await changes.return();
  });

  it("gives one family where asked", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    const family: Family = "ipv6-unicast";
    const changes = a.routeChanges({ family, snapshot: true });
    a.announce({ prefix: "10.1.0.0/16" });
    a.announce({ prefix: "fd10::/64" });
    lab.advance(1);
    assert.deepEqual((await drain(lab, changes)).map(told), ["+fd10::/64"]);
  });

  it("gives a slow reader the latest state of each prefix, once", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const changes = b.routeChanges();
    for (let med = 0; med < 1000; med++) {
      a.announce({ prefix: "10.1.0.0/16", med });
      if (med % 2 === 0) a.announce({ prefix: "10.2.0.0/16", med });
      else a.withdraw("10.2.0.0/16");
      lab.advance(0.01);
    }
    lab.advance(1);
    const got = await drain(lab, changes);
    assert.deepEqual(got.map(told), ["+10.1.0.0/16"], "the other one it has never seen");
    assert.equal(got[0]?.best?.med, 999);
  });

  it("says whether a prefix is new to the reader, changed or gone", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    for (const prefix of ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]) a.announce({ prefix });
    lab.advance(1);
    const changes = a.routeChanges();
    a.announce({ prefix: "10.1.0.0/16", med: 1 });
    a.withdraw("10.2.0.0/16");
    a.withdraw("10.3.0.0/16");
    a.announce({ prefix: "10.4.0.0/16" });
    lab.advance(1);
    a.announce({ prefix: "10.3.0.0/16", med: 1 });
    lab.advance(1);
    const got = (await drain(lab, changes)).map(told);
    assert.deepEqual(got.sort(), ["+10.4.0.0/16", "-10.2.0.0/16", "~10.1.0.0/16", "~10.3.0.0/16"]);
  });

  it("keeps no more for a reader that never reads than the prefixes there are", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    const table = { routes: (): Iterator<Route> => [].values(), best: () => undefined };
    const reader = new RouteChanges(table, lab.clock, {});
    a.onRoutes(changes => reader.add(changes));
    for (let i = 0; i < 5000; i++) {
      a.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24` });
      if (i >= 10) a.withdraw(`10.${(i - 10) >> 8}.${(i - 10) & 255}.0/24`);
      lab.clock.settle();
    }
    assert.equal(reader.size, 10);
  });

  it("lets the event loop turn under a reader that never has to wait", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    for (let i = 0; i < 2000; i++) a.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24` });
    lab.advance(1);
    let turns = 0;
    const { setImmediate: turn } = lab.clock;
    lab.clock.setImmediate = callback => {
      turns++;
      turn.call(lab.clock, callback);
    };
    assert.equal((await drain(lab, a.routeChanges({ snapshot: true }))).length, 2000);
    assert(turns >= 3, `${turns} turns`);
  });

  it("ends when the speaker stops, also for whoever waits", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    const next = a.routeChanges().next();
    await a.stop();
    assert.deepEqual(await next, { done: true, value: undefined });
    assert.deepEqual(await a.routeChanges().next(), { done: true, value: undefined });
  });

  it("ends with the reason of its signal", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    const controller = new AbortController();
    const next = a.routeChanges({ signal: controller.signal }).next();
    controller.abort();
    await assert.rejects(next, { name: "AbortError" });
    assert.throws(() => a.routeChanges({ signal: controller.signal }), { name: "AbortError" });
  });

  it("is over for the speaker when the loop is left", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    await lab.start(a);
    const changes = a.routeChanges();
    a.announce({ prefix: "10.1.0.0/16" });
    lab.advance(1);
    for await (const { prefix } of changes) {
      assert.equal(prefix, "10.1.0.0/16");
      break;
    }
    a.announce({ prefix: "10.2.0.0/16" });
    lab.advance(1);
    assert.deepEqual(await changes.next(), { done: true, value: undefined });
  });
});

describe("neighborEvents()", () => {
  it("gives every step to a reader that keeps up", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512 });
    b.addNeighbor({ address: A, asn: 64512, passive: true });
    const events = a.neighborEvents();
    await lab.start(b, a);
    lab.advance(1);
    a.removeNeighbor(B);
    const states = (await drain(lab, events)).map(({ state, removed }) => (removed ? "removed" : state));
    assert.deepEqual(states, ["Connect", "OpenSent", "OpenConfirm", "Established", "Idle", "removed"]);
  });

  it("gives one that is far behind the last event of each neighbor", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    const events = a.neighborEvents();
    const before = a.events.length;
    for (let i = 0; i < 400; i++) {
      a.resetNeighbor(B);
      lab.advance(200);
    }
    assert(a.events.length - before > 1500, "there was something to thin out");
    const got: NeighborEvent[] = await drain(lab, events);
    assert(got.length <= 1001, `${got.length} waited`);
    assert.deepEqual(got.at(-1), a.events.at(-1));
  });
});

describe("established()", () => {
  it("waits for the neighbor, and answers at once where it is there", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512 });
    b.addNeighbor({ address: A, asn: 64512 });
    await lab.start(a, b);
    const waiting = a.established(B);
    lab.advance(1);
    assert.equal((await waiting).remoteRouterId, B);
    assert.equal((await a.established(B)).state, "Established");
  });

  it("gives up by its signal, when the neighbor is removed, and when the speaker stops", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512, passive: true });
    await lab.start(a);
    const controller = new AbortController();
    const aborted = assert.rejects(a.established(B, { signal: controller.signal }), { name: "AbortError" });
    controller.abort();
    await aborted;
    await assert.rejects(a.established("10.0.0.9"), { code: "NeighborUnknown" });
    const removed = assert.rejects(a.established(B), { code: "NeighborUnknown" });
    a.removeNeighbor(B);
    await removed;
    a.addNeighbor({ address: B, asn: 64512, passive: true });
    const stopped = assert.rejects(a.established(B), { code: "SpeakerState" });
    await a.stop();
    await stopped;
  });
});

describe("a speaker's life", () => {
  it("ends by the signal given to start", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    const c = lab.speaker("10.0.0.3", 64512);
    const controller = new AbortController();
    await c.start({ signal: controller.signal });
    c.addNeighbor({ address: A, asn: 64512 });
    a.addNeighbor({ address: "10.0.0.3", asn: 64512 });
    lab.advance(1);
    assert.equal(c.neighbor(A)?.state, "Established");
    controller.abort();
    lab.advance(0.1);
    assert.equal(c.neighbor(A)?.state, "Idle");
    assert.match(a.neighbor("10.0.0.3")?.lastError?.text ?? "", /Administrative Shutdown/);
    await assert.rejects(c.start({ signal: controller.signal }), { name: "AbortError" });
  });

  it("ends with the block it is declared in", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512 });
    await lab.start(a);
    {
      await using b = new Speaker({
        asn: 64512,
        routerId: B,
        clock: lab.clock,
        transport: lab.network.host(B),
      });
      b.addNeighbor({ address: A, asn: 64512 });
      await b.start();
      lab.advance(3);
      assert.equal(a.neighbor(B)?.state, "Established");
    }
    lab.advance(0.1);
    assert.notEqual(a.neighbor(B)?.state, "Established");
  });

  it("says what is wrong with a call by code and data", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    assert.throws(() => a.addNeighbor({ address: B, asn: 64512 }), {
      code: "NeighborExists",
      detail: { code: "NeighborExists", address: B },
    });
    assert.throws(() => a.resetNeighbor("10.0.0.9"), { code: "NeighborUnknown" });
    await assert.rejects(a.start(), { detail: { code: "SpeakerState", phase: "running" } });
    assert.throws(() => a.addNeighbor({ address: "10.0.0.9", asn: 0 }), {
      detail: {
        code: "InvalidOption",
        option: "asn",
        value: 0,
        expected: "a whole number from 1 to 4294967295",
      },
    });
  });
});

describe("reconfigure()", () => {
  it("takes a new cluster id for what is reflected from now on, without a new session", async () => {
    const lab = new Lab();
    const [reflector, client] = [lab.speaker(A, 64512), lab.speaker(B, 64512)];
    const other = lab.speaker("10.0.0.3", 64512);
    for (const address of [B, "10.0.0.3"]) {
      reflector.addNeighbor({ address, asn: 64512, reflectorClient: true });
    }
    client.addNeighbor({ address: A, asn: 64512 });
    other.addNeighbor({ address: A, asn: 64512 });
    await lab.start(reflector, client, other);
    client.announce({ prefix: "10.1.0.0/16" });
    lab.advance(1);
    assert.deepEqual(other.route("10.1.0.0/16")?.clusterList, [A]);
    await reflector.reconfigure({ clusterId: "1.2.3.4" });
    lab.advance(1);
    assert.deepEqual(other.route("10.1.0.0/16")?.clusterList, ["1.2.3.4"]);
    assert.equal(other.neighbor(A)?.established, 1);
  });

  it("refuses what makes no sense, and changes nothing then", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    await assert.rejects(a.reconfigure({ clusterId: "0.0.0.0" }), { option: "clusterId" });
    await assert.rejects(a.reconfigure({ listen: { port: -1 } }), { code: "InvalidOption" });
    assert.equal(a.port, 179);
  });

  it("dials another port from the next time on", async () => {
    const lab = new Lab();
    const [a] = await pair(lab);
    a.updateNeighbor({ address: B, asn: 64512, port: 1790, connectRetryTime: 2 });
    lab.advance(1);
    assert.equal(a.neighbor(B)?.established, 1);
    assert.equal(a.neighbor(B)?.state, "Established");
  });
});
