/** Neighbors that nobody has configured one by one, under simulated time. */

import assert from "node:assert/strict";
import { acceptAll, type DynamicNeighborsOptions, OptionError, type SpeakerWarning } from "../index.ts";
import { MessageType } from "../message/constants.ts";
import { frame } from "../message/framing.ts";
import { decodeNotification, describeNotification } from "../message/notification.ts";
import { Lab, type LabSpeaker, prefixesOf, stateOf } from "./kit/lab.ts";

const HUB = "10.0.0.1";
const PREFIX = "10.1.0.0/24";

/** A hub that takes whoever comes from the prefix. */
async function hub(
  lab: Lab,
  options: Partial<DynamicNeighborsOptions> = {},
): Promise<LabSpeaker & { warnings: SpeakerWarning[] }> {
  const speaker = lab.speaker(HUB, 64512);
  const warnings: SpeakerWarning[] = [];
  speaker.onWarning(warning => warnings.push(warning));
  speaker.addDynamicNeighbors({ prefix: PREFIX, asn: 64512, ...options });
  await speaker.start();
  return Object.assign(speaker, { warnings });
}

async function client(lab: Lab, address: string, asn = 64512): Promise<LabSpeaker> {
  const speaker = lab.speaker(address, asn, { gracefulRestart: { restartTime: 20 } });
  speaker.addNeighbor({
    address: HUB,
    asn: 64512,
    connectRetryTime: 2,
    importPolicy: acceptAll,
    exportPolicy: acceptAll,
  });
  await speaker.start();
  return speaker;
}

const addresses = (speaker: LabSpeaker) => speaker.neighbors().map(({ address }) => address);

describe("dynamic neighbors", () => {
  it("come to be when they dial, with the options of their prefix", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { reflectorClient: true, description: "nodes" });
    assert.deepEqual(rr.neighbors(), []);
    const [a, b] = [await client(lab, "10.1.0.1"), await client(lab, "10.1.0.2")];
    lab.advance(3);
    a.announce({ prefix: "10.65.0.0/26" });
    lab.advance(1);
    assert.deepEqual(prefixesOf(b), ["10.65.0.0/26"]);
    const status = rr.neighbor("10.1.0.1");
    assert.deepEqual([status?.dynamic, status?.state, status?.description], [PREFIX, "Established", "nodes"]);
    assert.deepEqual(rr.dynamicNeighbors(), [
      { prefix: PREFIX, asn: 64512, limit: 100, neighbors: ["10.1.0.1", "10.1.0.2"], description: "nodes" },
    ]);
    JSON.stringify(rr.dynamicNeighbors());
  });

  it("learn their AS from the OPEN, one out of several", async () => {
    const lab = new Lab();
    const asn = [64512, [65000, 65010], [4_200_000_000, 4_294_967_294]] as const;
    const rr = await hub(lab, { asn, importPolicy: acceptAll, exportPolicy: acceptAll });
    for (const [i, as] of [64512, 65000, 65010, 4_200_000_001].entries()) {
      await client(lab, `10.1.0.${i + 1}`, as);
      lab.advance(3);
      const status = rr.neighbor(`10.1.0.${i + 1}`);
      assert.deepEqual([status?.state, status?.asn], ["Established", as]);
      assert.equal(status?.type, as === 64512 ? "internal" : "external");
    }
  });

  it("are refused with Bad Peer AS where theirs is another, which is reported", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { asn: [[65000, 65010]] });
    const stranger = await client(lab, "10.1.0.1", 65011);
    lab.advance(3);
    assert.match(stranger.neighbor(HUB)?.lastError?.text ?? "", /Bad Peer AS/);
    assert.deepEqual(rr.neighbors(), []);
    const [warning] = rr.warnings;
    assert(warning?.code === "DynamicAsn");
    assert.deepEqual([warning.prefix, warning.address, warning.asn], [PREFIX, "10.1.0.1", 65011]);
  });

  it("must have a policy where they are external, as any neighbor (RFC 8212)", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { asn: 65000 });
    await client(lab, "10.1.0.1", 65000);
    lab.advance(3);
    assert.deepEqual(rr.neighbor("10.1.0.1")?.policyMissing, ["import", "export"]);
  });

  it("are gone when they are down", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    const a = await client(lab, "10.1.0.1");
    lab.advance(3);
    await a.stop();
    lab.advance(3);
    assert.deepEqual(rr.neighbors(), []);
    assert.deepEqual(
      rr.events.filter(({ removed }) => removed).map(({ address }) => address),
      ["10.1.0.1"],
    );
  });

  it("stay, with their routes, as long as they may come back from a restart", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    const a = await client(lab, "10.1.0.1");
    a.announce({ prefix: "10.65.0.0/26" });
    lab.advance(3);
    await a.stop({ graceful: true });
    lab.advance(15);
    assert.deepEqual(prefixesOf(rr), ["10.65.0.0/26"]);
    assert.equal(rr.neighbor("10.1.0.1")?.restarting, true);
    lab.advance(10);
    assert.deepEqual(prefixesOf(rr), []);
    assert.deepEqual(rr.neighbors(), []);
  });

  it("come back from a restart as the same neighbor", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    const a = await client(lab, "10.1.0.1");
    a.announce({ prefix: "10.65.0.0/26" });
    lab.advance(3);
    await a.stop({ graceful: true });
    lab.advance(2);
    const again = await client(lab, "10.1.0.1");
    again.announce({ prefix: "10.65.0.0/26" });
    lab.advance(3);
    assert.equal(rr.neighbor("10.1.0.1")?.established, 2);
    assert(
      rr.changes.every(({ best }) => best !== null),
      "nothing was withdrawn",
    );
  });

  it("are at most as many as the limit; who comes then is told, and let in when there is room", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { limit: 2 });
    const clients = [await client(lab, "10.1.0.1"), await client(lab, "10.1.0.2")];
    lab.advance(3);
    const late = [await client(lab, "10.1.0.3"), await client(lab, "10.1.0.4")];
    lab.advance(5);
    assert.deepEqual(addresses(rr), ["10.1.0.1", "10.1.0.2"]);
    assert.match(late[0]?.neighbor(HUB)?.lastError?.text ?? "", /Connection Rejected/);
    assert.deepEqual(
      rr.warnings.map(({ code }) => code),
      ["DynamicLimit"],
      "once",
    );
    await clients[0]?.stop();
    await late[1]?.stop();
    lab.advance(120);
    assert.deepEqual(addresses(rr), ["10.1.0.2", "10.1.0.3"]);
  });

  it("count while they have not said who they are, and are given up when they never do", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { limit: 2 });
    const silent = ["10.1.0.8", "10.1.0.9"].map(from => lab.network.connect(from, HUB));
    lab.advance(1);
    await client(lab, "10.1.0.1");
    lab.advance(5);
    assert.deepEqual(rr.neighbors(), [], "strangers are not shown");
    lab.advance(100);
    assert.deepEqual(addresses(rr), ["10.1.0.1"]);
    assert.equal(silent.length, 2);
  });

  it("may dial again while the first connection hangs", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { limit: 1 });
    lab.network.connect("10.1.0.1", HUB);
    lab.advance(1);
    await client(lab, "10.1.0.1");
    lab.advance(3);
    assert.equal(stateOf(rr, "10.1.0.1"), "Established");
  });

  for (const chunkSize of [1, 7, 40, 4096]) {
    it(`understand an OPEN that comes in pieces of ${chunkSize}`, async () => {
      const lab = new Lab();
      lab.network.chunkSize = chunkSize;
      const rr = await hub(lab);
      await client(lab, "10.1.0.1");
      lab.advance(3);
      assert.equal(stateOf(rr, "10.1.0.1"), "Established");
    });
  }

  const nonsense: [what: string, bytes: Uint8Array, answer: RegExp][] = [
    ["no BGP", Buffer.from("GET / HTTP/1.1\r\nHost: hub\r\n\r\n"), /Connection Not Synchronized/],
    ["a KEEPALIVE first", frame(MessageType.keepalive), /Unexpected Message in OpenSent/],
    ["an OPEN of version 3", frame(MessageType.open, Buffer.from("03fc00005a0a00000200", "hex")), /Version/],
  ];
  for (const [what, bytes, answer] of nonsense) {
    it(`answer ${what} with a NOTIFICATION`, async () => {
      const lab = new Lab();
      const rr = await hub(lab);
      const raw = lab.network.connect("10.1.0.1", HUB);
      let reply = Buffer.alloc(0);
      let isClosed = false;
      raw.setHandler({
        onConnect: () => raw.write(bytes),
        onData: chunk => {
          reply = Buffer.concat([reply, chunk]);
        },
        onDrain: () => {},
        onClose: () => {
          isClosed = true;
        },
      });
      lab.advance(1);
      assert.equal(reply[18], MessageType.notification);
      assert.match(describeNotification(decodeNotification(reply.subarray(19))), answer);
      assert(isClosed);
      assert.deepEqual(rr.neighbors(), []);
    });
  }

  it("belong to the most specific prefix, and to none where they are configured by address", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { description: "wide" });
    rr.addDynamicNeighbors({ prefix: "10.1.0.0/28", asn: 64512, description: "narrow" });
    rr.addNeighbor({ address: "10.1.0.2", asn: 64512, passive: true, description: "own" });
    for (const last of [1, 2, 200]) await client(lab, `10.1.0.${last}`);
    await client(lab, "10.1.1.1");
    lab.advance(3);
    const found = rr.neighbors().map(({ address, description }) => `${address} ${description}`);
    assert.deepEqual(found.sort(), ["10.1.0.1 narrow", "10.1.0.2 own", "10.1.0.200 wide"]);
  });

  it("make way for a neighbor configured by address", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    const a = await client(lab, "10.1.0.1");
    lab.advance(3);
    assert.throws(() => rr.updateNeighbor({ address: "10.1.0.1", asn: 64512 }), { code: "NeighborUnknown" });
    rr.addNeighbor({ address: "10.1.0.1", asn: 64512, passive: true });
    lab.advance(10);
    assert.equal(rr.neighbor("10.1.0.1")?.state, "Established");
    assert.equal(rr.neighbor("10.1.0.1")?.dynamic, undefined);
    assert.deepEqual(rr.dynamicNeighbors()[0]?.neighbors, []);
    await a.stop();
    lab.advance(200);
    assert.deepEqual(addresses(rr), ["10.1.0.1"], "and that one stays");
  });

  it("take new options in place where the session stays the same, and come again otherwise", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { asn: [64512, 65000], importPolicy: acceptAll, exportPolicy: acceptAll });
    await client(lab, "10.1.0.1");
    await client(lab, "10.1.0.2", 65000);
    lab.advance(3);
    rr.updateDynamicNeighbors({ prefix: PREFIX, asn: 64512, description: "inside only" });
    assert.deepEqual(addresses(rr), ["10.1.0.1"]);
    assert.deepEqual(
      [rr.neighbor("10.1.0.1")?.established, rr.neighbor("10.1.0.1")?.description],
      [1, "inside only"],
    );
    rr.updateDynamicNeighbors({ prefix: PREFIX, asn: 64512, holdTime: 30 });
    assert.deepEqual(addresses(rr), []);
    lab.advance(10);
    assert.equal(rr.neighbor("10.1.0.1")?.holdTime, 30);
  });

  it("end when their prefix is removed", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    const a = await client(lab, "10.1.0.1");
    lab.network.connect("10.1.0.9", HUB);
    lab.advance(3);
    rr.removeDynamicNeighbors(PREFIX, "moved to the other hub");
    lab.advance(0.1);
    assert.equal(a.neighbor(HUB)?.lastError?.communication, "moved to the other hub");
    lab.advance(5);
    assert.deepEqual(rr.neighbors(), []);
    assert.deepEqual(rr.dynamicNeighbors(), []);
    assert.throws(() => rr.removeDynamicNeighbors(PREFIX), { code: "DynamicUnknown" });
  });

  it("can be removed one by one, and may come again", async () => {
    const lab = new Lab();
    const rr = await hub(lab);
    await client(lab, "10.1.0.1");
    lab.advance(3);
    rr.removeNeighbor("10.1.0.1");
    assert.deepEqual(rr.neighbors(), []);
    lab.advance(10);
    assert.equal(stateOf(rr, "10.1.0.1"), "Established");
    assert.equal(rr.neighbor("10.1.0.1")?.established, 1);
  });

  it("leave nothing behind when thousands come and go", async () => {
    const lab = new Lab();
    const rr = await hub(lab, { limit: 5 });
    for (let i = 0; i < 200; i++) {
      const a = await client(lab, `10.1.0.${1 + (i % 250)}`);
      a.announce({ prefix: `10.65.${i}.0/26` });
      lab.advance(1);
      await a.stop();
      lab.advance(2);
    }
    lab.advance(5);
    assert.deepEqual(rr.neighbors(), []);
    assert.deepEqual(prefixesOf(rr), []);
    assert.deepEqual(rr.warnings, []);
  });

  const wrong: [option: string, options: Partial<DynamicNeighborsOptions>][] = [
    ["prefix", { prefix: "10.0.0.1" }],
    ["asn", { asn: [] }],
    ["asn", { asn: 0 }],
    ["asn", { asn: [[65010, 65000]] }],
    ["asn", { asn: [[1, 2 ** 32]] }],
    ["limit", { limit: 0 }],
    ["limit", { limit: 65_536 }],
    ["holdTime", { holdTime: 1 }],
    ["reflectorClient", { asn: [64512, 64513], reflectorClient: true }],
    ["reflectorClient", { asn: [[64500, 64600]], reflectorClient: true }],
  ];
  for (const [option, options] of wrong) {
    it(`are not had with a wrong ${option}: ${JSON.stringify(options)}`, () => {
      const speaker = new Lab().speaker(HUB, 64512);
      const add = () => speaker.addDynamicNeighbors({ prefix: PREFIX, asn: 64512, ...options });
      assert.throws(add, (error: unknown) => error instanceof OptionError && error.option === option);
      assert.deepEqual(speaker.dynamicNeighbors(), []);
    });
  }

  it("cannot be told twice for one prefix", () => {
    const speaker = new Lab().speaker(HUB, 64512);
    speaker.addDynamicNeighbors({ prefix: PREFIX, asn: 64512 });
    assert.throws(() => speaker.addDynamicNeighbors({ prefix: "10.1.0.9/24", asn: 64512 }), {
      code: "DynamicExists",
    });
  });
});

describe("passwords of neighbors and prefixes", () => {
  const password = "secret";

  it("are refused where the kernel would ask somebody for one who has none", () => {
    const speaker = new Lab().speaker(HUB, 64512);
    speaker.addDynamicNeighbors({ prefix: PREFIX, asn: 64512, password });
    const add = () => speaker.addNeighbor({ address: "10.1.0.1", asn: 64512 });
    assert.throws(add, { code: "InvalidOption", option: "password" });
    speaker.addNeighbor({ address: "10.1.0.1", asn: 64512, password: "own" });
    const narrow = () => speaker.addDynamicNeighbors({ prefix: "10.1.0.0/28", asn: 64512 });
    assert.throws(narrow, { option: "password" });
    assert.equal(speaker.dynamicNeighbors().length, 1);
    speaker.addNeighbor({ address: "10.2.0.1", asn: 64512 });
    const around = () => speaker.addDynamicNeighbors({ prefix: "10.2.0.0/16", asn: 64512, password });
    assert.throws(around, { option: "password" });
    speaker.addDynamicNeighbors({ prefix: "10.2.0.0/16", asn: 64512 });
  });

  it("are refused where one link-local address would have two", () => {
    const speaker = new Lab().speaker(HUB, 64512);
    speaker.addNeighbor({ address: "fe80::1%eth0", asn: 64512, password });
    const add = (own?: string) =>
      speaker.addNeighbor({ address: "fe80::1%eth1", asn: 64512, ...(own && { password: own }) });
    assert.throws(() => add("other"), { option: "password" });
    assert.throws(() => add(), { option: "password" });
    add(password);
  });
});
