/** Neighbors without any address but their link-local one (unnumbered fabrics): RFC 2545 and 8950. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Family } from "../../index.ts";
import { withEachDaemon } from "../kit/interop-lab.ts";
import { until } from "../kit/namespaces.ts";

const OURS = "fe80::aaaa";
const THEIRS = "fe80::bbbb";

withEachDaemon(
  "a link-local neighbor",
  lab => {
    before(() => {
      for (const [namespace, address] of [
        [lab.cable.left, OURS],
        [lab.cable.right, THEIRS],
      ] as const) {
        execFileSync("ip", ["-n", namespace, "addr", "add", `${address}/64`, "dev", "eth0", "nodad"]);
      }
    });

    const families = Object.values(Family);
    for (const [asn, passive] of [
      [64512, false],
      [64512, true],
      [65000, false],
    ] as const) {
      it(`of AS ${asn} exchanges IPv4 and IPv6 routes${passive ? ", dialling us" : ""}`, async () => {
        const neighbor = {
          address: `${OURS}%eth0`,
          asn,
          localAddress: THEIRS,
          families,
          extendedNextHop: true,
          passive: !passive,
        };
        const daemon = await lab.daemon({
          neighbors: [neighbor],
          routes: [{ prefix: "10.2.0.0/16" }, { prefix: "fd20::/64" }],
        });
        const us = await lab.speaker(
          { asn, listen: { addresses: [`${OURS}%eth0`] } },
          {
            address: `${THEIRS}%eth0`,
            asn: 64512,
            localAddress: `${OURS}%eth0`,
            families,
            nextHopSelf: {},
            passive,
          },
        );
        us.speaker.announce({ prefix: "10.1.0.0/16" });
        us.speaker.announce({ prefix: "fd10::/64" });
        await us.untilState(`${THEIRS}%eth0`, "Established");
        await us.untilRoute("10.2.0.0/16");
        await us.untilRoute("fd20::/64");
        for (const prefix of ["10.2.0.0/16", "fd20::/64"]) {
          const route = us.speaker.route(prefix);
          assert.deepEqual([route?.nextHop, route?.source], [THEIRS, `${THEIRS}%eth0`]);
        }
        assert.deepEqual(us.speaker.neighbor(`${THEIRS}%eth0`)?.problems, {
          withdraw: 0,
          discard: 0,
          disableFamily: 0,
        });
        const theirs = await until("their routes", async () => {
          const routes = [
            ...(await daemon.received(`${OURS}%eth0`, Family.ipv4Unicast)),
            ...(await daemon.received(`${OURS}%eth0`, Family.ipv6Unicast)),
          ];
          return routes.length === 2 ? routes : undefined;
        });
        assert.deepEqual(
          theirs.map(({ prefix, nextHop, linkLocalNextHop }) => [prefix, linkLocalNextHop ?? nextHop]),
          [
            ["10.1.0.0/16", OURS],
            ["fd10::/64", OURS],
          ],
        );
      });
    }
  },
  ["bird"],
);
