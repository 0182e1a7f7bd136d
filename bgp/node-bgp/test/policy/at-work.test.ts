import assert from "node:assert/strict";
import { compilePolicy, type Policy, type RoutePolicy } from "../../index.ts";
import { EVERYTHING, Lab, prefixesOf, routeOf } from "../kit/lab.ts";

const INSIDE = "192.0.2.1";
const US = "192.0.2.2";
const OUTSIDE = "192.0.2.3";
const ASN = 64512;
const OUTSIDE_AS = 65000;

/** A neighbor inside our AS, we with these policies towards the two, and a neighbor outside. */
async function lab(policies: { import?: RoutePolicy; export?: RoutePolicy }) {
  const net = new Lab();
  const [inside, us, outside] = [
    net.speaker(INSIDE, ASN),
    net.speaker(US, ASN),
    net.speaker(OUTSIDE, OUTSIDE_AS),
  ] as const;
  inside.addNeighbor({ address: US, asn: ASN });
  us.addNeighbor({ address: INSIDE, asn: ASN, ...(policies.import && { importPolicy: policies.import }) });
  us.addNeighbor({
    address: OUTSIDE,
    asn: OUTSIDE_AS,
    ...EVERYTHING,
    ...(policies.export && { exportPolicy: policies.export }),
  });
  outside.addNeighbor({ address: US, asn: ASN, ...EVERYTHING });
  await net.start(inside, us, outside);
  net.advance(10);
  return { net, inside, us, outside };
}

/** The same policy as something that is asked route by route. */
const asFunction =
  (policy: RoutePolicy): RoutePolicy =>
  (route, neighbor) =>
    policy(route, neighbor);

describe("policies as values, at work", () => {
  for (const [how, form] of [
    ["asked once per attribute set", (policy: RoutePolicy) => policy],
    ["asked route by route", asFunction],
  ] as const) {
    it(`import: refuses, changes and takes, ${how}`, async () => {
      const policy: Policy = {
        rules: [
          { match: { communities: "64512:666" }, action: "reject" },
          { match: { prefixes: "10.0.0.0/8 ge 24 le 24" }, action: "accept", set: { localPref: 300 } },
          { match: { prefixes: "10.0.0.0/8" }, action: "accept" },
        ],
      };
      const { net, inside, us } = await lab({ import: form(compilePolicy(policy)) });
      inside.announce({ prefix: "10.0.0.0/8" });
      inside.announce({ prefix: "10.1.0.0/24" });
      inside.announce({ prefix: "10.1.1.0/24" });
      inside.announce({ prefix: "10.1.2.0/25" });
      inside.announce({ prefix: "10.1.3.0/24", communities: ["64512:666"] });
      net.advance(1);
      assert.deepEqual(prefixesOf(us), ["10.0.0.0/8", "10.1.0.0/24", "10.1.1.0/24"]);
      assert.equal(routeOf(us, "10.0.0.0/8")?.localPref, 100);
      assert.equal(routeOf(us, "10.1.1.0/24")?.localPref, 300);
      // Announced again with what is refused, it goes.
      inside.announce({ prefix: "10.1.1.0/24", communities: ["64512:666"] });
      net.advance(1);
      assert.deepEqual(prefixesOf(us), ["10.0.0.0/8", "10.1.0.0/24"]);
    });

    it(`export: next hop, path, MED and communities as the rules say, ${how}`, async () => {
      const hop = (prefix: string, nextHop: string) => ({
        match: { prefixes: prefix },
        action: "accept" as const,
        set: { nextHop },
      });
      const policy: Policy = {
        rules: [
          { match: { source: "local" }, action: "reject" },
          { action: "next", set: { prepend: 1, med: 7, communities: { remove: "*:1", add: "no-export" } } },
          hop("10.0.0.0/24", "self"),
          hop("10.0.1.0/24", "keep"),
          hop("10.0.2.0/24", "203.0.113.9"),
        ],
      };
      const { net, inside, us, outside } = await lab({ export: form(compilePolicy(policy)) });
      us.announce({ prefix: "10.0.9.0/24" });
      for (const prefix of ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"])
        inside.announce({ prefix, communities: ["64512:1", "64512:2"] });
      net.advance(1);
      assert.deepEqual(Array.from(outside.routes(), ({ prefix, nextHop }) => [prefix, nextHop]).sort(), [
        ["10.0.0.0/24", US],
        ["10.0.1.0/24", INSIDE],
        ["10.0.2.0/24", "203.0.113.9"],
      ]);
      const route = routeOf(outside, "10.0.1.0/24");
      assert.deepEqual(route?.asPath, [{ type: "sequence", asns: [ASN, ASN] }]);
      assert.deepEqual([route?.med, route?.communities], [7, ["64512:2", "65535:65281"]]);
    });
  }
});
