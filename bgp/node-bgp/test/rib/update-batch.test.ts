/** What leaves in one batch arrives as it was announced, whatever the family and wherever the next hop is written. */

import assert from "node:assert/strict";
import { Family } from "../../index.ts";
import { EVERYTHING, Lab } from "../kit/lab.ts";

const SETS = 7;
const ROUTES = 50;

describe("a batch of UPDATEs", () => {
  for (const [name, family, prefix, nextHopSelf, address] of [
    ["IPv4 routes", Family.ipv4Unicast, (i: number) => `10.0.${i}.0/24`, {}, "10.0.0"],
    ["IPv6 routes", Family.ipv6Unicast, (i: number) => `fd00:${i + 1}::/64`, { ipv6: "fd99::1" }, "10.0.0"],
    ["IPv4 routes with IPv6 next hops", Family.ipv4Unicast, (i: number) => `10.0.${i}.0/24`, {}, "fd99:"],
  ] as const) {
    it(`gives each of many ${name} its own attributes`, async () => {
      const lab = new Lab();
      const isIpv6 = address === "fd99:";
      const [first, second] = isIpv6 ? [`${address}:1`, `${address}:2`] : [`${address}.1`, `${address}.2`];
      const here = lab.speaker("10.0.0.1", 64512, { also: [first] });
      const there = lab.speaker("10.0.0.2", 64513, { also: [second] });
      const families = [family];
      here.addNeighbor({
        address: second,
        asn: 64513,
        families,
        localAddress: first,
        nextHopSelf,
        ...EVERYTHING,
      });
      there.addNeighbor({
        address: first,
        asn: 64512,
        families,
        localAddress: second,
        nextHopSelf,
        ...EVERYTHING,
      });
      for (let i = 0; i < ROUTES; i++) here.announce({ prefix: prefix(i), med: i % SETS });
      await lab.start(here, there);
      lab.advance(5);
      assert.deepEqual(
        Array.from({ length: ROUTES }, (_, i) => there.route(prefix(i))?.med),
        Array.from({ length: ROUTES }, (_, i) => i % SETS),
      );
    });
  }
});
