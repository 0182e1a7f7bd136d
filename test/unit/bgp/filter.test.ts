import assert from "node:assert/strict";
import { compilePolicy, type PolicyNeighbor, type Route } from "node-bgp";
import { filterPolicies } from "../../../bgp/filter.ts";
import { globPattern } from "../../../bgp/glob.ts";
import { bgpFilter } from "./resources.ts";

type Rule = Record<string, unknown>;

const ROUTE: Route = {
  prefix: "10.65.1.0/26",
  family: "ipv4-unicast",
  source: "10.0.0.3",
  sourceType: "internal",
  nextHops: ["10.0.0.3"],
  stale: false,
  origin: "igp",
  localPref: 2_147_482_623,
  communities: ["64512:100"],
  largeCommunities: ["64512:1:2"],
  asPath: [{ type: "sequence", asns: [65000, 65001] }],
};
const INTERNAL: PolicyNeighbor = { address: "10.0.0.2", asn: 64512, localAsn: 64512, type: "internal" };
const EXTERNAL: PolicyNeighbor = { address: "10.0.0.254", asn: 65000, localAsn: 64512, type: "external" };

const rulesOf = (...rules: Rule[]) => filterPolicies(bgpFilter("f", { exportV4: rules } as never)).exportV4;

/** What the filters have decided; undefined: nothing. */
function decide(
  filters: readonly (readonly Rule[])[],
  route: Partial<Route> = {},
  neighbor = INTERNAL,
  interfaceName?: string,
): Route | null | undefined {
  const left: Route[] = [];
  const undecided = (rest: Route) => {
    left.push(rest);
    return rest;
  };
  const conditions = {
    interface: (glob: unknown) => () => globPattern(String(glob)).test(interfaceName ?? ""),
  };
  const chain = filters.map(rules => rulesOf(...rules));
  const asked = { ...ROUTE, ...route };
  const result = compilePolicy({ chain }, { conditions, undecided })(asked, neighbor);
  if (left.length === 0) return result;
  assert.equal(result, asked, "what is undecided is unchanged");
  return undefined;
}

function matches(
  rule: Rule,
  route: Partial<Route> = {},
  neighbor = INTERNAL,
  interfaceName?: string,
): boolean {
  return decide([[{ ...rule, action: "Reject" }]], route, neighbor, interfaceName) === null;
}

function routeTo(prefix: string): Partial<Route> {
  return { prefix, family: prefix.includes(":") ? "ipv6-unicast" : "ipv4-unicast" };
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
      assert.equal(matches(rule, routeTo(prefix)), expected);
    });
  }

  it("RemotePeers are routes we have learned", () => {
    assert.equal(matches({ source: "RemotePeers" }), true);
    assert.equal(matches({ source: "RemotePeers" }, { source: "local", sourceType: "local" }), false);
  });

  it("interfaces match by name or with a * for the rest, other characters being just themselves", () => {
    const at = (glob: string, name: string | undefined) => matches({ interface: glob }, {}, INTERNAL, name);
    assert.equal(at("*.cali", "vxlan.cali"), true);
    assert.equal(at("*.cali", "vxlanxcali"), false);
    assert.equal(at("eth0", "eth0"), true);
    assert.equal(at("eth", "eth0"), false);
    assert.equal(at("eth*", undefined), false);
    assert.equal(at("*", undefined), true);
  });

  it("the peer type is that of the session", () => {
    assert.deepEqual(
      [EXTERNAL, INTERNAL].map(neighbor => matches({ peerType: "eBGP" }, {}, neighbor)),
      [true, false],
    );
    assert.deepEqual(
      [EXTERNAL, INTERNAL].map(neighbor => matches({ peerType: "iBGP" }, {}, neighbor)),
      [false, true],
    );
  });

  it("one of the communities is enough, small or large", () => {
    assert.equal(matches({ communities: { values: ["1:1", "64512:100"] } }), true);
    assert.equal(matches({ communities: { values: ["64512:1:2"] } }), true);
    assert.equal(matches({ communities: { values: ["64512:101"] } }), false);
    assert.equal(
      matches({ communities: { values: ["99999:1"] } }),
      false,
      "none, though the schema lets it pass",
    );
  });

  it("the AS path begins with what is given, numbers or texts", () => {
    assert.equal(matches({ asPathPrefix: [65000] }), true);
    assert.equal(matches({ asPathPrefix: ["65000", 65001] }), true);
    assert.equal(matches({ asPathPrefix: [65001] }), false);
    assert.equal(matches({ asPathPrefix: ["rack"] }), false);
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
    const operations = [
      { addCommunity: { value: "1:1" } },
      { prependASPath: { prefix: [1, "2"] } },
      { addCommunity: { value: "1:2:3" } },
      { prependASPath: { prefix: [3] } },
      { setPriority: { value: 512 } },
    ];
    const result = decide([[{ action: "Accept", operations }]]);
    assert.deepEqual(result?.communities, ["64512:100", "1:1"]);
    assert.deepEqual(result?.largeCommunities, ["64512:1:2", "1:2:3"]);
    assert.deepEqual(result?.asPath, [{ type: "sequence", asns: [3, 1, 2, 65000, 65001] }]);
    assert.equal(result?.localPref, 2_147_483_135);
  });

  it("the first rule that matches decides, in the first filter that has one; otherwise nobody has", () => {
    const accept = { action: "Accept" };
    const reject = { action: "Reject" };
    const never = { source: "RemotePeers", priority: 1, action: "Reject" };
    assert.ok(decide([[never, accept, reject]]));
    assert.equal(decide([[never], [reject], [accept]]), null);
    assert.equal(decide([[never], []]), undefined);
    assert.equal(decide([]), undefined);
  });

  it("has lists of its own for each way and IP version", () => {
    const policies = filterPolicies(bgpFilter("f", { importV6: [{ action: "Reject" }] }));
    assert.deepEqual(
      Object.entries(policies).map(([field, { rules }]) => [field, rules.length]),
      [
        ["exportV4", 0],
        ["importV4", 0],
        ["exportV6", 0],
        ["importV6", 1],
      ],
    );
  });
});
