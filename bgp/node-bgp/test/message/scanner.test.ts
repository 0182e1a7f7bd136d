/** The in-place scanner beside the decoder, which is the reference: on what it accepts, both say the same. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { parseRouterId } from "../../address.ts";
import { MessageError } from "../../errors.ts";
import { asPathLength, countInAsPath, neighborAs } from "../../message/as-path.ts";
import { decodeAttributes } from "../../message/attribute-decoder.ts";
import { encodeNextHop } from "../../message/attribute-encoder.ts";
import { AttributeScanner, NO_SESSION, Trait } from "../../message/attribute-scanner.ts";
import { afiSafiOf } from "../../message/constants.ts";
import { Nlri } from "../../message/nlri.ts";
import { decodeUpdate, encodeUpdate, type Update } from "../../message/update.ts";
import { type UpdateScanContext, UpdateScanner } from "../../message/update-scanner.ts";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { Family, type PathAttributes } from "../../route.ts";
import { Mutator, Random } from "../fuzz/mutator.ts";
import { anyAttributes } from "../kit/attributes.ts";
import { MALFORMED_CASES, updateBody } from "../kit/rfc7606-cases.ts";

const OWN_AS = 64512;
const OWN_CLUSTER = "1.1.1.1";
const context = (part: Partial<UpdateScanContext>): UpdateScanContext => ({
  ebgp: false,
  fourOctetAs: true,
  localAsn: OWN_AS,
  clusterId: parseRouterId(OWN_CLUSTER)!,
  ipv6NextHop: false,
  addPathIpv4: false,
  addPathIpv6: false,
  ...part,
});

const prefixes = {
  [Family.ipv4Unicast]: ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.128/25", "0.0.0.0/0", "192.0.2.1/32"],
  [Family.ipv6Unicast]: ["fd00::/8", "2001:db8::/32", "2001:db8::1/128", "::/0"],
};

const anyUpdate = fc
  .record({
    family: fc.constantFrom(Family.ipv4Unicast, Family.ipv6Unicast),
    attributes: anyAttributes,
    announced: fc.subarray([0, 1, 2, 3]),
    withdrawn: fc.subarray([0, 1, 2, 3]),
  })
  .map(({ family, attributes, announced, withdrawn }) => {
    const nextHop = family === Family.ipv4Unicast ? "192.0.2.9" : "2001:db8::9";
    const list = (indexes: number[]) =>
      Nlri.of(
        family,
        indexes.map(i => prefixes[family][i]!),
      );
    return encodeUpdate(
      {
        withdrawn: withdrawn.length > 0 ? [list(withdrawn)] : [],
        announced: [
          { nlri: list(announced), attributes: { linkLocalNextHop: undefined, ...attributes, nextHop } },
        ],
      },
      { fourOctetAs: true },
    );
  })
  .filter(bytes => bytes.length > 19);

/** The body of the first message of some. */
const firstBody = (bytes: Uint8Array) => bytes.subarray(19, (bytes[16]! << 8) | bytes[17]!);

/** What the decoder makes of a body; undefined where it resets the session. */
function decoded(body: Uint8Array, terms: UpdateScanContext): Update | undefined {
  try {
    return decodeUpdate(body, {
      ebgp: terms.ebgp,
      fourOctetAs: terms.fourOctetAs,
      addPathReceive: [
        ...(terms.addPathIpv4 ? [Family.ipv4Unicast] : []),
        ...(terms.addPathIpv6 ? [Family.ipv6Unicast] : []),
      ],
      extendedNextHop: terms.ipv6NextHop ? [Family.ipv4Unicast] : [],
    });
  } catch (error) {
    if (error instanceof MessageError) return undefined;
    throw error;
  }
}

const texts = (lists: readonly Nlri[]) =>
  lists.flatMap(nlri => [...nlri].map((prefix, i) => `${prefix} ${[...nlri.entries()][i]!.pathId}`)).sort();

const present = (values: Partial<PathAttributes>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** Holds the scanner to the decoder on one body. Returns whether the scanner took it. */
function compare(
  scanner: UpdateScanner,
  sets: AttributeTable,
  body: Uint8Array,
  terms: UpdateScanContext,
): boolean {
  // Somewhere in a chunk, with other messages around.
  const chunk = Uint8Array.from([1, 2, 3, ...body, 255, 255]);
  const start = 3;
  const end = start + body.length;
  if (!scanner.scan(chunk, start, end, terms)) return false;
  const { attributes } = scanner;
  const update = decoded(body, terms);
  assert.ok(update, "the decoder resets the session");
  assert.deepEqual(update.problems, []);
  const range = (family: Family, from: number, to: number) => {
    const addPath = family === Family.ipv4Unicast ? terms.addPathIpv4 : terms.addPathIpv6;
    return Nlri.parse(family, chunk.slice(from, to), addPath)!;
  };
  const familyOf = (afi: number) => (afi === 1 ? Family.ipv4Unicast : Family.ipv6Unicast);
  const withdrawn = [range(Family.ipv4Unicast, scanner.withdrawnAt, scanner.withdrawnEnd)];
  if (attributes.unreachAfi !== 0)
    withdrawn.push(
      range(familyOf(attributes.unreachAfi), attributes.unreachNlriAt, attributes.unreachNlriEnd),
    );
  assert.deepEqual(texts(withdrawn), texts(update.withdrawn));
  const endOfRib = scanner.endOfRibAfi === 0 ? undefined : familyOf(scanner.endOfRibAfi);
  assert.equal(endOfRib, update.endOfRib);
  if (!scanner.announces) {
    assert.deepEqual(update.announced, []);
    return true;
  }
  const announced =
    attributes.reachAfi === 0
      ? range(Family.ipv4Unicast, scanner.nlriAt, scanner.nlriEnd)
      : range(familyOf(attributes.reachAfi), attributes.reachNlriAt, attributes.reachNlriEnd);
  assert.deepEqual(texts([announced]), texts(update.announced.map(({ nlri }) => nlri)));
  if (announced.count === 0) return true;
  const [expected] = update.announced;
  const set = sets.intern(1, attributes);
  assert.deepEqual(present(sets.attributesOf(set)), present(expected!.attributes));
  sameNumbers(sets, set, attributes, expected!.attributes);
  return true;
}

function sameNumbers(
  sets: AttributeTable,
  set: number,
  scan: AttributeScanner,
  values: PathAttributes,
): void {
  const has = (trait: number) => (sets.traitsOf(set) & trait) !== 0;
  const communities = values.communities ?? [];
  assert.deepEqual(
    {
      localPref: sets.localPrefOf(set),
      med: sets.medOf(set),
      origin: sets.originOf(set),
      asPathLength: sets.asPathLengthOf(set),
      neighborAs: sets.neighborAsOf(set),
      ownAsCount: scan.ownAsCount,
      originatorId: sets.originatorIdOf(set),
      clusterListLength: sets.clusterListLengthOf(set),
      hasOwnCluster: scan.hasOwnCluster,
      hop: sets.nextHopLengthOf(set),
      noExport: has(Trait.noExport),
      noAdvertise: has(Trait.noAdvertise),
      noExportSubconfed: has(Trait.noExportSubconfed),
      gracefulShutdown: has(Trait.gracefulShutdown),
      llgrStale: has(Trait.llgrStale),
      noLlgr: has(Trait.noLlgr),
    },
    {
      localPref: values.localPref ?? 100,
      med: values.med ?? 0,
      origin: ["igp", "egp", "incomplete"].indexOf(values.origin),
      asPathLength: asPathLength(values.asPath),
      neighborAs: neighborAs(values.asPath),
      ownAsCount: countInAsPath(values.asPath, OWN_AS),
      originatorId: values.originatorId === undefined ? -1 : parseRouterId(values.originatorId),
      clusterListLength: values.clusterList?.length ?? 0,
      hasOwnCluster: values.clusterList?.includes(OWN_CLUSTER) ?? false,
      hop: encodeNextHop(values)?.length,
      noExport: communities.includes("65535:65281"),
      noAdvertise: communities.includes("65535:65282"),
      noExportSubconfed: communities.includes("65535:65283"),
      gracefulShutdown: communities.includes("65535:0"),
      llgrStale: communities.includes("65535:6"),
      noLlgr: communities.includes("65535:7"),
    },
  );
}

describe("the scanner", () => {
  const scanner = new UpdateScanner();
  const sets = new AttributeTable();

  it("takes every sound UPDATE of an internal neighbor, and reads it as the decoder does", () => {
    fc.assert(
      fc.property(anyUpdate, bytes => {
        assert.ok(compare(scanner, sets, firstBody(bytes), context({})));
      }),
      { numRuns: 500 },
    );
  });

  it("takes of broken and unusual ones only what the decoder finds nothing wrong with", () => {
    const corpus = [
      ...fc.sample(anyUpdate, { numRuns: 100, seed: 42 }).map(firstBody),
      ...MALFORMED_CASES.map(updateBody),
    ];
    for (const part of [
      {},
      { ebgp: true },
      { ipv6NextHop: true },
      { addPathIpv4: true, addPathIpv6: true },
    ]) {
      const mutator = new Mutator(new Random(7911), corpus);
      let taken = 0;
      for (let i = 0; i < 20_000; i++) if (compare(scanner, sets, mutator.next(), context(part))) taken++;
      assert.ok(taken > 300, `${taken} taken: the test says little`);
    }
  });

  it("takes a link-local next hop behind `::`, as bird sends it between link-local addresses, for the only one", () => {
    const linkLocal = "fe800000000000000000000000000009";
    for (const [afi, nlri, ipv6NextHop] of [
      ["0002", "40fd20000000000000", false],
      ["0001", "180a1400", true],
    ] as const) {
      const reach = `${afi}0120${"0".repeat(32)}${linkLocal}00${nlri}`;
      const attributes = `4001010040020040050400000064800e${(reach.length / 2).toString(16).padStart(2, "0")}${reach}`;
      const list = Buffer.from(attributes, "hex");
      const body = Buffer.concat([Buffer.from([0, 0, 0, list.length]), list]);
      const terms = context({ ipv6NextHop });
      assert.ok(compare(scanner, sets, body, terms));
      const [announced] = decoded(body, terms)!.announced;
      assert.equal(announced!.attributes.nextHop, "fe80::9");
      assert.equal(announced!.attributes.linkLocalNextHop, undefined);
    }
  });
  it("reads path identifiers where they were negotiated (RFC 7911)", () => {
    const attributes: PathAttributes = { origin: "igp", asPath: [], nextHop: "192.0.2.9" };
    const nlri = Nlri.of(Family.ipv4Unicast, prefixes[Family.ipv4Unicast], 7);
    const body = firstBody(encodeUpdate({ announced: [{ nlri, attributes }] }, { fourOctetAs: true }));
    assert.ok(compare(scanner, sets, body, context({ addPathIpv4: true })));
  });

  it("leaves to the decoder what has to be rewritten: 2-byte AS numbers, internal attributes from outside", () => {
    const attributes: PathAttributes = { origin: "igp", asPath: [], nextHop: "192.0.2.9", localPref: 5 };
    const nlri = Nlri.of(Family.ipv4Unicast, ["10.0.0.0/8"]);
    const body = firstBody(encodeUpdate({ announced: [{ nlri, attributes }] }, { fourOctetAs: true }));
    assert.equal(scanner.scan(body, 0, body.length, context({ fourOctetAs: false })), false);
    assert.equal(scanner.scan(body, 0, body.length, context({ ebgp: true })), false);
    assert.equal(scanner.scan(body, 0, body.length, context({})), true);
  });

  it("knows the End-of-RIB of each family", () => {
    for (const family of Object.values(Family)) {
      const { afi } = afiSafiOf(family);
      const body = afi === 1 ? new Uint8Array(4) : Uint8Array.of(0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1);
      assert.ok(scanner.scan(body, 0, body.length, context({})));
      assert.deepEqual([scanner.endOfRibAfi, scanner.announces], [afi, false]);
    }
  });

  it("never reads beyond the list it is given", () => {
    const scan = new AttributeScanner();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.uint8Array({ maxLength: 20 }), (list, behind) => {
        const alone = scan.scan(list, 0, list.length, NO_SESSION);
        assert.equal(scan.scan(Uint8Array.from([...list, ...behind]), 0, list.length, NO_SESSION), alone);
        if (!alone) return;
        assert.deepEqual(decodeAttributes(list, { ebgp: false, fourOctetAs: true }).problems, []);
      }),
      { numRuns: 2000 },
    );
  });
});
