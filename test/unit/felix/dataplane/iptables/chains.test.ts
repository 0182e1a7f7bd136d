/** The rules as text, one feature at a time: what an operator reads in iptables-save. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import type { LocalEndpoint } from "../../../../../felix/calc/changes.ts";
import { DispatchChains } from "../../../../../felix/dataplane/iptables/dispatch-chains.ts";
import { allocateMarks } from "../../../../../felix/dataplane/iptables/marks.ts";
import { policyRules, profileRules } from "../../../../../felix/dataplane/iptables/policy-chains.ts";
import {
  filterChains,
  natChains,
  rawChains,
  type StaticChains,
  spoofingExceptions,
} from "../../../../../felix/dataplane/iptables/static-chains.ts";
import { workloadChains } from "../../../../../felix/dataplane/iptables/workload-chains.ts";
import type { Rule as IptablesRule } from "../../../../../felix/iptables-ts/index.ts";
import { type IpVersion, ip } from "../../../../../net/ip.ts";
import { resolvePolicy } from "../../../../../policy/resolve.ts";
import { configOf } from "./kernel.ts";

const marks = allocateMarks(0xffff0000);
const texts = (rules: readonly IptablesRule[] | undefined) => rules?.map(({ text }) => text);

interface Written {
  readonly version?: IpVersion;
  readonly direction?: "ingress" | "egress";
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Rules of a policy, from YAML as users write it to lines as iptables prints them. */
function rendered(yaml: string, { version = 4, direction = "ingress", config = {} }: Written = {}): string[] {
  const policy = resolvePolicy({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "p" },
    spec: { types: ["Ingress", "Egress"], [direction]: parse(yaml) },
  } as never);
  return texts(policyRules(policy[direction], { version, marks, config: configOf(config) }))!;
}

const ALLOW = ["-j MARK --set-xmark 0x10000/0x10000", "-m mark --mark 0x10000/0x10000 -j RETURN"] as const;
const allowing = (matches: string) => [`${matches} ${ALLOW[0]}`, ALLOW[1]];

describe("felix/dataplane/iptables: chains", () => {
  describe("of policies", () => {
    it("act on a mark that the matching rule sets", () => {
      assert.deepEqual(rendered("[{action: Allow}]"), [...ALLOW]);
      assert.deepEqual(rendered("[{action: Pass}]"), [
        "-j MARK --set-xmark 0x20000/0x20000",
        "-m mark --mark 0x20000/0x20000 -j RETURN",
      ]);
      assert.deepEqual(rendered("[{action: Deny}]"), ["-j DROP"]);
      assert.deepEqual(rendered("[{action: Deny}]", { config: { iptablesFilterDenyAction: "Reject" } }), [
        "-j REJECT",
      ]);
      assert.deepEqual(rendered("[{action: Log}]"), ['-j LOG --log-prefix "calico-packet: " --log-level 5']);
    });

    it("match protocols by name or number, and one at a time", () => {
      assert.deepEqual(rendered("[{action: Deny, protocol: 6}]"), ["-p tcp -j DROP"]);
      assert.deepEqual(rendered("[{action: Deny, protocol: 47}]"), ["-p 47 -j DROP"]);
      assert.deepEqual(rendered("[{action: Deny, notProtocol: SCTP}]"), ["! -p sctp -j DROP"]);
      assert.deepEqual(rendered("[{action: Deny, protocol: TCP, notProtocol: UDP}]"), ["-p tcp -j DROP"]);
      assert.deepEqual(rendered("[{action: Deny, protocol: TCP, notProtocol: TCP}]"), []);
      assert.deepEqual(rendered("[{action: Allow, protocol: 0}]"), []);
      assert.deepEqual(rendered("[{action: Deny, notProtocol: 0}]"), ["-j DROP"]);
    });

    it("match ICMP in the version it belongs to", () => {
      assert.deepEqual(rendered("[{action: Deny, protocol: ICMP, icmp: {type: 8, code: 0}}]"), [
        "-p icmp -m icmp --icmp-type 8/0 -j DROP",
      ]);
      assert.deepEqual(rendered("[{action: Deny, protocol: ICMP}]", { version: 6 }), []);
      const v6 = "[{action: Deny, protocol: ICMPv6, notICMP: {type: 128}}]";
      assert.deepEqual(rendered(v6, { version: 6 }), ["-p icmpv6 -m icmp6 ! --icmpv6-type 128 -j DROP"]);
      assert.deepEqual(rendered(v6), []);
    });

    it("leave out what is of the other IP version", () => {
      const yaml = "[{action: Allow, source: {nets: ['fd00::/8']}}, {action: Allow, ipVersion: 4}]";
      assert.deepEqual(rendered(yaml), [...ALLOW]);
      assert.deepEqual(rendered(yaml, { version: 6 }), allowing("-s fd00::/8"));
    });

    it("hold one net per end, wanted or excluded", () => {
      assert.deepEqual(
        rendered("[{action: Allow, source: {nets: [10.0.0.0/8]}, destination: {notNets: [10.1.0.0/16]}}]"),
        allowing("-s 10.0.0.0/8 ! -d 10.1.0.0/16"),
      );
      assert.deepEqual(rendered("[{action: Allow, source: {nets: [10.0.0.0/8], notNets: [10.1.0.0/16]}}]"), [
        "-j MARK --set-xmark 0x0/0x180000",
        "-j MARK --set-xmark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 -s 10.1.0.0/16 -j MARK --set-xmark 0x0/0x80000",
        ...allowing("-m mark --mark 0x80000/0x80000 -s 10.0.0.0/8"),
      ]);
    });

    it("ask several lists of alternatives one after the other", () => {
      assert.deepEqual(
        rendered(
          "[{action: Allow, protocol: TCP, source: {nets: [10.0.0.0/8, 11.0.0.0/8]}, destination: {ports: [80, http]}}]",
        ),
        [
          "-j MARK --set-xmark 0x0/0x180000",
          "-p tcp -m multiport --destination-ports 80 -j MARK --set-xmark 0x80000/0x80000",
          "-p tcp -m set --match-set cali40n:cl9_Kgeu4H0OGLbhovVR3NB dst,dst -j MARK --set-xmark 0x80000/0x80000",
          "-m mark --mark 0x80000/0x80000 -p tcp -s 10.0.0.0/8 -j MARK --set-xmark 0x100000/0x100000",
          "-m mark --mark 0x80000/0x80000 -p tcp -s 11.0.0.0/8 -j MARK --set-xmark 0x100000/0x100000",
          "-m mark --mark 0x0/0x100000 -j MARK --set-xmark 0x0/0x80000",
          "-j MARK --set-xmark 0x0/0x100000",
          ...allowing("-m mark --mark 0x80000/0x80000 -p tcp"),
        ],
      );
    });

    it("put at most 15 ports into one match, a range counting as two", () => {
      const odd = Array.from({ length: 15 }, (_, i) => 2 * i + 1);
      assert.deepEqual(rendered(`[{action: Deny, protocol: UDP, source: {ports: [${odd}]}}]`), [
        `-p udp -m multiport --source-ports ${odd} -j DROP`,
      ]);
      const more = rendered(`[{action: Deny, protocol: UDP, source: {ports: [${odd}, '100:200']}}]`);
      assert.deepEqual(more.slice(1), [
        `-p udp -m multiport --source-ports ${odd} -j MARK --set-xmark 0x80000/0x80000`,
        "-p udp -m multiport --source-ports 100:200 -j MARK --set-xmark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 -p udp -j DROP",
      ]);
    });

    it("exclude any number of ports in one rule", () => {
      const odd = Array.from({ length: 16 }, (_, i) => 2 * i + 1);
      assert.deepEqual(rendered(`[{action: Deny, protocol: UDP, source: {notPorts: [${odd}, dns]}}]`), [
        `-p udp -m multiport ! --source-ports ${odd.slice(0, 15)} -m multiport ! --source-ports 31 ` +
          "-m set ! --match-set cali40n:wBUuGT_s8isCYKpah3eXsbd src,src -j DROP",
      ]);
    });

    it("name the sets of selectors", () => {
      assert.deepEqual(
        rendered("[{action: Deny, source: {selector: all(), notSelector: has(a)}}]", { version: 6 }),
        [
          "-m set --match-set cali60s:5y5I3VdRZfDU01O--xXAPx2 src -m set ! --match-set cali60s:JpRGrxZ4kdS6g7WoF-uG_g7 src -j DROP",
        ],
      );
    });

    it("carry their annotations", () => {
      assert.deepEqual(rendered("[{action: Deny, metadata: {annotations: {why: 'a \"good\" reason'}}}]"), [
        '-m comment --comment "why=a \\"good\\" reason" -j DROP',
      ]);
    });
  });

  it("of a profile that passes forget who passed before", () => {
    const rule = (action: "pass" | "allow") =>
      ({ action, source: entity, destination: entity, annotations: {} }) as const;
    const entity = { nets: [], notNets: [], ports: [], namedPorts: [], notPorts: [], notNamedPorts: [] };
    const context = { version: 4, marks, config: configOf() } as const;
    assert.equal(texts(profileRules([rule("pass")], context))?.[0], "-j MARK --set-xmark 0x0/0x20000");
    assert.deepEqual(texts(profileRules([rule("allow")], context)), [...ALLOW]);
  });

  describe("of a workload", () => {
    const endpoint: LocalEndpoint = {
      id: "default.a",
      interfaceName: "cali1",
      enabled: true,
      addresses: [ip("10.0.0.1")],
      mac: undefined,
      tiers: [
        { name: "strict", defaultAction: "deny", ingress: ["gnp/a", "np/default/b"], egress: [] },
        { name: "lax", defaultAction: "pass", ingress: ["gnp/c"], egress: ["gnp/c"] },
      ],
      profiles: ["kns.default"],
      allowedSources: [],
      floatingIps: [],
      qos: undefined,
    };
    const chains = (more: Partial<LocalEndpoint> = {}, config = {}) =>
      workloadChains({ ...endpoint, ...more }, configOf(config), marks, 4);

    it("judge what goes to it: connections, tiers, profiles, and drop", () => {
      assert.deepEqual(texts(chains().get("cali-tw-cali1")), [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-m conntrack --ctstate INVALID -j DROP",
        "-j MARK --set-xmark 0x0/0x30000",
        '-m comment --comment "Start of tier strict" -j MARK --set-xmark 0x0/0x20000',
        "-m mark --mark 0x0/0x20000 -j cali-pi-gnp/a",
        '-m comment --comment "Return if policy accepted" -m mark --mark 0x10000/0x10000 -j RETURN',
        "-m mark --mark 0x0/0x20000 -j cali-pi-np/default/b",
        '-m comment --comment "Return if policy accepted" -m mark --mark 0x10000/0x10000 -j RETURN',
        '-m comment --comment "End of tier strict. Drop if no policies passed packet" -m mark --mark 0x0/0x20000 -j DROP',
        '-m comment --comment "Start of tier lax" -j MARK --set-xmark 0x0/0x20000',
        "-m mark --mark 0x0/0x20000 -j cali-pi-gnp/c",
        '-m comment --comment "Return if policy accepted" -m mark --mark 0x10000/0x10000 -j RETURN',
        "-j cali-pri-kns.default",
        '-m comment --comment "Return if profile accepted" -m mark --mark 0x10000/0x10000 -j RETURN',
        '-m comment --comment "Drop if no profiles matched" -j DROP',
      ]);
    });

    it("let no tunnel out, unless it is wanted", () => {
      const from = texts(chains({ tiers: [], profiles: [] }).get("cali-fw-cali1"))!;
      assert.deepEqual(from.slice(3, 5), [
        '-m comment --comment "Drop VXLAN encapped packets originating in workloads" -p udp -m multiport --destination-ports 4789 -j DROP',
        '-m comment --comment "Drop IPinIP encapped packets originating in workloads" -p 4 -j DROP',
      ]);
      const wanted = { allowVXLANPacketsFromWorkloads: true, allowIPIPPacketsFromWorkloads: true };
      assert.equal(chains({ tiers: [], profiles: [] }, wanted).get("cali-fw-cali1")?.length, 4);
    });

    it("drop everything while it is disabled", () => {
      for (const rules of chains({ enabled: false }).values())
        assert.deepEqual(texts(rules), ['-m comment --comment "Endpoint admin disabled" -j DROP']);
    });
  });

  describe("of dispatch", () => {
    const chains = (interfaces: string[], config = {}) => {
      const dispatch = new DispatchChains(configOf(config));
      for (const name of interfaces) dispatch.add(name);
      return [...dispatch.drain()].flatMap(([name, rules]) =>
        rules && name.startsWith("cali-from") ? [[name, texts(rules)] as const] : [],
      );
    };
    const unknown = '-m comment --comment "Unknown interface" -j DROP';

    it("drop what comes from an interface nobody knows", () => {
      assert.deepEqual(chains([]), [["cali-from-wl-dispatch", [unknown]]]);
    });

    it("group interfaces by the character after the prefix", () => {
      assert.deepEqual(chains(["calib2", "calia1", "calib1"]), [
        [
          "cali-from-wl-dispatch-calib",
          ["-i calib1 -g cali-fw-calib1", "-i calib2 -g cali-fw-calib2", unknown],
        ],
        [
          "cali-from-wl-dispatch",
          ["-i calia1 -g cali-fw-calia1", "-i calib+ -g cali-from-wl-dispatch-calib", unknown],
        ],
      ]);
    });

    it("are the same however the interfaces came and went, and only those that changed are given", () => {
      const step = fc.record({
        what: fc.constantFrom("add", "remove", "drain"),
        name: fc.constantFrom("cali", "calia", "calia1", "calia2", "calia3", "calib1", "calib2"),
      });
      fc.assert(
        fc.property(fc.array(step, { maxLength: 30 }), steps => {
          const dispatch = new DispatchChains(configOf());
          const present = new Set<string>();
          const kernel = new Map<string, readonly string[]>();
          const take = () => {
            for (const [name, rules] of dispatch.drain()) {
              if (rules) kernel.set(name, texts(rules) ?? []);
              else kernel.delete(name);
            }
          };
          for (const { what, name } of steps) {
            if (what === "drain") take();
            else if (what === "add") {
              dispatch.add(name);
              present.add(name);
            } else {
              dispatch.remove(name);
              present.delete(name);
            }
          }
          take();
          const fresh = chains([...present]);
          const ours = [...kernel].filter(([name]) => name.startsWith("cali-from"));
          assert.deepEqual(new Map(ours), new Map(fresh));
          assert.equal(dispatch.drain().size, 0);
        }),
      );
    });

    it("take an interface named like the prefix itself for no more than it is", () => {
      assert.deepEqual(chains(["cali", "calia"]).at(-1)?.[1], [
        "-i cali -g cali-fw-cali",
        "-i calia -g cali-fw-calia",
        unknown,
      ]);
    });

    it("have names that fit, however long the prefix", () => {
      const [[name] = []] = chains(["workloadeth1a", "workloadeth1b"], { interfacePrefix: "workloadeth" });
      assert.equal((name as string).length, 28);
      assert.doesNotThrow(() =>
        chains(["fourteenletter1", "fourteenletter2"], { interfacePrefix: "fourteenletter" }),
      );
    });
  });

  describe("that are always there", () => {
    const all = ({ chains, hooks, appends }: StaticChains) =>
      Object.fromEntries(
        [...chains, ...hooks, ...[...appends].map(([chain, rules]) => [`${chain} end`, rules] as const)].map(
          ([chain, rules]) => [chain, texts(rules)],
        ),
      );

    it("lead from the filter table's hooks to dispatch", () => {
      assert.deepEqual(all(filterChains(4, configOf({ interfacePrefix: "cali,tap" }), marks)), {
        "cali-FORWARD": [
          "-j MARK --set-xmark 0x0/0x1e0000",
          "-i cali+ -j cali-from-wl-dispatch",
          "-i tap+ -j cali-from-wl-dispatch",
          "-o cali+ -j cali-to-wl-dispatch",
          "-o tap+ -j cali-to-wl-dispatch",
        ],
        "cali-INPUT": [
          "-i cali+ -g cali-wl-to-host",
          "-i tap+ -g cali-wl-to-host",
          "-m mark --mark 0x10000/0x10000 -j ACCEPT",
          "-j MARK --set-xmark 0x0/0x1f0000",
        ],
        "cali-wl-to-host": [
          "-j cali-from-wl-dispatch",
          '-m comment --comment "Configured DefaultEndpointToHostAction" -j DROP',
        ],
        "cali-OUTPUT": [
          "-m mark --mark 0x10000/0x10000 -j ACCEPT",
          "-o cali+ -j RETURN",
          "-o tap+ -j RETURN",
          "-j MARK --set-xmark 0x0/0x1f0000",
        ],
        FORWARD: ["-j cali-FORWARD"],
        INPUT: ["-j cali-INPUT"],
        OUTPUT: ["-j cali-OUTPUT"],
        "FORWARD end": [
          '-m comment --comment "Policy explicitly accepted packet." -m mark --mark 0x10000/0x10000 -j ACCEPT',
          "-j MARK --set-xmark 0x10000/0x10000",
        ],
      });
    });

    it("let IPv6 workloads find their neighbours", () => {
      const rules = all(filterChains(6, configOf(), marks))["cali-wl-to-host"]!;
      assert.deepEqual(rules.slice(0, 2), [
        "-p icmpv6 -m icmp6 --icmpv6-type 130 -j ACCEPT",
        "-p icmpv6 -m icmp6 --icmpv6-type 131 -j ACCEPT",
      ]);
      assert.equal(rules.length, 8);
    });

    it("drop forged sources before connections are tracked, also where denied packets are rejected", () => {
      const { "cali-PREROUTING": rules } = all(
        rawChains(configOf({ iptablesFilterDenyAction: "Reject" }), marks),
      );
      assert.deepEqual(rules, [
        "-j MARK --set-xmark 0x0/0x1f0000",
        "-i cali+ -j MARK --set-xmark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 -j cali-rpf-skip",
        "-m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP",
      ]);
    });

    it("except the sources that an endpoint was granted", () => {
      const endpoint = { interfaceName: "cali1", allowedSources: ["10.0.0.0/8", "fd00::/8"] };
      assert.deepEqual(texts(spoofingExceptions([endpoint], 6)), ["-i cali1 -s fd00::/8 -j ACCEPT"]);
    });

    it("masquerade what leaves a pool for anywhere but a pool", () => {
      const rules = (config: object) =>
        all(natChains(4, configOf(config as Record<string, unknown>)))["cali-nat-outgoing"];
      const outgoing =
        "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst";
      assert.deepEqual(rules({}), [`${outgoing} -j MASQUERADE --random-fully`]);
      assert.deepEqual(rules({ natOutgoingAddress: "192.0.2.1", natPortRange: "1000:2000" }), [
        `${outgoing} -p tcp -j SNAT --to-source 192.0.2.1:1000-2000 --random-fully`,
        `${outgoing} -p udp -j SNAT --to-source 192.0.2.1:1000-2000 --random-fully`,
        `${outgoing} -j SNAT --to-source 192.0.2.1 --random-fully`,
      ]);
    });
  });
});
