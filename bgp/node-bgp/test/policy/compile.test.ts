import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePrefix } from "../../address.ts";
import { OptionError } from "../../errors.ts";
import type { PolicyNeighbor } from "../../neighbor.ts";
import { compilePolicy, type PolicyOptions } from "../../policy/compile.ts";
import { acceptAll } from "../../policy/constant.ts";
import type { Edits, Match, Policy, PolicyRule } from "../../policy/policy.ts";
import type { AsPathSegment, Route } from "../../route.ts";
import { naivePolicy } from "./naive-policy.ts";

const INTERNAL: PolicyNeighbor = { address: "10.0.0.2", asn: 64512, localAsn: 64512, type: "internal" };
const EXTERNAL: PolicyNeighbor = { address: "192.0.2.2", asn: 65000, localAsn: 64512, type: "external" };

function route(more: Partial<Route> = {}): Route {
  return {
    prefix: "10.65.0.0/26",
    family: "ipv4-unicast",
    source: "192.0.2.2",
    sourceType: "external",
    nextHop: "192.0.2.2",
    nextHops: ["192.0.2.2"],
    stale: false,
    origin: "igp",
    asPath: [{ type: "sequence", asns: [65000, 65001] }],
    communities: ["65000:1", "65000:200"],
    largeCommunities: ["65000:1:2"],
    extendedCommunities: ["0002fde800000064"],
    ...more,
  };
}

function matches(match: Match, what: Route = route(), neighbor = EXTERNAL, options?: PolicyOptions): boolean {
  return compilePolicy({ rules: [{ match, action: "accept" }] }, options)(what, neighbor) !== null;
}

function edited(set: Edits, what: Route = route(), options?: PolicyOptions): Route | null {
  return compilePolicy({ rules: [{ set, action: "accept" }] }, options)(what, EXTERNAL);
}

describe("policy: order of rules", () => {
  const accept = (match: Match): PolicyRule => ({ match, action: "accept" });
  const reject = (match: Match): PolicyRule => ({ match, action: "reject" });

  it("the first rule that matches decides; what nobody decides is rejected", () => {
    const policy = compilePolicy({ rules: [reject({ origin: "egp" }), accept({ source: "external" })] });
    assert.equal(policy(route({ origin: "egp" }), EXTERNAL), null);
    assert.ok(policy(route(), EXTERNAL));
    assert.equal(policy(route({ sourceType: "internal" }), EXTERNAL), null);
  });

  it("an untouched route is given back as the same object", () => {
    const what = route();
    const policy = compilePolicy({
      rules: [{ action: "next", set: { localPref: null, med: null, communities: { add: "65000:1" } } }],
      otherwise: "accept",
    });
    assert.equal(policy(what, EXTERNAL), what);
    const { attributes, ...paths } = pathsOf(what);
    assert.equal(policy.prepare!({ attributes, ...paths }, EXTERNAL).answer, attributes);
  });

  it("next keeps its changes, and later rules see them", () => {
    const policy = compilePolicy({
      rules: [
        { action: "next", set: { localPref: 50, communities: { add: "1:1" } } },
        { match: { localPref: 50 }, action: "next", set: { med: 7 } },
        { match: { communities: "1:1" }, action: "accept" },
      ],
    });
    const result = policy(route(), EXTERNAL);
    assert.deepEqual([result?.localPref, result?.med], [50, 7]);
  });

  it("chains go from policy to policy until one has decided", () => {
    const tag: Policy = { rules: [{ action: "next", set: { communities: { add: "1:1" } } }] };
    const noEgp: Policy = { rules: [reject({ origin: "egp" })] };
    const rest: Policy = { rules: [], otherwise: "accept" };
    const policy = compilePolicy({
      chain: [tag, { chain: [noEgp] }, rest, { rules: [], otherwise: "reject" }],
    });
    assert.equal(policy(route({ origin: "egp" }), EXTERNAL), null);
    assert.deepEqual(policy(route(), EXTERNAL)?.communities, ["65000:1", "65000:200", "1:1"]);
  });

  it("what nobody has decided may go to a policy that is a function, with the changes so far", () => {
    const rules: PolicyRule[] = [{ action: "next", set: { med: 7 } }, reject({ origin: "egp" })];
    const undecided = (left: Route) => (left.prefix === "10.65.0.0/26" ? { ...left, localPref: 9 } : null);
    const policy = compilePolicy({ rules }, { undecided });
    const result = policy(route(), EXTERNAL);
    assert.deepEqual([result?.med, result?.localPref], [7, 9]);
    assert.equal(policy(route({ prefix: "10.65.0.64/26" }), EXTERNAL), null);
    assert.equal(policy(route({ origin: "egp" }), EXTERNAL), null);
    // It must be asked route by route.
    assert.equal(policy.prepare, undefined);
    const { attributes, ...paths } = pathsOf(route());
    const open = compilePolicy({ rules }, { undecided: acceptAll });
    assert.equal(open.prepare!({ attributes, ...paths }, EXTERNAL).answer?.med, 7);
    const inner = compilePolicy({ rules: [accept({ prefixes: "10.0.0.0/8 le 32" })] });
    const outer = compilePolicy({ rules }, { undecided: inner }).prepare!({ attributes, ...paths }, EXTERNAL);
    assert.equal(outer.answer, undefined);
    assert.equal(outer.decide(Uint8Array.of(10, 1, 0, 0), 0, 16)?.med, 7);
    assert.equal(outer.decide(Uint8Array.of(11, 1, 0, 0), 0, 16), null);
  });

  it("explains itself by the rules that matched", () => {
    const policy = compilePolicy({
      chain: [
        { rules: [{ name: "mark", action: "next", set: { med: 1 } }, reject({ origin: "egp" })] },
        { rules: [accept({ origin: "incomplete" })], otherwise: "accept" },
      ],
    });
    assert.deepEqual(policy.explain(route({ origin: "egp" }), EXTERNAL), {
      result: null,
      matched: ['chain[0].rules[0] "mark"', "chain[0].rules[1]"],
    });
    assert.deepEqual(policy.explain(route(), EXTERNAL).matched, [
      'chain[0].rules[0] "mark"',
      "chain[1].otherwise",
    ]);
    assert.equal(policy.explain(route(), EXTERNAL).result?.med, 1);
  });
});

describe("policy: match", () => {
  const cases: [match: Match, expected: boolean][] = [
    [{}, true],
    [{ prefixes: "10.65.0.0/26" }, true],
    [{ prefixes: ["10.66.0.0/26", "10.0.0.0/8 ge 26"] }, true],
    [{ prefixes: "10.0.0.0/8" }, false],
    [{ prefixes: [] }, false],
    [{ family: "ipv4-unicast" }, true],
    [{ family: "ipv6-unicast" }, false],
    [{ communities: "65000:1" }, true],
    [{ communities: "65000:2" }, false],
    [{ communities: ["no-export", "65000:100-299"] }, true],
    [{ communities: "*:200" }, true],
    [{ communities: "65000:*:2" }, true],
    [{ communities: "65000:*:3" }, false],
    [{ communities: "no-export" }, false],
    [{ communities: "rt:65000:100" }, true],
    [{ communities: "rt:65000:*" }, true],
    [{ communities: "rt:*:100" }, true],
    [{ communities: "soo:65000:*" }, false],
    [{ communities: "rt:65001-65010:*" }, false],
    [{ communities: "0002FDE8********" }, true],
    [{ asPath: { contains: 65001 } }, true],
    [{ asPath: { contains: [1, "2-3"] } }, false],
    [{ asPath: { neighbor: "64512-65534" } }, true],
    [{ asPath: { neighbor: 65001 } }, false],
    [{ asPath: { origin: 65001 } }, true],
    [{ asPath: { origin: 65000 } }, false],
    [{ asPath: { length: 2 } }, true],
    [{ asPath: { length: "3-9" } }, false],
    [{ asPath: { startsWith: [65000, 65001] } }, true],
    [{ asPath: { startsWith: [65001] } }, false],
    [{ asPath: { pattern: ["^1$", "^65000 .$"] } }, true],
    [{ asPath: { neighbor: 65000, origin: 65000 } }, false],
    [{ nextHop: "192.0.2.0/24" }, true],
    [{ nextHop: ["192.0.3.0/24", "2001:db8::/32"] }, false],
    [{ source: ["local", "external"] }, true],
    [{ source: "internal" }, false],
    [{ neighborType: "external" }, true],
    [{ neighborType: "internal" }, false],
    [{ neighborAsn: [1, 65000] }, true],
    [{ neighborAsn: 64512 }, false],
    [{ neighborAddress: "192.0.2.0/30" }, true],
    [{ neighborAddress: "192.0.2.4/30" }, false],
    [{ localPref: "absent" }, true],
    [{ localPref: "0-4294967295" }, false],
    [{ med: ["absent", 5] }, true],
    [{ origin: ["igp", "egp"] }, true],
    [{ origin: "incomplete" }, false],
    [{ origin: "igp", source: "internal" }, false],
    [{ all: [{ origin: "igp" }, { prefixes: "10.65.0.0/26" }] }, true],
    [{ all: [{ origin: "egp" }, { prefixes: "10.65.0.0/26" }] }, false],
    [{ all: [] }, true],
    [{ any: [{ origin: "egp" }, { prefixes: "10.65.0.0/26" }] }, true],
    [{ any: [{ prefixes: "10.65.0.0/27" }, { prefixes: "10.65.0.0/26" }] }, true],
    [{ any: [] }, false],
    [{ not: { prefixes: "10.65.0.0/26" } }, false],
    [{ not: { any: [{ prefixes: "10.0.0.0/8" }, { origin: "egp" }] } }, true],
  ];
  for (const [match, expected] of cases) {
    it(`${JSON.stringify(match)}: ${expected}`, () => assert.equal(matches(match), expected));
  }

  it("numbers and absence are different things", () => {
    const what = route({ localPref: 100, med: 0 });
    assert.equal(matches({ localPref: ["50-150"], med: 0 }, what), true);
    assert.equal(matches({ localPref: "absent" }, what), false);
    assert.equal(matches({ med: "absent" }, what), false);
  });

  it("a path that begins or ends in a set has no neighbor or origin AS", () => {
    const what = route({ asPath: [{ type: "set", asns: [1, 2] }] });
    assert.equal(matches({ asPath: { neighbor: "0-4294967295" } }, what), false);
    assert.equal(matches({ asPath: { origin: "0-4294967295" } }, what), false);
    assert.equal(matches({ asPath: { contains: 2, length: 1 } }, what), true);
  });

  it("route targets in each numbering: by address, by two- and by four-byte AS", () => {
    const target = (value: string) => route({ extendedCommunities: [value] });
    assert.equal(matches({ communities: "rt:192.0.2.1:7" }, target("0102c00002010007")), true);
    assert.equal(matches({ communities: "rt:192.0.2.1:*" }, target("0102c00002010007")), true);
    assert.equal(matches({ communities: "rt:4200000000:7" }, target("0202fa56ea000007")), true);
    assert.equal(matches({ communities: "rt:4200000000:1-9" }, target("0202fa56ea000007")), true);
    assert.equal(matches({ communities: "rt:*:7" }, target("0102c00002010007")), true);
    assert.equal(matches({ communities: "rt:0-4294967295:7" }, target("0102c00002010007")), false);
    assert.equal(matches({ communities: "soo:64512:7" }, target("0003fc0000000007")), true);
    assert.equal(matches({ communities: "rt:*:*" }, target("4302fc0000000007")), false);
  });

  it("prefix lists may be named", () => {
    const prefixLists = { ours: ["10.65.0.0/16 le 26"], bogons: ["192.168.0.0/16 le 32"] };
    assert.equal(matches({ prefixes: "ours" }, route(), EXTERNAL, { prefixLists }), true);
    assert.equal(matches({ prefixes: "bogons" }, route(), EXTERNAL, { prefixLists }), false);
    assert.throws(() => matches({ prefixes: "theirs" }, route(), EXTERNAL, { prefixLists }), OptionError);
    assert.throws(() => matches({ prefixes: "b" }, route(), EXTERNAL, { prefixLists: { b: ["10/8"] } }), {
      message: /^prefixLists\.b\[0\]: "10\/8" is not a prefix/,
    });
  });

  it("conditions of one's own", () => {
    const conditions: PolicyOptions["conditions"] = {
      longPath: value => paths =>
        paths.attributes.asPath.flatMap(({ asns }) => asns).length >= (value as number),
    };
    assert.equal(matches({ custom: { longPath: 2 } }, route(), EXTERNAL, { conditions }), true);
    assert.equal(matches({ custom: { longPath: 3 } }, route(), EXTERNAL, { conditions }), false);
    const odd: PolicyOptions["conditions"] = {
      evenByte: value => () => (address, offset) => address[offset + (value as number)]! % 2 === 0,
    };
    assert.equal(matches({ custom: { evenByte: 0 } }, route(), EXTERNAL, { conditions: odd }), true);
    assert.equal(matches({ custom: { evenByte: 1 } }, route(), EXTERNAL, { conditions: odd }), false);
    assert.throws(() => matches({ custom: { short: 3 } }, route(), EXTERNAL, { conditions }), OptionError);
  });
});

describe("policy: set", () => {
  it("numbers and origin, and takes them away", () => {
    const result = edited({ localPref: 200, med: 10, origin: "incomplete" });
    assert.deepEqual([result?.localPref, result?.med, result?.origin], [200, 10, "incomplete"]);
    assert.equal(edited({ med: null }, route({ med: 5 }))?.med, undefined);
  });

  it("the next hop: an address, or whose it shall be", () => {
    assert.equal(edited({ nextHop: "192.0.2.9" })?.nextHop, "192.0.2.9");
    assert.deepEqual(
      [edited({ nextHop: "self" })?.nextHopMode, edited({ nextHop: "keep" })?.nextHopMode],
      ["self", "keep"],
    );
    assert.equal(edited({ nextHop: "self" })?.nextHop, "192.0.2.2");
    // RFC 8950: an IPv6 next hop may carry an IPv4 route; nothing carries the reverse.
    assert.equal(edited({ nextHop: "2001:db8::1" })?.nextHop, "2001:db8::1");
    const v6 = route({ prefix: "2001:db8::/48", family: "ipv6-unicast", linkLocalNextHop: "fe80::1" });
    assert.equal(edited({ nextHop: "192.0.2.9" }, v6), null);
    const there = edited({ nextHop: "2001:db8::2" }, v6);
    assert.deepEqual([there?.nextHop, there?.linkLocalNextHop], ["2001:db8::2", undefined]);
  });

  it("prepends our AS so often, or what it is given", () => {
    const pathOf = (set: Edits, asPath: readonly AsPathSegment[]) => edited(set, route({ asPath }))?.asPath;
    assert.deepEqual(pathOf({ prepend: 2 }, []), [{ type: "sequence", asns: [64512, 64512] }]);
    assert.deepEqual(pathOf({ prepend: [1, 2] }, [{ type: "sequence", asns: [3] }]), [
      { type: "sequence", asns: [1, 2, 3] },
    ]);
    assert.deepEqual(pathOf({ prepend: [1] }, [{ type: "set", asns: [3] }]), [
      { type: "sequence", asns: [1] },
      { type: "set", asns: [3] },
    ]);
    const none: AsPathSegment[] = [];
    assert.equal(pathOf({ prepend: 0 }, none), none);
  });

  it("adds, removes and replaces communities by kind", () => {
    const kinds = (set: Edits["communities"]) => {
      const result = edited({ communities: set! });
      return [result?.communities, result?.largeCommunities, result?.extendedCommunities];
    };
    const [standard, large, extended] = kinds({});
    assert.deepEqual(kinds({ add: ["65000:1", "no-export", "1:2:3", "soo:1:1"] }), [
      [...standard!, "65535:65281"],
      [...large!, "1:2:3"],
      [...extended!, "0003000100000001"],
    ]);
    assert.deepEqual(kinds({ remove: ["65000:200", "*:*:*"] }), [["65000:1"], undefined, extended]);
    assert.deepEqual(kinds({ remove: "65000:*" }), [undefined, large, extended]);
    assert.deepEqual(kinds({ replace: "1:1" }), [["1:1"], large, extended]);
    assert.deepEqual(kinds({ replace: "rt:1:1", remove: "*:1", add: "9:9" }), [
      ["65000:200", "9:9"],
      large,
      ["0002000100000001"],
    ]);
  });

  it("changes of one's own", () => {
    const changes: PolicyOptions["changes"] = {
      priority: value => attributes => ({ ...attributes, localPref: 1000 - (value as number) }),
    };
    assert.equal(edited({ custom: { priority: 1 } }, route(), { changes })?.localPref, 999);
  });
});

describe("policy: what is wrong is said by place", () => {
  const cases: [policy: unknown, place: string][] = [
    [null, "policy"],
    [{}, "rules"],
    [{ rules: [], chain: [] }, "policy.rules"],
    [{ rules: [{}] }, "rules[0].action"],
    [{ rules: [{ action: "permit" }] }, "rules[0].action"],
    [{ rules: [{ action: "accept", mach: {} }] }, "rules[0].mach"],
    [{ rules: [{ action: "reject", set: { med: 1 } }] }, "rules[0].set"],
    [{ rules: [], otherwise: "drop" }, "otherwise"],
    [{ chain: [{ rules: [] }, { rules: [{ action: "x" }] }] }, "chain[1].rules[0].action"],
    [
      { rules: [{ action: "next" }, { action: "accept", match: { prefixes: ["10.0.0.0/8", "x"] } }] },
      "rules[1].match.prefixes[1]",
    ],
    [{ rules: [{ action: "accept", match: { prefix: "10.0.0.0/8" } }] }, "rules[0].match.prefix"],
    [
      { rules: [{ action: "accept", match: { any: [{}, { not: { origin: "IGP" } }] } }] },
      "rules[0].match.any[1].not.origin",
    ],
    [{ rules: [{ action: "accept", match: { all: {} } }] }, "rules[0].match.all"],
    [{ rules: [{ action: "accept", match: { communities: "70000:1" } }] }, "rules[0].match.communities"],
    [{ rules: [{ action: "accept", match: { communities: "no-such" } }] }, "rules[0].match.communities"],
    [{ rules: [{ action: "accept", match: { asPath: { pattern: "(" } } }] }, "rules[0].match.asPath.pattern"],
    [{ rules: [{ action: "accept", match: { localPref: "9-1" } }] }, "rules[0].match.localPref"],
    [{ rules: [{ action: "accept", match: { localPref: -1 } }] }, "rules[0].match.localPref"],
    [
      { rules: [{ action: "accept", set: { communities: { add: ["1:*"] } } }] },
      "rules[0].set.communities.add[0]",
    ],
    [{ rules: [{ action: "accept", set: { nextHop: "fe80::1%eth0" } }] }, "rules[0].set.nextHop"],
    [{ rules: [{ action: "accept", set: { prepend: 256 } }] }, "rules[0].set.prepend"],
    [{ rules: [{ action: "accept", set: { prepend: [1, "2"] } }] }, "rules[0].set.prepend[1]"],
    [{ rules: [{ action: "accept", set: { localPref: "100" } }] }, "rules[0].set.localPref"],
    [{ rules: [{ action: "accept", set: { custom: { x: 1 } } }] }, "rules[0].set.custom.x"],
  ];
  for (const [policy, place] of cases) {
    it(`${place}: ${JSON.stringify(policy)}`, () => {
      assert.throws(
        () => compilePolicy(policy as Policy),
        (error: unknown) => error instanceof OptionError && error.option === place,
      );
    });
  }
});

function pathsOf({ prefix: _prefix, nextHops: _hops, stale: _stale, ...rest }: Route) {
  const { family, source, sourceType, ...attributes } = rest;
  return { attributes, family, source, sourceType };
}

describe("policy: prepared for an attribute set", () => {
  const prepared = (policy: Policy, what = route()) =>
    compilePolicy(policy).prepare!(pathsOf(what), EXTERNAL);

  it("has one answer for all prefixes where no rule in reach asks for the prefix", () => {
    const byPrefix: PolicyRule = { match: { prefixes: "10.0.0.0/8", origin: "egp" }, action: "accept" };
    const { answer } = prepared({ rules: [byPrefix, { action: "accept", set: { localPref: 5 } }] });
    assert.equal(answer?.localPref, 5);
    assert.equal(prepared({ rules: [byPrefix] }).answer, null);
    assert.equal(prepared({ rules: [byPrefix] }, route({ origin: "egp" })).answer, undefined);
  });

  it("gives equal answers as one object", () => {
    const policy = prepared({
      rules: [
        { match: { prefixes: "10.0.0.0/8 le 32" }, action: "accept", set: { localPref: 5 } },
        { action: "accept", set: { localPref: 6 } },
      ],
    });
    const answers = ["10.1.0.0/16", "10.2.0.0/16", "11.1.0.0/16", "11.2.0.0/16"].map(text => {
      const { address, length } = parsePrefix(text)!;
      return policy.decide(address, 0, length);
    });
    assert.deepEqual(
      answers.map(answer => answer?.localPref),
      [5, 5, 6, 6],
    );
    assert.equal(answers[0], answers[1]);
    assert.equal(answers[2], answers[3]);
  });
});

// --- any policy at all, against the model

const asn = fc.integer({ min: 1, max: 4 });
const asnMatch = fc.oneof(asn, fc.constantFrom("1-2", "2-4"));
const oneOrMore = <T>(item: fc.Arbitrary<T>) => fc.oneof(item, fc.array(item, { maxLength: 3 }));
const community = fc.constantFrom(
  "1:1",
  "1:2",
  "2:1",
  "1:1:1",
  "1:2:1",
  "2:1:1",
  "0002000100000001",
  "0003000100000002",
);
const communityPattern = fc.oneof(
  community,
  fc.constantFrom("1:*", "*:1", "1-2:2", "*:1:*", "1:2-9:1", "0002************"),
);
const prefix4 = fc.constantFrom(
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.0/24",
  "10.1.2.3/32",
  "11.0.0.0/8",
);
const prefix6 = fc.constantFrom("::/0", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::1/128");
const entry = fc.oneof(
  prefix4,
  prefix6,
  fc.constantFrom(
    "0.0.0.0/0 le 32",
    "10.0.0.0/8 ge 9 le 24",
    "10.0.0.0/8 ge 16",
    "::/0 le 48",
    "2001:db8::/32 ge 64",
  ),
);
const numberMatch = oneOrMore(
  fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constantFrom("0-1", "2-3", "absent")),
);
const number = fc.integer({ min: 0, max: 3 });
const optional = { requiredKeys: [] };

const fields: { [K in Exclude<keyof Match, "all" | "any" | "not">]: fc.Arbitrary<NonNullable<Match[K]>> } = {
  prefixes: oneOrMore(entry),
  family: oneOrMore(fc.constantFrom("ipv4-unicast" as const, "ipv6-unicast" as const)),
  communities: oneOrMore(communityPattern),
  asPath: fc.record(
    {
      contains: oneOrMore(asnMatch),
      neighbor: oneOrMore(asnMatch),
      origin: oneOrMore(asnMatch),
      length: numberMatch,
      startsWith: fc.array(asn, { maxLength: 2 }),
    },
    optional,
  ),
  nextHop: oneOrMore(fc.constantFrom("10.0.0.0/8", "10.0.0.1/32", "2001:db8::/64")),
  source: oneOrMore(fc.constantFrom("local" as const, "internal" as const, "external" as const)),
  neighborType: fc.constantFrom("internal" as const, "external" as const),
  neighborAsn: oneOrMore(fc.constantFrom(64512, "65000-65001")),
  neighborAddress: oneOrMore(fc.constantFrom("10.0.0.0/24", "192.0.2.2/32")),
  localPref: numberMatch,
  med: numberMatch,
  origin: oneOrMore(fc.constantFrom("igp" as const, "egp" as const, "incomplete" as const)),
  custom: fc.record({ sourceIs: fc.constantFrom("local", "10.0.0.9") }),
};
const field = fc.oneof(
  ...Object.entries(fields).map(([name, value]) => fc.record({ [name]: value as fc.Arbitrary<unknown> })),
);
// What is left to the prefix is where the compiler has to think, so there is much of it.
const byPrefix = fc.record({ prefixes: oneOrMore(entry) });
const { match } = fc.letrec<{ match: Match }>(tie => ({
  match: fc.oneof(
    { depthSize: "xsmall", withCrossShrink: true },
    fc.tuple(field, field).map(([one, other]): Match => ({ ...one, ...other })),
    field,
    byPrefix,
    fc.array(fc.oneof(byPrefix, tie("match")), { maxLength: 3 }).map(all => ({ all })),
    fc.array(fc.oneof(byPrefix, tie("match")), { maxLength: 3 }).map(any => ({ any })),
    tie("match").map(not => ({ not })),
  ),
}));
const edits: fc.Arbitrary<Edits> = fc.record(
  {
    localPref: fc.oneof(number, fc.constant(null)),
    med: fc.oneof(number, fc.constant(null)),
    origin: fc.constantFrom("igp" as const, "egp" as const),
    nextHop: fc.constantFrom("self", "keep", "2001:db8::7"),
    prepend: fc.oneof(fc.integer({ min: 0, max: 2 }), fc.array(asn, { maxLength: 2 })),
    communities: fc.record(
      { replace: oneOrMore(community), remove: oneOrMore(communityPattern), add: oneOrMore(community) },
      optional,
    ),
  },
  optional,
);
const rule: fc.Arbitrary<PolicyRule> = fc.oneof(
  fc.record({ match, action: fc.constant("reject" as const) }, { requiredKeys: ["action"] }),
  fc.record(
    { match, action: fc.constantFrom("accept" as const, "next" as const, "next" as const), set: edits },
    { requiredKeys: ["action"] },
  ),
);
const otherwise = fc.constantFrom("accept" as const, "reject" as const, "next" as const);
const { policy: anyPolicy } = fc.letrec<{ policy: Policy }>(tie => ({
  policy: fc.oneof(
    { depthSize: "small" },
    fc.record({ rules: fc.array(rule, { maxLength: 6 }), otherwise }, { requiredKeys: ["rules"] }),
    fc.record({ chain: fc.array(tie("policy"), { maxLength: 3 }), otherwise }, { requiredKeys: ["chain"] }),
  ),
}));
const values = (kind: (value: string) => boolean) => {
  const all = ["1:1", "1:2", "2:1", "1:1:1", "1:2:1", "2:1:1", "0002000100000001", "0003000100000002"];
  return fc.option(fc.subarray(all.filter(kind), { minLength: 1 }), { nil: undefined });
};
const attributes = fc.record({
  origin: fc.constantFrom("igp" as const, "egp" as const, "incomplete" as const),
  asPath: fc.array(
    fc.record<AsPathSegment>({
      type: fc.constantFrom("sequence", "sequence", "set", "confed-sequence"),
      asns: fc.array(asn, { minLength: 1, maxLength: 3 }),
    }),
    { maxLength: 2 },
  ),
  nextHop: fc.constantFrom("10.0.0.1", "192.0.2.1", "2001:db8::1", undefined),
  localPref: fc.option(number, { nil: undefined }),
  med: fc.option(number, { nil: undefined }),
  communities: values(value => value.split(":").length === 2),
  largeCommunities: values(value => value.split(":").length === 3),
  extendedCommunities: values(value => !value.includes(":")),
});
const origin = fc.constantFrom(
  { source: "local", sourceType: "local" as const },
  { source: "10.0.0.9", sourceType: "internal" as const },
  { source: "192.0.2.9", sourceType: "external" as const },
);

describe("policy: compiled against the model", function () {
  this.timeout(30_000);
  it("function, prepared form and explanation give what the model gives", () => {
    const conditions: PolicyOptions["conditions"] = { sourceIs: value => paths => paths.source === value };
    const prefixes = fc.array(fc.oneof(prefix4, prefix6), { minLength: 1, maxLength: 6 });
    const neighbors = fc.constantFrom(INTERNAL, EXTERNAL);
    let accepted = 0;
    let total = 0;
    fc.assert(
      fc.property(
        anyPolicy,
        attributes,
        origin,
        prefixes,
        neighbors,
        (policy, set, from, texts, neighbor) => {
          const compiled = compilePolicy(policy, { conditions });
          for (const family of ["ipv4-unicast", "ipv6-unicast"] as const) {
            const prepared = compiled.prepare!({ attributes: set, family, ...from }, neighbor);
            for (const text of texts.filter(one => one.includes(":") === (family === "ipv6-unicast"))) {
              const what: Route = { ...set, ...from, prefix: text, family, nextHops: [], stale: false };
              const expected = naivePolicy(policy, what, neighbor);
              assert.deepEqual(plain(compiled(what, neighbor)), plain(expected));
              assert.deepEqual(plain(compiled.explain(what, neighbor).result), plain(expected));
              const { address, length } = parsePrefix(text)!;
              const { answer = prepared.decide(address, 0, length) } = prepared;
              const again = answer && {
                ...answer,
                ...from,
                prefix: text,
                family,
                nextHops: [],
                stale: false,
              };
              assert.deepEqual(plain(again), plain(expected));
              total++;
              if (expected !== null) accepted++;
            }
          }
        },
      ),
      { numRuns: 2000 },
    );
    // The generators must not make only policies that say no.
    assert.ok(accepted > total / 10 && accepted < (total * 9) / 10, `${accepted} of ${total} accepted`);
  });
});

/** Without what is undefined: absent and undefined are the same attribute. */
function plain(value: Route | null): unknown {
  return JSON.parse(JSON.stringify(value));
}
