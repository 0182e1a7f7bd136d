/** Sessions with other people's daemons: who dials, which families over which session, which AS numbers. */

import assert from "node:assert/strict";
import { Family, type NeighborOptions } from "../../index.ts";
import type { DaemonNeighbor } from "../kit/daemons/daemon.ts";
import { ours, ours6, THEIR_AS, THEIRS, THEIRS6, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
const OUR_WIDE_AS = 4200000001;
const THEIR_WIDE_AS = 4200000002;
const BOTH = Object.values(Family);
const THEIR_ROUTES = [{ prefix: "10.20.0.0/24" }, { prefix: "fd20::/64" }];

withEachDaemon("sessions", lab => {
  for (const [who, our, their] of [
    ["we dial", {}, { passive: true }],
    ["they dial", { passive: true }, {}],
    ["both dial", {}, {}],
  ] as const) {
    it(`comes up where ${who}`, async () => {
      const daemon = await lab.daemon({ neighbors: [{ address: ours(), asn: OUR_AS, ...their }] });
      const us = await lab.speaker({ asn: OUR_AS }, { address: THEIRS, asn: THEIR_AS, ...our });
      await lab.established(us, daemon);
    });
  }

  const sessions: Record<string, { our: NeighborOptions[]; their: DaemonNeighbor[] }> = {
    "one IPv4 session": {
      our: [{ address: THEIRS, asn: THEIR_AS, families: BOTH }],
      their: [{ address: ours(), asn: OUR_AS, families: BOTH }],
    },
    "one IPv6 session": {
      our: [{ address: THEIRS6, asn: THEIR_AS, families: BOTH }],
      their: [{ address: ours6(), asn: OUR_AS, families: BOTH }],
    },
    "a session each": {
      our: [
        { address: THEIRS, asn: THEIR_AS },
        { address: THEIRS6, asn: THEIR_AS },
      ],
      their: [
        { address: ours(), asn: OUR_AS },
        { address: ours6(), asn: OUR_AS },
      ],
    },
  };
  for (const [how, { our, their }] of Object.entries(sessions)) {
    it(`carries IPv4 and IPv6 both ways over ${how}, and takes them back`, async () => {
      const daemon = await lab.daemon({ neighbors: their, routes: THEIR_ROUTES });
      const us = await lab.speaker({ asn: OUR_AS }, ...our);
      us.speaker.announce({ prefix: "192.168.1.0/26" });
      us.speaker.announce({ prefix: "fd10::/64" });
      for (const [i, { address }] of our.entries())
        await lab.established(us, daemon, { theirs: address, ours: their[i]!.address });
      assert.equal((await us.untilRoute("10.20.0.0/24")).nextHop, THEIRS);
      assert.equal((await us.untilRoute("fd20::/64")).nextHop, THEIRS6);

      const atTheirs = async (family: Family) =>
        (await Promise.all(their.map(({ address }) => daemon.received(address, family)))).flat();
      for (const [family, prefix, nextHop] of [
        [Family.ipv4Unicast, "192.168.1.0/26", ours()],
        [Family.ipv6Unicast, "fd10::/64", ours6()],
      ] as const) {
        const routes = await until(`${prefix} at theirs`, async () => {
          const found = await atTheirs(family);
          return found.length > 0 ? found : undefined;
        });
        assert.deepEqual(
          routes.map(route => [route.prefix, route.nextHop, route.asPath]),
          [[prefix, nextHop, String(OUR_AS)]],
        );
      }

      us.speaker.withdraw("192.168.1.0/26");
      us.speaker.withdraw("fd10::/64");
      await until("them to forget", async () => {
        const left = await Promise.all(BOTH.map(atTheirs));
        return left.flat().length === 0 || undefined;
      });
      await daemon.withdraw(["10.20.0.0/24", "fd20::/64"]);
      await us.untilGone("10.20.0.0/24");
      await us.untilGone("fd20::/64");
      await daemon.announce(THEIR_ROUTES);
      await us.untilRoute("fd20::/64");
      await us.untilRoute("10.20.0.0/24");
      for (const { address } of our) assert.equal(us.speaker.neighbor(address)?.established, 1);
    });
  }

  for (const [which, ourAs, theirAs] of [
    ["internal", THEIR_AS, THEIR_AS],
    ["internal with 4-octet AS numbers", OUR_WIDE_AS, OUR_WIDE_AS],
    ["external where ours has 4 octets", OUR_WIDE_AS, THEIR_AS],
    ["external where theirs has 4 octets", OUR_AS, THEIR_WIDE_AS],
    ["external where both have 4 octets", OUR_WIDE_AS, THEIR_WIDE_AS],
  ] as const) {
    it(`is ${which}: AS paths and LOCAL_PREF are what they should be`, async () => {
      const daemon = await lab.daemon({
        asn: theirAs,
        neighbors: [{ address: ours(), asn: ourAs }],
        routes: [{ prefix: "10.20.0.0/24", asPath: [4200000009, 3] }],
      });
      const us = await lab.speaker({ asn: ourAs }, { address: THEIRS, asn: theirAs });
      us.speaker.announce({
        prefix: "192.168.1.0/26",
        localPref: 150,
        asPath: [
          { type: "sequence", asns: [4200000008, 4] },
          { type: "set", asns: [5, 4200000007] },
        ],
      });
      await lab.established(us, daemon);
      const isInternal = ourAs === theirAs;
      const learned = await us.untilRoute("10.20.0.0/24");
      assert.equal(learned.asPath, isInternal ? "4200000009 3" : `${theirAs} 4200000009 3`);
      assert.equal(learned.localPref, isInternal ? 100 : undefined);
      const theirs = await until("ours at theirs", async () => (await daemon.received(ours()))[0]);
      const path = "4200000008 4 {5 4200000007}";
      assert.equal(theirs.asPath, isInternal ? path : `${ourAs} ${path}`);
      if (isInternal) assert.equal(theirs.localPref, 150);
    });
  }
});

withEachDaemon(
  "sessions with a speaker of before RFC 6793",
  lab => {
    it("4-octet AS numbers are AS_TRANS to it, and where it passes AS4_PATH on, the truth beyond it", async () => {
      // bird without 4-octet AS numbers refuses to have a neighbor with one.
      const asn = lab.name === "bird" ? OUR_AS : OUR_WIDE_AS;
      const daemon = await lab.daemon({
        neighbors: [
          { address: ours(1), asn, fourOctetAs: false },
          { address: ours(2), asn: 65001, fourOctetAs: false },
        ],
      });
      const origin = await lab.speaker({ asn }, { address: THEIRS, asn: THEIR_AS });
      const beyond = await lab.speaker({ asn: 65001, at: 2 }, { address: THEIRS, asn: THEIR_AS });
      origin.speaker.announce({
        prefix: "192.168.1.0/26",
        asPath: [{ type: "sequence", asns: [4200000008, 4] }],
      });
      await lab.established(origin, daemon);
      await lab.established(beyond, daemon, { ours: ours(2) });
      const capabilities = origin.speaker.neighbor(THEIRS)?.remoteCapabilities ?? [];
      assert.ok(!capabilities.some(({ kind }) => kind === "four-octet-as"));
      const there = await until("the route at theirs", async () => (await daemon.received(ours(1)))[0]);
      const { asPath } = await beyond.untilRoute("192.168.1.0/26");
      // bird puts the path together, and takes it apart again for the next. frr has read our capability, so it
      // believes AS_PATH although it did not offer its own, and drops AS4_PATH.
      const seen = lab.name === "bird" ? `${asn} 4200000008 4` : "23456 23456 4";
      assert.equal(there.asPath, seen);
      assert.equal(asPath, `${THEIR_AS} ${seen}`);
    });
  },
  // gobgp always says that it knows 4-octet numbers.
  ["bird", "frr"],
);
