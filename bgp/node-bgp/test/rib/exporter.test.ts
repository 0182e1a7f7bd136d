/** What is written for a neighbor, in bytes, beside what export.ts says in values. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { parseRouterId } from "../../address.ts";
import { decodeAttributes } from "../../message/attribute-decoder.ts";
import { AttributeFlag } from "../../message/constants.ts";
import { Writer } from "../../message/writer.ts";
import type { RoutePolicy } from "../../neighbor.ts";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { type ExportTarget, exportAttributes } from "../../rib/export.ts";
import { Exporter } from "../../rib/exporter.ts";
import { PrefixTable } from "../../rib/prefix-table.ts";
import { type Source, SourceTable } from "../../rib/source.ts";
import { Family, type PathAttributes, type Route } from "../../route.ts";
import { anyAttributes } from "../kit/attributes.ts";

const TARGET: ExportTarget = {
  type: "internal",
  localAsn: 64512,
  reflectorClient: true,
  nextHopMode: "auto",
  nextHopSelf: { ipv4: "10.0.0.1", ipv6: "fd00::1" },
  clusterId: "1.1.1.1",
  fourOctetAs: true,
  extendedNextHop: false,
  addPaths: 0,
  extendedMessages: false,
  longLived: false,
  gracefulShutdown: false,
};
const NEIGHBOR = { address: "10.0.0.7", asn: 64512, localAsn: 64512, type: "internal" } as const;

function world(family: Family, target: ExportTarget, policy?: RoutePolicy) {
  const sets = new AttributeTable();
  const sources = new SourceTable();
  const add = (type: Source["type"], last: number) =>
    sources.add({
      type,
      address: `10.0.0.${last}`,
      addressBytes: Uint8Array.of(10, 0, 0, last),
      reflectorClient: false,
      routerId: parseRouterId("9.9.9.9")!,
    }).index;
  const index = { local: 0, internal: add("internal", 8), external: add("external", 9) };
  const prefixes = new PrefixTable(family);
  const rule = { target, policy, neighbor: NEIGHBOR, groupName: undefined };
  const route = (id: number, set: number): Route => ({
    ...sets.attributesOf(set),
    prefix: prefixes.format(id),
    family,
    source: "somebody",
    sourceType: "internal",
    nextHops: [],
    stale: false,
  });
  const exporter = new Exporter({ sets, sources, prefixes, family, rule, route });
  const list = new Writer();
  const nextHop = new Writer();
  /** What a neighbor reads, and whether NEXT_HOP was in the attribute list. */
  const read = (out: number): { values: Partial<PathAttributes>; isClassic: boolean; nextHop: number } => {
    const isClassic = exporter.write(out, list, nextHop);
    const { values, problems } = decodeAttributes(list.view(), {
      ebgp: false,
      fourOctetAs: target.fourOctetAs,
    });
    assert.deepEqual(problems, []);
    return { values, isClassic, nextHop: nextHop.length };
  };
  return { sets, sources, index, prefixes, exporter, read };
}

const present = (values: Partial<PathAttributes> | null) =>
  Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== undefined));

describe("the exporter", () => {
  for (const from of ["local", "internal", "external"] as const) {
    for (const fourOctetAs of [true, false]) {
      for (const type of ["internal", "external"] as const) {
        it(`writes what the rules say: ${from} routes to an ${type} neighbor, AS of ${fourOctetAs ? 4 : 2} bytes`, () => {
          const target = { ...TARGET, type, fourOctetAs };
          const { sets, sources, index, exporter, read } = world(Family.ipv4Unicast, target);
          fc.assert(
            fc.property(anyAttributes, attributes => {
              // AS4_PATH has no confederation segments (RFC 6793 3): what is in them is lost.
              fc.pre(fourOctetAs || attributes.asPath.every(segment => !segment.type.startsWith("confed")));
              const received = sets.internAttributes(index[from], attributes);
              const source = sources.get(index[from]);
              const expected = exportAttributes(attributes, Family.ipv4Unicast, source, target);
              assert.deepEqual(present(exporter.attributesOf(received)), present(expected));
              const { values, isClassic } = read(received);
              assert.ok(isClassic);
              assert.deepEqual(present(values), present(expected));
            }),
          );
        });
      }
    }
  }

  it("writes IPv6 without NEXT_HOP, whose place is MP_REACH_NLRI", () => {
    const { sets, index, read } = world(Family.ipv6Unicast, TARGET);
    const attributes: PathAttributes = {
      origin: "igp",
      asPath: [],
      nextHop: "fd00::9",
      linkLocalNextHop: "fe80::9",
    };
    const { values, isClassic, nextHop } = read(sets.internAttributes(index.internal, attributes));
    assert.deepEqual([isClassic, nextHop, values.nextHop], [false, 32, undefined]);
  });

  it("marks what it does not know Partial, and nothing else", () => {
    const { sets, index, read } = world(Family.ipv4Unicast, TARGET);
    const value = "010203";
    const flags = AttributeFlag.optional | AttributeFlag.transitive;
    const attributes: PathAttributes = {
      origin: "igp",
      asPath: [],
      nextHop: "10.0.0.9",
      communities: ["1:2"],
      unknown: [{ flags: flags | AttributeFlag.partial, type: 99, value }],
    };
    const { values } = read(sets.internAttributes(index.internal, attributes));
    assert.deepEqual(values.unknown, [{ flags: flags | AttributeFlag.partial, type: 99, value }]);
    assert.deepEqual(values.communities, ["1:2"]);
  });

  it("tells an IPv4 route with an IPv6 next hop only to who understands it (RFC 8950)", () => {
    const attributes: PathAttributes = { origin: "igp", asPath: [], nextHop: "fd00::9" };
    for (const extendedNextHop of [false, true]) {
      const { sets, index, exporter, prefixes, read } = world(Family.ipv4Unicast, {
        ...TARGET,
        extendedNextHop,
      });
      const set = sets.internAttributes(index.internal, attributes);
      const out = exporter.choose(prefixes.ensure(Uint8Array.of(10), 0, 8), set);
      assert.equal(out, extendedNextHop ? set : 0);
      if (out !== 0) assert.deepEqual([read(out).isClassic, read(out).nextHop], [false, 16]);
    }
  });

  it("tells long-lived stale routes only to who knows what they are (RFC 9494)", () => {
    const attributes: PathAttributes = {
      origin: "igp",
      asPath: [],
      nextHop: "10.0.0.9",
      communities: ["65535:6"],
    };
    for (const longLived of [false, true]) {
      const { sets, index, exporter } = world(Family.ipv4Unicast, { ...TARGET, longLived });
      const set = sets.internAttributes(index.internal, attributes);
      assert.equal(exporter.choose(1, set), longLived ? set : 0);
    }
  });

  it("adds GRACEFUL_SHUTDOWN to everything where the session is to end (RFC 8326)", () => {
    const policy: RoutePolicy = route =>
      route.prefix === "10.0.0.0/8" ? { ...route, communities: ["7:7"] } : route;
    const { sets, index, exporter, prefixes, read } = world(
      Family.ipv4Unicast,
      { ...TARGET, gracefulShutdown: true },
      policy,
    );
    const set = sets.internAttributes(index.internal, { origin: "igp", asPath: [], nextHop: "10.0.0.9" });
    const changed = exporter.choose(prefixes.ensure(Uint8Array.of(10), 0, 8), set);
    const plain = exporter.choose(prefixes.ensure(Uint8Array.of(11), 0, 8), set);
    assert.deepEqual(read(changed).values.communities, ["7:7", "65535:0"]);
    assert.deepEqual(read(plain).values.communities, ["65535:0"]);
  });

  it("asks a policy that can be prepared once per set, and about prefixes only where they matter", () => {
    let prepared = 0;
    let decided = 0;
    const policy: RoutePolicy = Object.assign((route: Route) => route, {
      prepare: ({ attributes }: { attributes: PathAttributes }) => {
        prepared++;
        const other = { ...attributes, med: 7 };
        return {
          answer: attributes.med === 1 ? attributes : undefined,
          decide: (_address: Uint8Array, _offset: number, length: number) => {
            decided++;
            return length === 8 ? other : length === 16 ? null : attributes;
          },
        };
      },
    });
    const { sets, index, exporter, prefixes } = world(Family.ipv4Unicast, TARGET, policy);
    const attributes: PathAttributes = { origin: "igp", asPath: [], nextHop: "10.0.0.9" };
    const constant = sets.internAttributes(index.internal, { ...attributes, med: 1 });
    const byPrefix = sets.internAttributes(index.internal, attributes);
    const id = (length: number, first = 10) => prefixes.ensure(Uint8Array.of(first, 0, 0), 0, length);
    assert.deepEqual(
      [8, 16, 24].map(length => exporter.choose(id(length), constant)),
      [constant, constant, constant],
    );
    assert.deepEqual([prepared, decided], [1, 0]);
    const outs = [8, 16, 24].map(length => exporter.choose(id(length), byPrefix));
    assert.deepEqual(outs.slice(1), [0, byPrefix]);
    assert.equal(exporter.attributesOf(outs[0]!).med, 7);
    assert.equal(exporter.choose(id(8, 11), byPrefix), outs[0], "the same answer is the same set");
    assert.deepEqual([prepared, decided], [2, 4]);
  });
});
