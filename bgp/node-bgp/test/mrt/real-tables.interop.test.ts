/**
 * Real routes of the Internet, if they are here: a full table of 2002, and a session of 2015 with a full table, through codec, RIB and reflector,
 * compared route by route and attribute by attribute with a reading that shares no code with the library's.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { MessageError } from "../../errors.ts";
import { MessageType } from "../../message/constants.ts";
import { frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import { encodeOpen } from "../../message/open.ts";
import { decodeUpdate, encodeUpdate } from "../../message/update.ts";
import { mrtUpdate } from "../../mrt/bgp4mp.ts";
import { readMrtFile } from "../../mrt/reader.ts";
import type { MrtMessage, MrtRibEntry } from "../../mrt/record.ts";
import type { PathAttributes, Route } from "../../route.ts";
import { Lab } from "../kit/lab.ts";
import { attributeLine, naiveAttributes, naiveUpdate } from "./naive-update.ts";
import {
  TABLE,
  TABLE_ENTRIES,
  TABLE_PREFIXES,
  UPDATE_MESSAGES,
  UPDATE_PREFIXES,
  UPDATES,
} from "./real-data.ts";

const FEED = "192.0.2.1";
const REFLECTOR = "192.0.2.2";
const CLIENT = "192.0.2.3";
const SESSION = { fourOctetAs: true, ebgp: false };

function needs(file: string) {
  return function (this: Mocha.Context): void {
    if (existsSync(file)) return;
    this.test!.title += ` (skipped: ${file} is not there)`;
    this.skip();
  };
}

describe("real table of 2002", function () {
  this.timeout(180_000);
  before(needs(TABLE));
  const entries: { prefix: string; entry: MrtRibEntry }[] = [];
  before(async () => {
    for await (const record of readMrtFile(TABLE)) {
      assert.equal(record.type, "rib");
      for (const entry of record.entries) entries.push({ prefix: record.prefix, entry });
    }
  });

  it("every entry is read, as a plain reading reads it", () => {
    assert.equal(entries.length, TABLE_ENTRIES);
    assert.equal(new Set(entries.map(({ prefix }) => prefix)).size, TABLE_PREFIXES);
    const raw = gunzipSync(readFileSync(TABLE));
    const discarded: string[] = [];
    let at = 0;
    for (const { prefix, entry } of entries) {
      const end = at + 12 + raw.readUInt32BE(at + 8);
      const body = raw.subarray(at + 12, end);
      assert.equal(prefix, `${[...body.subarray(4, 8)].join(".")}/${body[8]}`);
      assert.ok(entry.attributes);
      assert.equal(attributeLine(entry.attributes), naiveAttributes(body.subarray(22), 2));
      discarded.push(...entry.problems.map(({ action, text }) => `${action}: ${text}`));
      at = end;
    }
    assert.equal(at, raw.length);
    // Aggregated by AS 0, which nobody is (RFC 7607).
    assert.deepEqual(discarded, Array(8).fill("discard: AGGREGATOR has AS 0"));
  });

  it("encoded and decoded again it is the same, with 4-byte and with 2-byte AS numbers", () => {
    for (const fourOctetAs of [true, false]) {
      const context = { ...SESSION, fourOctetAs };
      for (const { prefix, entry } of entries) {
        const attributes = entry.attributes!;
        const nlri = Nlri.of("ipv4-unicast", [prefix]);
        const message = encodeUpdate({ announced: [{ nlri, attributes }] }, context);
        const update = decodeUpdate(message.subarray(19), context);
        assert.deepEqual(update.problems, []);
        assert.deepEqual(update.announced[0]!.attributes, attributes);
        assert.deepEqual([...update.announced[0]!.nlri], [prefix]);
      }
    }
  });

  it("from one speaker through a reflector to another nothing is lost, and nothing changed but what reflection adds", async () => {
    const asn = 4_200_000_001;
    const lab = new Lab();
    const [feed, reflector, client] = [FEED, REFLECTOR, CLIENT].map(address => lab.speaker(address, asn)) as [
      ReturnType<Lab["speaker"]>,
      ReturnType<Lab["speaker"]>,
      ReturnType<Lab["speaker"]>,
    ];
    feed.addNeighbor({ address: REFLECTOR, asn });
    client.addNeighbor({ address: REFLECTOR, asn });
    reflector.addNeighbor({ address: FEED, asn, reflectorClient: true });
    reflector.addNeighbor({ address: CLIENT, asn, reflectorClient: true });
    // Where several peers of the collector had the prefix, the last one's path is announced.
    const announced = new Map<string, PathAttributes>();
    for (const { prefix, entry } of entries) announced.set(prefix, entry.attributes!);
    for (const [prefix, attributes] of announced) feed.announce({ prefix, ...(attributes as object) });
    await lab.start(feed, reflector, client);
    lab.advance(30);
    let compared = 0;
    for (const route of client.routes()) {
      const given = announced.get(route.prefix)!;
      const expected = { ...given, localPref: 100, originatorId: FEED, clusterList: [REFLECTOR] };
      assert.equal(attributeLine(route), attributeLine(expected), route.prefix);
      compared++;
    }
    assert.equal(compared, TABLE_PREFIXES);
    // Half of it goes away again, and only that.
    const gone = [...announced.keys()].filter((_, i) => i % 2 === 0);
    for (const prefix of gone) feed.withdraw(prefix);
    lab.advance(5);
    const left = new Set(Array.from(client.routes(), ({ prefix }) => prefix));
    assert.equal(left.size, TABLE_PREFIXES - gone.length);
    assert.ok(gone.every(prefix => !left.has(prefix)));
  });
});

describe("real UPDATEs of 2015", function () {
  this.timeout(180_000);
  before(needs(UPDATES));
  const messages: MrtMessage[] = [];
  before(async () => {
    for await (const record of readMrtFile(UPDATES)) {
      assert.ok(record.type === "message" || record.type === "state-change", JSON.stringify(record));
      if (record.type === "message") messages.push(record);
    }
  });
  const updates = () => messages.filter(({ message }) => message[18] === MessageType.update);

  /** What a table is after these UPDATEs: the last word on each prefix. */
  function model(records: readonly MrtMessage[]): { table: Map<string, string>; as0: number } {
    const table = new Map<string, string>();
    let as0 = 0;
    for (const { message } of records) {
      const { withdrawn, announced, attributes } = naiveUpdate(message, 4);
      for (const prefix of withdrawn) table.delete(prefix);
      // RFC 7607: a path with AS 0 is no path.
      const hasAs0 = / path (|.* )0( .*)?;/.test(` ${attributes}`);
      if (hasAs0) as0++;
      for (const prefix of announced) {
        if (hasAs0) table.delete(prefix);
        else table.set(prefix, attributes);
      }
    }
    return { table, as0 };
  }

  it("every message is read; one of them has AS 0 in its path", () => {
    const problems = new Map<string, number>();
    for (const record of messages) {
      try {
        for (const { action, text } of mrtUpdate(record)?.problems ?? []) {
          const problem = `${action}: ${text}`;
          problems.set(problem, (problems.get(problem) ?? 0) + 1);
        }
      } catch (error) {
        assert.ok(error instanceof MessageError);
        assert.fail(`position ${record.position}: ${error.message}`);
      }
    }
    assert.equal(messages.length, 89_682);
    assert.equal(updates().length, UPDATE_MESSAGES);
    assert.deepEqual(Object.fromEntries(problems), {
      "withdraw: AS_PATH has AS 0": 1,
      "discard: AGGREGATOR has AS 0": 3,
    });
    assert.equal(model(updates()).as0, 1);
  });

  it("replayed into a reflector in order, its table and its client's end as the model's", async () => {
    const { localAsn: asn } = messages[0]!;
    const lab = new Lab();
    const reflector = lab.speaker(REFLECTOR, asn);
    const client = lab.speaker(CLIENT, asn);
    reflector.addNeighbor({ address: FEED, asn, passive: true, reflectorClient: true });
    reflector.addNeighbor({ address: CLIENT, asn, reflectorClient: true });
    client.addNeighbor({ address: REFLECTOR, asn });
    let problems = 0;
    reflector.onWarning(({ code }) => {
      if (code === "MalformedUpdate") problems++;
    });
    await lab.start(reflector, client);
    const feed = lab.network.connect(FEED, REFLECTOR);
    feed.setHandler({ onConnect: () => {}, onData: () => {}, onDrain: () => {}, onClose: () => {} });
    const capabilities = [
      { kind: "multiprotocol", afi: 1, safi: 1 },
      { kind: "four-octet-as", asn },
    ] as const;
    lab.advance(0.01);
    feed.write(frame(MessageType.open, encodeOpen({ asn, holdTime: 0, routerId: FEED, capabilities })));
    feed.write(frame(MessageType.keepalive));
    lab.advance(1);
    const all = updates();
    // In pieces, so that the client is told of intermediate states too.
    for (let at = 0; at < all.length; at += 1000) {
      feed.write(Buffer.concat(all.slice(at, at + 1000).map(({ message }) => message)));
      lab.advance(0.1);
    }
    lab.advance(5);
    assert.equal(reflector.neighbor(FEED)?.state, "Established");
    assert.equal(problems, 4);
    const { table } = model(all);
    assert.equal(table.size, UPDATE_PREFIXES);
    const linesOf = (routes: Iterable<Route>) =>
      new Map(Array.from(routes, route => [route.prefix, attributeLine(route)]));
    assert.deepEqual(sorted(linesOf(reflector.routes())), sorted(table));
    // To the client with our cluster in front; ORIGINATOR_ID is there already and stays.
    const reflected = Array.from(table, ([prefix, line]): [string, string] => {
      return [prefix, line.replace(/clusters /, `clusters ${REFLECTOR} `)];
    });
    assert.deepEqual(sorted(linesOf(client.routes())), sorted(new Map(reflected)));
  });
});

function sorted(table: ReadonlyMap<string, string>): [string, string][] {
  return [...table].sort(([a], [b]) => (a < b ? -1 : 1));
}
