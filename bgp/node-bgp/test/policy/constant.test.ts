import assert from "node:assert/strict";
import { acceptAll, type PolicyNeighbor, type Route, rejectAll } from "../../index.ts";

const NEIGHBOR: PolicyNeighbor = { address: "192.0.2.2", asn: 65000, localAsn: 64512, type: "external" };
const ROUTE: Route = {
  prefix: "10.0.0.0/8",
  family: "ipv4-unicast",
  source: "192.0.2.2",
  sourceType: "external",
  nextHops: ["192.0.2.2"],
  stale: false,
  origin: "igp",
  asPath: [{ type: "sequence", asns: [65000] }],
};

describe("policy: constants", () => {
  it("acceptAll lets a route pass as the same object, so that nobody compares or encodes it anew", () => {
    assert.equal(acceptAll(ROUTE, NEIGHBOR), ROUTE);
  });

  it("rejectAll refuses every route", () => {
    assert.equal(rejectAll(ROUTE, NEIGHBOR), null);
  });
});
