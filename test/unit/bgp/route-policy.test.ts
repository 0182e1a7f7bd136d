import assert from "node:assert/strict";
import type { PolicyNeighbor, Route } from "node-bgp";
import type { Origin } from "../../../bgp/origination.ts";
import { type Encapsulation, poolViews } from "../../../bgp/pool-view.ts";
import {
  exportPolicy,
  importPolicy,
  type PolicyInput,
  type PolicySources,
  type PolicyView,
  policyView,
} from "../../../bgp/route-policy.ts";
import { cidr } from "../../../net/cidr.ts";
import { bgpFilter, byName, ipPool } from "./resources.ts";

const INTERNAL: PolicyNeighbor = { address: "10.0.0.2", asn: 64512, localAsn: 64512, type: "internal" };
const EXTERNAL: PolicyNeighbor = { address: "10.0.0.254", asn: 65000, localAsn: 64512, type: "external" };

function route(prefix: string, more: Partial<Route> = {}): Route {
  return {
    prefix,
    family: prefix.includes(":") ? "ipv6-unicast" : "ipv4-unicast",
    source: "10.0.0.3",
    sourceType: "internal",
    nextHops: ["10.0.0.3"],
    stale: false,
    origin: "igp",
    asPath: [],
    ...more,
  };
}

const NORMAL = 2_147_482_623;
const own = (prefix: string) =>
  route(prefix, { source: "local", sourceType: "local", nextHops: [], localPref: NORMAL });
const BLOCK: Origin = { kind: "block", localPref: NORMAL, interfaceName: undefined, byDefault: true };

function viewOf(input: Partial<PolicyInput> & { poolList?: ReturnType<typeof ipPool>[] } = {}) {
  const { poolList = [ipPool("10.65.0.0/16")], ...rest } = input;
  return policyView({
    pools: poolViews(poolList),
    filters: new Map(),
    configuration: {},
    reflector: false,
    blocks: [],
    normalPriority: () => 1024,
    programmed: new Set(["none"]),
    ...rest,
  });
}

/** Whose routes are ours, and by which interface others are reached. */
function sourcesOf(
  view: () => PolicyView,
  origin: Origin | undefined = BLOCK,
  towards?: string,
): PolicySources {
  return { view, origin: () => origin, interfaceTowards: () => towards };
}

function exported(
  what: Route,
  input: Parameters<typeof viewOf>[0] = {},
  filters: string[] = [],
  to: PolicyNeighbor = INTERNAL,
  origin: Origin = BLOCK,
  towards?: string,
): Route | null {
  const view = viewOf(input);
  return exportPolicy(
    sourcesOf(() => view, origin, towards),
    filters,
  )(what, to);
}

describe("bgp/route-policy: export", () => {
  it("lets out what is ours, unchanged", () => {
    const block = own("10.65.1.0/26");
    assert.equal(exported(block), block);
    assert.equal(exported(own("10.70.0.0/26"))?.prefix, "10.70.0.0/26");
  });

  it("lets out what we learned only inside enabled pools: whoever gave us a default route gives no transit", () => {
    assert.ok(exported(route("10.65.2.0/26")));
    assert.equal(exported(route("0.0.0.0/0")), null);
    assert.equal(exported(route("0.0.0.0/0"), {}, [], EXTERNAL), null);
    assert.equal(exported(route("192.0.2.0/24")), null);
    assert.equal(exported(route("10.65.2.0/26"), { poolList: [] }), null);
    assert.equal(
      exported(route("10.65.2.0/26"), { poolList: [ipPool("10.65.0.0/16", { disabled: true })] }),
      null,
    );
  });

  it("keeps everything in a pool with disableBGPExport, ours too", () => {
    const poolList = [ipPool("10.65.0.0/16", { disableBGPExport: true }), ipPool("fd00:65::/64")];
    const kept = { ...BLOCK, byDefault: false };
    assert.equal(exported(own("10.65.1.0/26"), { poolList }, [], INTERNAL, kept), null);
    assert.equal(exported(route("10.65.1.0/26"), { poolList }), null);
    assert.ok(exported(own("fd00:65::/122"), { poolList }));
  });

  it("reflects the service prefixes of others where we are a route reflector", () => {
    const configuration = {
      serviceLoadBalancerIPs: [{ cidr: "203.0.113.0/24" }],
      serviceExternalIPs: [{ cidr: "198.51.100.0/24" }],
    };
    for (const prefix of ["203.0.113.7/32", "203.0.113.0/24", "198.51.100.1/32"]) {
      assert.ok(exported(route(prefix), { configuration, reflector: true }));
      assert.equal(exported(route(prefix), { configuration, reflector: false }), null);
    }
    assert.equal(exported(route("192.0.2.1/32"), { configuration, reflector: true }), null);
  });

  it("adds the communities of prefix advertisements, by name or as they are, each once", () => {
    const configuration = {
      communities: [
        { name: "rack", value: "64512:7" },
        { name: "large", value: "64512:7:8" },
      ],
      prefixAdvertisements: [
        { cidr: "10.65.0.0/16", communities: ["rack", "64512:9"] },
        { cidr: "10.65.1.0/24", communities: ["large", "64512:9"] },
        { cidr: "10.66.0.0/16", communities: ["64512:1"] },
      ],
    };
    const found = exported({ ...own("10.65.1.0/26"), communities: ["64512:7", "1:1"] }, { configuration });
    assert.deepEqual(found?.communities, ["64512:7", "1:1", "64512:9"]);
    assert.deepEqual(found?.largeCommunities, ["64512:7:8"]);
    const untouched = own("10.67.0.0/26");
    assert.equal(exported(untouched, { configuration }), untouched);
  });

  describe("with filters", () => {
    const filters = byName(
      bgpFilter("no-65-2", {
        exportV4: [{ cidr: "10.65.2.0/24", matchOperator: "In", action: "Reject" }],
      }),
      bgpFilter("transit", {
        exportV4: [
          {
            cidr: "0.0.0.0/0",
            matchOperator: "Equal",
            peerType: "iBGP",
            action: "Accept",
            operations: [
              { addCommunity: { value: "1:1" } },
              { prependASPath: { prefix: [65009] } },
              { setPriority: { value: 512 } },
            ],
          },
        ],
      }),
    );
    const configuration = { prefixAdvertisements: [{ cidr: "0.0.0.0/0", communities: ["9:9"] }] };
    const names = ["no-65-2", "missing", "transit"];

    it("an accepting rule lets out what the default would not, changed as it says and not further", () => {
      const path = [{ type: "sequence" as const, asns: [65000] }];
      const found = exported(route("0.0.0.0/0", { asPath: path }), { filters, configuration }, names);
      assert.deepEqual(found?.communities, ["1:1"]);
      assert.deepEqual(found?.asPath, [{ type: "sequence", asns: [65009, 65000] }]);
      assert.equal(found?.localPref, 2_147_483_135);
      assert.equal(exported(route("0.0.0.0/0"), { filters }, names, EXTERNAL), null);
    });

    it("a rejecting rule keeps in what the default would let out; no match leaves it to the default", () => {
      assert.equal(exported(own("10.65.2.0/26"), { filters }, names), null);
      assert.ok(exported(own("10.65.1.0/26"), { filters }, names));
      assert.ok(exported(own("10.65.2.0/26"), { filters }, ["transit"]));
    });

    it("what is prepended stands before a set of its own", () => {
      const asPath = [{ type: "set" as const, asns: [1, 2] }];
      const found = exported(route("0.0.0.0/0", { asPath }), { filters }, names);
      assert.deepEqual(found?.asPath, [
        { type: "sequence", asns: [65009] },
        { type: "set", asns: [1, 2] },
      ]);
    });
  });

  it("tells internal neighbors nothing of felix's tunnels and routes, and nobody of eBPF's devices", () => {
    const through = (interfaceName: string, kind: Origin["kind"] = "foreign"): Origin => ({
      kind,
      localPref: NORMAL,
      interfaceName,
      byDefault: true,
    });
    const told = (origin: Origin, to: PolicyNeighbor, programmed: Encapsulation[] = ["none"]) =>
      exported(own("10.65.9.0/26"), { programmed: new Set(programmed) }, [], to, origin) !== null;
    for (const name of ["vxlan.calico", "vxlan-v6.calico", "wireguard.cali", "tunl0"]) {
      assert.equal(told(through(name), INTERNAL), false, name);
      assert.equal(told(through(name), EXTERNAL), true, name);
    }
    assert.equal(told(through("tunl0"), INTERNAL, ["none", "ipip"]), true);
    assert.equal(told(through("eth0", "cluster"), INTERNAL), false);
    assert.equal(told(through("eth0", "cluster"), EXTERNAL), true);
    assert.equal(told(through("eth0"), INTERNAL), true);
    for (const to of [INTERNAL, EXTERNAL]) assert.equal(told(through("bpfin.cali"), to), false);
  });

  it("tells the metric that a route has here, whatever it competes with in the table", () => {
    const foreign: Origin = {
      kind: "foreign",
      localPref: 2_147_483_547,
      interfaceName: "eth0",
      byDefault: true,
    };
    const told = exported({ ...own("10.65.9.0/26"), localPref: 0 }, {}, [], INTERNAL, foreign);
    assert.equal(told?.localPref, 2_147_483_547);
  });

  it("tells the fabric nothing of single addresses in our blocks that are elsewhere, unless they are better than normal", () => {
    const blocks = [cidr("10.65.1.0/26")];
    const borrowed = route("10.65.1.9/32", { localPref: NORMAL });
    const migrating = route("10.65.1.9/32", { localPref: 2_147_483_135 });
    assert.equal(exported(borrowed, { blocks }, [], EXTERNAL), null);
    assert.ok(exported(borrowed, { blocks }, [], INTERNAL), "a reflector passes it on");
    assert.ok(exported(migrating, { blocks }, [], EXTERNAL));
    assert.ok(exported(route("10.65.2.9/32"), { blocks }, [], EXTERNAL));
    assert.equal(exported(route("10.65.1.9/32", { localPref: 100 }), { blocks }, [], EXTERNAL), null);
  });

  describe("with filters that ask for the interface", () => {
    const filters = byName(
      bgpFilter("uplinks", {
        exportV4: [
          { interface: "eth*", action: "Accept" },
          { interface: "docker0", action: "Reject" },
        ],
      }),
    );
    const at = (interfaceName: string | undefined, byDefault = true): Origin => ({
      ...BLOCK,
      interfaceName,
      byDefault,
    });

    it("goes by where our own routes lead", () => {
      const told = (origin: Origin) =>
        exported(own("10.0.0.0/24"), { filters }, ["uplinks"], EXTERNAL, origin);
      assert.ok(told(at("eth1", false)));
      assert.equal(told(at("docker0")), null);
      assert.ok(told(at("br0")));
      assert.equal(told(at(undefined, false)), null);
    });

    it("and by where the next hops of others are", () => {
      const told = (towards: string | undefined) =>
        exported(route("192.0.2.0/24"), { filters }, ["uplinks"], EXTERNAL, BLOCK, towards);
      assert.ok(told("eth0"));
      assert.equal(told("docker0"), null);
      assert.equal(told(undefined), null);
    });

    it("says whether there are any, and whether they let out more than what leaves by itself", () => {
      assert.deepEqual([viewOf({ filters }).asksInterface, viewOf({ filters }).acceptsMore], [true, true]);
      const rejecting = byName(
        bgpFilter("f", { exportV6: [{ action: "Reject" }], importV4: [{ action: "Accept" }] }),
      );
      const view = viewOf({ filters: rejecting });
      assert.deepEqual([view.asksInterface, view.acceptsMore], [false, false]);
    });
  });

  it("looks at the view of the moment", () => {
    let view = viewOf();
    const policy = exportPolicy(
      sourcesOf(() => view),
      [],
    );
    assert.ok(policy(own("10.65.1.0/26"), INTERNAL));
    assert.ok(policy(route("10.65.1.0/26"), INTERNAL));
    view = viewOf({ poolList: [ipPool("10.65.0.0/16", { disableBGPExport: true })] });
    assert.equal(policy(route("10.65.1.0/26"), INTERNAL), null);
  });
});

describe("bgp/route-policy: import", () => {
  const filters = byName(
    bgpFilter("f", {
      importV4: [
        { cidr: "0.0.0.0/0", matchOperator: "Equal", action: "Reject" },
        {
          communities: { values: ["65000:1"] },
          action: "Accept",
          operations: [{ setPriority: { value: 512 } }],
        },
      ],
      importV6: [{ action: "Reject" }],
    }),
  );
  const imported = (what: Route, names: string[]) => {
    const view = viewOf({ filters });
    return importPolicy(
      sourcesOf(() => view),
      names,
    )(what, EXTERNAL);
  };

  it("lets in everything as it is unless a filter says otherwise", () => {
    const learned = route("192.0.2.0/24");
    assert.equal(imported(learned, []), learned);
    assert.equal(imported(learned, ["f"]), learned);
    assert.equal(imported(learned, ["missing"]), learned);
  });

  it("can be asked once for all the routes of one attribute set", () => {
    let view = viewOf({ filters });
    const policy = importPolicy(
      sourcesOf(() => view),
      ["f"],
    );
    const attributes = { origin: "igp", asPath: [] } as const;
    const answer = () =>
      policy.prepare!(
        { attributes, family: "ipv4-unicast", source: "10.0.0.3", sourceType: "external" },
        EXTERNAL,
      );
    assert.equal(answer().answer, undefined);
    assert.equal(answer().decide(Uint8Array.of(0, 0, 0, 0), 0, 0), null);
    assert.equal(answer().decide(Uint8Array.of(10, 0, 0, 0), 0, 8), attributes);
    view = viewOf();
    assert.equal(answer().answer, attributes);
  });

  it("rejects and changes as filters say, by IP version", () => {
    assert.equal(imported(route("0.0.0.0/0"), ["f"]), null);
    assert.equal(imported(route("fd00::/64"), ["f"]), null);
    assert.equal(
      imported(route("10.1.0.0/16", { communities: ["65000:1"] }), ["f"])?.localPref,
      2_147_483_135,
    );
  });
});
