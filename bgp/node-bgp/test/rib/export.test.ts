import assert from "node:assert/strict";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { type ExportTarget, exportAttributes, mayExport, type PolicyChanges } from "../../rib/export.ts";
import { importRefusal } from "../../rib/import.ts";
import type { Source } from "../../rib/source.ts";
import { Family, type PathAttributes, WellKnownCommunity } from "../../route.ts";

const source = (type: Source["type"], reflectorClient = false): Source => ({
  index: 1,
  type,
  address: "10.0.0.9",
  addressBytes: Uint8Array.of(10, 0, 0, 9),
  reflectorClient,
  routerId: 0x0a000009,
});
const INTERNAL: ExportTarget = {
  type: "internal",
  localAsn: 64512,
  reflectorClient: false,
  nextHopMode: "auto",
  nextHopSelf: { ipv4: "10.0.0.1" },
  clusterId: "1.1.1.1",
  fourOctetAs: true,
  extendedNextHop: false,
  addPaths: 0,
  extendedMessages: false,
  longLived: false,
  gracefulShutdown: false,
};
const EXTERNAL: ExportTarget = { ...INTERNAL, type: "external" };
const ROUTE: PathAttributes = {
  origin: "igp",
  asPath: [{ type: "sequence", asns: [65001] }],
  nextHop: "10.0.0.9",
  med: 5,
  localPref: 200,
};
const sets = new AttributeTable();
const mayTell = (from: Source, attributes: PathAttributes, target: ExportTarget) =>
  mayExport(from, sets.traitsOf(sets.internAttributes(1, attributes)), target);
const send = (from: Source, target: ExportTarget, attributes = ROUTE) =>
  exportAttributes(attributes, Family.ipv4Unicast, from, target);

describe("who is told", () => {
  it("internal routes go to internal neighbors only by reflection", () => {
    assert.equal(mayTell(source("internal"), ROUTE, INTERNAL), false);
    assert.equal(mayTell(source("internal", true), ROUTE, INTERNAL), true);
    assert.equal(mayTell(source("internal"), ROUTE, { ...INTERNAL, reflectorClient: true }), true);
    assert.equal(mayTell(source("external"), ROUTE, INTERNAL), true);
    assert.equal(mayTell(source("internal"), ROUTE, EXTERNAL), true);
  });
  it("NO_EXPORT stays inside and NO_ADVERTISE stays here, but local routes carry them to the neighbor", () => {
    const noExport = { ...ROUTE, communities: [WellKnownCommunity.noExport] };
    const noAdvertise = { ...ROUTE, communities: [WellKnownCommunity.noAdvertise] };
    assert.equal(mayTell(source("external"), noExport, EXTERNAL), false);
    assert.equal(mayTell(source("external"), noExport, INTERNAL), true);
    assert.equal(mayTell(source("external"), noAdvertise, INTERNAL), false);
    assert.equal(mayTell(source("local"), noExport, EXTERNAL), true);
  });
});

describe("what is told", () => {
  it("to an external neighbor: our AS in front, our next hop, nothing internal", () => {
    const sent = send(source("internal"), EXTERNAL, {
      ...ROUTE,
      originatorId: "9.9.9.9",
      clusterList: ["8.8.8.8"],
    });
    assert.deepEqual(sent?.asPath, [{ type: "sequence", asns: [64512, 65001] }]);
    assert.equal(sent?.nextHop, "10.0.0.1");
    for (const name of ["med", "localPref", "originatorId", "clusterList"] as const)
      assert.equal(sent?.[name], undefined);
  });
  it("to an internal neighbor: as it came, LOCAL_PREF at least 100", () => {
    const sent = send(source("external"), INTERNAL, { ...ROUTE, localPref: undefined });
    assert.equal(sent?.localPref, 100);
    assert.equal(sent?.nextHop, "10.0.0.9");
    assert.deepEqual(sent?.asPath, ROUTE.asPath);
    assert.equal(sent?.med, 5);
  });
  it("reflected: ORIGINATOR_ID once, our cluster in front, nothing else changed (RFC 4456)", () => {
    const client = { ...INTERNAL, reflectorClient: true };
    const first = send(source("internal"), client);
    assert.deepEqual(first, {
      ...ROUTE,
      linkLocalNextHop: undefined,
      originatorId: "10.0.0.9",
      clusterList: ["1.1.1.1"],
    });
    const second = send(source("internal"), { ...client, clusterId: "2.2.2.2" }, first!);
    assert.equal(second?.originatorId, "10.0.0.9");
    assert.deepEqual(second?.clusterList, ["2.2.2.2", "1.1.1.1"]);
  });
  it("next hop by mode", () => {
    const hop = (mode: ExportTarget["nextHopMode"], target: ExportTarget) =>
      send(source("external"), { ...target, nextHopMode: mode })?.nextHop;
    assert.deepEqual(
      [hop("auto", INTERNAL), hop("self", INTERNAL), hop("keep", INTERNAL)],
      ["10.0.0.9", "10.0.0.1", "10.0.0.9"],
    );
    assert.deepEqual(
      [hop("auto", EXTERNAL), hop("self", EXTERNAL), hop("keep", EXTERNAL)],
      ["10.0.0.1", "10.0.0.1", "10.0.0.9"],
    );
  });
  it("a policy's own word on the next hop of a route goes before the neighbor's mode", () => {
    const hop = (target: ExportTarget, changes: PolicyChanges, attributes = ROUTE) =>
      exportAttributes(attributes, Family.ipv4Unicast, source("external"), target, changes)?.nextHop;
    const unchanged = { nextHop: false, med: false };
    assert.equal(hop(INTERNAL, { ...unchanged, nextHopMode: "self" }), "10.0.0.1");
    assert.equal(
      hop({ ...INTERNAL, nextHopMode: "keep" }, { ...unchanged, nextHopMode: "self" }),
      "10.0.0.1",
    );
    assert.equal(hop(EXTERNAL, { ...unchanged, nextHopMode: "keep" }), "10.0.0.9");
    assert.equal(
      hop({ ...EXTERNAL, nextHopMode: "self" }, { ...unchanged, nextHopMode: "keep" }),
      "10.0.0.9",
    );
    assert.equal(hop({ ...EXTERNAL, nextHopMode: "self" }, { ...unchanged, nextHop: true }), "10.0.0.9");
    const taken = { ...ROUTE, nextHop: undefined };
    assert.equal(hop(INTERNAL, { ...unchanged, nextHop: true }, taken as never), "10.0.0.1");
  });
  it("nothing where there is no next hop to tell", () => {
    const local = { ...ROUTE, nextHop: undefined };
    assert.equal(exportAttributes(local, Family.ipv6Unicast, source("local"), INTERNAL), null);
  });
});

describe("what is not believed", () => {
  const context = {
    neighbor: { address: "10.0.0.9", asn: 65001, localAsn: 64512, type: "external" as const },
    allowedLocalAs: 0,
    routerId: "10.0.0.1",
    clusterId: "1.1.1.1",
    localAddress: "10.0.0.1",
    gracefulShutdown: false,
    policy: undefined,
  };
  it("our AS in the path, more often than allowed", () => {
    const looped = { ...ROUTE, asPath: [{ type: "sequence" as const, asns: [65001, 64512] }] };
    assert.equal(importRefusal(looped, context), "as-loop");
    assert.equal(importRefusal(looped, { ...context, allowedLocalAs: 1 }), undefined);
  });
  it("our identifier, our cluster, our address", () => {
    assert.equal(importRefusal({ ...ROUTE, originatorId: "10.0.0.1" }, context), "originator-loop");
    assert.equal(importRefusal({ ...ROUTE, clusterList: ["2.2.2.2", "1.1.1.1"] }, context), "cluster-loop");
    assert.equal(importRefusal({ ...ROUTE, nextHop: "10.0.0.1" }, context), "own-next-hop");
  });
});
