/**
 * Host endpoints: whatever policies of the four kinds there are, a packet that walks through the tables of a host, hook by hook,
 * ends as the model says.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { protocolNumber } from "../../../../../crd-schemas/index.ts";
import type { Update } from "../../../../../datastore/reflector.ts";
import { type IpVersion, ip } from "../../../../../net/ip.ts";
import { type Packet, PolicyEvaluator, type Route, type Verdict } from "../../../../../policy/evaluate.ts";
import { DEFAULT_SETTINGS } from "../../../../../policy/host-settings.ts";
import { policyState } from "../../../../../policy/state.ts";
import {
  Calculation,
  globalPolicy,
  HERE,
  hostEndpoint,
  node,
  profile,
  tier,
  workload,
} from "../../calc/resources.ts";
import { few, packet, ruleResource } from "./arbitrary.ts";
import { FilteringKernel } from "./kernel.ts";
import { walk } from "./packet-walk.ts";

type Place = "host" | "pod" | "other pod" | "eth0" | "eth1";

/** Everybody's address, and by which interface he is reached. */
const ADDRESSES: Record<Place, Record<IpVersion, string>> = {
  host: { 4: "10.9.0.1", 6: "fd09::1" },
  pod: { 4: "10.0.0.1", 6: "fd00::1" },
  "other pod": { 4: "10.0.0.2", 6: "fd00::2" },
  eth0: { 4: "192.0.2.1", 6: "2001:db8::1" },
  eth1: { 4: "198.51.100.7", 6: "2001:db8:1::7" },
};
const INTERFACES: Record<Exclude<Place, "host">, string> = {
  pod: "calia",
  "other pod": "calib",
  eth0: "eth0",
  eth1: "eth1",
};
const WAYS: readonly (readonly [Place, Place])[] = [
  ["eth0", "host"],
  ["eth1", "host"],
  ["host", "eth0"],
  ["host", "eth1"],
  ["eth0", "pod"],
  ["eth1", "pod"],
  ["pod", "eth0"],
  ["pod", "eth1"],
  ["eth0", "eth1"],
  ["eth1", "eth0"],
  ["pod", "other pod"],
  ["pod", "host"],
  ["host", "pod"],
];
const MORE = process.env["CALYX_RUNS"];
const FAILSAFES = { in: 1, out: 3 };
const CONFIG = {
  failsafeInboundHostPorts: `tcp:${FAILSAFES.in}`,
  failsafeOutboundHostPorts: `tcp:${FAILSAFES.out}`,
};

/** A packet's way through the hooks of one host. The chains of Calico leave it or end it; what is left, goes. */
function travel(kernel: FilteringKernel, from: Place, to: Place, one: Packet, version: IpVersion) {
  const inInterface = from === "host" ? undefined : INTERFACES[from];
  const outInterface = to === "host" ? undefined : INTERFACES[to];
  const hooks: (readonly [table: string, hook: string, knowsIn: boolean, knowsOut: boolean])[] = [];
  if (inInterface) hooks.push(["raw", "PREROUTING", true, false], ["mangle", "PREROUTING", true, false]);
  else hooks.push(["raw", "OUTPUT", false, true]);
  if (from !== "host" && to !== "host") hooks.push(["filter", "FORWARD", true, true]);
  else hooks.push(to === "host" ? ["filter", "INPUT", true, false] : ["filter", "OUTPUT", false, true]);
  if (outInterface) hooks.push(["mangle", "POSTROUTING", false, true]);
  let mark = 0;
  let logged = 0;
  let untracked = false;
  for (const [table, hook, knowsIn, knowsOut] of hooks) {
    const passing = {
      ...one,
      protocol: protocolNumber(one.protocol),
      state: untracked ? ("UNTRACKED" as const) : ("NEW" as const),
      ...(knowsIn && inInterface && { inInterface }),
      ...(knowsOut && outInterface && { outInterface }),
    };
    const end = walk(kernel.ruleset(version, table), hook, passing, mark);
    mark = end.mark;
    logged += end.logged;
    untracked ||= end.untracked;
    if (end.verdict === "DROP") return { verdict: "deny", logged, untracked } as const;
  }
  return { verdict: "allow", logged, untracked } as const;
}

const kinds = few(
  {},
  {},
  { applyOnForward: true },
  { applyOnForward: true, doNotTrack: true },
  { applyOnForward: true, preDNAT: true },
);
const rules = fc.array(ruleResource, { maxLength: 3 });
const policy = fc
  .record({
    kind: kinds,
    selector: few("all()", "host == 'eth0'", "has(host)", "app == 'x'", "host == 'any'"),
    tier: few("default", "t1"),
    order: few(1, 2),
    ingress: rules,
    egress: rules,
    types: few(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
  })
  .map(({ kind, egress, types, ...spec }) =>
    "preDNAT" in kind ? { ...spec, ...kind, types: ["Ingress"] } : { ...spec, ...kind, egress, types },
  );
const endpoints = fc.record({
  eth0: fc.boolean(),
  any: fc.boolean(),
  profiles: fc.uniqueArray(few("open", "p0"), { maxLength: 2 }),
  defaultAction: few("Deny", "Pass"),
});
const open = { ingress: [{ action: "Allow" as const }], egress: [{ action: "Allow" as const }] };

const world = fc
  .record({ endpoints, policies: fc.array(policy, { maxLength: 5 }), ingress: rules, egress: rules })
  .map(({ endpoints: { eth0, any, profiles, defaultAction }, policies, ingress, egress }): Update[] => [
    tier("default", 1_000_000),
    tier("t1", 2, defaultAction as "Deny"),
    profile("open", open),
    profile("p0", { ingress, egress }),
    node(HERE, { bgp: { ipv4Address: `${ADDRESSES.host[4]}/24`, ipv6Address: `${ADDRESSES.host[6]}/64` } }),
    ...(eth0 ? [hostEndpoint("h0", { node: HERE, interfaceName: "eth0", profiles }, { host: "eth0" })] : []),
    ...(any
      ? [hostEndpoint("h1", { node: HERE, interfaceName: "*", profiles }, { host: "any", app: "x" })]
      : []),
    workload("a", {
      address: [ADDRESSES.pod[4], ADDRESSES.pod[6]],
      profiles: ["open"],
      labels: { app: "x" },
    }),
    workload("b", {
      address: [ADDRESSES["other pod"][4], ADDRESSES["other pod"][6]],
      profiles: ["open", "p0"],
    }),
    ...policies.map((spec, i) => globalPolicy(`g${i}`, spec)),
  ]);

describe("felix/dataplane/iptables: verdicts at host endpoints", function () {
  this.timeout(120_000);

  it("are the model's, for packets of all ways and policies of all kinds", async () => {
    const count: Record<string, number> = {};
    const probe = fc.record({ way: few(...WAYS), like: packet });
    await fc.assert(
      fc.asyncProperty(world, fc.array(probe, { minLength: 30, maxLength: 30 }), async (updates, probes) => {
        const { graph, problems } = Calculation.configured(CONFIG);
        const kernel = await FilteringKernel.create(CONFIG);
        graph.apply(updates);
        await kernel.commit(graph.drain());
        assert.deepEqual(problems, []);
        const documents = updates.flatMap(update => (update.type === "put" ? [update.value] : []));
        const { state, problems: refused } = policyState(documents);
        assert.deepEqual(refused, []);
        const evaluator = new PolicyEvaluator({
          ...state,
          settings: {
            ...DEFAULT_SETTINGS,
            failsafes: {
              ingress: [{ protocol: "tcp", net: undefined, port: FAILSAFES.in }],
              egress: [{ protocol: "tcp", net: undefined, port: FAILSAFES.out }],
            },
          },
        });
        for (const {
          way: [from, to],
          like,
        } of probes) {
          const version: IpVersion = like.source.includes(":") ? 6 : 4;
          const one = {
            ...like,
            source: ip(ADDRESSES[from][version]),
            destination: ip(ADDRESSES[to][version]),
          };
          // Answers of failsafe ports pass the raw table untouched: packets that look like one are no beginning of anything.
          if (like.protocol === "TCP" && [FAILSAFES.in, FAILSAFES.out].includes(like.sourcePort ?? 0))
            continue;
          const interfaces = {
            ...(from !== "host" && { in: INTERFACES[from] }),
            ...(to !== "host" && { out: INTERFACES[to] }),
          };
          const route: Route = { via: HERE, interfaces: { [HERE]: interfaces } };
          const expected = evaluator.verdict(one, route);
          const actual = travel(kernel, from, to, one, version);
          const context = `${from} -> ${to} ${JSON.stringify(one)}: ${JSON.stringify(expected.directions)}`;
          assert.equal(actual.verdict, expected.verdict, context);
          if (expected.verdict === "allow") assert.equal(actual.logged, logsOf(expected), context);
          for (const what of [`${from} -> ${to} ${expected.verdict}`, ...decidersOf(expected)])
            count[what] = (count[what] ?? 0) + 1;
        }
      }),
      // The same worlds each time: whether all ways and kinds occur must not be a matter of chance. More and others by CALYX_RUNS.
      MORE === undefined ? { numRuns: 150, seed: 11 } : { numRuns: Number(MORE) },
    );
    if (MORE !== undefined) return;
    // Else the test would say nothing.
    for (const [from, to] of WAYS) {
      if (from !== "host" || to !== "pod")
        assert.ok((count[`${from} -> ${to} deny`] ?? 0) > 0, `${from} -> ${to}`);
      if (from !== "pod" || to !== "host")
        assert.ok((count[`${from} -> ${to} allow`] ?? 0) > 0, `${from} -> ${to}`);
    }
    for (const category of ["untracked", "preDNAT", "normal", "forward"]) {
      const decided = (count[`${category} allow`] ?? 0) + (count[`${category} deny`] ?? 0);
      assert.ok(decided > 0, category);
    }
  });
});

const logsOf = ({ directions }: Verdict) =>
  directions.flatMap(({ trace }) => trace).filter(({ action }) => action === "log").length;

/** Kinds of policies that decided. */
const decidersOf = ({ directions }: Verdict) =>
  directions.flatMap(({ trace }) => {
    const last = trace.at(-1);
    return last?.category && last.reason.kind === "policy" ? [`${last.category} ${last.action}`] : [];
  });
