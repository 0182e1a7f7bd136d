import assert from "node:assert/strict";
import { compileFilter, evaluateFilters, type FilterRoute } from "../../../bgp/filter.ts";
import { cidr } from "../../../net/cidr.ts";
import { bgpFilter } from "./resources.ts";

type Rule = Record<string, unknown>;

const ROUTE: FilterRoute = {
  prefix: cidr("10.65.1.0/26"),
  localPref: 2_147_482_623,
  communities: ["64512:100"],
  largeCommunities: ["64512:1:2"],
  asPath: [65000, 65001],
  learned: true,
  interfaceName: undefined,
};

const rulesOf = (...rules: Rule[]) => compileFilter(bgpFilter("f", { exportV4: rules } as never)).exportV4;

function matches(rule: Rule, route: Partial<FilterRoute> = {}, external = false): boolean {
  const verdict = evaluateFilters(
    [rulesOf({ ...rule, action: "Reject" })],
    { ...ROUTE, ...route },
    { external },
  );
  return verdict !== undefined;
}

describe("bgp/filter", () => {
  const operators: [string, string, Record<string, number> | undefined, string, boolean][] = [
    ["Equal", "10.65.1.0/26", undefined, "10.65.1.0/26", true],
    ["Equal", "10.65.1.0/26", undefined, "10.65.1.0/27", false],
    ["NotEqual", "10.65.1.0/26", undefined, "10.65.1.0/26", false],
    ["NotEqual", "10.65.1.0/26", undefined, "10.65.1.0/27", true],
    ["In", "10.65.0.0/16", undefined, "10.65.0.0/16", true],
    ["In", "10.65.0.0/16", undefined, "10.65.1.0/26", true],
    ["In", "10.65.0.0/16", undefined, "10.0.0.0/8", false],
    ["In", "10.65.0.0/16", undefined, "10.66.0.0/26", false],
    ["In", "10.65.0.0/16", { min: 26 }, "10.65.1.0/26", true],
    ["In", "10.65.0.0/16", { min: 27 }, "10.65.1.0/26", false],
    ["In", "10.65.0.0/16", { max: 25 }, "10.65.1.0/26", false],
    ["In", "10.65.0.0/16", { min: 24, max: 28 }, "10.65.1.0/26", true],
    ["In", "10.65.0.0/16", { min: 24, max: 28 }, "10.65.1.1/32", false],
    ["NotIn", "10.65.0.0/16", undefined, "10.65.1.0/26", false],
    ["NotIn", "10.65.0.0/16", undefined, "10.66.1.0/26", true],
    ["NotIn", "10.65.0.0/16", { min: 28 }, "10.65.1.0/26", true],
    ["In", "fd00::/64", { min: 122 }, "fd00::40/122", true],
    ["In", "fd00::/64", undefined, "fd00:0:0:1::/122", false],
  ];
  for (const [matchOperator, block, prefixLength, prefix, expected] of operators) {
    const range = prefixLength ? ` ${JSON.stringify(prefixLength)}` : "";
    it(`${prefix} ${expected ? "matches" : "does not match"} ${matchOperator} ${block}${range}`, () => {
      const rule = { cidr: block, matchOperator, ...(prefixLength && { prefixLength }) };
      assert.equal(matches(rule, { prefix: cidr(prefix) }), expected);
    });
  }

  it("RemotePeers are routes we have learned", () => {
    assert.equal(matches({ source: "RemotePeers" }), true);
    assert.equal(matches({ source: "RemotePeers" }, { learned: false }), false);
  });

  it("interfaces match by name or with a * for the rest, other characters being just themselves", () => {
    assert.equal(matches({ interface: "*.cali" }, { interfaceName: "vxlan.cali" }), true);
    assert.equal(matches({ interface: "*.cali" }, { interfaceName: "vxlanxcali" }), false);
    assert.equal(matches({ interface: "eth0" }, { interfaceName: "eth0" }), true);
    assert.equal(matches({ interface: "eth" }, { interfaceName: "eth0" }), false);
    assert.equal(matches({ interface: "eth*" }, { interfaceName: undefined }), false);
    assert.equal(matches({ interface: "*" }, { interfaceName: undefined }), true);
  });

  it("the peer type is that of the session", () => {
    assert.deepEqual(
      [true, false].map(external => matches({ peerType: "eBGP" }, {}, external)),
      [true, false],
    );
    assert.deepEqual(
      [true, false].map(external => matches({ peerType: "iBGP" }, {}, external)),
      [false, true],
    );
  });

  it("one of the communities is enough, small or large", () => {
    assert.equal(matches({ communities: { values: ["1:1", "64512:100"] } }), true);
    assert.equal(matches({ communities: { values: ["64512:1:2"] } }), true);
    assert.equal(matches({ communities: { values: ["64512:101"] } }), false);
  });

  it("the AS path begins with what is given, numbers or texts", () => {
    assert.equal(matches({ asPathPrefix: [65000] }), true);
    assert.equal(matches({ asPathPrefix: ["65000", 65001] }), true);
    assert.equal(matches({ asPathPrefix: [65001] }), false);
    assert.equal(matches({ asPathPrefix: [65000, 65001, 65002] }), false);
  });

  it("the priority is the metric that the LOCAL_PREF stands for", () => {
    assert.equal(matches({ priority: 1024 }), true);
    assert.equal(matches({ priority: 512 }), false);
    assert.equal(matches({ priority: 2000 }, { localPref: 2_147_481_647 }), true);
    assert.equal(matches({ priority: 1024 }, { localPref: undefined }), true);
  });

  it("all criteria of a rule must hold; none match everything", () => {
    assert.equal(matches({}), true);
    assert.equal(matches({ source: "RemotePeers", priority: 1024, peerType: "iBGP" }), true);
    assert.equal(matches({ source: "RemotePeers", priority: 1024, peerType: "eBGP" }), false);
  });

  it("operations add up, in their order", () => {
    const rules = rulesOf({
      action: "Accept",
      operations: [
        { addCommunity: { value: "1:1" } },
        { prependASPath: { prefix: [1, "2"] } },
        { addCommunity: { value: "1:2:3" } },
        { prependASPath: { prefix: [3] } },
        { setPriority: { value: 512 } },
      ],
    });
    assert.deepEqual(evaluateFilters([rules], ROUTE, { external: false }), {
      action: "accept",
      edits: { addCommunities: ["1:1", "1:2:3"], prependAsPath: [3, 1, 2], localPref: 2_147_483_135 },
    });
  });

  it("the first rule that matches decides, in the first filter that has one; otherwise nobody has", () => {
    const accept = { action: "Accept" };
    const reject = { action: "Reject" };
    const never = { source: "RemotePeers", priority: 1, action: "Reject" };
    const decide = (...filters: Rule[][]) =>
      evaluateFilters(
        filters.map(rules => rulesOf(...rules)),
        ROUTE,
        { external: false },
      )?.action;
    assert.equal(decide([never, accept, reject]), "accept");
    assert.equal(decide([never], [reject], [accept]), "reject");
    assert.equal(decide([never], []), undefined);
    assert.equal(decide(), undefined);
  });

  it("has lists of its own for each way and IP version", () => {
    const compiled = compileFilter(bgpFilter("f", { importV6: [{ action: "Reject" }] }));
    assert.deepEqual(
      Object.entries(compiled).map(([field, rules]) => [field, rules.length]),
      [
        ["exportV4", 0],
        ["importV4", 0],
        ["exportV6", 0],
        ["importV6", 1],
      ],
    );
  });
});
