/** Whole sessions between speakers in one simulated network: what goes in on one side, what comes out on the other. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { acceptAll, BgpError, Family, OptionError, type RoutePolicy } from "../index.ts";
import { EVERYTHING, Lab, type LabSpeaker, prefixesOf, routeOf, stateOf } from "./kit/lab.ts";
import type { SimConnection } from "./kit/sim-network.ts";

const A = "10.0.0.1";
const B = "10.0.0.2";
const C = "10.0.0.3";
const D = "10.0.0.4";
const BLOCK = "192.168.1.0/26";

/** Two internal neighbors, started, a moment later. */
async function pair(lab: Lab, seconds = 1): Promise<[LabSpeaker, LabSpeaker]> {
  const a = lab.speaker(A, 64512);
  const b = lab.speaker(B, 64512);
  a.addNeighbor({ address: B, asn: 64512, connectRetryTime: 1 });
  b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 1 });
  await lab.start(a, b);
  lab.advance(seconds);
  return [a, b];
}

const timesEstablished = (speaker: LabSpeaker) =>
  speaker.events.filter(({ state }) => state === "Established").length;

describe("two speakers", () => {
  it("establish and exchange routes", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    a.announce({ prefix: BLOCK });
    b.announce({ prefix: "192.168.2.0/26", communities: ["64512:7"], med: 5 });
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK, "192.168.2.0/26"]);
    assert.deepEqual(prefixesOf(b), prefixesOf(a));
    const route = routeOf(a, "192.168.2.0/26");
    assert.equal(route?.source, B);
    assert.deepEqual(route?.nextHops, [B]);
    assert.deepEqual(route?.communities, ["64512:7"]);
    assert.equal(route?.med, 5);
    b.withdraw("192.168.2.0/26");
    lab.advance(0.1);
    assert.deepEqual(prefixesOf(a), [BLOCK]);
    const gone = { kind: "removed", prefix: "192.168.2.0/26", family: Family.ipv4Unicast, best: null };
    assert.deepEqual(a.changes.at(-1), gone);
  });

  it("settle on one session within a second when both dial, whoever is faster", async () => {
    for (let seed = 0; seed < 40; seed++) {
      const lab = new Lab();
      lab.network.latency = 1 + (seed % 7) * 13;
      const a = lab.speaker(seed % 2 ? A : B, 64512);
      const b = lab.speaker(seed % 2 ? B : A, 64512);
      const [addressA, addressB] = seed % 2 ? [A, B] : [B, A];
      a.addNeighbor({ address: addressB, asn: 64512 });
      b.addNeighbor({ address: addressA, asn: 64512 });
      await a.start();
      lab.clock.advance(seed * 3);
      await b.start();
      // A refused first dial costs its side one retry; the other side's own dial settles it.
      lab.advance(1);
      assert.deepEqual(
        [stateOf(a, addressB), stateOf(b, addressA)],
        ["Established", "Established"],
        `seed ${seed}`,
      );
      lab.advance(10);
      assert.deepEqual([timesEstablished(a), timesEstablished(b)], [1, 1], `seed ${seed}`);
      const open = lab.network.connections.filter(({ isClosed }) => !isClosed);
      assert.equal(open.length, 2, "both ends of one connection");
    }
  });

  it("understand each other byte by byte", async () => {
    const lab = new Lab();
    lab.network.chunkSize = 1;
    const [a, b] = await pair(lab);
    for (let i = 0; i < 50; i++) b.announce({ prefix: `10.1.${i}.0/24`, med: i });
    lab.advance(1);
    assert.equal(prefixesOf(a).length, 50);
  });

  it("lose nothing where every message takes all the time a turn has", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    lab.clock.msPerLook = 3;
    for (let i = 0; i < 300; i++) b.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24`, med: i });
    lab.advance(2);
    assert.equal(prefixesOf(a).length, 300);
    for (let i = 0; i < 300; i++) b.announce({ prefix: `10.9.${i & 255}.${i >> 8}/32`, med: i });
    lab.clock.settle();
    await b.stop({ message: "while the neighbor is still reading" });
    lab.advance(2);
    assert.equal(
      a.neighbor(B)?.lastError?.text,
      "Cease/Administrative Shutdown (while the neighbor is still reading)",
    );
  });

  it("keep the session for a day with nothing to say", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    lab.advance(24 * 3600);
    assert.deepEqual([timesEstablished(a), timesEstablished(b)], [1, 1]);
    assert.equal(stateOf(a, B), "Established");
  });

  it("notice a cut by the hold timer, and are back when it heals", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    b.announce({ prefix: BLOCK });
    lab.advance(1);
    lab.network.cut(A, B);
    lab.advance(95);
    assert.notEqual(stateOf(a, B), "Established");
    const end = a.events.find(({ previous }) => previous === "Established");
    assert.equal(end?.error?.text, "Hold Timer Expired");
    assert.deepEqual(prefixesOf(a), [BLOCK], "kept: the neighbor may be back in the restart time (RFC 8538)");
    lab.network.heal();
    lab.advance(70);
    assert.equal(stateOf(a, B), "Established");
    assert.deepEqual(prefixesOf(a), [BLOCK]);
  });

  it("carry IPv6 over an IPv4 session when they know their IPv6 next hop", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    const families = Object.values(Family);
    a.addNeighbor({ address: B, asn: 64512, families });
    b.addNeighbor({ address: A, asn: 64512, families, nextHopSelf: { ipv6: "fd00::2" } });
    await lab.start(a, b);
    a.announce({ prefix: "fd00:1::/64" });
    b.announce({ prefix: "fd00:2::/64" });
    b.announce({ prefix: BLOCK });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), [BLOCK, "fd00:2::/64"]);
    assert.deepEqual(routeOf(a, "fd00:2::/64")?.nextHops, ["fd00::2"]);
    assert.deepEqual(routeOf(a, BLOCK)?.nextHops, [B]);
  });

  it("carry IPv4 over an IPv6 session by IPv6 next hops (RFC 8950), unless one does not want them", async () => {
    for (const wanted of [true, false]) {
      const lab = new Lab();
      const [x, y] = ["fd00::1", "fd00::2"] as const;
      const a = lab.speaker(x, 64512, { routerId: A });
      const b = lab.speaker(y, 64512, { routerId: B });
      const families = Object.values(Family);
      a.addNeighbor({ address: y, asn: 64512, families, extendedNextHop: wanted });
      b.addNeighbor({ address: x, asn: 64512, families });
      await lab.start(a, b);
      b.announce({ prefix: BLOCK });
      b.announce({ prefix: "fd00:2::/64" });
      lab.advance(1);
      assert.deepEqual(prefixesOf(a), wanted ? [BLOCK, "fd00:2::/64"] : ["fd00:2::/64"]);
      if (wanted) assert.equal(routeOf(a, BLOCK)?.nextHop, y);
    }
  });

  it("refuse each other's wrong AS and say so, ever more rarely", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64513);
    a.addNeighbor({ address: B, asn: 65000, connectRetryTime: 60 });
    b.addNeighbor({ address: A, asn: 64512, connectRetryTime: 60 });
    await lab.start(a, b);
    lab.advance(3600);
    assert.match(a.neighbor(B)!.lastError!.text, /OPEN Message Error\/Bad Peer AS/);
    assert.equal(timesEstablished(a), 0);
    assert.ok(lab.network.dials < 150, `${lab.network.dials} dials in an hour`);
  });

  it("tell why: shutdown text, de-configured, reset", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    a.resetNeighbor(B, "trying");
    lab.advance(0.1);
    assert.equal(b.neighbor(A)?.lastError?.text, "Cease/Administrative Reset (trying)");
    lab.advance(5);
    assert.equal(stateOf(a, B), "Established");
    a.removeNeighbor(B);
    lab.advance(0.1);
    assert.equal(b.neighbor(A)?.lastError?.text, "Cease/Peer De-configured");
    a.addNeighbor({ address: B, asn: 64512 });
    lab.advance(15);
    assert.equal(stateOf(a, B), "Established");
    await a.stop({ message: "rack 4" });
    lab.advance(0.1);
    const error = b.neighbor(A)?.lastError;
    assert.equal(error?.text, "Cease/Administrative Shutdown (rack 4)");
    assert.deepEqual([error?.code, error?.subcode], [6, 2]);
  });

  it("give up a neighbor that has stopped reading (RFC 9687)", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512, holdTime: 0, sendHoldTime: 30 });
    b.addNeighbor({ address: A, asn: 64512, passive: true });
    await lab.start(a, b);
    lab.advance(1);
    const toB = lab.network.connections.find(({ localAddress }) => localAddress === A)!;
    toB.isStalled = true;
    a.announce({ prefix: BLOCK });
    lab.advance(29);
    assert.equal(stateOf(a, B), "Established", "no hold timer was negotiated");
    lab.advance(2);
    const end = a.events.find(({ previous }) => previous === "Established");
    assert.equal(end?.error?.reason, "send-hold-expired");
  });

  it("wait for each other when one is passive", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64512);
    a.addNeighbor({ address: B, asn: 64512, passive: true });
    b.addNeighbor({ address: A, asn: 64512, passive: true, passiveFallback: 10 });
    await lab.start(a, b);
    lab.advance(7);
    assert.equal(stateOf(a, B), "Active");
    lab.advance(4);
    assert.equal(stateOf(a, B), "Established");
    assert.equal(lab.network.dials, 1);
  });
});

describe("an external session", () => {
  it("prepends, sets the next hop and keeps our preferences to ourselves", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 4200000001);
    a.addNeighbor({ address: B, asn: 4200000001, ...EVERYTHING });
    b.addNeighbor({ address: A, asn: 64512, ...EVERYTHING });
    await lab.start(a, b);
    a.announce({ prefix: BLOCK, localPref: 300, largeCommunities: ["64512:1:2"] });
    lab.advance(1);
    const route = routeOf(b, BLOCK);
    assert.deepEqual(route?.asPath, [{ type: "sequence", asns: [64512] }]);
    assert.equal(route?.localPref, undefined);
    assert.equal(route?.nextHop, A);
    assert.deepEqual(route?.largeCommunities, ["64512:1:2"]);
  });

  it("ignores a path with our AS unless told otherwise", async () => {
    const lab = new Lab();
    const speakers = [lab.speaker(A, 64512), lab.speaker(B, 65000), lab.speaker(C, 64512)] as const;
    const [a, tor, c] = speakers;
    a.addNeighbor({ address: B, asn: 65000, ...EVERYTHING });
    tor.addNeighbor({ address: A, asn: 64512, ...EVERYTHING });
    tor.addNeighbor({ address: C, asn: 64512, ...EVERYTHING });
    c.addNeighbor({ address: B, asn: 65000, ...EVERYTHING });
    await lab.start(...speakers);
    a.announce({ prefix: BLOCK });
    lab.advance(1);
    assert.deepEqual(prefixesOf(c), []);
    c.updateNeighbor({ address: B, asn: 65000, allowedLocalAs: 1, ...EVERYTHING });
    lab.advance(1);
    assert.deepEqual(prefixesOf(c), [BLOCK], "asked for again by ROUTE-REFRESH, without a new session");
    assert.equal(c.neighbor(B)?.established, 1);
  });

  it("offers every equally good next hop", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const tors = [B, C].map((address, i) => lab.speaker(address, 65001 + i));
    for (const [i, tor] of tors.entries()) {
      a.addNeighbor({ address: [B, C][i]!, asn: 65001 + i, ...EVERYTHING });
      tor.addNeighbor({ address: A, asn: 64512, ...EVERYTHING });
      tor.announce({ prefix: "0.0.0.0/0" });
    }
    await lab.start(a, ...tors);
    lab.advance(1);
    assert.deepEqual(routeOf(a, "0.0.0.0/0") && [...a.routes()][0]?.nextHops, [B, C]);
    tors[0]!.withdraw("0.0.0.0/0");
    lab.advance(1);
    assert.deepEqual([...a.routes()][0]?.nextHops, [C]);
  });
});

describe("policies", () => {
  const only =
    (prefix: string): RoutePolicy =>
    route =>
      route.prefix === prefix ? route : null;

  it("refuse and change routes on the way in and out", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const b = lab.speaker(B, 64513);
    const exportPolicy: RoutePolicy = route =>
      route.prefix === BLOCK ? { ...route, communities: ["1:2"], med: 7 } : null;
    a.addNeighbor({ address: B, asn: 64513, exportPolicy, importPolicy: acceptAll });
    const importPolicy: RoutePolicy = (route, neighbor) => ({ ...route, localPref: neighbor.asn });
    b.addNeighbor({ address: A, asn: 64512, importPolicy, exportPolicy: acceptAll });
    await lab.start(a, b);
    a.announce({ prefix: BLOCK });
    a.announce({ prefix: "10.9.0.0/16" });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), [BLOCK]);
    const route = routeOf(b, BLOCK);
    assert.deepEqual([route?.communities, route?.med, route?.localPref], [["1:2"], 7, 64512]);
    assert.deepEqual(
      [...a.advertised(B)].map(({ prefix }) => prefix),
      [BLOCK],
    );
  });

  it("are asked again when they say so", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    let open = false;
    a.updateNeighbor({ address: B, asn: 64512, exportPolicy: route => (open ? route : null) });
    a.announce({ prefix: BLOCK });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), []);
    open = true;
    a.refreshExports();
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), [BLOCK]);
    assert.equal(timesEstablished(b), 1);
  });

  it("can be exchanged without a new session, and only the difference is sent", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    for (const prefix of ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]) a.announce({ prefix });
    lab.advance(1);
    const before = b.changes.length;
    a.updateNeighbor({ address: B, asn: 64512, exportPolicy: only("10.2.0.0/16") });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), ["10.2.0.0/16"]);
    assert.equal(b.changes.length - before, 2);
    a.updateNeighbor({ address: B, asn: 64512 });
    lab.advance(1);
    assert.equal(prefixesOf(b).length, 3);
    assert.equal(timesEstablished(b), 1);
  });

  it("that throw let nothing through", async () => {
    const lab = new Lab();
    const [a, b] = await pair(lab);
    const importPolicy = () => {
      throw new Error("broken");
    };
    b.updateNeighbor({ address: A, asn: 64512, importPolicy });
    a.announce({ prefix: BLOCK });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), []);
    assert.equal(stateOf(b, A), "Established");
  });
});

describe("a route reflector", () => {
  async function star(lab: Lab, addresses: string[]): Promise<[LabSpeaker, LabSpeaker[]]> {
    const reflector = lab.speaker(A, 64512, { clusterId: "9.9.9.9" });
    const clients = addresses.map(address => {
      const client = lab.speaker(address, 64512);
      client.addNeighbor({ address: A, asn: 64512 });
      reflector.addNeighbor({ address, asn: 64512, reflectorClient: true, passive: true });
      return client;
    });
    await lab.start(reflector, ...clients);
    lab.advance(6);
    return [reflector, clients];
  }

  it("passes on clients' routes with originator and cluster, next hop unchanged", async () => {
    const lab = new Lab();
    const [, [b, c]] = await star(lab, [B, C]);
    b!.announce({ prefix: BLOCK });
    lab.advance(1);
    const route = routeOf(c!, BLOCK);
    assert.deepEqual([route?.originatorId, route?.clusterList, route?.nextHop], [B, ["9.9.9.9"], B]);
    assert.deepEqual(
      b!.paths(BLOCK).map(({ source }) => source),
      ["local"],
      "not sent back",
    );
  });

  it("withdraws from a client what has become the client's own", async () => {
    const lab = new Lab();
    const [reflector, [b, c, d]] = await star(lab, [B, C, D]);
    c!.announce({ prefix: BLOCK, localPref: 100 });
    lab.advance(1);
    assert.equal(b!.paths(BLOCK)[0]?.source, A);
    b!.announce({ prefix: BLOCK, localPref: 200 });
    lab.advance(1);
    assert.equal(reflector.paths(BLOCK)[0]?.source, B);
    assert.deepEqual(
      b!.paths(BLOCK).map(({ source }) => source),
      ["local"],
      "the reflector's copy was withdrawn",
    );
    assert.equal(d!.paths(BLOCK)[0]?.originatorId, B);
    assert.equal(c!.paths(BLOCK).find(({ source }) => source === A)?.originatorId, B);
  });

  it("brings a late client up to date", async () => {
    const lab = new Lab();
    const [reflector, [b]] = await star(lab, [B]);
    for (let i = 0; i < 10_000; i++) b!.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24`, med: i % 7 });
    lab.advance(1);
    const late = lab.speaker(D, 64512);
    late.addNeighbor({ address: A, asn: 64512 });
    reflector.addNeighbor({ address: D, asn: 64512, reflectorClient: true, passive: true });
    await late.start();
    lab.advance(1);
    assert.equal(prefixesOf(late).length, 10_000);
    assert.equal(reflector.neighbor(D)?.prefixes.advertised, 10_000);
    assert.equal(reflector.neighbor(B)?.prefixes.advertised, 0);
    b!.removeNeighbor(A);
    lab.advance(1);
    assert.deepEqual(prefixesOf(late), []);
  });

  it("does not let a slow client hold up the others, and catches it up", async () => {
    const lab = new Lab();
    const [reflector, [b, c, d]] = await star(lab, [B, C, D]);
    const toC = lab.network.connections.find(
      ({ localAddress, remoteAddress, isClosed }) => localAddress === A && remoteAddress === C && !isClosed,
    ) as SimConnection;
    toC.isStalled = true;
    const announce = (round: number) => {
      // Different attributes per route: about 70 bytes each on the wire.
      for (let i = 0; i < 4_000; i++)
        b!.announce({ prefix: `10.${i >> 8}.${i & 255}.0/24`, med: i * 10 + round });
      lab.advance(0.1);
    };
    for (let round = 0; round < 5; round++) announce(round);
    assert.ok(
      toC.writableLength > 1 << 20 && toC.writableLength < 2 << 20,
      `${toC.writableLength} bytes queued`,
    );
    assert.equal(d!.paths("10.0.5.0/24")[0]?.med, 54);
    for (let i = 0; i < 1000; i++) b!.withdraw(`10.${i >> 8}.${i & 255}.0/24`);
    lab.advance(0.1);
    toC.unstall();
    lab.advance(1);
    const seen = (speaker: LabSpeaker) =>
      [...speaker.routes()].map(({ prefix, med }) => `${prefix} ${med}`).sort();
    assert.deepEqual(seen(c!), seen(d!));
    assert.equal(seen(c!).length, 3000);
    assert.equal(reflector.neighbor(C)?.established, 1);
  });

  it("leaves everybody with the same table, whatever happens in between", async () => {
    const step = fc.record({
      who: fc.constantFrom(0, 1, 2),
      what: fc.constantFrom("announce", "announce", "withdraw", "reset", "wait"),
      prefix: fc.nat(5),
      med: fc.nat(2),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
        const lab = new Lab();
        const [reflector, clients] = await star(lab, [B, C, D]);
        for (const { who, what, prefix, med } of steps) {
          const client = clients[who]!;
          if (what === "announce") client.announce({ prefix: `10.${prefix}.0.0/16`, med });
          else if (what === "withdraw") client.withdraw(`10.${prefix}.0.0/16`);
          else if (what === "reset") reflector.resetNeighbor([B, C, D][who]!);
          else lab.advance(0.5);
        }
        lab.advance(300);
        const originated = clients.map(client =>
          [...client.routes()].filter(({ source }) => source === "local"),
        );
        const all = new Set(originated.flat().map(({ prefix }) => prefix));
        for (const speaker of [reflector, ...clients]) assert.deepEqual(prefixesOf(speaker), [...all].sort());
        for (const prefix of all) {
          const best = reflector.paths(prefix)[0]!;
          for (const [i, client] of clients.entries()) {
            const reflected = client.paths(prefix).filter(({ source }) => source !== "local");
            const expected = best.source === [B, C, D][i] ? [] : [best.source];
            assert.deepEqual(
              reflected.map(({ originatorId }) => originatorId),
              expected,
            );
          }
        }
        await Promise.all([reflector, ...clients].map(speaker => speaker.stop()));
      }),
      { numRuns: 40 },
    );
  });
});

describe("a speaker", () => {
  it("answers bad settings by name", () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    const named = (option: string) => (error: unknown) =>
      error instanceof OptionError && error.option === option;
    assert.throws(() => lab.speaker(A, 0), named("asn"));
    assert.throws(() => lab.speaker("nowhere", 1), named("routerId"));
    assert.throws(() => a.addNeighbor({ address: "10.0.0", asn: 1 }), named("address"));
    assert.throws(() => a.addNeighbor({ address: B, asn: 1, holdTime: 2 }), named("holdTime"));
    assert.throws(
      () => a.addNeighbor({ address: B, asn: 1, reflectorClient: true }),
      named("reflectorClient"),
    );
    assert.throws(() => a.addNeighbor({ address: B, asn: 1, password: "x".repeat(81) }), named("password"));
    assert.throws(() => a.announce({ prefix: "10.0.0.0/33" }), named("prefix"));
    assert.throws(() => a.announce({ prefix: BLOCK, communities: ["1:70000"] }), named("communities"));
    assert.throws(() => a.announce({ prefix: BLOCK, nextHop: "fd00::1" }), named("nextHop"));
    assert.throws(() => a.removeNeighbor(B), BgpError);
  });

  it("drops who is not a neighbor", async () => {
    const lab = new Lab();
    await pair(lab);
    let closed = false;
    const stranger = lab.network.connect("10.0.0.77", A);
    stranger.setHandler({ onConnect() {}, onData() {}, onDrain() {}, onClose: () => (closed = true) });
    lab.advance(1);
    assert.ok(closed);
  });

  it("reports each batch of changes once per turn", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512, { listen: false });
    const batches: number[] = [];
    a.onRoutes(changes => batches.push(changes.length));
    await a.start();
    for (let i = 0; i < 100; i++) a.announce({ prefix: `10.0.${i}.0/24` });
    a.announce({ prefix: "10.0.5.0/24", med: 1 });
    a.withdraw("10.0.6.0/24");
    lab.advance(0.1);
    assert.deepEqual(batches, [99]);
  });

  it("tells about wrong UPDATEs and keeps the session (RFC 7606)", async () => {
    const lab = new Lab();
    const a = lab.speaker(A, 64512);
    a.addNeighbor({ address: B, asn: 64512, passive: true });
    const problems: string[] = [];
    a.onWarning(warning => {
      if (warning.code !== "MalformedUpdate") return;
      problems.push(...warning.problems.map(({ action, text }) => `${action}: ${text}`));
    });
    await a.start();
    const raw = lab.network.connect(B, A);
    const message = (type: number, hex: string) => {
      const body = Buffer.from(hex.replace(/\s/g, ""), "hex");
      const header = Buffer.alloc(19, 255);
      header.writeUInt16BE(19 + body.length, 16);
      header[18] = type;
      raw.write(Buffer.concat([header, body]));
    };
    raw.setHandler({
      onConnect: () => {
        message(1, "04 fc00 005a 0a000002 00");
        message(4, "");
        message(2, "0000 0015 40010100 400200 4003040a000002 40050400000064 18 0a0101");
        message(2, "0000 0015 40010107 400200 4003040a000002 40050400000064 18 0a0101");
      },
      onData() {},
      onDrain() {},
      onClose() {},
    });
    lab.advance(1);
    assert.equal(stateOf(a, B), "Established");
    assert.deepEqual(problems, ["withdraw: ORIGIN is not 0, 1 or 2"]);
    assert.deepEqual(
      a.changes.map(({ best }) => best === null),
      [false, true],
    );
    assert.deepEqual(prefixesOf(a), []);
  });
});
