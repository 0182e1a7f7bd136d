/** Every message as bytes and as value, side by side; and the round trip for arbitrary values. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { MessageError } from "../../errors.ts";
import { encodeAttributes } from "../../message/attribute-encoder.ts";
import { type Capability, decodeCapabilities, encodeCapability } from "../../message/capabilities.ts";
import { MessageType } from "../../message/constants.ts";
import { Framer, frame } from "../../message/framing.ts";
import { Nlri } from "../../message/nlri.ts";
import {
  decodeNotification,
  describeNotification,
  encodeNotification,
  encodeShutdownText,
  hardReset,
  isHardReset,
  reasonOf,
  shutdownText,
} from "../../message/notification.ts";
import { decodeOpen, encodeOpen, type OpenMessage } from "../../message/open.ts";
import { decodeRouteRefresh, encodeRouteRefresh } from "../../message/route-refresh.ts";
import { decodeUpdate, encodeUpdate } from "../../message/update.ts";
import { endOfRibBody } from "../../message/update-packer.ts";
import { Writer } from "../../message/writer.ts";
import { Family, type PathAttributes } from "../../route.ts";
import { anyAttributes } from "../kit/attributes.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new Uint8Array(Buffer.from(text.replace(/\s/g, ""), "hex"));
const IBGP = { ebgp: false, fourOctetAs: true };

describe("OPEN", () => {
  const open: OpenMessage = {
    asn: 4200000001,
    holdTime: 90,
    routerId: "10.0.0.1",
    capabilities: [
      { kind: "multiprotocol", afi: 1, safi: 1 },
      { kind: "route-refresh" },
      { kind: "four-octet-as", asn: 4200000001 },
      {
        kind: "graceful-restart",
        restarting: true,
        notification: false,
        restartTime: 120,
        families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
      },
      { kind: "unknown", code: 73, value: "0102" },
    ],
  };
  const wire =
    "04 5ba0 005a 0a000001 24 0206010400010001 02020200 02064104fa56ea01 0208400680780001 0180 020449020102";

  it("is these bytes", () => {
    assert.equal(hex(encodeOpen(open)), wire.replace(/\s/g, ""));
  });
  it("comes back as it went in", () => {
    assert.deepEqual(decodeOpen(bytes(wire)), open);
  });
  it("names every capability this library speaks, byte for byte", () => {
    const cases: [Capability, string][] = [
      [{ kind: "extended-next-hop", families: [{ afi: 1, safi: 1, nextHopAfi: 2 }] }, "05 06 0001 0001 0002"],
      [{ kind: "extended-message" }, "06 00"],
      [
        {
          kind: "graceful-restart",
          restarting: false,
          notification: true,
          restartTime: 4095,
          families: [{ afi: 2, safi: 1, forwardingPreserved: false }],
        },
        "40 06 4fff 0002 01 00",
      ],
      [
        {
          kind: "add-path",
          families: [
            { afi: 1, safi: 1, send: true, receive: true },
            { afi: 2, safi: 1, send: false, receive: true },
            { afi: 2, safi: 4, send: true, receive: false },
          ],
        },
        "45 0c 0001 01 03 0002 01 01 0002 04 02",
      ],
      [{ kind: "enhanced-route-refresh" }, "46 00"],
      [
        {
          kind: "long-lived-graceful-restart",
          families: [{ afi: 1, safi: 1, forwardingPreserved: true, staleTime: 0xabcdef }],
        },
        "47 07 0001 01 80 abcdef",
      ],
    ];
    for (const [capability, text] of cases) {
      const writer = new Writer();
      encodeCapability(writer, capability);
      assert.equal(hex(writer.copy()), text.replace(/\s/g, ""));
      assert.deepEqual(decodeCapabilities(bytes(text)), [capability]);
    }
  });
  it("takes a known capability with an impossible value for one it does not know", () => {
    const impossible = [
      "01 03 000100",
      "02 01 00",
      "05 05 0001000100",
      "06 01 00",
      "40 03 000000",
      "41 02 fc00",
      "45 00",
      "45 04 00010100",
      "45 08 00010103 00020104",
      "46 02 0000",
      "47 06 000101000000",
    ];
    for (const text of impossible) {
      const [capability] = decodeCapabilities(bytes(text));
      assert.equal(capability?.kind, "unknown", text);
      const writer = new Writer();
      encodeCapability(writer, capability!);
      assert.equal(hex(writer.copy()), text.replace(/\s/g, ""));
    }
  });
  it("uses the form of RFC 9072 for more than 255 bytes of parameters, and only then", () => {
    const openWith = (count: number): OpenMessage => ({
      ...open,
      asn: 64512,
      capabilities: Array.from({ length: count }, (_, i) => ({
        kind: "unknown" as const,
        code: 100 + i,
        value: hex(new Uint8Array(47).fill(i)),
      })),
    });
    const fits = encodeOpen(openWith(5));
    assert.equal(fits[9], 255);
    assert.equal(fits[10], 2, "a capabilities parameter");
    assert.deepEqual(decodeOpen(fits), openWith(5));
    const long = encodeOpen(openWith(6));
    assert.equal(hex(long.subarray(9, 16)), "ffff01380200" + "31");
    assert.equal(long.length, 13 + 6 * 52);
    assert.deepEqual(decodeOpen(long), openWith(6));
  });
  const uint = (bits: number) => fc.nat(2 ** bits - 1);
  const afiSafi = { afi: uint(16), safi: uint(8) };
  const listOf = <T>(item: fc.Arbitrary<T>, minLength = 0) => fc.array(item, { minLength, maxLength: 30 });
  const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
    fc.record(model, { noNullPrototype: true });
  const anyCapability: fc.Arbitrary<Capability> = fc.oneof(
    record({ kind: fc.constant("multiprotocol" as const), ...afiSafi }),
    record({ kind: fc.constantFrom("route-refresh" as const, "extended-message" as const) }),
    record({ kind: fc.constant("enhanced-route-refresh" as const) }),
    record({
      kind: fc.constant("extended-next-hop" as const),
      families: listOf(record({ afi: uint(16), safi: uint(16), nextHopAfi: uint(16) })),
    }),
    record({
      kind: fc.constant("graceful-restart" as const),
      restarting: fc.boolean(),
      notification: fc.boolean(),
      restartTime: uint(12),
      families: listOf(record({ ...afiSafi, forwardingPreserved: fc.boolean() })),
    }),
    record({
      kind: fc.constant("add-path" as const),
      families: listOf(
        record({ ...afiSafi, send: fc.boolean(), receive: fc.boolean() }).filter(
          ({ send, receive }) => send || receive,
        ),
        1,
      ),
    }),
    record({
      kind: fc.constant("long-lived-graceful-restart" as const),
      families: listOf(record({ ...afiSafi, forwardingPreserved: fc.boolean(), staleTime: uint(24) })),
    }),
  );
  it("comes back as it went in, whatever it says and however long it is", () => {
    const anyOpen = record({
      asn: fc.integer({ min: 1, max: 65535 }),
      holdTime: uint(16),
      routerId: fc.ipV4(),
      capabilities: fc.array(anyCapability, { maxLength: 12 }),
    });
    fc.assert(
      fc.property(anyOpen, value => {
        assert.deepEqual(decodeOpen(encodeOpen(value)), value);
      }),
    );
  });
  it("is taken or refused with an OPEN error, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 80 }), fc.boolean(), (tail, extended) => {
        const head = bytes("04 fc00 005a 0a000001");
        const parameters = extended
          ? [255, 255, tail.length >> 8, tail.length & 255, ...tail]
          : [tail.length, ...tail];
        try {
          decodeOpen(Uint8Array.of(...head, ...parameters));
        } catch (error) {
          assert.ok(error instanceof MessageError && error.notificationCode === 2, `${error}`);
        }
      }),
    );
  });
  it("takes the 2-byte AS where there is no capability", () => {
    assert.equal(decodeOpen(bytes("04 fc00 00b4 0a000001 00")).asn, 64512);
  });
  it("understands extended optional parameters (RFC 9072)", () => {
    const long = bytes(`04 fc00 005a 0a000001 ff ff 0009 02 0006 01 04 0001 00 01`);
    assert.deepEqual(decodeOpen(long).capabilities, [{ kind: "multiprotocol", afi: 1, safi: 1 }]);
  });
  it("refuses what is malformed with the right subcode", () => {
    const cases: [string, number][] = [
      ["03 fc00 005a 0a000001 00", 1],
      ["04 fc00 005a 0a000001 05 00", 0],
      ["04 fc00 005a 0a000001 02 01 00", 4],
      ["04 fc00 005a 0a000001 04 02 02 01 04", 0],
    ];
    for (const [text, subcode] of cases) {
      assert.throws(
        () => decodeOpen(bytes(text)),
        (error: unknown) =>
          error instanceof MessageError && error.notificationCode === 2 && error.subcode === subcode,
        text,
      );
    }
  });
});

describe("NOTIFICATION", () => {
  it("is code, subcode and data", () => {
    const message = { code: 6, subcode: 2, data: encodeShutdownText("rack 4") };
    assert.equal(hex(encodeNotification(message)), "0602067261636b2034");
    assert.deepEqual(decodeNotification(bytes("0602067261636b2034")), message);
    assert.equal(describeNotification(message), "Cease/Administrative Shutdown (rack 4)");
  });
  it("cuts a long shutdown text between characters", () => {
    const data = encodeShutdownText("ü".repeat(200));
    assert.equal(data[0], 254);
    assert.equal(shutdownText({ code: 6, subcode: 4, data }), "ü".repeat(127));
  });
  it("ignores a shutdown text that is no UTF-8 or overruns", () => {
    assert.equal(shutdownText({ code: 6, subcode: 2, data: bytes("02ff") }), undefined);
    assert.equal(shutdownText({ code: 6, subcode: 2, data: bytes("01ff") }), undefined);
  });
});

describe("a hard reset (RFC 8538)", () => {
  const reason = { code: 6, subcode: 2, data: encodeShutdownText("rack 4") };
  it("carries its reason, with its text", () => {
    const wire = encodeNotification(hardReset(reason));
    assert.equal(hex(wire), "06090602067261636b2034");
    const received = decodeNotification(wire);
    assert.deepEqual(reasonOf(received), reason);
    assert.equal(shutdownText(received), "rack 4");
    assert.equal(describeNotification(received), "Cease/Administrative Shutdown (rack 4)");
  });
  it("may have none, and none that is a hard reset again", () => {
    for (const text of ["0609", "060906", "06090609", "0609060906090602"]) {
      const received = decodeNotification(bytes(text));
      assert.equal(isHardReset(received), true);
      assert.equal(reasonOf(received), received, text);
      assert.equal(describeNotification(received), "Cease/Hard Reset");
    }
  });
});

describe("ROUTE-REFRESH", () => {
  it("is AFI, subtype, SAFI", () => {
    const message = { afi: 2, subtype: 0, safi: 1 };
    assert.equal(hex(encodeRouteRefresh(message)), "00020001");
    assert.deepEqual(decodeRouteRefresh(bytes("00020001")), message);
  });
  it("of RFC 7313 that is too long is sent back, a request with filters is a request", () => {
    for (const subtype of ["01", "02"]) {
      const body = `0001${subtype}0100`;
      assert.throws(
        () => decodeRouteRefresh(bytes(body)),
        (error: unknown) =>
          error instanceof MessageError &&
          error.notificationCode === 7 &&
          error.subcode === 1 &&
          hex(error.data) === `${"ff".repeat(16)}001805${body}`,
      );
    }
    assert.equal(decodeRouteRefresh(bytes("00010001 01 80 0000")).subtype, 0);
  });
});

describe("UPDATE", () => {
  const attributes: PathAttributes = { origin: "igp", asPath: [], nextHop: "10.0.0.1", localPref: 100 };

  it("announces IPv4 in the classic fields", () => {
    const nlri = Nlri.of(Family.ipv4Unicast, ["10.1.0.0/26", "0.0.0.0/0"]);
    const wire = encodeUpdate({ announced: [{ nlri, attributes }] }, IBGP);
    const body = "0000 0015 40010100 400200 4003040a000001 40050400000064 1a0a010000 00";
    assert.equal(hex(wire), `${"ff".repeat(16)}003202${body.replace(/\s/g, "")}`);
    const update = decodeUpdate(wire.subarray(19), IBGP);
    assert.deepEqual([...update.announced[0]!.nlri], ["10.1.0.0/26", "0.0.0.0/0"]);
    assert.deepEqual(update.announced[0]!.attributes, attributes);
    assert.deepEqual(update.problems, []);
  });
  it("announces IPv6 in MP_REACH_NLRI, which comes first", () => {
    const v6 = { ...attributes, nextHop: "fd00::1" };
    const nlri = Nlri.of(Family.ipv6Unicast, ["fd00:1::/64"]);
    const wire = encodeUpdate({ announced: [{ nlri, attributes: v6 }] }, IBGP);
    assert.equal(wire[19 + 4 + 1], 14);
    const update = decodeUpdate(wire.subarray(19), IBGP);
    assert.deepEqual([...update.announced[0]!.nlri], ["fd00:1::/64"]);
    assert.deepEqual(update.announced[0]!.attributes, v6);
  });
  it("withdraws both families", () => {
    for (const [family, prefix] of [
      [Family.ipv4Unicast, "10.1.0.0/26"],
      [Family.ipv6Unicast, "fd00:1::/64"],
    ] as const) {
      const wire = encodeUpdate({ withdrawn: [Nlri.of(family, [prefix])] }, IBGP);
      const update = decodeUpdate(wire.subarray(19), IBGP);
      assert.deepEqual([...update.withdrawn[0]!], [prefix]);
      assert.deepEqual(update.announced, []);
    }
  });
  it("knows End-of-RIB", () => {
    for (const family of Object.values(Family)) {
      assert.equal(decodeUpdate(endOfRibBody(family), IBGP).endOfRib, family);
    }
  });
  it("fills messages up to 4096 bytes and no further", () => {
    const prefixes = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
    const nlri = Nlri.of(Family.ipv4Unicast, prefixes);
    const seen: string[] = [];
    const sizes: number[] = [];
    new Framer().push(
      encodeUpdate({ announced: [{ nlri, attributes }] }, IBGP),
      (_type, bytes, start, end) => {
        sizes.push(end - start + 19);
        for (const { nlri: list } of decodeUpdate(bytes.subarray(start, end), IBGP).announced)
          seen.push(...list);
        return true;
      },
    );
    assert.deepEqual(seen, prefixes);
    assert.equal(sizes.length, 3);
    assert.ok(sizes.every(size => size <= 4096));
  });
  it("masks host bits it is sent", () => {
    const body = bytes("0000 0015 40010100 400200 4003040a000001 40050400000064 09 0aff");
    assert.deepEqual([...decodeUpdate(body, IBGP).announced[0]!.nlri], ["10.128.0.0/9"]);
  });
  it("takes the link-local next hop of a neighbor that writes no global one before it, as bird does", () => {
    const zero = "00".repeat(16);
    const linkLocal = `fe80${"00".repeat(13)}bb`;
    for (const [nlri, extendedNextHop] of [
      ["0001 01", [Family.ipv4Unicast]],
      ["0002 01", []],
    ] as const) {
      const attribute = `800e27 ${nlri} 20 ${zero} ${linkLocal} 00 080a`;
      const body = bytes(`0000 0038 40010100 400200 40050400000064 ${attribute}`);
      const { announced, problems } = decodeUpdate(body, { ...IBGP, extendedNextHop });
      assert.deepEqual(problems, []);
      const [first] = announced;
      assert.deepEqual(
        [first?.attributes.nextHop, first?.attributes.linkLocalNextHop],
        ["fe80::bb", undefined],
      );
    }
  });
  it("carries unknown transitive attributes byte for byte, marked Partial", () => {
    const unknown = [{ flags: 0xc0, type: 99, value: "0102030405" }];
    const wire = encodeAttributes({ ...attributes, unknown }, { fourOctetAs: true, withNextHop: true });
    assert.ok(hex(wire).endsWith("e063050102030405"));
  });
  it("tells a neighbor without 4-byte AS the path in AS_TRANS and AS4_PATH", () => {
    const asPath = [{ type: "sequence" as const, asns: [64512, 4200000001, 3] }];
    const aggregator = { asn: 4200000002, address: "10.0.0.9" };
    const context = { ebgp: false, fourOctetAs: false };
    const nlri = Nlri.of(Family.ipv4Unicast, ["10.1.0.0/26"]);
    const wire = encodeUpdate(
      { announced: [{ nlri, attributes: { ...attributes, asPath, aggregator } }] },
      context,
    );
    const [announced] = decodeUpdate(wire.subarray(19), context).announced;
    assert.deepEqual(announced?.attributes.asPath, asPath);
    assert.deepEqual(announced?.attributes.aggregator, aggregator);
  });

  it("is the same after a round trip, whatever the attributes", () => {
    const nlri = Nlri.of(Family.ipv4Unicast, ["10.1.0.0/26", "10.2.0.0/15"]);
    fc.assert(
      fc.property(anyAttributes, attributes => {
        const wire = encodeUpdate({ announced: [{ nlri, attributes }] }, IBGP);
        const update = decodeUpdate(wire.subarray(19), IBGP);
        assert.deepEqual(update.problems, []);
        assert.deepEqual(update.announced[0]!.attributes, attributes);
        assert.deepEqual([...update.announced[0]!.nlri], [...nlri]);
      }),
    );
  });
  it("never throws anything but a MessageError, whatever the bytes", () => {
    const context = fc.record({ ebgp: fc.boolean(), fourOctetAs: fc.boolean() });
    // Lengths that fit make the random bytes reach the attribute decoders.
    const framed = fc
      .tuple(
        fc.uint8Array({ maxLength: 6 }),
        fc.array(fc.tuple(fc.nat(255), fc.nat(34), fc.uint8Array({ maxLength: 40 }))),
        fc.uint8Array({ maxLength: 12 }),
      )
      .map(([withdrawn, list, nlri]) => {
        const block = list.flatMap(([flags, type, value]) =>
          flags & 0x10 ? [flags, type, 0, value.length, ...value] : [flags, type, value.length, ...value],
        );
        return Uint8Array.of(
          0,
          withdrawn.length,
          ...withdrawn,
          block.length >> 8,
          block.length & 255,
          ...block,
          ...nlri,
        );
      });
    const survives = (decode: () => unknown) => {
      try {
        decode();
      } catch (error) {
        assert.ok(error instanceof MessageError, String(error));
      }
    };
    fc.assert(
      fc.property(fc.oneof(framed, fc.uint8Array({ maxLength: 200 })), context, (body, settled) => {
        survives(() => {
          const update = decodeUpdate(body, settled);
          for (const nlri of [...update.withdrawn, ...update.announced.map(({ nlri }) => nlri)]) [...nlri];
          for (const { attributes } of update.announced)
            encodeAttributes(attributes, { fourOctetAs: false, withNextHop: true });
        });
        survives(() => decodeOpen(body));
        survives(() => decodeRouteRefresh(body));
        describeNotification(decodeNotification(body));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("capabilities", () => {
  it("of a known code and an impossible length are kept as unknown", () => {
    const open = decodeOpen(bytes("04 fc00 005a 0a000001 05 02 03 02 01 00"));
    const expected: Capability[] = [{ kind: "unknown", code: 2, value: "00" }];
    assert.deepEqual(open.capabilities, expected);
  });
});

describe("framing", () => {
  const stream = Buffer.concat([
    frame(MessageType.keepalive),
    frame(MessageType.routeRefresh, bytes("00010001")),
    frame(MessageType.update, new Uint8Array(4077)),
    frame(MessageType.notification, bytes("0602")),
  ]);

  it("finds the same messages however the stream is cut", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 30 }), cuts => {
        const framer = new Framer();
        const seen: string[] = [];
        const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
        for (let i = 1; i < at.length; i++) {
          framer.push(stream.subarray(at[i - 1], at[i]), (type, _bytes, start, end) => {
            seen.push(`${type}:${end - start}`);
            return true;
          });
        }
        assert.deepEqual(seen, ["4:0", "5:4", "2:4077", "3:2"]);
      }),
    );
  });
  it("takes long messages once both sides said so, but no long OPEN or KEEPALIVE (RFC 8654)", () => {
    const long = frame(MessageType.update, new Uint8Array(60_000));
    assert.throws(() => new Framer().push(long, () => true), MessageError);
    const framer = new Framer();
    framer.allowExtended();
    const seen: number[] = [];
    for (const cut of [0, 1, 18, 19, 5000, 60_018]) {
      for (const chunk of [long.subarray(0, cut), long.subarray(cut)])
        framer.push(chunk, (_type, _bytes, start, end) => seen.push(end - start) > 0);
    }
    assert.deepEqual(seen, Array(6).fill(60_000));
    for (const type of [MessageType.open, MessageType.keepalive])
      assert.throws(() => framer.push(frame(type, new Uint8Array(5000)), () => true), MessageError);
  });
  it("stops behind a message and goes on where it stopped", () => {
    fc.assert(
      fc.property(fc.nat(stream.length), cut => {
        const framer = new Framer();
        const seen: number[] = [];
        for (const chunk of [stream.subarray(0, cut), stream.subarray(cut)]) {
          for (let done = 0; done < chunk.length; ) {
            done += framer.push(chunk.subarray(done), type => {
              seen.push(type);
              return false;
            });
          }
        }
        assert.deepEqual(seen, [4, 5, 2, 3]);
      }),
    );
  });
  it("takes single bytes", () => {
    const framer = new Framer();
    let count = 0;
    for (const byte of stream) {
      framer.push(Uint8Array.of(byte), () => {
        count++;
        return true;
      });
    }
    assert.equal(count, 4);
  });
  it("answers what is no BGP with the header error that fits", () => {
    const cases: [string, number][] = [
      [`${"ff".repeat(15)}fe001304`, 1],
      [`${"ff".repeat(16)}001204`, 2],
      [`${"ff".repeat(16)}100104`, 2],
      [`${"ff".repeat(16)}001404`, 2],
      [`${"ff".repeat(16)}001309`, 3],
    ];
    for (const [text, subcode] of cases) {
      assert.throws(
        () => new Framer().push(bytes(text), () => true),
        (error: unknown) =>
          error instanceof MessageError && error.notificationCode === 1 && error.subcode === subcode,
        text,
      );
    }
  });
  it("never throws anything but a MessageError", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), chunks => {
        const framer = new Framer();
        try {
          for (const chunk of chunks) framer.push(Buffer.concat([Buffer.alloc(16, 255), chunk]), () => true);
        } catch (error) {
          assert.ok(error instanceof MessageError);
        }
      }),
    );
  });
});

describe("what was decoded from a chunk of the socket (a Buffer, whose slice() copies nothing)", () => {
  const decodes: Record<string, (chunk: Buffer) => unknown> = {
    "an unknown capability": chunk => decodeCapabilities(chunk),
    "a NOTIFICATION": chunk => decodeNotification(chunk),
    "an unknown attribute": chunk => decodeUpdate(chunk, IBGP).announced.map(({ attributes }) => attributes),
  };
  const chunks: Record<string, string> = {
    "an unknown capability": "7702 0102",
    "a NOTIFICATION": "0602 0568656c6c6f",
    "an unknown attribute": "0000 0013 400101 00 400200 400304 0a000001 c06302 0102 180a0000",
  };
  for (const [what, decode] of Object.entries(decodes)) {
    it(`${what} stays when the chunk is used again`, () => {
      const chunk = Buffer.from(bytes(chunks[what]!));
      const decoded = decode(chunk);
      const before = JSON.stringify(decoded);
      chunk.fill(0xee);
      assert.equal(JSON.stringify(decoded), before);
    });
  }
});
