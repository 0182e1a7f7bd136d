import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { MessageType } from "../../message/constants.ts";
import { frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import { encodeUpdate } from "../../message/update.ts";
import { mrtUpdate } from "../../mrt/bgp4mp.ts";
import { MrtParser, readMrt, readMrtFile } from "../../mrt/reader.ts";
import type { MrtMessage, MrtPeer, MrtRecord, MrtRib } from "../../mrt/record.ts";
import {
  encodeMrtMessage,
  encodeMrtPeers,
  encodeMrtRib,
  encodeMrtStateChange,
  encodeTableDump,
} from "../../mrt/writer.ts";
import type { PathAttributes, Route } from "../../route.ts";

const AT = 1_448_060_000_000;
const PEERS: readonly MrtPeer[] = [
  { address: "192.0.2.1", asn: 64512, routerId: "192.0.2.1" },
  { address: "2001:db8::1", asn: 4_200_000_000, routerId: "192.0.2.2" },
];
const ATTRIBUTES: PathAttributes = {
  origin: "egp",
  asPath: [{ type: "sequence", asns: [64512, 4_200_000_000] }],
  nextHop: "192.0.2.1",
  med: 5,
  localPref: 100,
  communities: ["64512:1"],
  largeCommunities: ["64512:1:2"],
  clusterList: ["1.1.1.1"],
};
const SESSION = {
  at: AT,
  peer: { address: "192.0.2.1", asn: 64512 },
  localAsn: 12654,
  localAddress: "192.0.2.9",
  interfaceIndex: 3,
};

function parse(...chunks: Uint8Array[]): MrtRecord[] {
  const parser = new MrtParser();
  return [...chunks.flatMap(chunk => [...parser.push(chunk)]), ...parser.end()];
}

/** Bytes from a listing: spaces for the reader. */
const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));

describe("mrt: records as RFC 6396 lays them out", () => {
  it("TABLE_DUMP: one path, AS numbers of 2 bytes", () => {
    // The first record of RIPE's bview of 2002-07-22 23:37.
    const [record] = parse(
      hex(`3d3c973f 000c 0001 0000002c  0000 0000 03000000 08 01 3d36cbfb c1cb0001 073d 0016
        40010100 400208 0203073d04d70050 400304c1cb0001`),
    );
    assert.deepEqual(record, {
      type: "rib",
      format: "table-dump",
      at: 1_027_381_055_000,
      position: 0,
      sequence: 0,
      family: "ipv4-unicast",
      prefix: "3.0.0.0/8",
      entries: [
        {
          peer: { address: "193.203.0.1", asn: 1853 },
          originated: 1_027_001_339_000,
          attributes: {
            origin: "igp",
            asPath: [{ type: "sequence", asns: [1853, 1239, 80] }],
            nextHop: "193.203.0.1",
          },
          problems: [],
        },
      ],
    });
  });

  it("BGP4MP_ET: microseconds; messages and state changes", () => {
    const [state, message] = parse(
      hex(`562994ee 0011 0005 0000001c  0007c629 00000f10 00000f10 0000 0001 cedce737 d8150306 0002 0004`),
      hex(`562994f6 0011 0004 0000002b  00057505 00000f10 00000f10 0000 0001 cedce737 d8150306
        ffffffffffffffffffffffffffffffff 0013 04`),
    );
    const session = {
      peer: { address: "206.220.231.55", asn: 3856 },
      localAsn: 3856,
      localAddress: "216.21.3.6",
      interfaceIndex: 0,
    };
    assert.deepEqual(state, {
      type: "state-change",
      at: 1_445_565_678_509.481,
      position: 0,
      ...session,
      oldState: 2,
      newState: 4,
    });
    assert.deepEqual(message, {
      type: "message",
      at: 1_445_565_686_357.637,
      position: 40,
      ...session,
      fourOctetAs: true,
      addPath: false,
      local: false,
      message: frame(MessageType.keepalive),
    });
    assert.equal(mrtUpdate(message as MrtMessage), undefined);
  });

  it("TABLE_DUMP_V2: MP_REACH_NLRI is a next hop only, or whole as old dumps have it", () => {
    const peers = encodeMrtPeers({ at: AT, collectorId: "9.9.9.9", viewName: "main", peers: PEERS });
    const attributes = "40010100 40020a 0202 0000fc00 fa56ea00";
    const global = "20010db8000000000000000000000001";
    const link = "fe800000000000000000000000000001";
    const entry = (reach: string): Uint8Array => {
      const list = hex(`${attributes} ${reach}`);
      const body = hex(`00000007 20 20010db8 0001 0001 00000000 0000`);
      new DataView(body.buffer).setUint16(body.length - 2, list.length);
      const head = hex("00000000 000d 0004 00000000");
      new DataView(head.buffer).setUint32(8, body.length + list.length);
      return Uint8Array.from(Buffer.concat([head, body, list]));
    };
    const shapes = [
      entry(`800e11 10${global}`),
      entry(`800e21 20${global}${link}`),
      entry(`800e15 00020110${global}00`),
      entry(`900e0011 10${global}`),
    ];
    const [, ...records] = parse(peers, ...shapes) as MrtRib[];
    assert.deepEqual(
      records.map(({ prefix, sequence, entries }) => [prefix, sequence, entries[0]?.attributes?.nextHop]),
      Array(4).fill(["2001:db8::/32", 7, "2001:db8::1"]),
    );
    assert.deepEqual(
      records.map(({ entries }) => entries[0]?.attributes?.linkLocalNextHop),
      [undefined, "fe80::1", undefined, undefined],
    );
    assert.deepEqual(records[0]?.entries[0]?.peer, PEERS[1]);
  });
});

describe("mrt: what goes in comes out", () => {
  const peers = { at: AT, collectorId: "9.9.9.9", viewName: "main", peers: PEERS };

  it("tables, with and without path identifiers, of both families", () => {
    const four: Omit<MrtRib, "type" | "format" | "position"> = {
      at: AT,
      sequence: 1,
      family: "ipv4-unicast",
      prefix: "10.0.0.0/9",
      entries: [
        { peer: PEERS[0]!, originated: AT, attributes: ATTRIBUTES, problems: [] },
        {
          peer: PEERS[1]!,
          originated: AT,
          attributes: { ...ATTRIBUTES, nextHop: "2001:db8::9" },
          problems: [],
        },
      ],
    };
    const six: typeof four = {
      ...four,
      family: "ipv6-unicast",
      prefix: "2001:db8:8000::/33",
      entries: [7, 8].map(pathId => ({
        peer: PEERS[1]!,
        originated: AT - 1000,
        pathId,
        attributes: { ...ATTRIBUTES, nextHop: "2001:db8::1", linkLocalNextHop: "fe80::1" },
        problems: [],
      })),
    };
    const records = parse(encodeMrtPeers(peers), encodeMrtRib(four, PEERS), encodeMrtRib(six, PEERS));
    const strip = ({ position: _position, ...rest }: MrtRecord) => rest;
    assert.deepEqual(records.map(strip), [
      { type: "peers", ...peers },
      { type: "rib", format: "table-dump-v2", ...four },
      { type: "rib", format: "table-dump-v2", ...six },
    ]);
  });

  it("messages and state changes", () => {
    const nlri = Nlri.of("ipv4-unicast", ["10.0.0.0/8"]);
    const update = encodeUpdate({ announced: [{ nlri, attributes: ATTRIBUTES }] }, {
      fourOctetAs: true,
    } as never);
    for (const [addPath, local] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ] as const) {
      const given = { ...SESSION, at: AT + 0.25, addPath, local, message: update };
      assert.deepEqual(parse(encodeMrtMessage(given)), [
        { type: "message", position: 0, fourOctetAs: true, ...given },
      ]);
    }
    const [record] = parse(encodeMrtMessage({ ...SESSION, addPath: false, local: false, message: update }));
    const read = mrtUpdate(record as MrtMessage);
    assert.deepEqual(read?.announced[0]?.attributes, ATTRIBUTES);
    assert.deepEqual([...read!.announced[0]!.nlri], ["10.0.0.0/8"]);
    const named = Nlri.of("ipv4-unicast", ["10.0.0.0/8"], 7);
    const twice = encodeUpdate(
      { announced: [{ nlri: named, attributes: ATTRIBUTES }] },
      { fourOctetAs: true },
    );
    const [withId] = parse(encodeMrtMessage({ ...SESSION, addPath: true, local: false, message: twice }));
    const entries = mrtUpdate(withId as MrtMessage)!.announced[0]!.nlri.entries();
    assert.deepEqual(
      Array.from(entries, ({ pathId, length }) => [pathId, length]),
      [[7, 8]],
    );
    const change = { ...SESSION, oldState: 5, newState: 6 };
    assert.deepEqual(parse(encodeMrtStateChange(change)), [{ type: "state-change", position: 0, ...change }]);
  });

  it("a dump of a speaker's routes", () => {
    const route = (prefix: string, source: string, med: number): Route => ({
      ...ATTRIBUTES,
      med,
      prefix,
      family: "ipv4-unicast",
      source,
      sourceType: "external",
      nextHops: [],
      stale: false,
    });
    const routes = [
      route("10.0.0.0/8", "192.0.2.1", 1),
      route("10.0.0.0/8", "2001:db8::1", 2),
      route("11.0.0.0/8", "192.0.2.1", 3),
      route("12.0.0.0/8", "local", 4),
    ];
    const records = parse(...encodeTableDump({ collectorId: "9.9.9.9", at: AT, peers: PEERS, routes }));
    const ribs = records.filter(record => record.type === "rib");
    assert.deepEqual(
      ribs.map(({ sequence, prefix, entries }) => [
        sequence,
        prefix,
        entries.map(({ peer, attributes }) => [peer.address, attributes?.med]),
      ]),
      [
        [
          0,
          "10.0.0.0/8",
          [
            ["192.0.2.1", 1],
            ["2001:db8::1", 2],
          ],
        ],
        [1, "11.0.0.0/8", [["192.0.2.1", 3]]],
      ],
    );
    assert.deepEqual(ribs[1]?.entries[0]?.attributes, { ...ATTRIBUTES, med: 3 });
  });

  it("however the stream is cut", async () => {
    const bytes = Buffer.concat(
      [...Array(50).keys()].map(i => encodeMrtStateChange({ ...SESSION, oldState: i, newState: 6 })),
    );
    const whole = parse(bytes);
    assert.equal(whole.length, 50);
    for (const size of [1, 7, 43, 44, 45, 1000]) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      );
      const found: MrtRecord[] = [];
      for await (const record of readMrt(chunks)) found.push(record);
      assert.deepEqual(found, whole);
    }
  });

  it("from a file, packed or not; the reader may leave early", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mrt-"));
    try {
      const bytes = Buffer.concat(
        Array(100).fill(encodeMrtStateChange({ ...SESSION, oldState: 1, newState: 2 })),
      );
      await writeFile(join(folder, "updates"), bytes);
      await writeFile(join(folder, "updates.gz"), gzipSync(bytes));
      for (const name of ["updates", "updates.gz"]) {
        let count = 0;
        for await (const record of readMrtFile(join(folder, name)))
          if (record.type === "state-change") count++;
        assert.equal(count, 100);
        for await (const record of readMrtFile(join(folder, name))) {
          assert.equal(record.position, 0);
          break;
        }
      }
      await assert.rejects(
        async () => {
          for await (const _ of readMrtFile(join(folder, "nothing.gz"))) assert.fail();
        },
        { code: "ENOENT" },
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("mrt: what cannot be read", () => {
  const good = encodeMrtStateChange({ ...SESSION, oldState: 1, newState: 2 });

  it("is said with its place, and reading goes on behind it", () => {
    const broken = good.slice();
    broken[12 + 4 + 8 + 3] = 9; // the address family
    const unknown = hex("00000001 0030 0001 00000002 abcd");
    const records = parse(good, broken, unknown, good);
    assert.deepEqual(
      records.map(record => [record.type, record.position]),
      [
        ["state-change", 0],
        ["bad", good.length],
        ["unsupported", 2 * good.length],
        ["state-change", 2 * good.length + 14],
      ],
    );
    assert.match((records[1] as { text: string }).text, /address family/);
    assert.deepEqual((records[2] as { body: Uint8Array }).body, hex("abcd"));
  });

  it("a path whose attributes would be treated as withdrawn is there without them", () => {
    const record = hex(`3d3c973f 000c 0001 00000023  0000 0000 03000000 08 01 3d36cbfb c1cb0001 073d 000d
        4001 01 07 400200 400304c1cb00`);
    record[11] = record.length - 12;
    record[33] = record.length - 34;
    const [rib] = parse(record) as MrtRib[];
    assert.equal(rib?.entries[0]?.attributes, undefined);
    assert.match(rib!.entries[0]!.problems.map(({ text }) => text).join(), /ORIGIN is not 0, 1 or 2/);
  });

  it("one path of several is left out, the others stay", () => {
    const entries = [0, 1].map(i => ({
      peer: PEERS[i]!,
      originated: AT,
      attributes: ATTRIBUTES,
      problems: [],
    }));
    const rib = encodeMrtRib(
      { at: AT, sequence: 0, family: "ipv4-unicast", prefix: "10.0.0.0/8", entries },
      PEERS,
    );
    // An attribute of the first entry becomes a well-known one that nobody knows: an UPDATE with it would end the session.
    const origin = Buffer.from(rib).indexOf(Buffer.from("400101", "hex"));
    rib[origin + 1] = 99;
    const [, record] = parse(
      encodeMrtPeers({ at: AT, collectorId: "9.9.9.9", viewName: "", peers: PEERS }),
      rib,
    );
    const [first, second] = (record as MrtRib).entries;
    assert.deepEqual([first?.attributes, first?.problems[0]?.action], [undefined, "withdraw"]);
    assert.deepEqual(second?.attributes, ATTRIBUTES);
  });

  it("a table without its peers", () => {
    const rib = encodeMrtRib(
      {
        at: AT,
        sequence: 0,
        family: "ipv4-unicast",
        prefix: "10.0.0.0/8",
        entries: [{ peer: PEERS[0]!, originated: AT, attributes: ATTRIBUTES, problems: [] }],
      },
      PEERS,
    );
    assert.match((parse(rib)[0] as { text: string }).text, /peer 0 is not in the index of 0 peers/);
  });

  it("a stream that ends within a record, or is none", () => {
    const cut = parse(good, good.subarray(0, 20));
    assert.deepEqual(
      cut.map(({ type, position }) => [type, position]),
      [
        ["state-change", 0],
        ["bad", good.length],
      ],
    );
    const [lost, ...more] = parse(
      Buffer.from("This is no MRT file at all, but some text. Nothing of it is believed."),
    );
    assert.equal(lost?.type, "bad");
    assert.deepEqual(more, []);
  });

  it("any bytes at all give records, never an exception", () => {
    const types = fc.constantFrom(
      [12, 1],
      [12, 2],
      [13, 1],
      [13, 2],
      [13, 4],
      [13, 8],
      [13, 10],
      [16, 0],
      [16, 1],
      [16, 4],
      [16, 9],
      [17, 4],
      [17, 5],
      [1, 1],
    );
    const bodies = fc.uint8Array({ maxLength: 80 });
    fc.assert(
      fc.property(fc.array(fc.tuple(types, bodies), { maxLength: 6 }), given => {
        const chunks = given.map(([[type, subtype], body]) => {
          const head = new DataView(new ArrayBuffer(12));
          head.setUint16(4, type!);
          head.setUint16(6, subtype!);
          head.setUint32(8, body.length);
          return Buffer.concat([new Uint8Array(head.buffer), body]);
        });
        assert.equal(parse(...chunks).length, given.length);
      }),
      { numRuns: 2000 },
    );
  });
});
