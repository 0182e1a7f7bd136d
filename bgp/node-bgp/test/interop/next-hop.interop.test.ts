/** IPv4 routes with IPv6 next hops (RFC 8950), over sessions between global addresses; link-local.interop.test.ts has the others. */

import assert from "node:assert/strict";
import { Family } from "../../index.ts";
import { ours6, THEIR_AS, THEIRS, THEIRS6, withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OUR_AS = 64513;
const BOTH = Object.values(Family);

withEachDaemon("IPv4 routes with IPv6 next hops", lab => {
  it("go both ways over an IPv6 session", async () => {
    const daemon = await lab.daemon({
      neighbors: [{ address: ours6(), asn: OUR_AS, families: BOTH, extendedNextHop: true }],
      routes: [{ prefix: "10.20.0.0/24" }, { prefix: "fd20::/64" }],
    });
    const us = await lab.speaker(
      { asn: OUR_AS },
      {
        address: THEIRS6,
        asn: THEIR_AS,
        families: BOTH,
        extendedNextHop: true,
        // No IPv4 address to give: the IPv6 one it must be.
        nextHopSelf: { ipv6: ours6() },
      },
    );
    us.speaker.announce({ prefix: "192.168.1.0/24" });
    us.speaker.announce({ prefix: "fd10::/64" });
    await lab.established(us, daemon, { theirs: THEIRS6, ours: ours6() });
    // gobgp sends its own routes with the next hop they were given; only what it learns gets another.
    const expected = lab.name === "gobgp" ? THEIRS : THEIRS6;
    assert.equal((await us.untilRoute("10.20.0.0/24")).nextHop, expected);
    assert.equal((await us.untilRoute("fd20::/64")).nextHop, THEIRS6);
    for (const family of BOTH) {
      const [route] = await until("ours at theirs", async () => {
        const routes = await daemon.received(ours6(), family);
        return routes.length > 0 ? routes : undefined;
      });
      assert.equal(route!.nextHop, ours6(), family);
    }
    us.speaker.withdraw("192.168.1.0/24");
    await until("theirs to forget", async () =>
      (await daemon.received(ours6(), Family.ipv4Unicast)).length === 0 ? true : undefined,
    );
    await daemon.withdraw(["10.20.0.0/24"]);
    await us.untilGone("10.20.0.0/24");
  });
});
