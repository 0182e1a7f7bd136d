/** Sending everything again, asked by either side (RFC 2918), and the marks around it (RFC 7313) where the daemon has them. */

import assert from "node:assert/strict";
import {
  type InteropLab,
  type LabSpeaker,
  ours,
  THEIR_AS,
  THEIRS,
  withEachDaemon,
} from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_PREFIXES = ["192.168.1.0/24", "192.168.2.0/24"];
const THEIR_PREFIXES = ["10.20.0.0/24", "10.20.1.0/24"];

const kindsOf = (us: LabSpeaker) =>
  us.speaker.neighbor(THEIRS)?.remoteCapabilities?.map(({ kind }) => kind) ?? [];
const counters = (us: LabSpeaker) => us.speaker.neighbor(THEIRS)!;

const starting = (lab: InteropLab) => async () => {
  const daemon = await lab.daemon({
    neighbors: [{ address: ours(), asn: THEIR_AS }],
    routes: THEIR_PREFIXES.map(prefix => ({ prefix })),
  });
  const us = await lab.speaker({ asn: THEIR_AS }, { address: THEIRS, asn: THEIR_AS });
  for (const prefix of OUR_PREFIXES) us.speaker.announce({ prefix });
  await lab.established(us, daemon);
  for (const prefix of THEIR_PREFIXES) await us.untilRoute(prefix);
  await until("our routes on their side", async () =>
    (await daemon.received(ours())).length === OUR_PREFIXES.length ? true : undefined,
  );
  return { daemon, us };
};

withEachDaemon("route refresh, theirs", lab => {
  const start = starting(lab);

  it("is got when we ask: a new import policy sees every route, and no route is lost", async () => {
    const { daemon, us } = await start();
    const before = counters(us).received;
    const neighbor = lab.neighbor({ address: THEIRS, asn: THEIR_AS });
    us.speaker.updateNeighbor({ ...neighbor, importPolicy: route => ({ ...route, localPref: 4711 }) });
    for (const prefix of THEIR_PREFIXES) {
      await us.until("the new LOCAL_PREF", () =>
        us.speaker.paths(prefix)[0]?.localPref === 4711 ? true : undefined,
      );
    }
    assert.equal(counters(us).established, 1);
    assert.equal(counters(us).prefixes.stale, 0);
    const marks = kindsOf(us).includes("enhanced-route-refresh") ? 2 : 0;
    await until("the marks of its answer", () =>
      counters(us).received.routeRefresh === before.routeRefresh + marks ? true : undefined,
    );
    assert.equal(counters(us).prefixes.received, THEIR_PREFIXES.length);
    assert.equal((await daemon.session(ours())).isEstablished, true);
  });
});

// gobgpd's soft reset looks at what it has kept, and asks nobody.
withEachDaemon(
  "route refresh, ours",
  lab => {
    const start = starting(lab);

    it("is answered when the daemon asks, and its routes stay what they were", async () => {
      const { daemon, us } = await start();
      const before = counters(us);
      await daemon.askRefresh(ours());
      await until("our answer", () =>
        counters(us).sent.update >= before.sent.update + 1 &&
        counters(us).received.routeRefresh > before.received.routeRefresh
          ? true
          : undefined,
      );
      // BoRR and EoRR, to who knows them.
      const marks = kindsOf(us).includes("enhanced-route-refresh") ? 2 : 0;
      await until("the marks", () =>
        counters(us).sent.routeRefresh === before.sent.routeRefresh + marks ? true : undefined,
      );
      const prefixes = (await daemon.received(ours())).map(({ prefix }) => prefix).sort();
      assert.deepEqual(prefixes, OUR_PREFIXES);
      assert.equal(counters(us).established, 1);
    });

    it("asked for in a loop is answered in moderation, and the session stands", async () => {
      const { daemon, us } = await start();
      const before = counters(us);
      for (let i = 0; i < 12; i++) await daemon.askRefresh(ours());
      await until("the requests", () =>
        counters(us).received.routeRefresh >= before.received.routeRefresh + 8 ? true : undefined,
      );
      await lab.established(us, daemon);
      const updates = counters(us).sent.update - before.sent.update;
      assert.ok(updates <= 4, `${updates} UPDATEs of one route set`);
      assert.equal(counters(us).established, 1);
    });
  },
  ["bird", "frr"],
);
