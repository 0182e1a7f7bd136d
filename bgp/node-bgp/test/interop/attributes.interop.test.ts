/** What is announced is what arrives, both ways, attribute by attribute; and well-known communities are obeyed. */

import assert from "node:assert/strict";
import { type LocalRoute, WellKnownCommunity } from "../../index.ts";
import type { LearnedRoute, OriginatedRoute } from "../kit/daemons/daemon.ts";
import {
  type InteropLab,
  ours,
  ours6,
  routeTarget,
  THEIR_AS,
  THEIRS,
  THEIRS6,
  withEachDaemon,
} from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
const MANY = 10_000;

withEachDaemon("attributes", lab => {
  it(`${MANY} IPv4 prefixes each way inside an AS`, async () => {
    await exchange(lab, { isIpv6: false, ourAs: THEIR_AS });
  });

  it(`${MANY} IPv6 prefixes each way between ASes`, async () => {
    await exchange(lab, { isIpv6: true, ourAs: OUR_AS });
  });

  it("standard, large and extended communities of all kinds", async () => {
    const daemon = await lab.daemon({
      neighbors: [
        { address: ours(1), asn: OUR_AS },
        { address: ours(2), asn: 64514 },
      ],
      routes: [
        {
          prefix: "10.20.0.0/24",
          communities: Array.from({ length: 60 }, (_, i) => `64512:${i}`),
          largeCommunities: Array.from({ length: 30 }, (_, i) => `4200000000:${i}:4294967295`),
          routeTargets: Array.from({ length: 35 }, (_, i) => `64512:${100000 + i}`),
        },
      ],
    });
    const us = await lab.speaker({ asn: OUR_AS }, { address: THEIRS, asn: THEIR_AS });
    const beyond = await lab.speaker({ asn: 64514, at: 2 }, { address: THEIRS, asn: THEIR_AS });
    const sent = {
      communities: ["0:1", "65535:65535", "64513:1"],
      largeCommunities: ["0:0:0", "4294967295:4294967295:4294967295"],
      // A route target of a 2-octet AS, one of an address, one of a 4-octet AS, a route origin; opaque ones, transitive and not known.
      extendedCommunities: [
        "0002fc0000000007",
        "01020a0000010007",
        "0202fa56ea010007",
        "0003fc0100000001",
        "030b000000000064",
        "0a99010203040506",
      ],
    };
    us.speaker.announce({ prefix: "192.168.1.0/26", ...sent });
    await lab.established(us, daemon);
    await lab.established(beyond, daemon, { ours: ours(2) });

    const learned = await us.untilRoute("10.20.0.0/24");
    assert.equal(learned.communities.length, 60);
    assert.equal(learned.largeCommunities.length, 30);
    assert.equal(learned.routeTargets.length, 35);
    assert.ok(learned.communities.includes("64512:59"));
    assert.ok(learned.largeCommunities.includes("4200000000:29:4294967295"));
    assert.ok(learned.routeTargets.includes("64512:100034"));

    // Not every daemon can print every kind: what it passes on says what it has understood.
    await beyond.untilRoute("192.168.1.0/26");
    const passed = beyond.speaker.route("192.168.1.0/26")!;
    assert.deepEqual([...passed.communities!].sort(), [...sent.communities].sort());
    assert.deepEqual([...passed.largeCommunities!].sort(), [...sent.largeCommunities].sort());
    assert.deepEqual([...passed.extendedCommunities!].sort(), [...sent.extendedCommunities].sort());
    const [there] = await daemon.received(ours(1));
    assert.deepEqual(there!.communities, [...sent.communities].sort());
    assert.deepEqual(there!.largeCommunities, [...sent.largeCommunities].sort());
  });

  it("NO_EXPORT and NO_ADVERTISE of ours bind them", async function () {
    // gobgp 3.10 passes such routes on to everybody.
    if (lab.name === "gobgp") return this.skip();
    const daemon = await lab.daemon({
      neighbors: [
        { address: ours(1), asn: OUR_AS },
        { address: ours(2), asn: 64514 },
        { address: ours(3), asn: THEIR_AS },
      ],
    });
    const us = await lab.speaker({ asn: OUR_AS, at: 1 }, { address: THEIRS, asn: THEIR_AS });
    const outside = await lab.speaker({ asn: 64514, at: 2 }, { address: THEIRS, asn: THEIR_AS });
    const inside = await lab.speaker({ asn: THEIR_AS, at: 3 }, { address: THEIRS, asn: THEIR_AS });
    const { noExport, noAdvertise } = WellKnownCommunity;
    us.speaker.announce({ prefix: "192.168.1.0/26", communities: [noExport] });
    us.speaker.announce({ prefix: "192.168.2.0/26", communities: [noAdvertise] });
    us.speaker.announce({ prefix: "192.168.3.0/26" });
    for (const [i, speaker] of [us, outside, inside].entries())
      await lab.established(speaker, daemon, { ours: ours(i + 1) });
    await until(
      "all three at theirs",
      async () => (await daemon.received(ours(1))).length === 3 || undefined,
    );
    await inside.untilRoute("192.168.3.0/26");
    await outside.untilRoute("192.168.3.0/26");
    await inside.untilRoute("192.168.1.0/26");
    // Whatever else there might be has been sent before a route that was announced later.
    us.speaker.announce({ prefix: "192.168.4.0/26" });
    await inside.untilRoute("192.168.4.0/26");
    await outside.untilRoute("192.168.4.0/26");
    const prefixes = (routes: readonly LearnedRoute[]) => routes.map(({ prefix }) => prefix).sort();
    assert.deepEqual(prefixes(inside.received(THEIRS)), [
      "192.168.1.0/26",
      "192.168.3.0/26",
      "192.168.4.0/26",
    ]);
    assert.deepEqual(prefixes(outside.received(THEIRS)), ["192.168.3.0/26", "192.168.4.0/26"]);
  });

  it("NO_EXPORT of theirs binds us", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(1), asn: THEIR_AS }],
      routes: [{ prefix: "10.20.1.0/24", communities: [WellKnownCommunity.noExport] }],
    });
    const neighbor = { asn: THEIR_AS, reflectorClient: true };
    const us = await lab.speaker(
      { asn: THEIR_AS, at: 1 },
      { ...neighbor, address: THEIRS },
      { ...neighbor, address: ours(2) },
      { address: ours(3), asn: 64514 },
    );
    const inside = await lab.speaker({ asn: THEIR_AS, at: 2 }, { address: ours(1), asn: THEIR_AS });
    const outside = await lab.speaker({ asn: 64514, at: 3 }, { address: ours(1), asn: THEIR_AS });
    await lab.established(us, daemon);
    await inside.untilRoute("10.20.1.0/24");
    await daemon.announce([{ prefix: "10.20.2.0/24" }]);
    await inside.untilRoute("10.20.2.0/24");
    await outside.untilRoute("10.20.2.0/24");
    assert.deepEqual(
      outside.received(ours(1)).map(({ prefix }) => prefix),
      ["10.20.2.0/24"],
    );
  });
});

/** Both sides announce many routes with many attribute sets; each must have exactly what the other announced. */
async function exchange(lab: InteropLab, { isIpv6, ourAs }: { isIpv6: boolean; ourAs: number }) {
  const [theirs, our] = isIpv6 ? [THEIRS6, ours6()] : [THEIRS, ours()];
  const isInternal = ourAs === THEIR_AS;
  const ourRoutes = Array.from({ length: MANY }, (_, i) => ourRoute(i, isIpv6, isInternal));
  const theirRoutes = Array.from({ length: MANY }, (_, i) => theirRoute(i, isIpv6));
  const daemon = await lab.daemon({ neighbors: [{ address: our, asn: ourAs }], routes: theirRoutes });
  const us = await lab.speaker({ asn: ourAs }, { address: theirs, asn: THEIR_AS });
  for (const route of ourRoutes) us.speaker.announce(route);
  await lab.established(us, daemon, { theirs, ours: our });

  const family = isIpv6 ? "ipv6-unicast" : "ipv4-unicast";
  // Ours are among the best routes too.
  const count = () => Array.from(us.speaker.routes(family)).length;
  await until("all of theirs", () => (count() === 2 * MANY ? true : undefined), 20);
  const expected = theirRoutes.map(route => whatWeShouldGet(route, theirs, isInternal));
  assert.deepEqual(differences(us.received(theirs, family), expected), []);
  const atTheirs = await until(
    "all of ours",
    async () => {
      const routes = await daemon.received(our, family);
      return routes.length >= MANY ? routes : undefined;
    },
    30,
  );
  // What they make of a LOCAL_PREF that was not sent is theirs.
  const received = isInternal ? atTheirs : atTheirs.map(route => ({ ...route, localPref: undefined }));
  assert.deepEqual(
    differences(
      received,
      ourRoutes.map(route => whatTheyShouldGet(route, our, ourAs, isInternal)),
    ),
    [],
  );
}

function ourRoute(i: number, isIpv6: boolean, isInternal: boolean): LocalRoute {
  const set = i % 41;
  return {
    prefix: isIpv6 ? `fd10:${(i + 1).toString(16)}::/64` : `192.${i >> 8}.${i & 255}.0/24`,
    ...(isInternal ? { nextHop: `10.99.0.${20 + (set % 5)}`, localPref: 100 + set } : {}),
    ...(set % 3 === 0 ? {} : { med: set * 1000 }),
    origin: (["igp", "egp", "incomplete"] as const)[set % 3]!,
    asPath: set % 4 === 0 ? [] : [{ type: "sequence", asns: [65100 + set, 4200000000 + set] }],
    communities: Array.from({ length: set % 5 }, (_, n) => `64513:${set * 10 + n}`),
    largeCommunities: set % 7 === 0 ? [`4200000001:${set}:1`] : [],
    extendedCommunities: set % 6 === 0 ? [`0002fc01000000${(set + 16).toString(16)}`] : [],
  };
}

function theirRoute(i: number, isIpv6: boolean): OriginatedRoute {
  const set = i % 37;
  return {
    prefix: isIpv6 ? `fd20:${(i + 1).toString(16)}::/64` : `172.${i >> 8}.${i & 255}.0/24`,
    localPref: 100 + set,
    med: set * 100,
    origin: (["igp", "egp", "incomplete"] as const)[set % 3]!,
    asPath: set % 4 === 0 ? [] : [65200 + set, 4200000100 + set],
    communities: Array.from({ length: set % 5 }, (_, n) => `64512:${set * 10 + n}`),
    largeCommunities: set % 7 === 0 ? [`4200000002:${set}:1`] : [],
    routeTargets: set % 6 === 0 ? [`64512:${set}`] : [],
  };
}

function whatWeShouldGet(route: OriginatedRoute, nextHop: string, isInternal: boolean): LearnedRoute {
  const { prefix, asPath = [], origin = "igp", med, localPref } = route;
  return {
    prefix,
    nextHop,
    origin,
    med,
    asPath: (isInternal ? asPath : [THEIR_AS, ...asPath]).join(" "),
    localPref: isInternal ? localPref : undefined,
    communities: [...(route.communities ?? [])].sort(),
    largeCommunities: [...(route.largeCommunities ?? [])].sort(),
    routeTargets: [...(route.routeTargets ?? [])].sort(),
    originatorId: undefined,
    clusterList: [],
    stale: false,
    from: nextHop,
  };
}

function whatTheyShouldGet(route: LocalRoute, our: string, ourAs: number, isInternal: boolean): LearnedRoute {
  const asns = (route.asPath ?? []).flatMap(segment => segment.asns);
  return {
    prefix: route.prefix,
    nextHop: route.nextHop ?? our,
    origin: route.origin ?? "igp",
    med: route.med,
    asPath: (isInternal ? asns : [ourAs, ...asns]).join(" "),
    localPref: isInternal ? route.localPref : undefined,
    communities: [...(route.communities ?? [])].sort(),
    largeCommunities: [...(route.largeCommunities ?? [])].sort(),
    routeTargets: (route.extendedCommunities ?? []).flatMap(routeTarget).sort(),
    originatorId: undefined,
    clusterList: [],
    stale: false,
    from: our,
  };
}

/** The first few routes that only one side has, a line each: thousands could not be read. */
function differences(actual: readonly LearnedRoute[], expected: readonly LearnedRoute[]): string[] {
  const [got, wanted] = [actual, expected].map(routes => routes.map(line).sort()) as [string[], string[]];
  const [gotSet, wantedSet] = [new Set(got), new Set(wanted)];
  return [
    ...(got.length === wanted.length ? [] : [`${got.length} routes and not ${wanted.length}`]),
    ...got
      .filter(text => !wantedSet.has(text))
      .map(text => `has    ${text}`)
      .slice(0, 5),
    ...wanted
      .filter(text => !gotSet.has(text))
      .map(text => `wants  ${text}`)
      .slice(0, 5),
  ];
}

function line(route: LearnedRoute): string {
  return [
    route.prefix,
    `via ${route.nextHop} from ${route.from}`,
    `path "${route.asPath}" ${route.origin}`,
    `med ${route.med} pref ${route.localPref}`,
    ...route.communities,
    ...route.largeCommunities,
    ...route.routeTargets,
    `originator ${route.originatorId} ${route.clusterList}${route.stale ? " stale" : ""}`,
  ].join(" ");
}
