import assert from "node:assert/strict";
import { BmpExporter, type BmpOptions, OptionError, type RoutePolicy } from "../../index.ts";
import { MessageType } from "../../message/constants.ts";
import { frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import { encodeOpen } from "../../message/open.ts";
import { encodeUpdate } from "../../message/update.ts";
import type { Connection } from "../../transport/transport.ts";
import { EVERYTHING, Lab, type LabSpeaker } from "../kit/lab.ts";
import { CollectorDouble } from "./collector-double.ts";

const US = "192.0.2.1";
const CLIENT = "192.0.2.2";
const FABRIC = "192.0.2.3";
const STATION = "192.0.2.9";
const ASN = 64512;
const FABRIC_AS = 4_200_000_001;
const LINE = "next hop 192.0.2.2; origin igp; path ; preference 100";

/** We, a client and a fabric of another AS, with collectors to come. */
class BmpLab extends Lab {
  readonly us = this.speaker(US, ASN);
  readonly client = this.speaker(CLIENT, ASN);
  readonly fabric = this.speaker(FABRIC, FABRIC_AS);
  /** One for each connection a collector has taken. */
  readonly collectors: CollectorDouble[] = [];
  readonly accepted: Connection[] = [];
  readonly exporters: BmpExporter[] = [];

  async begin(importPolicy?: RoutePolicy): Promise<void> {
    const { us, client, fabric } = this;
    us.addNeighbor({ address: CLIENT, asn: ASN, ...(importPolicy && { importPolicy }) });
    us.addNeighbor({ address: FABRIC, asn: FABRIC_AS, ...EVERYTHING });
    client.addNeighbor({ address: US, asn: ASN, ...EVERYTHING });
    fabric.addNeighbor({ address: US, asn: ASN, ...EVERYTHING });
    await this.start(us, client, fabric);
    this.advance(10);
  }

  async station(address = STATION): Promise<void> {
    await this.network.host(address).listen({ port: 1790, address }, connection => {
      const double = new CollectorDouble();
      this.collectors.push(double);
      this.accepted.push(connection);
      connection.setHandler({
        onConnect() {},
        onData: chunk => double.push(chunk),
        onDrain() {},
        onClose() {},
      });
    });
  }

  exporter(options: Partial<BmpOptions> = {}, speaker: LabSpeaker = this.us): BmpExporter {
    const exporter = new BmpExporter(speaker, {
      collectors: [{ address: STATION, port: 1790 }],
      clock: this.clock,
      transport: this.network.host(US),
      random: () => 0,
      ...options,
    });
    this.exporters.push(exporter);
    return exporter;
  }

  get collector(): CollectorDouble {
    const last = this.collectors.at(-1);
    assert.ok(last, "nobody has dialled the collector");
    return last;
  }
}

const both = [{ address: STATION, port: 1790, view: "both" as const }];

describe("bmp: a collector that was there first", () => {
  it("hears who is up, with both OPENs, and every UPDATE", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter({ systemName: "rr1", systemDescription: "lab" });
    await lab.begin();
    const { collector } = lab;
    assert.deepEqual([collector.system.get(2), collector.system.get(1)], ["rr1", "lab"]);
    assert.deepEqual(collector.events, ["initiation", `up ${CLIENT}`, `up ${FABRIC}`]);
    const { peer, localAddress, sentOpen, receivedOpen } = collector.session(FABRIC);
    assert.deepEqual([peer.asn, peer.routerId, peer.flags], [FABRIC_AS, FABRIC, 0]);
    assert.equal(localAddress, US);
    assert.deepEqual([sentOpen.asn, sentOpen.routerId], [ASN, US]);
    assert.deepEqual([receivedOpen.asn, receivedOpen.routerId], [FABRIC_AS, FABRIC]);
    assert.ok(Math.abs(peer.at - lab.clock.now()) < 20_000);

    lab.client.announce({ prefix: "10.0.0.0/24" });
    lab.client.announce({ prefix: "10.0.1.0/24", med: 7 });
    lab.fabric.announce({ prefix: "10.1.0.0/24" });
    lab.advance(1);
    assert.deepEqual([...collector.session(CLIENT).pre].sort(), [
      ["10.0.0.0/24", LINE],
      ["10.0.1.0/24", `med 7; ${LINE}`],
    ]);
    assert.deepEqual(
      [...collector.session(FABRIC).pre],
      [["10.1.0.0/24", `next hop ${FABRIC}; origin igp; path ${FABRIC_AS}`]],
    );
    assert.deepEqual(collector.session(FABRIC).endOfRib, ["pre ipv4-unicast"]);
    assert.equal(collector.session(FABRIC).post.size, 0);

    lab.client.withdraw("10.0.0.0/24");
    lab.advance(1);
    assert.deepEqual([...collector.session(CLIENT).pre.keys()], ["10.0.1.0/24"]);
  });

  it("hears why a session has ended", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter();
    await lab.begin();
    lab.us.resetNeighbor(CLIENT);
    lab.advance(1);
    await lab.fabric.stop({ message: "rack 4" });
    lab.advance(1);
    const [first, second] = lab.collector.downs;
    assert.deepEqual([first?.address, first?.reason, [...first!.data.subarray(19, 21)]], [CLIENT, 1, [6, 4]]);
    // A hard reset (RFC 8538) with the reason inside.
    assert.deepEqual(
      [second?.address, second?.reason, [...second!.data.subarray(19, 23)]],
      [FABRIC, 3, [6, 9, 6, 2]],
    );
    lab.advance(30);
    assert.deepEqual([...lab.collector.sessions.keys()], [CLIENT]);
    // The other side vanishes without a word.
    for (const connection of lab.network.connections)
      if (connection.localAddress === US && connection.remoteAddress === CLIENT) connection.fail();
    lab.advance(1);
    assert.equal(lab.collector.downs[2]?.reason, 4);
  });

  it("gets statistics at intervals", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter({ statisticsInterval: 60 });
    await lab.begin();
    lab.client.announce({ prefix: "10.0.0.0/24" });
    lab.client.announce({ prefix: "10.0.1.0/24" });
    lab.advance(120);
    const { statistics } = lab.collector.session(CLIENT);
    assert.deepEqual([statistics.get(7), statistics.get(9), statistics.get(11)], [[2n], [2n], [0n]]);
    assert.deepEqual(
      lab.collector.events.filter(event => event === `statistics ${FABRIC}`),
      Array(2).fill(`statistics ${FABRIC}`),
    );
  });

  it("is told goodbye", async () => {
    const lab = new BmpLab();
    await lab.station();
    const exporter = lab.exporter();
    await lab.begin();
    exporter.close();
    lab.advance(1);
    assert.equal(lab.collector.events.at(-1), "termination 0");
    lab.client.announce({ prefix: "10.0.0.0/24" });
    lab.advance(2000);
    assert.equal(lab.collectors.length, 1);
    assert.equal(exporter.collectors()[0]?.state, "closed");
  });
});

describe("bmp: behind the policy", () => {
  /** Of our client: 10.0.0.0/24 as it is, 10.0.1.0/24 changed, everything else refused. */
  const policy: RoutePolicy = route => {
    if (route.prefix === "10.0.0.0/24") return route;
    return route.prefix === "10.0.1.0/24" ? { ...route, localPref: 50 } : null;
  };
  const announceAll = (lab: BmpLab) => {
    for (const prefix of ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]) lab.client.announce({ prefix });
    lab.advance(1);
  };
  const BEHIND = [
    ["10.0.0.0/24", LINE],
    ["10.0.1.0/24", LINE.replace("100", "50")],
  ];

  it("both views side by side", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter({ collectors: both });
    await lab.begin(policy);
    announceAll(lab);
    const session = lab.collector.session(CLIENT);
    assert.deepEqual([...session.pre.keys()].sort(), ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
    assert.deepEqual([...session.post].sort(), BEHIND);
    lab.client.withdraw("10.0.1.0/24");
    lab.client.withdraw("10.0.2.0/24");
    lab.advance(1);
    assert.deepEqual([...session.pre.keys()], ["10.0.0.0/24"]);
    assert.deepEqual([...session.post.keys()], ["10.0.0.0/24"]);
  });

  it("path identifiers stay what they were, in both views, live and out of the table", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter({ collectors: both });
    const onePath: RoutePolicy = route => (route.med === 2 ? null : route);
    const raw = "192.0.2.7";
    lab.us.addNeighbor({
      address: raw,
      asn: ASN,
      passive: true,
      addPath: { receive: true },
      importPolicy: onePath,
    });
    await lab.begin();
    const feed = lab.network.connect(raw, US);
    feed.setHandler({ onConnect() {}, onData() {}, onDrain() {}, onClose() {} });
    const capabilities = [
      { kind: "multiprotocol", afi: 1, safi: 1 },
      { kind: "four-octet-as", asn: ASN },
      { kind: "add-path", families: [{ afi: 1, safi: 1, send: true, receive: false }] },
    ] as const;
    lab.advance(0.01);
    feed.write(frame(MessageType.open, encodeOpen({ asn: ASN, holdTime: 0, routerId: raw, capabilities })));
    feed.write(frame(MessageType.keepalive));
    lab.advance(1);
    const announced = [1, 2, 3].map(pathId => ({
      nlri: Nlri.of("ipv4-unicast", ["10.0.0.0/24"], pathId),
      attributes: { origin: "igp" as const, asPath: [], nextHop: raw, med: pathId, localPref: 100 },
    }));
    feed.write(encodeUpdate({ announced }, { fourOctetAs: true }));
    lab.advance(1);
    const ids = (table: ReadonlyMap<string, string>) => [...table.keys()].sort();
    const live = lab.collector.session(raw);
    assert.deepEqual(ids(live.pre), ["10.0.0.0/24 1", "10.0.0.0/24 2", "10.0.0.0/24 3"]);
    assert.deepEqual(ids(live.post), ["10.0.0.0/24 1", "10.0.0.0/24 3"]);

    await lab.station("192.0.2.10");
    lab.exporter({ collectors: [{ address: "192.0.2.10", port: 1790, view: "post-policy" }] });
    lab.advance(2);
    assert.deepEqual([...lab.collector.session(raw).post].sort(), [...live.post].sort());
    feed.write(encodeUpdate({ withdrawn: [announced[0]!.nlri] }, { fourOctetAs: true }));
    lab.advance(1);
    for (const { post } of [live, lab.collector.session(raw)]) assert.deepEqual(ids(post), ["10.0.0.0/24 3"]);
  });

  it("what loop checks refuse is not behind them", async () => {
    const lab = new BmpLab();
    await lab.station();
    lab.exporter({ collectors: both });
    await lab.begin();
    lab.fabric.announce({ prefix: "10.1.0.0/24", asPath: [{ type: "sequence", asns: [ASN] }] });
    lab.advance(1);
    const session = lab.collector.session(FABRIC);
    assert.deepEqual([[...session.pre.keys()], [...session.post.keys()]], [["10.1.0.0/24"], []]);
  });

  it("a collector that comes late gets the table behind policies, and asks neighbors for what was before", async () => {
    const lab = new BmpLab();
    await lab.begin(policy);
    announceAll(lab);
    await lab.station();
    lab.exporter({ collectors: both });
    lab.advance(2);
    const session = lab.collector.session(CLIENT);
    assert.deepEqual([...session.post].sort(), BEHIND);
    assert.deepEqual([...session.pre.keys()].sort(), ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]);
    assert.ok(session.endOfRib.includes("post ipv4-unicast"));
    assert.equal(lab.client.neighbor(US)?.received.routeRefresh, 1);
  });
});

describe("bmp: collectors come and go", () => {
  it("a late one is told who is up and what there is, closed by End-of-RIB, and then what changes", async () => {
    const lab = new BmpLab();
    await lab.begin();
    for (let i = 0; i < 3000; i++)
      lab.client.announce({ prefix: `10.${1 + (i >> 8)}.${i & 255}.0/24`, med: i % 5 });
    lab.fabric.announce({ prefix: "10.0.0.0/24" });
    lab.advance(1);
    await lab.station();
    lab.exporter();
    lab.advance(0.001 * 4);
    lab.client.withdraw("10.1.0.0/24");
    lab.client.announce({ prefix: "10.200.0.0/24" });
    lab.advance(2);
    const session = lab.collector.session(CLIENT);
    const lines = new Map(
      Array.from(lab.us.routes())
        .filter(({ source }) => source === CLIENT)
        .map(({ prefix, med }) => [prefix, med === undefined ? LINE : `med ${med}; ${LINE}`]),
    );
    assert.equal(lines.size, 3000);
    assert.deepEqual([...session.pre].sort(), [...lines].sort());
    assert.deepEqual(session.endOfRib, ["pre ipv4-unicast"]);
    assert.equal(
      lab.collector.session(FABRIC).pre.get("10.0.0.0/24"),
      `next hop ${FABRIC}; origin igp; path ${FABRIC_AS}`,
    );
    // Routes with equal attributes travel together: far fewer messages than routes.
    assert.ok(lab.collector.counts[0]! < 300, `${lab.collector.counts[0]} messages`);
  });

  it("one that is not there is dialled again, ever more slowly", async () => {
    const lab = new BmpLab();
    const exporter = lab.exporter({ retry: { first: 10, longest: 35 } });
    await lab.begin();
    const dials = () =>
      lab.network.connections.filter(({ remoteAddress }) => remoteAddress === STATION).length;
    // With the least jitter 7.5 s, then 15, then 26.25 for ever.
    const seen: number[] = [dials()];
    for (const seconds of [7.6, 15.1, 26.3, 26.3]) {
      lab.advance(seconds);
      seen.push(dials());
    }
    assert.deepEqual(seen, [2, 2, 3, 4, 5]);
    assert.equal(exporter.collectors()[0]?.state, "waiting");
    assert.match(exporter.collectors()[0]?.lastError ?? "", /ECONNREFUSED/);
    await lab.station();
    lab.advance(27);
    assert.deepEqual([...lab.collector.sessions.keys()].sort(), [CLIENT, FABRIC]);
    assert.equal(exporter.collectors()[0]?.state, "up");
  });

  it("one that does not read is dropped before it costs memory, and told everything when it reads again", async () => {
    const lab = new BmpLab();
    await lab.station();
    await lab.station("192.0.2.10");
    const maxQueueBytes = 20_000;
    const exporter = lab.exporter({
      collectors: [
        { address: STATION, port: 1790 },
        { address: "192.0.2.10", port: 1790 },
      ],
      maxQueueBytes,
      retry: { first: 10, longest: 10 },
    });
    await lab.begin();
    const stuck = lab.network.connections.find(
      ({ localAddress, remoteAddress }) => localAddress === US && remoteAddress === STATION,
    )!;
    stuck.isStalled = true;
    let highest = 0;
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 5; j++) lab.client.announce({ prefix: `10.${i}.${j}.0/24`, med: i * 5 + j });
      lab.advance(0.01);
      highest = Math.max(highest, exporter.collectors()[0]!.queued);
    }
    const [dropped, fine] = exporter.collectors();
    assert.equal(dropped?.dropped, 1);
    assert.match(dropped?.lastError ?? "", /does not keep up/);
    assert.ok(highest > maxQueueBytes / 2 && highest <= maxQueueBytes, `${highest} bytes`);
    assert.deepEqual([fine?.state, fine?.dropped], ["up", 0]);
    assert.equal(lab.collectors[1]!.session(CLIENT).pre.size, 1000);
    lab.advance(20);
    assert.equal(lab.collectors.length, 3);
    assert.equal(lab.collector.session(CLIENT).pre.size, 1000);
    assert.equal(exporter.collectors()[0]?.connected, 2);
  });

  it("a session that ends while it is being told of takes the rest with it", async () => {
    const lab = new BmpLab();
    await lab.begin();
    for (let i = 0; i < 5000; i++) lab.client.announce({ prefix: `10.${1 + (i >> 8)}.${i & 255}.0/24` });
    lab.advance(1);
    await lab.station();
    lab.exporter();
    // Two steps of the table have been told.
    lab.advance(0.002);
    lab.us.resetNeighbor(CLIENT);
    lab.advance(30);
    const { events } = lab.collector;
    assert.deepEqual(
      events.filter(event => event.includes(CLIENT)),
      [`up ${CLIENT}`, `down ${CLIENT} 1`, `up ${CLIENT}`],
    );
    assert.equal(lab.collector.session(CLIENT).pre.size, 5000);
  });
});

describe("bmp: options", () => {
  const cases: [Partial<BmpOptions>, string][] = [
    [{ collectors: [{ address: "collector.example", port: 1790 }] }, "collectors[0].address"],
    [{ collectors: [{ address: STATION, port: 0 }] }, "collectors[0].port"],
    [{ collectors: [{ address: STATION, port: 1, view: "adj" as never }] }, "collectors[0].view"],
    [{ statisticsInterval: 0.5 }, "statisticsInterval"],
    [{ maxQueueBytes: 0 }, "maxQueueBytes"],
    [{ retry: { first: 10, longest: 5 } }, "retry"],
  ];
  for (const [options, place] of cases) {
    it(`${JSON.stringify(options)}: ${place}`, () => {
      assert.throws(
        () => new BmpLab().exporter(options),
        (error: unknown) => error instanceof OptionError && error.option === place,
      );
    });
  }
});
