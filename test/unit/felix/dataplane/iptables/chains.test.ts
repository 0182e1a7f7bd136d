/** The rules as text, one feature at a time: what an operator reads in iptables-save. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { parse } from "yaml";
import type { LocalEndpoint, LocalHostEndpoint } from "../../../../../felix/calc/changes.ts";
import type { RenderContext } from "../../../../../felix/dataplane/iptables/actions.ts";
import { DispatchChains } from "../../../../../felix/dataplane/iptables/dispatch-chains.ts";
import { filterChains } from "../../../../../felix/dataplane/iptables/filter-chains.ts";
import { mangleChains } from "../../../../../felix/dataplane/iptables/mangle-chains.ts";
import { natChains } from "../../../../../felix/dataplane/iptables/nat-chains.ts";
import { policyRules, profileRules } from "../../../../../felix/dataplane/iptables/policy-chains.ts";
import { rawChains, spoofingExceptions } from "../../../../../felix/dataplane/iptables/raw-chains.ts";
import type { HostState, TableChains } from "../../../../../felix/dataplane/iptables/table-chains.ts";
import { WorkloadChains } from "../../../../../felix/dataplane/iptables/workload-chains.ts";
import { allocateMarks } from "../../../../../felix/dataplane/marks.ts";
import type { Rule as IptablesRule, TableName } from "../../../../../felix/iptables-ts/index.ts";
import { cidr } from "../../../../../net/cidr.ts";
import { type IpVersion, ip } from "../../../../../net/ip.ts";
import { resolvePolicy } from "../../../../../policy/resolve.ts";
import { configOf } from "./kernel.ts";

const marks = allocateMarks(0xffff0000);
const texts = (rules: readonly IptablesRule[] | undefined) => rules?.map(({ text }) => text);

const contextOf = (
  config: object = {},
  table: TableName = "filter",
  version: IpVersion = 4,
): RenderContext => ({
  version,
  config: configOf(config as Record<string, unknown>),
  marks,
  table,
});

interface Written {
  readonly version?: IpVersion;
  readonly direction?: "ingress" | "egress";
  readonly config?: Readonly<Record<string, unknown>>;
  readonly table?: TableName;
}

/** Rules of a policy, from YAML as users write it to lines as iptables prints them. */
function rendered(yaml: string, written: Written = {}): string[] {
  const { version = 4, direction = "ingress", config = {}, table = "filter" } = written;
  const policy = resolvePolicy({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: "p" },
    spec: { types: ["Ingress", "Egress"], [direction]: parse(yaml) },
  } as never);
  return texts(policyRules(policy, direction, contextOf(config, table, version)).rules)!;
}

const ALLOW = ["-g cali-allow"] as const;
const allowing = (matches: string) => [`${matches} ${ALLOW[0]}`];

describe("felix/dataplane/iptables: chains", () => {
  describe("of policies", () => {
    it("go where the mark is set, deny and log on the spot", () => {
      assert.deepEqual(rendered("[{action: Allow}]"), [...ALLOW]);
      assert.deepEqual(rendered("[{action: Pass}]"), ["-g cali-pass"]);
      assert.deepEqual(rendered("[{action: Deny}]"), ["-j DROP"]);
      assert.deepEqual(rendered("[{action: Log}]"), ['-j LOG --log-prefix "calico-packet: " --log-level 5']);
    });

    it("reject where it is wanted and the table can", () => {
      const config = { iptablesFilterDenyAction: "Reject" };
      const deny = (table: TableName) => rendered("[{action: Deny}]", { config, table });
      assert.deepEqual(
        [deny("filter"), deny("mangle"), deny("raw")],
        [["-g cali-reject"], ["-j DROP"], ["-j DROP"]],
      );
    });

    it("say in the log who logs, and no more often than wanted", () => {
      const log = (config: Record<string, unknown>) => rendered("[{action: Log}]", { config });
      assert.deepEqual(log({ logPrefix: "%t/%k/%n %p %x" }), [
        '-j LOG --log-prefix "default/gnp/p p %x: " --log-level 5',
      ]);
      assert.deepEqual(log({ logActionRateLimit: "10/minute" }), [
        '-m limit --limit 10/minute --limit-burst 5 -j LOG --log-prefix "calico-packet: " --log-level 5',
      ]);
    });

    it("tell the flow log what they decide, on the way", () => {
      const flows = (yaml: string, table: TableName = "filter") =>
        rendered(yaml, { config: { flowLogsLocalReporter: true }, direction: "egress", table });
      assert.deepEqual(flows("[{action: Log}, {action: Allow, protocol: TCP}]").slice(1), [
        "-p tcp -j MARK --set-xmark 0x10000/0x10000",
        '-m mark --mark 0x10000/0x10000 -j NFLOG --nflog-group 2 --nflog-prefix "APE1|gnp/p" --nflog-size 80',
        "-m mark --mark 0x10000/0x10000 -j RETURN",
      ]);
      assert.deepEqual(flows("[{action: Deny}]"), [
        "-j MARK --set-xmark 0x40000/0x40000",
        '-m mark --mark 0x40000/0x40000 -j NFLOG --nflog-group 2 --nflog-prefix "DPE0|gnp/p" --nflog-size 80',
        "-m mark --mark 0x40000/0x40000 -j DROP",
      ]);
      // Without connections every packet would be a line.
      assert.deepEqual(flows("[{action: Deny}]", "raw"), ["-j DROP"]);
    });

    it("know which of them counts for which rule of the policy", () => {
      const policy = resolvePolicy({
        apiVersion: "projectcalico.org/v3",
        kind: "GlobalNetworkPolicy",
        metadata: { name: "p" },
        spec: {
          ingress: parse(
            "[{action: Deny, source: {nets: [10.0.0.0/8, 11.0.0.0/8]}}, {action: Deny, ipVersion: 6}, {action: Allow}]",
          ),
        },
      } as never);
      const { rules, counting } = policyRules(policy, "ingress", contextOf());
      assert.deepEqual(counting, [3, undefined, 4]);
      assert.deepEqual(texts(rules.slice(3)), ["-m mark --mark 0x80000/0x80000 -j DROP", "-g cali-allow"]);
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
    const of = (action: "pass" | "allow") =>
      texts(profileRules({ name: "p", ingress: [rule(action)], egress: [] }, "ingress", contextOf()).rules);
    assert.equal(of("pass")?.[0], "-j MARK --set-xmark 0x0/0x20000");
    assert.deepEqual(of("allow"), [...ALLOW]);
  });

  describe("of workloads", () => {
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
    const limited = (chain: string) => /^cali-[tf]w-/.test(chain);
    /** The chain that the interface's packets are led to. */
    const led = (
      direction: "to" | "from",
      more: Partial<LocalEndpoint> = {},
      config = {},
      version: IpVersion = 4,
    ): { name: string; rules: string[]; chains: Map<string, string[]> } => {
      const workloads = new WorkloadChains(contextOf(config, "filter", version));
      workloads.update(new Map([["a", { ...endpoint, ...more }]]));
      const chains = new Map(
        [...workloads.drain()].flatMap(([name, rules]) => (rules ? [[name, texts(rules)!] as const] : [])),
      );
      const leaf = chains.get(`cali-${direction}-wl-dispatch`)!.find(text => /cali1 -g/.test(text))!;
      const name = leaf.split(" ").at(-1)!;
      // The end may be others' too: here it belongs to what it ends.
      const rules = chains.get(name)!.flatMap(text => {
        const end = /^-g (cali-g[io]-.*)$/.exec(text)?.[1];
        return end === undefined || limited(name) ? [text] : chains.get(end)!;
      });
      return { name, rules, chains };
    };

    it("judge what goes to it: connections, tiers, profiles, and drop", () => {
      const { name, rules } = led("to");
      assert.match(name, /^cali-gi-[\w-]{20}$/);
      assert.deepEqual(rules, [
        "-j cali-known",
        "-j cali-pi-gnp/a",
        "-m mark --mark 0x0/0x30000 -j cali-pi-np/default/b",
        '-m mark --mark 0x0/0x30000 -m comment --comment "End of tier strict" -j DROP',
        '-m comment --comment "Start of tier lax" -j MARK --set-xmark 0x0/0x20000',
        "-m mark --mark 0x0/0x30000 -j cali-pi-gnp/c",
        "-m mark --mark 0x0/0x10000 -j cali-pri-kns.default",
        '-m mark --mark 0x0/0x10000 -m comment --comment "Drop if no profiles matched" -j DROP',
      ]);
    });

    it("say to the flow log when nobody decided", () => {
      const { rules } = led("to", {}, { flowLogsLocalReporter: true });
      const lines = rules.filter(text => text.includes("NFLOG")).map(text => text.replace(/.*-j/, "-j"));
      assert.deepEqual(lines, [
        '-j NFLOG --nflog-group 1 --nflog-prefix "DPI|strict" --nflog-size 80',
        '-j NFLOG --nflog-group 1 --nflog-prefix "DRI" --nflog-size 80',
      ]);
    });

    it("let allowed packets out of long tiers", () => {
      const tiers = [
        {
          name: "t",
          defaultAction: "deny" as const,
          ingress: Array.from({ length: 17 }, (_, i) => `gnp/${i}`),
          egress: [],
        },
      ];
      const exits = led("to", { tiers }).rules.filter(text => text.endsWith("-j RETURN"));
      assert.deepEqual(exits, Array(2).fill("-m mark --mark 0x10000/0x10000 -j RETURN"));
    });

    it("mark established packets where allowed ones are to meet others' rules too", () => {
      const known = "-m conntrack --ctstate RELATED,ESTABLISHED -g cali-allow";
      assert.equal(led("to", {}, { iptablesFilterAllowAction: "Return" }).rules[0], known);
      // And what leaves may have another workload before it.
      assert.equal(led("from").rules[0], known);
    });

    it("drop everything while it is disabled, and what it has no address for", () => {
      for (const direction of ["to", "from"] as const) {
        assert.deepEqual(led(direction, { enabled: false }).rules, [
          '-m comment --comment "Endpoint admin disabled" -j DROP',
        ]);
        assert.deepEqual(led(direction, {}, {}, 6).rules, ['-m comment --comment "No IPv6 address" -j DROP']);
      }
    });

    it("limit packets before all else, and connections that are new", () => {
      const qos = { ingress: { packetRate: 100, packetBurst: 20 }, egress: { maxConnections: 7 } };
      const to = led("to", { qos });
      assert.equal(to.name, "cali-tw-cali1");
      assert.deepEqual(to.rules, [
        "-j MARK --set-xmark 0x0/0x80000",
        "-m limit --limit 100/second --limit-burst 20 -j MARK --set-xmark 0x80000/0x80000",
        '-m comment --comment "Drop packets over the rate limit" -m mark --mark 0x0/0x80000 -j DROP',
        `-g ${[...to.chains].find(([, rules]) => rules.includes("-j cali-pi-gnp/a"))?.[0]}`,
      ]);
      const from = led("from", { qos });
      assert.equal(
        from.rules[0],
        '-m comment --comment "Reject connections over the limit" -m conntrack --ctstate NEW ' +
          "-m connlimit --connlimit-above 7 --connlimit-mask 0 -g cali-reject",
      );
      assert.match(from.rules[1]!, /^-g cali-go-/);
    });

    it("are shared by those that are judged alike, and go with the last", () => {
      const workloads = new WorkloadChains(contextOf());
      const kernel = new Set<string>();
      const take = (...changes: (readonly [string, LocalEndpoint | undefined])[]) => {
        workloads.update(new Map(changes));
        for (const [name, rules] of workloads.drain()) {
          if (rules) kernel.add(name);
          else kernel.delete(name);
        }
        return [...kernel].filter(name => name.startsWith("cali-gi-")).length;
      };
      const named = (interfaceName: string, more = {}) => ({ ...endpoint, interfaceName, ...more });
      // Each of the chain itself and of its end.
      assert.equal(take(["a", named("cali1")], ["b", named("cali2")]), 2);
      assert.equal(take(["c", named("cali3", { profiles: [] })]), 4);
      assert.equal(take(["c", named("cali3")]), 2);
      const [, lax] = endpoint.tiers;
      assert.equal(take(["c", named("cali3", { tiers: [{ ...lax!, ingress: ["gnp/d"] }] })]), 3);
      assert.equal(take(["c", named("cali3")]), 2);
      assert.equal(take(["a", undefined], ["b", named("cali1")]), 2);
      assert.equal(take(["b", undefined], ["c", undefined]), 0);
    });
  });

  describe("of dispatch", () => {
    const leads = (name: string) => ({ ingress: `to-${name}`, egress: `from-${name}` });
    const chains = (interfaces: string[], config = {}) => {
      const dispatch = new DispatchChains(
        contextOf({ allowVXLANPacketsFromWorkloads: true, allowIPIPPacketsFromWorkloads: true, ...config }),
      );
      for (const name of interfaces) dispatch.set(name, leads(name));
      return [...dispatch.drain()].flatMap(([name, rules]) =>
        rules && name.startsWith("cali-from") ? [[name, texts(rules)] as const] : [],
      );
    };
    const first = "-j MARK --set-xmark 0x0/0x30000";
    const unknown = '-m comment --comment "Unknown interface" -j DROP';

    it("drop what comes from an interface nobody knows", () => {
      assert.deepEqual(chains([]), [["cali-from-wl-dispatch", [first, unknown]]]);
    });

    it("let no tunnel out, unless it is wanted", () => {
      const tunnels = { allowVXLANPacketsFromWorkloads: false, allowIPIPPacketsFromWorkloads: false };
      assert.deepEqual(chains([], { ...tunnels, vxlanPort: 4790 })[0]?.[1], [
        first,
        '-m comment --comment "Drop VXLAN encapped packets originating in workloads" -p udp -m multiport --destination-ports 4790 -j DROP',
        '-m comment --comment "Drop IPinIP encapped packets originating in workloads" -p 4 -j DROP',
        unknown,
      ]);
    });

    it("group interfaces by the character after the prefix", () => {
      assert.deepEqual(chains(["calib2", "calia1", "calib1"]), [
        ["cali-from-wl-dispatch-calib", ["-i calib1 -g from-calib1", "-i calib2 -g from-calib2", unknown]],
        [
          "cali-from-wl-dispatch",
          [first, "-i calia1 -g from-calia1", "-i calib+ -g cali-from-wl-dispatch-calib", unknown],
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
          const dispatch = new DispatchChains(
            contextOf({ allowVXLANPacketsFromWorkloads: true, allowIPIPPacketsFromWorkloads: true }),
          );
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
              dispatch.set(name, leads(name));
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
        first,
        "-i cali -g from-cali",
        "-i calia -g from-calia",
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
    const state = (more: Partial<HostState> = {}): HostState => ({
      hostDispatch: new Set(),
      ipip: false,
      vxlan: false,
      serviceCidrs: [],
      endpoints: [],
      hostEndpoints: new Map(),
      ...more,
    });
    const all = ({ chains, hooks, appends }: TableChains) =>
      Object.fromEntries(
        [...chains, ...hooks, ...[...appends].map(([chain, rules]) => [`${chain} end`, rules] as const)].map(
          ([chain, rules]) => [chain, texts(rules)],
        ),
      );
    const HOSTS = new Set([
      "cali-from-host-endpoint",
      "cali-to-host-endpoint",
      "cali-from-hep-forward",
      "cali-to-hep-forward",
    ]);

    it("lead from the filter table's hooks to dispatch", () => {
      const {
        "cali-failsafe-in": _in,
        "cali-failsafe-out": _out,
        ...rest
      } = all(filterChains(contextOf({ interfacePrefix: "cali,tap" }), state()));
      assert.deepEqual(rest, {
        "cali-allow": ["-j MARK --set-xmark 0x10000/0x10000"],
        "cali-pass": ["-j MARK --set-xmark 0x20000/0x20000"],
        "cali-reject": ["-p tcp -j REJECT --reject-with tcp-reset", "-j REJECT"],
        "cali-FORWARD": [
          "-j MARK --set-xmark 0x0/0x1e0000",
          "-i cali+ -j cali-from-wl-dispatch",
          "-i tap+ -j cali-from-wl-dispatch",
          "-o cali+ -j cali-to-wl-dispatch",
          "-o tap+ -j cali-to-wl-dispatch",
          "-i cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
          "-i tap+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ],
        "cali-INPUT": [
          "-i cali+ -g cali-wl-to-host",
          "-i tap+ -g cali-wl-to-host",
          "-m mark --mark 0x10000/0x10000 -j ACCEPT",
          "-j MARK --set-xmark 0x0/0x1f0000",
        ],
        "cali-wl-to-host": [
          "-j cali-from-wl-dispatch",
          "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
          '-m comment --comment "Configured DefaultEndpointToHostAction" -j DROP',
        ],
        "cali-OUTPUT": [
          "-m mark --mark 0x10000/0x10000 -j ACCEPT",
          "-o cali+ -j RETURN",
          "-o tap+ -j RETURN",
          "-j MARK --set-xmark 0x0/0x1f0000",
        ],
        "cali-cidr-block": [],
        "cali-known": [
          "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
          "-m conntrack --ctstate INVALID -j DROP",
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

    it("ask host endpoints where there are some", () => {
      const filter = all(filterChains(contextOf(), state({ hostDispatch: HOSTS })));
      assert.deepEqual(filter["cali-FORWARD"], [
        "-j MARK --set-xmark 0x0/0x1e0000",
        "-m mark --mark 0x0/0x10000 -j cali-from-hep-forward",
        "-i cali+ -j cali-from-wl-dispatch",
        "-o cali+ -j cali-to-wl-dispatch",
        "-i cali+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-j cali-to-hep-forward",
      ]);
      assert.deepEqual(filter["cali-INPUT"]?.slice(2), [
        "-j MARK --set-xmark 0x0/0x1f0000",
        "-j cali-from-host-endpoint",
        "-m mark --mark 0x10000/0x10000 -j ACCEPT",
      ]);
      assert.deepEqual(filter["cali-OUTPUT"]?.slice(2), [
        "-j MARK --set-xmark 0x0/0x1f0000",
        "-m conntrack ! --ctstate DNAT -j cali-to-host-endpoint",
        "-m mark --mark 0x10000/0x10000 -j ACCEPT",
      ]);
      const raw = all(rawChains(contextOf({}, "raw"), state({ hostDispatch: HOSTS })));
      assert.deepEqual(raw["cali-PREROUTING"]?.slice(-2), [
        "-m mark --mark 0x0/0x80000 -j cali-from-host-endpoint",
        "-m mark --mark 0x10000/0x10000 -j ACCEPT",
      ]);
      assert.deepEqual(raw["cali-OUTPUT"]?.slice(1), [
        "-j cali-to-host-endpoint",
        "-m mark --mark 0x10000/0x10000 -j ACCEPT",
      ]);
    });

    it("look into the mangle table only where somebody needs it", () => {
      const mangle = (more: Partial<HostState>) => {
        const context = contextOf({ iptablesMangleAllowAction: "Return" }, "mangle");
        const { PREROUTING, POSTROUTING, ...rest } = all(mangleChains(context, state(more)));
        return [PREROUTING, POSTROUTING, rest["cali-PREROUTING"], rest["cali-POSTROUTING"]];
      };
      assert.deepEqual(mangle({}), [[], [], [], []]);
      assert.deepEqual(mangle({ hostDispatch: HOSTS }), [
        ["-j cali-PREROUTING"],
        ["-j cali-POSTROUTING"],
        [
          "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
          "-m mark --mark 0x10000/0x10000 -j RETURN",
          "-j cali-from-host-endpoint",
          '-m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j RETURN',
        ],
        [
          "-m mark --mark 0x10000/0x10000 -j RETURN",
          "-j MARK --set-xmark 0x0/0x1f0000",
          "-m conntrack --ctstate DNAT -j cali-to-host-endpoint",
          '-m comment --comment "Host endpoint policy accepted packet." -m mark --mark 0x10000/0x10000 -j RETURN',
        ],
      ]);
    });

    it("keep failsafe ports open, their answers too before they are tracked", () => {
      const config = {
        failsafeInboundHostPorts: "22,udp:10.0.0.0/8:68",
        failsafeOutboundHostPorts: "tcp:[fd00::/8]:179",
      };
      const failsafe = (table: "raw" | "filter", version: IpVersion) => {
        const context = contextOf(config, table, version);
        const chains = all((table === "raw" ? rawChains : filterChains)(context, state()));
        return [chains["cali-failsafe-in"], chains["cali-failsafe-out"]].map(list =>
          list?.filter(text => !text.includes("icmpv6")),
        );
      };
      assert.deepEqual(failsafe("filter", 4), [
        [
          "-p tcp -m multiport --destination-ports 22 -j ACCEPT",
          "-p udp -m multiport --destination-ports 68 -s 10.0.0.0/8 -j ACCEPT",
        ],
        [],
      ]);
      assert.deepEqual(failsafe("raw", 6), [
        [
          "-p tcp -m multiport --destination-ports 22 -j ACCEPT",
          "-p tcp -m multiport --source-ports 179 -s fd00::/8 -j ACCEPT",
        ],
        [
          "-p tcp -m multiport --destination-ports 179 -d fd00::/8 -j ACCEPT",
          "-p tcp -m multiport --source-ports 22 -j ACCEPT",
        ],
      ]);
    });

    it("let a host's neighbors find it, whatever its policies and failsafes say", () => {
      const config = { failsafeInboundHostPorts: "none", failsafeOutboundHostPorts: "none" };
      for (const table of ["raw", "mangle", "filter"] as const) {
        const chains = (version: IpVersion) => {
          const of = { raw: rawChains, mangle: mangleChains, filter: filterChains }[table];
          return all(of(contextOf(config, table, version), state()));
        };
        const types = [130, 131, 132, 133, 134, 135, 136];
        const discovery = types.map(type => `-p icmpv6 -m icmp6 --icmpv6-type ${type} -j ACCEPT`);
        for (const chain of ["cali-failsafe-in", "cali-failsafe-out"])
          assert.deepEqual([chains(4)[chain], chains(6)[chain]], [[], discovery]);
      }
    });

    it("let tunnels' packets in and out between hosts of the cluster, untracked where they can be", () => {
      const tunnels = state({ ipip: true, vxlan: true });
      const filter = all(filterChains(contextOf(), tunnels));
      assert.deepEqual(filter["cali-INPUT"]?.slice(0, 4), [
        '-p 4 -m comment --comment "Allow IPIP packets from Calico hosts" -m set --match-set cali40all-hosts-net src -m addrtype --dst-type LOCAL -j ACCEPT',
        '-p 4 -m comment --comment "Drop IPIP packets from non-Calico hosts" -j DROP',
        '-p udp -m multiport --destination-ports 4789 -m addrtype --dst-type LOCAL -m comment --comment "Allow VXLAN packets from allowed hosts" -m set --match-set cali40all-vxlan-net src -j ACCEPT',
        '-p udp -m multiport --destination-ports 4789 -m addrtype --dst-type LOCAL -m comment --comment "Drop VXLAN packets from non-allowed hosts" -j DROP',
      ]);
      assert.deepEqual(filter["cali-OUTPUT"]?.slice(2, 4), [
        '-m comment --comment "Allow IPIP packets to other Calico hosts" -p 4 -m set --match-set cali40all-hosts-net dst -m addrtype --src-type LOCAL -j ACCEPT',
        '-m comment --comment "Allow VXLAN packets to other allowed hosts" -p udp -m multiport --destination-ports 4789 -m addrtype --src-type LOCAL -m set --match-set cali40all-vxlan-net dst -j ACCEPT',
      ]);
      const raw = all(rawChains(contextOf({}, "raw"), tunnels));
      const untracked = "-p udp -m multiport --destination-ports 4789 -j CT --notrack";
      assert.equal(raw["cali-PREROUTING"]?.[1], untracked);
      assert.equal(raw["cali-OUTPUT"]?.[1], untracked);
    });

    it("let no packet loop for a service that nobody answers", () => {
      const block = (config: object) =>
        all(filterChains(contextOf(config), state({ serviceCidrs: [cidr("10.96.0.0/12")] })));
      assert.deepEqual(block({})["cali-cidr-block"], ["-d 10.96.0.0/12 -j DROP"]);
      assert.equal(block({})["cali-FORWARD"]?.at(-1), "-j cali-cidr-block");
      assert.deepEqual(block({ serviceLoopPrevention: "Reject" })["cali-cidr-block"], [
        "-d 10.96.0.0/12 -g cali-reject",
      ]);
      assert.deepEqual(block({ serviceLoopPrevention: "Disabled" })["cali-cidr-block"], []);
    });

    const endpoint = { interfaceName: "cali1", allowedSources: ["10.0.0.0/8", "fd00::/8"] };
    const special = (more: Partial<LocalEndpoint>) =>
      state({
        endpoints: [
          {
            interfaceName: "cali1",
            addresses: [ip("10.0.0.1"), ip("fd00::1")],
            floatingIps: [],
            ...more,
          } as LocalEndpoint,
        ],
      });

    it("let a workload that is a BGP peer speak BGP to the host, after its policies", () => {
      const rules = all(filterChains(contextOf(), special({ bgpPeer: true })))["cali-wl-to-host"];
      assert.deepEqual(rules?.slice(0, 3), [
        "-j cali-from-wl-dispatch",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        '-m comment --comment "BGP peer" -i cali1 -p tcp -m multiport --destination-ports 179 -j ACCEPT',
      ]);
    });

    it("write a workload's DSCP into what leaves the cluster", () => {
      const qos = { ingress: {}, egress: {}, dscp: 46 };
      const mangle = all(mangleChains(contextOf({}, "mangle", 6), special({ qos })));
      assert.deepEqual(mangle["cali-POSTROUTING"], [
        "-m set ! --match-set cali60network-ip-pools dst -j cali-qos-policy",
      ]);
      assert.deepEqual(mangle["cali-qos-policy"], ["-s fd00::1 -j DSCP --set-dscp 0x2e"]);
    });

    it("write a host's DSCP into what it sends itself, by each interface its own", () => {
      const one = (dscp?: number) => ({ dscp }) as LocalHostEndpoint;
      const rules = (hostEndpoints: HostState["hostEndpoints"]) =>
        all(mangleChains(contextOf({}, "mangle"), state({ hostEndpoints })))["cali-qos-policy"];
      assert.deepEqual(
        rules(
          new Map([
            ["eth0", one(10)],
            ["eth1", one()],
          ]),
        ),
        ["-m addrtype --src-type LOCAL -o eth0 -j DSCP --set-dscp 0xa"],
      );
      assert.deepEqual(
        rules(
          new Map([
            ["eth0", one(10)],
            ["*", one(12)],
          ]),
        ),
        [
          "-m addrtype --src-type LOCAL -o eth0 -j DSCP --set-dscp 0xa",
          "-o eth0 -j RETURN",
          "-o cali+ -j RETURN",
          "-m addrtype --src-type LOCAL -j DSCP --set-dscp 0xc",
        ],
      );
    });

    it("translate floating addresses, also those of a workload that calls itself", () => {
      const one = (external: string, internal: string) => ({
        external: ip(external),
        internal: ip(internal),
      });
      const floatingIps = [
        one("192.0.2.9", "10.0.0.1"),
        one("192.0.2.8", "10.0.0.1"),
        one("192.0.2.8", "10.0.0.2"),
        one("2001:db8::8", "fd00::1"),
      ];
      const nat = all(natChains(contextOf({}, "nat"), special({ floatingIps })));
      assert.deepEqual(nat["cali-fip-dnat"], [
        "-d 192.0.2.8 -j DNAT --to-destination 10.0.0.1",
        "-d 192.0.2.9 -j DNAT --to-destination 10.0.0.1",
      ]);
      assert.deepEqual(nat["cali-fip-snat"], ["-s 10.0.0.1 -d 10.0.0.1 -j SNAT --to-source 192.0.2.8"]);
      assert.deepEqual([nat["PREROUTING"], nat["OUTPUT"]], [["-j cali-PREROUTING"], ["-j cali-OUTPUT"]]);
      assert.deepEqual(all(natChains(contextOf({}, "nat"), state()))["PREROUTING"], []);
    });

    it("let IPv6 workloads find their neighbours", () => {
      const rules = all(filterChains(contextOf({}, "filter", 6), state()))["cali-wl-to-host"]!;
      assert.deepEqual(rules.slice(0, 2), [
        "-p icmpv6 -m icmp6 --icmpv6-type 130 -j ACCEPT",
        "-p icmpv6 -m icmp6 --icmpv6-type 131 -j ACCEPT",
      ]);
      assert.equal(rules.length, 9);
    });

    it("drop forged sources before connections are tracked, also where denied packets are rejected", () => {
      const { "cali-PREROUTING": rules } = all(
        rawChains(contextOf({ iptablesFilterDenyAction: "Reject" }, "raw"), state()),
      );
      assert.deepEqual(rules, [
        "-j MARK --set-xmark 0x0/0x1f0000",
        "-i cali+ -j MARK --set-xmark 0x80000/0x80000",
        "-m mark --mark 0x80000/0x80000 -j cali-rpf-skip",
        "-m mark --mark 0x80000/0x80000 -m rpfilter --validmark --invert -j DROP",
      ]);
    });

    it("except the sources that an endpoint was granted", () => {
      assert.deepEqual(texts(spoofingExceptions([endpoint], 6)), ["-i cali1 -s fd00::/8 -j ACCEPT"]);
    });

    it("masquerade what leaves a pool for anywhere but a pool", () => {
      const rules = (config: object) =>
        all(natChains(contextOf(config, "nat"), state()))["cali-nat-outgoing"];
      const outgoing =
        "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst";
      assert.deepEqual(rules({}), [`${outgoing} -j MASQUERADE --random-fully`]);
      assert.deepEqual(rules({ natOutgoingAddress: "192.0.2.1", natPortRange: "1000:2000" }), [
        `${outgoing} -p tcp -j SNAT --to-source 192.0.2.1:1000-2000 --random-fully`,
        `${outgoing} -p udp -j SNAT --to-source 192.0.2.1:1000-2000 --random-fully`,
        `${outgoing} -j SNAT --to-source 192.0.2.1 --random-fully`,
      ]);
      assert.deepEqual(rules({ natOutgoingExclusions: "IPPoolsAndHostIPs" }), [
        `${outgoing} -m set ! --match-set cali40all-hosts-net dst -j MASQUERADE --random-fully`,
      ]);
    });

    it("give what the host sends through a tunnel the tunnel's address", () => {
      const foreign = (device: string) =>
        `-o ${device} -m addrtype ! --src-type LOCAL --limit-iface-out -m addrtype --src-type LOCAL`;
      const nat = (more: Partial<HostState>) =>
        all(natChains(contextOf({}, "nat"), state(more)))["cali-POSTROUTING"]?.slice(1);
      assert.deepEqual(nat({ ipip: true }), [`${foreign("tunl0")} -j MASQUERADE --random-fully`]);
      assert.deepEqual(nat({ vxlan: true }), [
        `${foreign("vxlan.calico")} -p udp -j MASQUERADE --to-ports 4790-65535 --random-fully`,
        `${foreign("vxlan.calico")} -j MASQUERADE --random-fully`,
      ]);
    });
  });
});
