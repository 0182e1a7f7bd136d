/**
 * Route reflection (RFC 4456), both ways round. What a client gets is checked at the client: ORIGINATOR_ID, CLUSTER_LIST, and everything else untouched, the next hop above all.
 */

import assert from "node:assert/strict";
import type { LocalRoute } from "../../index.ts";
import type { LearnedRoute, OriginatedRoute } from "../kit/daemons/daemon.ts";
import { ours, THEIR_AS, THEIRS, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const CLUSTER = "10.0.0.99";

const OUR_ROUTE: LocalRoute = {
  prefix: "192.168.1.0/26",
  localPref: 250,
  med: 30,
  origin: "incomplete",
  asPath: [{ type: "sequence", asns: [65010, 4200000010] }],
  communities: ["64512:10", "65000:20"],
  largeCommunities: ["64512:1:2"],
  extendedCommunities: ["0002fc0000000007"],
};
const THEIR_ROUTE: OriginatedRoute = {
  prefix: "10.20.0.0/24",
  localPref: 150,
  med: 7,
  asPath: [65011],
  communities: ["64512:11"],
  largeCommunities: ["64512:3:4"],
  routeTargets: ["64512:8"],
};

const ATTRIBUTES = {
  localPref: 250,
  med: 30,
  origin: "incomplete",
  asPath: "65010 4200000010",
  communities: ["64512:10", "65000:20"],
  largeCommunities: ["64512:1:2"],
  routeTargets: ["64512:7"],
};

withEachDaemon("reflection", lab => {
  it("by them: our route comes to another client of theirs as we sent it", async () => {
    const client = (i: number) => ({ address: ours(i), asn: THEIR_AS, reflectorClient: true });
    const daemon = await lab.daemon({ clusterId: CLUSTER, neighbors: [client(1), client(2)] });
    const here = await lab.speaker({ asn: THEIR_AS, at: 1 }, { address: THEIRS, asn: THEIR_AS });
    const there = await lab.speaker({ asn: THEIR_AS, at: 2 }, { address: THEIRS, asn: THEIR_AS });
    here.speaker.announce(OUR_ROUTE);
    await lab.established(here, daemon, { ours: ours(1) });
    await lab.established(there, daemon, { ours: ours(2) });
    const route = await there.untilRoute(OUR_ROUTE.prefix);
    assert.deepEqual(pick(route), {
      ...ATTRIBUTES,
      nextHop: ours(1),
      originatorId: ours(1),
      clusterList: [CLUSTER],
    });
    // What comes back to who sent it is not taken (RFC 4456 8).
    assert.deepEqual(
      here.speaker.paths(OUR_ROUTE.prefix).map(({ source }) => source),
      ["local"],
    );
    here.speaker.withdraw(OUR_ROUTE.prefix);
    await there.untilGone(OUR_ROUTE.prefix);
  });

  it("by us: a client's route comes to them, and theirs to the client, as they were sent", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(1), asn: THEIR_AS }],
      routes: [THEIR_ROUTE],
    });
    const neighbor = (address: string) => ({ address, asn: THEIR_AS, reflectorClient: true });
    const reflector = await lab.speaker(
      { asn: THEIR_AS, at: 1, clusterId: CLUSTER },
      neighbor(THEIRS),
      neighbor(ours(2)),
    );
    const client = await lab.speaker({ asn: THEIR_AS, at: 2 }, { address: ours(1), asn: THEIR_AS });
    client.speaker.announce(OUR_ROUTE);
    await lab.established(reflector, daemon);
    await client.untilState(ours(1), "Established");

    const atTheirs = await until("the client's route", async () => (await daemon.received(ours(1)))[0]);
    assert.deepEqual(pick(atTheirs), {
      ...ATTRIBUTES,
      nextHop: ours(2),
      originatorId: ours(2),
      clusterList: [CLUSTER],
    });
    const { asPath, communities, largeCommunities, ...rest } = pick(
      await client.untilRoute(THEIR_ROUTE.prefix),
    );
    assert.deepEqual(rest, {
      localPref: 150,
      med: 7,
      origin: "igp",
      routeTargets: ["64512:8"],
      nextHop: THEIRS,
      originatorId: THEIRS,
      clusterList: [CLUSTER],
    });
    assert.deepEqual([asPath, communities, largeCommunities], ["65011", ["64512:11"], ["64512:3:4"]]);

    await daemon.withdraw([THEIR_ROUTE.prefix]);
    await client.untilGone(THEIR_ROUTE.prefix);
    client.speaker.withdraw(OUR_ROUTE.prefix);
    await until("them to forget", async () =>
      (await daemon.received(ours(1))).length === 0 ? true : undefined,
    );
  });

  it("through both: each puts its cluster in front, and neither takes back what was its own", async () => {
    const daemon = await lab.daemon({
      clusterId: CLUSTER,
      neighbors: [1, 3].map(i => ({ address: ours(i), asn: THEIR_AS, reflectorClient: true })),
    });
    const reflector = await lab.speaker(
      { asn: THEIR_AS, at: 1, clusterId: "10.0.0.98" },
      { address: THEIRS, asn: THEIR_AS, reflectorClient: true },
      { address: ours(2), asn: THEIR_AS, reflectorClient: true },
    );
    const first = await lab.speaker({ asn: THEIR_AS, at: 2 }, { address: ours(1), asn: THEIR_AS });
    const last = await lab.speaker({ asn: THEIR_AS, at: 3 }, { address: THEIRS, asn: THEIR_AS });
    first.speaker.announce(OUR_ROUTE);
    last.speaker.announce({ prefix: "192.168.2.0/26" });
    await lab.established(reflector, daemon);
    await lab.established(last, daemon, { ours: ours(3) });
    const there = await last.untilRoute(OUR_ROUTE.prefix);
    assert.deepEqual(pick(there), {
      ...ATTRIBUTES,
      nextHop: ours(2),
      originatorId: ours(2),
      clusterList: [CLUSTER, "10.0.0.98"],
    });
    const back = await first.untilRoute("192.168.2.0/26");
    assert.deepEqual([back.nextHop, back.originatorId], [ours(3), ours(3)]);
    assert.deepEqual(back.clusterList, ["10.0.0.98", CLUSTER]);
  });
});

function pick(route: LearnedRoute) {
  const { localPref, med, origin, asPath, communities, largeCommunities, routeTargets } = route;
  const { nextHop, originatorId, clusterList } = route;
  return {
    localPref,
    med,
    origin,
    asPath,
    communities,
    largeCommunities,
    routeTargets,
    nextHop,
    originatorId,
    clusterList,
  };
}
