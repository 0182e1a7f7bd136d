/** Sessions with other people's daemons: who dials, which family, which AS numbers. */

import assert from "node:assert/strict";
import { Family } from "../../index.ts";
import { ours, ours6, THEIR_AS, THEIRS, THEIRS6, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
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

  it("carries IPv4 and IPv6 both ways over one IPv4 session, and takes them back", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours(), asn: OUR_AS, families: BOTH }],
      routes: THEIR_ROUTES,
    });
    const us = await lab.speaker({ asn: OUR_AS }, { address: THEIRS, asn: THEIR_AS, families: BOTH });
    us.speaker.announce({ prefix: "192.168.1.0/26" });
    us.speaker.announce({ prefix: "fd10::/64" });
    await lab.established(us, daemon);
    assert.equal((await us.untilRoute("10.20.0.0/24")).nextHop, THEIRS);
    assert.equal((await us.untilRoute("fd20::/64")).nextHop, THEIRS6);
    const at = (prefix: string, family: Family) =>
      until(`${prefix} at theirs`, async () =>
        (await daemon.received(ours(), family)).find(route => route.prefix === prefix),
      );
    assert.equal((await at("192.168.1.0/26", Family.ipv4Unicast)).nextHop, ours());
    assert.equal((await at("fd10::/64", Family.ipv6Unicast)).nextHop, ours6());

    us.speaker.withdraw("192.168.1.0/26");
    us.speaker.withdraw("fd10::/64");
    await until("them to forget", async () => {
      const left = await Promise.all(BOTH.map(family => daemon.received(ours(), family)));
      return left.flat().length === 0 || undefined;
    });
    await daemon.withdraw(["10.20.0.0/24", "fd20::/64"]);
    await us.untilGone("10.20.0.0/24");
    await us.untilGone("fd20::/64");
    await daemon.announce(THEIR_ROUTES);
    await us.untilRoute("fd20::/64");
    await us.untilRoute("10.20.0.0/24");
    assert.equal(us.speaker.neighbor(THEIRS)?.established, 1);
  });
});
