/** What rules look like, where their meaning (verdicts.test.ts) leaves a choice, and what packets meet besides policy. */

import assert from "node:assert/strict";
import type { Update } from "../../../../../datastore/reflector.ts";
import type { Changes, LocalEndpoint } from "../../../../../felix/calc/changes.ts";
import { cidr } from "../../../../../net/cidr.ts";
import { ip } from "../../../../../net/ip.ts";
import { Calculation, globalPolicy, hostEndpoint, pool, profile, workload } from "../../calc/resources.ts";
import { configOf, RememberedFilter } from "./table.ts";

const OPEN = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const A = workload("a", { address: ["10.65.0.1", "fd65::1"], profiles: ["open"] });
const TCP = {
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 80,
  source: ip("192.0.2.1"),
  destination: ip("10.65.0.1"),
};
const IN = ["raw-PREROUTING", "mangle-PREROUTING", "filter-INPUT"];
const THROUGH = ["raw-PREROUTING", "mangle-PREROUTING", "filter-FORWARD", "mangle-POSTROUTING"];

function changesOf(...updates: readonly Update[]): Changes {
  const { graph } = new Calculation();
  graph.apply(updates);
  return graph.drain();
}

const filterOf = (updates: readonly Update[], values = {}) =>
  new RememberedFilter(values).update(changesOf(...updates));

const lines = (filter: RememberedFilter, chain: string) =>
  filter.tables[4].chains
    .get(chain)
    ?.rules.map(({ expressions }) => expressions.map(({ kind }) => kind).join(" "));

describe("felix/dataplane/nftables: chains", () => {
  describe("of workloads", () => {
    it("are shared by those that are judged alike, and go with the last", () => {
      const B = workload("b", { address: "10.65.0.2", profiles: ["open"] });
      const changes = changesOf(OPEN, A, B);
      const filter = new RememberedFilter().update(changes);
      const groups = () => [...filter.tables[4].chains.keys()].filter(name => /-g[io]-/.test(name));
      assert.equal(groups().length, 2);
      const [first, second] = changes.endpoints.keys();
      filter.update({ endpoints: new Map([[first!, undefined]]) });
      assert.equal(groups().length, 2);
      filter.update({ endpoints: new Map([[second!, undefined]]) });
      assert.equal(groups().length, 0);
    });

    it("drop everything while it is disabled, and what it has no address for", () => {
      const packet = { ...TCP, inInterface: "eth0", outInterface: "calib" };
      const changes = changesOf(OPEN, workload("b", { address: "10.65.0.2", profiles: ["open"] }));
      const [[id, endpoint]] = [...changes.endpoints] as [[string, LocalEndpoint]];
      const filter = new RememberedFilter().update(changes);
      assert.notEqual(filter.through(packet, ...THROUGH).verdict, "drop");
      const v6 = { ...packet, source: ip("fd00::1"), destination: ip("fd65::2") };
      assert.deepEqual(filter.through(v6, ...THROUGH).comments, ["No IPv6 address"]);
      filter.update({ endpoints: new Map([[id, { ...endpoint, enabled: false }]]) });
      const { verdict, comments } = filter.through({ ...packet, state: "ESTABLISHED" }, ...THROUGH.slice(2));
      assert.deepEqual([verdict, comments], ["drop", ["Endpoint admin disabled"]]);
    });

    it("drop what comes from an interface nobody knows", () => {
      const filter = filterOf([OPEN, A]);
      for (const packet of [
        { ...TCP, inInterface: "calix", outInterface: "eth0" },
        { ...TCP, inInterface: "eth0", outInterface: "calix" },
      ])
        assert.deepEqual(filter.through(packet, "filter-FORWARD").comments, ["Unknown interface"]);
    });

    it("drop forged sources before connections are tracked, but for those that were granted", () => {
      const granted = workload("a", {
        address: "10.65.0.1",
        profiles: ["open"],
        spec: { allowSpoofedSourcePrefixes: ["192.0.2.0/24"] },
      });
      const packet = { ...TCP, inInterface: "calia", outInterface: "eth0", wayBack: "eth0" };
      assert.equal(filterOf([OPEN, granted]).through(packet, "raw-PREROUTING").verdict, "drop");
      const any = filterOf([OPEN, granted], { workloadSourceSpoofing: "Any" });
      assert.equal(any.through(packet, "raw-PREROUTING").verdict, "accept");
      const other = { ...packet, source: ip("198.51.100.1") };
      assert.equal(any.through(other, "raw-PREROUTING").verdict, "drop");
    });

    it("let no tunnel out, unless it is wanted or the answer to one", () => {
      const vxlan = {
        ...TCP,
        protocol: 17,
        destinationPort: 4789,
        inInterface: "calia",
        outInterface: "eth0",
      };
      const ipip = { ...vxlan, protocol: 4 };
      const strict = filterOf([OPEN, A]);
      const lax = filterOf([OPEN, A], {
        allowVXLANPacketsFromWorkloads: true,
        allowIPIPPacketsFromWorkloads: true,
      });
      for (const packet of [vxlan, ipip]) {
        assert.equal(strict.through(packet, "filter-FORWARD").verdict, "drop");
        assert.equal(lax.through(packet, "filter-FORWARD").verdict, "accept");
        assert.equal(strict.through({ ...packet, state: "ESTABLISHED" }, "filter-FORWARD").verdict, "accept");
      }
    });

    it("limit packets and connections in a chain of their own, before all else", () => {
      const limited = workload("a", {
        address: "10.65.0.1",
        profiles: ["open"],
        spec: { qosControls: { ingressPacketRate: 1000, ingressMaxConnections: 5 } },
      });
      const filter = filterOf([OPEN, limited]);
      assert.deepEqual(lines(filter, "filter-cali-tw-calia"), [
        "limit counter verdict",
        "meta cmp ct bitwise cmp connlimit counter reject",
        "meta cmp ct bitwise cmp connlimit counter reject",
        "verdict",
      ]);
      assert.equal(lines(filter, "filter-cali-fw-calia"), undefined);
    });

    it("let IPv6 workloads find their neighbours, and speak BGP to the host where they are peers of it", () => {
      const changes = changesOf(OPEN, A);
      const endpoints = [...changes.endpoints].map(
        ([id, endpoint]) => [id, { ...(endpoint as LocalEndpoint), bgpPeer: true }] as const,
      );
      const peers = new RememberedFilter().update({ ...changes, endpoints: new Map(endpoints) });
      const toHost = { ...TCP, source: ip("10.65.0.1"), destination: ip("192.0.2.9"), inInterface: "calia" };
      assert.equal(peers.through({ ...toHost, destinationPort: 179 }, ...IN).verdict, "accept");
      assert.equal(peers.through(toHost, ...IN).verdict, "drop");
      const solicitation = {
        ...toHost,
        protocol: 58,
        icmp: { type: 135, code: 0 },
        source: ip("fd65::1"),
        destination: ip("fd65::9"),
      };
      assert.equal(peers.through(solicitation, ...IN).verdict, "accept");
    });
  });

  describe("of policies", () => {
    const web = (spec: object, values = {}) => {
      const filter = filterOf([OPEN, A, globalPolicy("web", spec)], values);
      return { filter, rules: filter.tables[4].chains.get("filter-cali-pi-gnp/web")?.rules ?? [] };
    };

    it("have one rule for a rule, with lists as sets that equal lists share", () => {
      const ports = [80, "8000:8010", 443];
      const { rules } = web({
        ingress: [
          { action: "Allow", protocol: "TCP", destination: { ports } },
          { action: "Deny", protocol: "TCP", destination: { ports: ["443:443", ...ports] } },
          { action: "Allow", source: { nets: ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"] } },
        ],
      });
      assert.deepEqual(
        rules.map(({ lists }) => lists?.map(({ set, elements }) => [set.name, elements.length])),
        [
          [["cali-ports-80.443.8000-8010", 3]],
          [["cali-ports-80.443.8000-8010", 3]],
          [[rules[2]!.lists![0]!.set.name, 2]],
        ],
      );
    });

    it("have a rule for each of several ways to name a port, and log a packet once whichever it takes", () => {
      const named = { action: "Log", protocol: "TCP", destination: { ports: ["http", "web", 80] } };
      const { rules } = web({ ingress: [named, { ...named, action: "Allow" }] });
      assert.deepEqual(
        rules.map(({ expressions }) => expressions.filter(({ kind }) => kind === "lookup").length),
        [0, 1, 2, 0, 1, 1],
      );
    });

    it("say in the log who logs, and no more often than wanted", () => {
      const spec = { ingress: [{ action: "Log" }] };
      const { rules } = web(spec, {
        logPrefix: "%k %n",
        logActionRateLimit: "10/minute",
        logActionRateLimitBurst: 7,
      });
      const [counter, limit, log] = rules[0]!.expressions;
      assert.equal(counter?.kind, "counter");
      assert.deepEqual(limit, {
        kind: "limit",
        per: "packets",
        rate: 10n,
        seconds: 60n,
        burst: 7,
        over: false,
      });
      assert.deepEqual(log, { kind: "log", prefix: "gnp web: ", level: 5 });
    });

    it("reject where it is wanted: TCP with a reset, the rest with ICMP", () => {
      const { rules } = web({ ingress: [{ action: "Deny" }] }, { nftablesFilterDenyAction: "Reject" });
      assert.deepEqual(
        rules.map(({ expressions }) => expressions.at(-1)),
        [
          { kind: "reject", type: "tcp-reset", code: 0 },
          { kind: "reject", type: "icmp", code: 13 },
        ],
      );
    });

    it("tell the flow log what they decide, and what nobody did", () => {
      const { filter } = web(
        { ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80] } }] },
        { flowLogsLocalReporter: true },
      );
      const packet = { ...TCP, inInterface: "eth0", outInterface: "calia" };
      assert.deepEqual(filter.through(packet, "filter-FORWARD").flows, ["1 API0|gnp/web"]);
      assert.deepEqual(filter.through({ ...packet, destinationPort: 81 }, "filter-FORWARD").flows, [
        "1 DPI|default",
      ]);
      const outwards = { ...packet, inInterface: "calia", outInterface: "eth0" };
      assert.deepEqual(filter.through(outwards, "filter-FORWARD").flows, ["2 ARE0|open"]);
    });

    it("name their policy and rule in a comment, with annotations, in characters that can be printed", () => {
      const metadata = { annotations: { why: 'because "we" cän' } };
      const { rules } = web({ ingress: [{ action: "Allow", metadata }] });
      assert.equal(rules[0]!.comment, "Policy gnp/web ingress 0; why=because 'we' c?n");
    });

    it("let allowed packets out of long tiers", () => {
      const policies = Array.from({ length: 20 }, (_, i) => globalPolicy(`p${i}`, { ingress: [] }));
      const filter = filterOf([OPEN, A, ...policies]);
      const [group] = [...filter.tables[4].chains.keys()].filter(name => name.startsWith("filter-cali-gi-"));
      const exits = lines(filter, group!)!.filter(line => line === "meta bitwise cmp verdict").length;
      // 19 jumps that ask first, of 20; and the ways out after 8 and 16.
      assert.equal(exits, 19 + 2 + 1);
    });
  });

  describe("of hosts", () => {
    const host = (spec: object) =>
      hostEndpoint("h", { node: "here", interfaceName: "eth0", ...spec } as never);

    it("let tunnels' packets in and out between hosts of the cluster only, untracked", () => {
      const filter = new RememberedFilter().update({
        encapsulation: { vxlan: true, vxlan6: false, ipip: true },
        sets: new Map([
          ["all-vxlan-net", { kind: "whole", type: "net", members: new Set(["192.0.2.1", "2001:db8::1"]) }],
          ["all-hosts-net", { kind: "whole", type: "net", members: new Set(["192.0.2.1"]) }],
        ]),
      });
      const ownAddresses = [ip("192.0.2.9")];
      const vxlan = {
        ...TCP,
        protocol: 17,
        destinationPort: 4789,
        destination: ip("192.0.2.9"),
        inInterface: "eth0",
        ownAddresses,
      };
      for (const packet of [vxlan, { ...vxlan, protocol: 4 }]) {
        assert.equal(filter.through(packet, "filter-INPUT").verdict, "accept");
        const stranger = { ...packet, source: ip("192.0.2.77") };
        assert.equal(filter.through(stranger, "filter-INPUT").verdict, "drop");
        const outwards = {
          ...packet,
          source: ip("192.0.2.9"),
          destination: ip("192.0.2.1"),
          inInterface: "",
          outInterface: "eth0",
        };
        assert.equal(filter.through(outwards, "filter-OUTPUT").verdict, "accept");
      }
      assert.equal(filter.through(vxlan, "raw-PREROUTING").untracked, true);
      assert.equal(filter.through(vxlan, "raw-OUTPUT").untracked, true);
    });

    it("judge what the host sends to a translated destination after it was translated", () => {
      const filter = filterOf([
        host({}),
        globalPolicy("p", {
          selector: "all()",
          types: ["Egress"],
          egress: [{ action: "Allow", protocol: "TCP", destination: { ports: [80] } }],
        }),
      ]);
      const packet = { ...TCP, inInterface: "", outInterface: "eth0" };
      for (const [destinationPort, verdict] of [
        [80, undefined],
        [81, "drop"],
      ] as const) {
        const translated = { ...packet, destinationPort, translated: true };
        assert.equal(filter.through(translated, "raw-OUTPUT", "filter-OUTPUT").verdict, undefined);
        assert.equal(
          filter.through(translated, "raw-OUTPUT", "filter-OUTPUT", "mangle-POSTROUTING").verdict,
          verdict,
        );
      }
    });

    it("keep failsafe ports open, their answers too before they are tracked", () => {
      const closed = globalPolicy("p", {
        selector: "all()",
        applyOnForward: true,
        doNotTrack: true,
        types: ["Ingress", "Egress"],
        ingress: [{ action: "Deny" }],
        egress: [{ action: "Deny" }],
      });
      const filter = filterOf([host({}), closed], {
        failsafeInboundHostPorts: "tcp:[192.0.2.0/24]:22",
        failsafeOutboundHostPorts: "udp:53",
      });
      const arriving = { ...TCP, inInterface: "eth0" };
      const leaving = { ...TCP, outInterface: "eth0", destination: ip("192.0.2.1") };
      const verdict = (packet: typeof arriving | typeof leaving, hook: string) =>
        filter.through(packet, hook).verdict;
      assert.equal(verdict({ ...arriving, destinationPort: 22 }, "raw-PREROUTING"), "accept");
      assert.equal(
        verdict({ ...arriving, destinationPort: 22, source: ip("198.51.100.1") }, "raw-PREROUTING"),
        "drop",
      );
      assert.equal(verdict({ ...leaving, sourcePort: 22 }, "raw-OUTPUT"), "accept");
      assert.equal(verdict({ ...arriving, protocol: 17, sourcePort: 53 }, "raw-PREROUTING"), "accept");
      assert.equal(verdict({ ...leaving, protocol: 17, destinationPort: 53 }, "raw-OUTPUT"), "accept");
      assert.equal(verdict(leaving, "raw-OUTPUT"), "drop");
    });

    it("let IPv6 hosts find their neighbours, whatever policy says", () => {
      const filter = filterOf([host({})], { failsafeInboundHostPorts: "none" });
      const solicitation = {
        ...TCP,
        protocol: 58,
        icmp: { type: 135, code: 0 },
        source: ip("fe80::1"),
        destination: ip("ff02::1:ff00:1"),
      };
      assert.equal(filter.through({ ...solicitation, inInterface: "eth0" }, ...IN).verdict, "accept");
      assert.equal(
        filter.through({ ...solicitation, outInterface: "eth0" }, "filter-OUTPUT").verdict,
        "accept",
      );
      const echo = { ...solicitation, icmp: { type: 128, code: 0 }, inInterface: "eth0" };
      assert.equal(filter.through(echo, ...IN).verdict, "drop");
    });

    it("ask nobody where there is no host endpoint, and nobody about workloads under `*`", () => {
      const chain = "filter-cali-from-host-endpoint";
      assert.deepEqual(lines(filterOf([OPEN, A]), chain), []);
      const any = filterOf([OPEN, A, host({ interfaceName: "*" })]);
      assert.equal(lines(any, chain)?.length, 4);
      const forwarded = {
        ...TCP,
        source: ip("10.65.0.1"),
        destination: ip("10.65.0.1"),
        inInterface: "calia",
        outInterface: "calia",
      };
      assert.notEqual(any.through(forwarded, ...THROUGH).verdict, "drop");
    });

    it("let no packet loop for a service that nobody answers", () => {
      const services = { serviceCidrs: [cidr("10.96.0.0/12"), cidr("fd96::/108")] };
      const packet = { ...TCP, destination: ip("10.96.0.10"), inInterface: "eth0", outInterface: "eth0" };
      const verdict = (serviceLoopPrevention: string) =>
        new RememberedFilter({ serviceLoopPrevention }).update(services).through(packet, "filter-FORWARD")
          .verdict;
      assert.equal(verdict("Drop"), "drop");
      assert.equal(verdict("Reject"), "drop");
      assert.equal(verdict("Disabled"), undefined);
    });
  });

  describe("that translate", () => {
    const expressions = (filter: RememberedFilter, chain: string, version: 4 | 6 = 4) =>
      filter.tables[version].chains.get(chain)?.rules.map(rule => rule.expressions.at(-1));
    const POOLS = [pool("p", "10.65.0.0/16", true)] as const;

    it("masquerade what leaves a pool for anywhere but a pool", () => {
      const filter = filterOf([...POOLS]);
      assert.deepEqual(expressions(filter, "nat-cali-nat-outgoing"), [{ kind: "masq", flags: 16 }]);
      const { sets } = filter.tables[4].walked;
      assert.equal(sets.get("cali40masq-ipam-pools")?.elements.length, 1);
    });

    it("use the ports and the address that were asked for", () => {
      const filter = filterOf([...POOLS], { natPortRange: "1000:2000", natOutgoingAddress: "192.0.2.5" });
      const ports = { portMin: 2, portMax: 3 };
      const snat = { kind: "nat", type: "snat", family: "ip", addressMin: 1, flags: 16 };
      assert.deepEqual(expressions(filter, "nat-cali-nat-outgoing"), [
        { ...snat, ...ports },
        { ...snat, ...ports },
        snat,
      ]);
      assert.deepEqual(expressions(filter, "nat-cali-nat-outgoing", 6)?.at(-1), { kind: "masq", flags: 16 });
    });

    it("give what the host sends through a tunnel the tunnel's address", () => {
      const filter = new RememberedFilter().update({
        encapsulation: { vxlan: true, vxlan6: true, ipip: true },
      });
      assert.equal(expressions(filter, "nat-cali-POSTROUTING")?.length, 3);
      assert.equal(expressions(filter, "nat-cali-POSTROUTING", 6)?.length, 2);
    });

    it("know floating addresses, also of a workload that calls itself", () => {
      const floating = workload("a", {
        address: "10.65.0.1",
        spec: { ipNATs: [{ internalIP: "10.65.0.1", externalIP: "203.0.113.5" }] },
      });
      const { graph } = new Calculation();
      graph.configure(configOf({ floatingIPs: "Enabled" }));
      graph.apply([floating]);
      const filter = new RememberedFilter({ floatingIPs: "Enabled" }).update(graph.drain());
      const elements = (name: string) => filter.tables[4].walked.sets.get(name)?.elements;
      assert.deepEqual(elements("cali-fip-dnat"), [{ key: "cb007105", data: "0a410001" }]);
      assert.deepEqual(elements("cali-fip-snat"), [{ key: "0a4100010a410001", data: "cb007105" }]);
      assert.equal(new RememberedFilter().tables[4].chains.has("nat-PREROUTING"), false);
    });

    it("write a workload's DSCP into what leaves the cluster", () => {
      const filter = filterOf([
        workload("a", { address: ["10.65.0.1", "fd65::1"], spec: { qosControls: { dscp: "EF" } } }),
      ]);
      const rule = (version: 4 | 6) =>
        filter.tables[version].chains.get("mangle-cali-egress-dscp")!.rules.at(-1)!.expressions.slice(-2);
      assert.deepEqual(
        rule(4).map(expression => JSON.stringify(expression)),
        [
          '{"kind":"bitwise","from":1,"to":1,"mask":"ff03","xor":"00b8"}',
          '{"kind":"payload-set","base":"network","offset":0,"length":2,"from":1,"checksumOffset":10}',
        ],
      );
      assert.deepEqual(
        rule(6).map(expression => JSON.stringify(expression)),
        [
          '{"kind":"bitwise","from":1,"to":1,"mask":"f03f","xor":"0b80"}',
          '{"kind":"payload-set","base":"network","offset":0,"length":2,"from":1}',
        ],
      );
    });

    it("write a host's DSCP by the interface it sends by", () => {
      const endpoint = {
        id: "h",
        tiers: [],
        forwardTiers: [],
        untrackedTiers: [],
        preDnatTiers: [],
        profiles: [],
      };
      const filter = new RememberedFilter().update({
        hostEndpoints: new Map([
          ["eth0", { ...endpoint, dscp: 10 }],
          ["*", { ...endpoint, dscp: 20 }],
        ]),
      });
      assert.deepEqual(
        filter.tables[4].chains.get("mangle-cali-egress-dscp")!.rules.map(({ comment }) => comment),
        [undefined, "DSCP 10", undefined, undefined, "DSCP 20"],
      );
    });
  });
});
