/** IPv4 routes with IPv6 next hops (RFC 8950), over sessions between global and between link-local addresses. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Family } from "../../index.ts";
import type { DaemonNeighbor } from "../kit/daemons/daemon.ts";
import { type InteropLab, ours6, THEIR_AS, THEIRS, THEIRS6, withEachDaemon } from "../kit/interop-lab.ts";
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

withEachDaemon(
  "a session between link-local addresses",
  lab => {
    for (const [who, passive] of [
      ["we dial", false],
      ["they dial", true],
    ] as const) {
      it(`carries both families without an address of our own, where ${who}`, async () => {
        const [ourEnd, theirEnd] = [lab.cable.left, lab.cable.right].map(linkLocal) as [string, string];
        const neighbor: DaemonNeighbor = {
          address: `${ourEnd}%eth0`,
          localAddress: theirEnd,
          asn: OUR_AS,
          families: BOTH,
          extendedNextHop: true,
          passive: !passive,
        };
        const daemon = await lab.daemon({
          neighbors: [neighbor],
          routes: [{ prefix: "10.20.0.0/24" }, { prefix: "fd20::/64" }],
        });
        const us = await listening(lab, {
          address: `${theirEnd}%eth0`,
          asn: THEIR_AS,
          families: BOTH,
          extendedNextHop: true,
          passive,
          nextHopSelf: {},
        });
        us.speaker.announce({ prefix: "192.168.1.0/24" });
        await us.untilState(`${theirEnd}%eth0`, "Established", 15);
        const learned = await us.untilRoute("10.20.0.0/24");
        assert.ok([learned.nextHop, learned.linkLocalNextHop].includes(theirEnd), JSON.stringify(learned));
        await us.untilRoute("fd20::/64");
        const route = await until(
          "ours at theirs",
          async () => (await daemon.received(neighbor.address, Family.ipv4Unicast))[0],
        );
        assert.ok([route.nextHop, route.linkLocalNextHop].includes(ourEnd), JSON.stringify(route));
      });
    }
  },
  // frr finds such neighbors by router advertisements only; gobgp 3.10 dies of a neighbor whose address has a zone.
  ["bird"],
);

function listening(lab: InteropLab, neighbor: Parameters<InteropLab["neighbor"]>[0]) {
  return lab.speaker({ asn: OUR_AS, listen: {} }, neighbor);
}

function linkLocal(namespace: string): string {
  const text = execFileSync(
    "ip",
    ["-n", namespace, "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"],
    {
      encoding: "utf8",
    },
  );
  return /inet6 (\S+)\//.exec(text)![1]!;
}
