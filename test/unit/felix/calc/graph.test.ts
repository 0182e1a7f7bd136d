import assert from "node:assert/strict";
import type { Rule as RuleResource } from "../../../../crd-schemas/index.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import {
  Calculation,
  globalNetworkSet,
  globalPolicy,
  gone,
  HERE,
  hostEndpoint,
  networkPolicy,
  networkSet,
  pool,
  profile,
  put,
  tier,
  workload,
} from "./resources.ts";

const allowFrom = (selector: string): RuleResource => ({ action: "Allow", source: { selector } });
/** A network in the v1 manner: its members may talk to each other, whoever has the label. */
const network = (name: string) =>
  profile(name, {
    labelsToApply: { [name]: "" },
    ingress: [allowFrom(`has(${name})`)],
    egress: [{ action: "Allow" }],
  });

describe("felix/calc/graph", () => {
  describe("profiles", () => {
    it("isolates networks: the set of each holds its own members, of all hosts", () => {
      const calculation = new Calculation(
        network("net1"),
        network("net2"),
        workload("a", { profiles: ["net1"], address: "10.0.0.1" }),
        workload("b", { profiles: ["net1"], address: "10.0.0.2", node: "there" }),
        workload("c", { profiles: ["net2"], address: "10.0.0.3", node: "there" }),
      );
      assert.deepEqual(calculation.onlySet, ["10.0.0.1", "10.0.0.2"]);
      assert.deepEqual([...calculation.picture.profiles.keys()], ["net1"]);
      assert.deepEqual(calculation.endpoint("calia").profiles, ["net1"]);
      assert.deepEqual(calculation.endpoint("calia").tiers, []);
    });

    it("hands over an empty profile for one that does not exist, since chains lead there", () => {
      const calculation = new Calculation(workload("a", { profiles: ["nowhere"] }));
      const only = () => calculation.picture.profiles.get("nowhere");
      assert.deepEqual(only()?.ingress, []);
      calculation.apply(profile("nowhere", { ingress: [{ action: "Allow" }] }));
      assert.equal(only()?.ingress.length, 1);
      calculation.apply(gone(profile("nowhere")));
      assert.deepEqual(only()?.ingress, []);
    });

    it("gives their labels to policies' subjects and to sets' members", () => {
      const calculation = new Calculation(
        workload("a", { profiles: ["p"], address: "10.0.0.1" }),
        workload("b", { profiles: ["p"], address: "10.0.0.2", node: "there" }),
        globalPolicy("g", { selector: "role == 'web'", ingress: [allowFrom("role == 'web'")] }),
      );
      assert.deepEqual([...calculation.picture.policies.keys()], []);
      calculation.apply(profile("p", { labelsToApply: { role: "web" } }));
      assert.deepEqual([...calculation.picture.policies.keys()], ["gnp/g"]);
      assert.deepEqual(calculation.onlySet, ["10.0.0.1", "10.0.0.2"]);
      calculation.apply(
        workload("b", { address: "10.0.0.2", node: "there", labels: { role: "db" }, profiles: ["p"] }),
      );
      assert.deepEqual(calculation.onlySet, ["10.0.0.1"]);
    });

    it("lets nobody call himself what only his namespace can make him", () => {
      const calculation = new Calculation(
        workload("a", { address: "10.0.0.1" }),
        workload("b", { address: "10.0.0.2", labels: { "pcns.team": "x" } }),
        workload("c", { address: "10.0.0.3", profiles: ["kns.x"] }),
        networkSet("default", "forged", ["192.0.2.1"], { "pcns.team": "x" }),
        profile("kns.x", { labelsToApply: { "pcns.team": "x" } }),
        globalPolicy("g", { ingress: [{ action: "Allow", source: { namespaceSelector: "team == 'x'" } }] }),
      );
      assert.deepEqual(calculation.onlySet, ["10.0.0.3"]);
    });
  });

  describe("policies", () => {
    const rules = { ingress: [{ action: "Allow" }] };

    it("come in order: tiers by order and name, policies by order and name, those without one last", () => {
      const calculation = new Calculation(
        tier("default", 1_000_000),
        tier("security", 10, "Pass"),
        workload("a"),
        globalPolicy("z", { ...rules, order: 1 }),
        globalPolicy("b", { ...rules, order: 2.5 }),
        globalPolicy("a", { ...rules, order: 2.5 }),
        globalPolicy("late", rules),
        networkPolicy("default", "n", { ...rules, order: 2.5 } as never),
        globalPolicy("first", { ...rules, tier: "security" }),
        globalPolicy("lost", { ...rules, tier: "nowhere", order: 0 }),
      );
      assert.deepEqual(calculation.endpoint("calia").tiers, [
        { name: "security", defaultAction: "pass", ingress: ["gnp/first"], egress: [] },
        {
          name: "default",
          defaultAction: "deny",
          ingress: ["gnp/z", "gnp/a", "gnp/b", "np/default/n", "gnp/late"],
          egress: [],
        },
        { name: "nowhere", defaultAction: "deny", ingress: ["gnp/lost"], egress: [] },
      ]);
    });

    it("follow when a tier or an order changes", () => {
      const calculation = new Calculation(
        tier("one", 1),
        tier("two", 2),
        workload("a"),
        globalPolicy("p", { ...rules, tier: "one" }),
        globalPolicy("q", { ...rules, tier: "two" }),
      );
      const names = () => calculation.endpoint("calia").tiers.map(({ name }) => name);
      assert.deepEqual(names(), ["one", "two"]);
      calculation.apply(tier("one", 3));
      assert.deepEqual(names(), ["two", "one"]);
      calculation.apply(globalPolicy("p", { ...rules, tier: "two", order: 1 }));
      assert.deepEqual(calculation.endpoint("calia").tiers[0]?.ingress, ["gnp/p", "gnp/q"]);
      calculation.apply(globalPolicy("p", { ...rules, tier: "two", order: 1, types: ["Ingress", "Egress"] }));
      assert.deepEqual(calculation.endpoint("calia").tiers[0]?.egress, ["gnp/p"]);
    });

    it("new rules of a policy touch no endpoint", () => {
      const calculation = new Calculation(workload("a"), globalPolicy("p", rules));
      const changes = calculation.apply(globalPolicy("p", { ingress: [{ action: "Deny" }] }));
      assert.deepEqual([...changes.policies.keys()], ["gnp/p"]);
      assert.equal(changes.endpoints.size, 0);
    });

    it("are handed over, and their sets kept, only while a local endpoint needs them", () => {
      const policy = globalPolicy("p", { selector: "app == 'x'", ingress: [allowFrom("app == 'y'")] });
      const calculation = new Calculation(
        policy,
        workload("y", { node: "there", labels: { app: "y" }, address: "10.0.0.9" }),
        workload("x", { node: "there", labels: { app: "x" } }),
      );
      assert.equal(calculation.picture.policies.size + calculation.picture.sets.size, 0);
      calculation.apply(workload("a", { labels: { app: "x" } }));
      assert.deepEqual([...calculation.picture.policies.keys()], ["gnp/p"]);
      assert.deepEqual(calculation.onlySet, ["10.0.0.9"]);
      calculation.apply(workload("a", { labels: { app: "z" } }));
      assert.equal(calculation.picture.policies.size + calculation.picture.sets.size, 0);
    });

    it("that say they are needed everywhere are there before the first endpoint is", () => {
      const calculation = new Calculation(
        globalPolicy("p", {
          selector: "app == 'x'",
          ingress: [allowFrom("app == 'y'")],
          performanceHints: ["AssumeNeededOnEveryNode"],
        }),
      );
      assert.deepEqual([...calculation.picture.policies.keys()], ["gnp/p"]);
      assert.deepEqual(calculation.onlySet, []);
    });

    it("before connection tracking or DNAT are not for workloads", () => {
      const special = { ...rules, applyOnForward: true };
      const calculation = new Calculation(
        workload("a"),
        globalPolicy("untracked", { ...special, doNotTrack: true }),
        globalPolicy("pre", { ...special, preDNAT: true }),
      );
      assert.deepEqual(calculation.endpoint("calia").tiers, []);
      assert.equal(calculation.picture.policies.size, 0);
    });

    it("of a namespace are for its own, and so are the endpoints and sets they name", () => {
      const calculation = new Calculation(
        workload("a", { namespace: "one", labels: { app: "x" }, address: "10.0.0.1" }),
        workload("b", { namespace: "two", labels: { app: "x" }, address: "10.0.0.2" }),
        networkSet("one", "s", ["192.0.2.0/24"], { app: "x" }),
        networkSet("two", "s", ["198.51.100.0/24"], { app: "x" }),
        globalNetworkSet("s", ["203.0.113.0/24"], { app: "x" }),
        networkPolicy("one", "p", { ingress: [allowFrom("app == 'x'")] } as never),
      );
      assert.equal(calculation.endpoint("calia").tiers.length, 1);
      assert.equal(calculation.endpoint("calib").tiers.length, 0);
      assert.deepEqual(calculation.onlySet, ["10.0.0.1", "192.0.2.0/24"]);
    });
  });

  describe("sets", () => {
    it("count: an address that two have stays until both are gone", () => {
      const [a, b] = ["a", "b"].map(name => workload(name, { node: "there", labels: { app: "x" } })) as [
        Update,
        Update,
      ];
      const calculation = new Calculation(
        workload("me"),
        globalPolicy("p", { ingress: [allowFrom("app == 'x'")] }),
        a,
        b,
      );
      assert.deepEqual(calculation.onlySet, ["10.0.0.1"]);
      assert.equal(calculation.apply(gone(a)).sets.size, 0);
      const [change] = calculation.apply(gone(b)).sets.values();
      assert.deepEqual(change, { kind: "delta", added: new Set(), removed: new Set(["10.0.0.1"]) });
    });

    it("are told by differences, and not at all where nothing changed", () => {
      const x = { node: "there", labels: { app: "x" } };
      const calculation = new Calculation(
        workload("me"),
        globalPolicy("p", { ingress: [allowFrom("app == 'x'")] }),
      );
      const added = calculation.apply(workload("b", { ...x, address: ["10.0.0.2", "fd00::2"] }));
      assert.deepEqual(
        [...added.sets.values()],
        [{ kind: "delta", added: new Set(["10.0.0.2", "fd00::2"]), removed: new Set() }],
      );
      const moved = calculation.apply(workload("b", { ...x, address: ["10.0.0.3", "fd00::2"] }));
      assert.deepEqual(
        [...moved.sets.values()],
        [{ kind: "delta", added: new Set(["10.0.0.3"]), removed: new Set(["10.0.0.2"]) }],
      );
      assert.equal(calculation.apply(workload("b", { ...x, address: ["10.0.0.3", "fd00::2"] })).sets.size, 0);
      const there = workload("b", { ...x, address: "10.0.0.4" });
      const back = workload("b", { ...x, address: ["10.0.0.3", "fd00::2"] });
      assert.equal(calculation.apply(there, back).sets.size, 0);
    });

    it("one that passes from a policy to another in one step is not taken away", () => {
      const p = globalPolicy("p", { ingress: [allowFrom("app == 'x'")] });
      const calculation = new Calculation(
        workload("me"),
        workload("x", { node: "there", labels: { app: "x" } }),
        p,
      );
      const changes = calculation.apply(
        gone(p),
        globalPolicy("q", { egress: [{ action: "Deny", destination: { selector: "app == 'x'" } }] }),
      );
      assert.equal(changes.sets.size, 0);
      const profiles = calculation.apply(
        gone(globalPolicy("q", {})),
        workload("me", { profiles: ["n"] }),
        profile("n", { ingress: [allowFrom("app == 'x'")] }),
      );
      assert.ok([...profiles.sets.values()].every(change => change !== undefined));
      assert.deepEqual(calculation.onlySet, ["10.0.0.1"]);
    });

    it("of named ports hold address, protocol and port of who has such a port; network sets have none", () => {
      const ports = [
        { name: "http", protocol: "TCP", port: 8080 },
        { name: "http", protocol: "UDP", port: 8081 },
        { name: "other", protocol: "TCP", port: 1 },
      ] as const;
      const rule = (protocol: "TCP" | 17) =>
        globalPolicy("p", {
          ingress: [{ action: "Allow", protocol, destination: { ports: ["http"], selector: "app == 'x'" } }],
        });
      const calculation = new Calculation(
        rule("TCP"),
        workload("a", { labels: { app: "x" }, ports, address: ["10.0.0.1", "fd00::1"] }),
        hostEndpoint("h", { node: "there", expectedIPs: ["192.0.2.1"], ports: [...ports] }, { app: "x" }),
        workload("b", { labels: { app: "y" }, ports, address: "10.0.0.2" }),
        globalNetworkSet("s", ["10.1.0.0/16"], { app: "x" }),
      );
      const named = () => [...calculation.picture.sets].find(([id]) => id.startsWith("n:"))?.[1] ?? new Set();
      assert.deepEqual([...named()].sort(), ["10.0.0.1,tcp:8080", "192.0.2.1,tcp:8080", "fd00::1,tcp:8080"]);
      calculation.apply(rule(17));
      assert.deepEqual([...named()].sort(), ["10.0.0.1,udp:8081", "192.0.2.1,udp:8081", "fd00::1,udp:8081"]);
    });
  });

  describe("endpoints", () => {
    it("are local while they are on this host", () => {
      const calculation = new Calculation(
        workload("a"),
        globalPolicy("p", { selector: "has(app)", ingress: [allowFrom("has(app)")] }),
        workload("b", { labels: { app: "x" }, address: "10.0.0.2" }),
      );
      assert.equal(calculation.picture.endpoints.size, 2);
      const { key } = workload("b");
      const moved = {
        ...workload("b", { node: "there", labels: { app: "x" }, address: "10.0.0.2" }),
        key,
      } as Update;
      calculation.apply(moved, gone(workload("b")));
      assert.deepEqual(
        [...calculation.picture.endpoints.values()].map(one => one.interfaceName),
        ["calia"],
      );
      assert.equal(calculation.picture.policies.size + calculation.picture.sets.size, 0);
    });

    it("without address or interface take no part", () => {
      const calculation = new Calculation(
        workload("a", { address: [] }),
        workload("b", { interfaceName: "" }),
      );
      assert.equal(calculation.picture.endpoints.size, 0);
      assert.deepEqual(calculation.problems, []);
    });

    it("of one interface: the first by name has it, the next when it goes, and the other is reported", () => {
      const second = workload("b", { interfaceName: "cali1", address: "10.0.0.2" });
      const first = workload("a", { interfaceName: "cali1", address: "10.0.0.1" });
      const calculation = new Calculation(second);
      assert.deepEqual(calculation.endpoint("cali1").addresses, ["10.0.0.2"]);
      const changes = calculation.apply(first);
      assert.deepEqual(
        [...changes.endpoints.values()].map(one => one?.addresses[0]),
        [undefined, "10.0.0.1"],
      );
      calculation.apply(second);
      assert.deepEqual(calculation.endpoint("cali1").addresses, ["10.0.0.1"]);
      assert.match(calculation.problems[0] as string, /here-k8s-b-eth0: interface cali1 is already that of/);
      calculation.apply(gone(first));
      assert.deepEqual(calculation.endpoint("cali1").addresses, ["10.0.0.2"]);
      calculation.apply(gone(second));
      assert.equal(calculation.picture.endpoints.size, 0);
    });

    it("carry what the dataplane needs", () => {
      const spec = { mac: "0A:00:00:00:00:01", allowSpoofedSourcePrefixes: ["10.0.0.0/8"] };
      const calculation = new Calculation(workload("a", { address: ["10.0.0.1", "FD00:0::1"], spec }));
      assert.deepEqual(calculation.endpoint("calia"), {
        id: "default.here-k8s-a-eth0",
        interfaceName: "calia",
        enabled: true,
        addresses: ["10.0.0.1", "fd00::1"],
        mac: "0a:00:00:00:00:01",
        profiles: [],
        allowedSources: ["10.0.0.0/8"],
        floatingIps: [],
        qos: undefined,
        tiers: [],
      });
    });

    it("have floating addresses where the configuration allows that, OpenStack's anyway", () => {
      const ipNATs = [{ internalIP: "10.0.0.1", externalIP: "192.0.2.7" }];
      const floating = (more: object = {}) => workload("a", { spec: { ipNATs, ...more } });
      const wanted = [{ internal: "10.0.0.1", external: "192.0.2.7" }];
      assert.deepEqual(Calculation.configured({}, floating()).endpoint("calia").floatingIps, []);
      const allowed = Calculation.configured({ floatingIPs: "Enabled" }, floating());
      assert.deepEqual(allowed.endpoint("calia").floatingIps, wanted);
      const spec = {
        node: HERE,
        orchestrator: "openstack",
        workload: "a",
        endpoint: "eth0",
        interfaceName: "calia",
        ipNetworks: ["10.0.0.1/32"],
        ipNATs,
      };
      const openstack = put("WorkloadEndpoint", "here-openstack-a-eth0", spec, { namespace: "openstack" });
      assert.deepEqual(Calculation.configured({}, openstack).endpoint("calia").floatingIps, wanted);
    });

    it("have limits with Calico's bursts, and a DSCP by number or name", () => {
      const limited = (qosControls: object) =>
        new Calculation(workload("a", { spec: { qosControls } })).endpoint("calia").qos;
      assert.deepEqual(limited({ ingressBandwidth: 10_000, egressPacketRate: 100, dscp: "EF" }), {
        ingress: { bandwidth: 10_000, burst: 4 * 2 ** 30 },
        egress: { packetRate: 100, packetBurst: 5 },
        dscp: 46,
      });
      const peak = {
        egressBandwidth: 10_000,
        egressBurst: 5_000,
        egressPeakrate: 20_000,
        egressMinburst: 1500,
      };
      assert.deepEqual(limited({ ...peak, egressMaxConnections: 7, dscp: 0 }), {
        ingress: {},
        egress: { bandwidth: 10_000, burst: 5_000, peakRate: 20_000, minBurst: 1500, maxConnections: 7 },
        dscp: 0,
      });
      assert.equal(limited({}), undefined);
    });

    it("with a limit out of bounds are refused", () => {
      const calculation = new Calculation(
        workload("a", { spec: { qosControls: { ingressBandwidth: 999 } } }),
      );
      assert.equal(calculation.picture.endpoints.size, 0);
      assert.match(calculation.problems[0] as string, /ingressBandwidth/);
    });
  });

  it("treats what makes no sense as absent, and says so", () => {
    const good = globalPolicy("p", { ingress: [{ action: "Allow" }] });
    const calculation = new Calculation(workload("a"), good);
    assert.equal(calculation.endpoint("calia").tiers.length, 1);
    // Nobody who wrote it through our client could have: the ports of a rule without protocol, no kind of selector.
    calculation.apply(globalPolicy("p", { ingress: [{ action: "Allow", destination: { ports: [80] } }] }));
    assert.equal(calculation.endpoint("calia").tiers.length, 0);
    assert.match(calculation.problems[0] as string, /GlobalNetworkPolicy p: .*ports need protocol/);
    calculation.apply(globalPolicy("q", { selector: "a ==", ingress: [] }));
    assert.match(calculation.problems[1] as string, /GlobalNetworkPolicy q: .*selector/);
    calculation.apply(workload("a", { interfaceName: "bad name" }));
    assert.equal(calculation.picture.endpoints.size, 0);
    calculation.apply(globalNetworkSet("s", ["10.0.0.0/99"]));
    calculation.apply({ ...good, value: null } as unknown as Update);
    assert.equal(calculation.problems.length, 5);
    calculation.apply(good, workload("a"));
    assert.equal(calculation.endpoint("calia").tiers.length, 1);
    assert.equal(calculation.problems.length, 5);
  });

  it("hands on pools", () => {
    const calculation = new Calculation(pool("p", "10.65.0.0/16", true));
    assert.deepEqual([...calculation.picture.pools], [["p", { cidr: "10.65.0.0/16", masquerade: true }]]);
    calculation.apply(pool("p", "10.65.0.0/16"));
    assert.equal(calculation.picture.pools.get("p")?.masquerade, false);
    calculation.apply(gone(pool("p", "10.65.0.0/16")));
    assert.equal(calculation.picture.pools.size, 0);
  });

  it("has nothing more to say once drained", () => {
    const calculation = new Calculation(
      workload("a", { profiles: ["p"] }),
      profile("p"),
      pool("p", "10.65.0.0/16"),
    );
    for (const changes of Object.values(calculation.apply())) assert.equal(changes.size, 0);
  });

  it("hands on the services' addresses that are advertised, when they change", () => {
    const advertised = (spec: object) => put("BGPConfiguration", "default", spec);
    const calculation = new Calculation();
    const cidrs = [{ cidr: "10.96.0.0/16" }, { cidr: "fd00:96::/112" }];
    const both = ["10.96.0.0/16", "fd00:96::/112"];
    assert.deepEqual(calculation.apply(advertised({ serviceClusterIPs: cidrs })).serviceCidrs, both);
    const moved = advertised({ serviceExternalIPs: [cidrs[1]], serviceLoadBalancerIPs: [cidrs[0]] });
    assert.equal(calculation.apply(moved).serviceCidrs, undefined);
    assert.equal(calculation.apply(put("BGPConfiguration", "node.x", {})).serviceCidrs, undefined);
    assert.deepEqual(calculation.apply(gone(moved)).serviceCidrs, []);
  });
});
