/** The text of BIRD 1.6's control socket, line by line, judged by a parser that forgives nothing. */

import assert from "node:assert/strict";
import type { Route } from "node-bgp";
import { answer, type BirdView, greeting } from "../../../../bgp/bird/commands.ts";
import { shortTime } from "../../../../bgp/bird/reply.ts";
import type { NeighborAnswer } from "../../../../bgp/queries.ts";
import { parseProtocols } from "../../../../calctl/commands/node/bird-client.ts";

const PREFIXES = { received: 5, stale: 0, advertised: 7 };
const NONE = { received: 0, stale: 0, advertised: 0 };

const NOW = new Date(2026, 10, 21, 12, 0, 0).getTime();
const AT = new Date(2026, 10, 21, 9, 8, 7).getTime();
const COUNTERS = { open: 1, update: 2, notification: 0, keepalive: 3, routeRefresh: 0 };

function neighbor(address: string, more: Partial<NeighborAnswer> = {}): NeighborAnswer {
  const status = {
    address,
    asn: 64512,
    localAsn: 64512,
    type: "internal",
    state: "Established",
    since: AT,
    established: 1,
    families: ["ipv4-unicast"],
    policyMissing: [],
    restarting: false,
    synchronized: true,
    sent: COUNTERS,
    received: COUNTERS,
    flaps: 1,
    updateRate: { sent: 0, received: 0 },
    sendQueue: 0,
    prefixes: { ...PREFIXES, byFamily: { "ipv4-unicast": PREFIXES, "ipv6-unicast": NONE } },
    remoteRouterId: "10.0.0.2",
    localAddress: "10.0.0.1",
    holdTime: 90,
  };
  return { ...(status as unknown as NeighborAnswer), ...more };
}

const ROUTE: Route = {
  prefix: "10.65.1.0/26",
  family: "ipv4-unicast",
  source: "10.0.0.2",
  origin: "igp",
  asPath: [{ type: "sequence", asns: [65001, 65002] }],
  nextHop: "10.0.0.2",
  nextHops: ["10.0.0.2"],
  localPref: 100,
  communities: ["64512:1"],
  sourceType: "internal",
  stale: false,
};

function view(more: Partial<BirdView> = {}): BirdView {
  return {
    version: "calyx",
    ipVersion: 4,
    now: NOW,
    startedAt: AT,
    configuredAt: AT,
    routerId: "10.0.0.1",
    neighbors: [
      neighbor("10.0.0.2", { name: "Mesh_10_0_0_2", description: "Mesh_10_0_0_2" }),
      neighbor("10.0.0.9", {
        name: "Node_10_0_0_9",
        state: "Active",
        lastError: { reason: "connect-failed", at: AT, text: "Connection refused" },
      }),
      neighbor("fd00::2", { name: "Mesh_fd00__2" }),
    ],
    routes: () => [ROUTE],
    paths: () => [ROUTE, { ...ROUTE, source: "10.0.0.9", asPath: [] }],
    ...more,
  };
}

const say = (command: string, more?: Partial<BirdView>) => [...answer(command, view(more))].join("");
const local = (time: number) => shortTime(time, NOW);

describe("the text protocol of BIRD", () => {
  it("greets", () => {
    assert.equal(greeting("calyx"), "0001 BIRD calyx ready.\n");
  });

  it("show protocols: the neighbors of one IP version, in BIRD's columns", () => {
    const lines = [
      "2002-name     proto    table    state  since       info",
      `1002-Mesh_10_0_0_2 BGP      master   up     ${local(AT)}    Established   `,
      ` Node_10_0_0_9 BGP      master   start  ${local(AT)}    Active        Socket: Connection refused`,
      "0000 ",
    ];
    assert.equal(say("show protocols"), `${lines.join("\n")}\n`);
    assert.match(say("show protocols", { ipVersion: 6 }), /^1002-Mesh_fd00__2 BGP /m);
    assert.doesNotMatch(say("show protocols", { ipVersion: 6 }), /10_0_0/);
  });

  it("is read by who is strict about codes", () => {
    const text = greeting("calyx") + say("show protocols");
    assert.deepEqual(
      parseProtocols(text)?.map(({ name, proto, state, since, info }) => [name, proto, state, since, info]),
      [
        ["Mesh_10_0_0_2", "BGP", "up", "09:08:07", "Established"],
        ["Node_10_0_0_9", "BGP", "start", "09:08:07", "Active Socket: Connection refused"],
      ],
    );
    for (let cut = 2; cut < text.length; cut++) assert.equal(parseProtocols(text.slice(0, -cut)), undefined);
    assert.deepEqual(
      parseProtocols(greeting("calyx") + say("show protocols all"))?.map(({ name }) => name),
      ["Mesh_10_0_0_2", "Node_10_0_0_9"],
    );
  });

  it("show protocols all NAME: one, with its session", () => {
    const text = say('show protocols all "Mesh_*"');
    assert.match(text, /^1006- {2}Description: {4}Mesh_10_0_0_2$/m);
    assert.match(text, /^ {3}Routes: {9}5 imported, 7 exported$/m);
    assert.match(text, /^ {5}Neighbor ID: {6}10\.0\.0\.2$/m);
    assert.doesNotMatch(text, /Node_/);
    assert.equal(say("show protocols nobody"), "8003 No protocols match\n");
  });

  it("shows a time of day within 20 hours, else the date", () => {
    const hour = 3600 * 1000;
    assert.equal(shortTime(NOW - 19 * hour, NOW), "17:00:00");
    assert.equal(shortTime(NOW - 21 * hour, NOW), "2026-11-20");
  });

  it("show status", () => {
    assert.deepEqual(say("show status").split("\n"), [
      "1000-BIRD calyx",
      "1011-Router ID is 10.0.0.1",
      " Current server time is 2026-11-21 12:00:00",
      " Last reboot on 2026-11-21 09:08:07",
      " Last reconfiguration on 2026-11-21 09:08:07",
      "0013 Daemon is up and running",
      "",
    ]);
  });

  it("show route: the best paths; of one prefix all of them; with attributes where asked", () => {
    const best = `10.65.1.0/26       via 10.0.0.2 [Mesh_10_0_0_2 ${local(AT)}] * (100) [AS65002i]`;
    assert.equal(say("show route"), `1007-${best}\n0000 \n`);
    const other = ` 10.65.1.0/26       via 10.0.0.2 [Node_10_0_0_9 ${local(AT)} from 10.0.0.9] (100) [i]`;
    assert.equal(say("show route 10.65.1.0/26"), `1007-${best}\n${other}\n0000 \n`);
    assert.equal(say("show route for 10.65.1.7 protocol Mesh_10_0_0_2"), `1007-${best}\n0000 \n`);
    assert.match(say("show route all"), /^1012-\tBGP.origin: IGP\n \tBGP.as_path: 65001 65002\n/m);
    assert.match(say("show route all"), /BGP.community: \(64512,1\)/);
    assert.equal(say("show route count"), "0014 1 of 1 routes for 1 networks\n");
    assert.equal(say("show route 10.9.0.0/16", { paths: () => [] }), "8001 Network not in table\n");
  });

  it("sends a long table in pieces", () => {
    const routes = Array.from({ length: 1000 }, (_, i) => ({
      ...ROUTE,
      prefix: `10.${i >> 8}.${i & 255}.0/24`,
    }));
    const pieces = [...answer("show route", view({ routes: () => routes }))];
    assert(pieces.length > 3);
    const lines = pieces.join("").split("\n");
    assert.equal(lines.length, 1002);
    assert.equal(lines.filter(line => line.startsWith("1007-")).length, 1);
  });

  it("refuses what it does not know, and what would change something", () => {
    for (const command of ["configure", "disable Mesh_10_0_0_2", "show memory", "show route where net", ""])
      assert.match(say(command), /^9001 .*\n$/);
    assert.equal(say("restrict"), "0016 Access restricted\n");
  });
});
