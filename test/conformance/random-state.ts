/** Random states of the cast's cluster, and probes that have a chance to be meant by their policies. */

import fc from "fast-check";
import type { Draft } from "../../datastore/client.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import type { IpVersion } from "../../net/ip.ts";
import type { CaseProbe } from "./case-file.ts";

export interface RandomState {
  readonly resources: readonly Draft<ResourceKind>[];
  readonly endpoints: Readonly<Record<string, object>>;
  readonly probes: readonly Omit<CaseProbe, "expected">[];
}

const WORKLOADS = ["web", "near", "far", "batch", "prodweb", "prod"] as const;
const ENDS = [...WORKLOADS, "host1", "host2", "outside", "yard"] as const;
const few = <const T extends readonly unknown[]>(...values: T): fc.Arbitrary<T[number]> =>
  fc.constantFrom(...values);
const optional = { requiredKeys: [] as never[] };

/** Addresses as cases write them. */
const net = (version: IpVersion) =>
  version === 4
    ? few("<web>/32", "<far>/32", "<batch>/32", "<host1>/32", "<outside>/32", "192.168.0.0/16", "10.0.0.0/8")
    : few(
        "<web6>/128",
        "<far6>/128",
        "<prod6>/128",
        "<host26>/128",
        "<outside6>/128",
        "fd00:10::/64",
        "fd00::/16",
      );
const selector = few(
  "app == 'web'",
  "role == 'front'",
  "role != 'front'",
  "has(role)",
  "has(host) || app == 'web'",
  "team in {'a', 'b'}",
  "!has(team)",
  "has(listed)",
  "all()",
);
/** Odd numbers do not touch each other: a long list takes more than one match. */
const number = fc.integer({ min: 1, max: 12 }).map(n => 2 * n + 1);
const port = fc.oneof(
  { weight: 5, arbitrary: number },
  { weight: 1, arbitrary: few("http", "dns") },
  { weight: 2, arbitrary: fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}:${Math.max(a, b)}`) },
);
const list = <T>(of: fc.Arbitrary<T>, longest: number) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<T[]>([]) },
    { weight: 3, arbitrary: fc.uniqueArray(of, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: fc.uniqueArray(of, { minLength: 2, maxLength: longest }) },
  );

/** Empty lists are left out: the field then asks nothing. */
const without = <T extends object>(value: T): T =>
  Object.fromEntries(
    Object.entries(value).filter(([, inner]) => !(Array.isArray(inner) && inner.length === 0)),
  ) as T;

const entity = (version: IpVersion, ports: boolean) =>
  fc
    .record(
      {
        nets: list(net(version), 3),
        notNets: list(net(version), 2),
        selector,
        notSelector: selector,
        namespaceSelector: few("env == 'live'", "all()", "global()"),
        serviceAccounts: few({ names: ["front"] }, { selector: "team == 'back'" }),
        ...(ports && { ports: list(port, 12), notPorts: list(port, 8) }),
      },
      optional,
    )
    .map(without);

const ends = (ports: boolean) =>
  few(4, 6).chain(version => {
    const one = fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      { weight: 2, arbitrary: entity(version, ports) },
    );
    return fc.record({ source: one, destination: one });
  });

const rule = fc
  .tuple(
    few("Allow", "Allow", "Allow", "Deny", "Pass", "Log"),
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc
          .tuple(few("TCP", "UDP", "SCTP"), ends(true))
          .map(([protocol, both]) => ({ protocol, ...both })),
      },
      { weight: 2, arbitrary: ends(false) },
      { weight: 1, arbitrary: fc.record({ notProtocol: few("TCP", "UDP", "SCTP", "ICMP") }) },
      {
        weight: 1,
        arbitrary: few({ protocol: "ICMP", icmp: { type: 8 } }, { protocol: "ICMPv6" }, { protocol: 136 }),
      },
      { weight: 1, arbitrary: fc.record({ ipVersion: few(4, 6) }) },
      { weight: 1, arbitrary: fc.constant({}) },
    ),
  )
  .map(([action, rest]) => ({ action, ...rest }));
const rules = fc.array(rule, { maxLength: 4 });

/** What a policy's category allows. */
const category = few(
  {},
  {},
  { applyOnForward: true },
  { applyOnForward: true, preDNAT: true, types: ["Ingress"], egress: [] },
);
const policy = fc
  .record({
    tier: few("default", "default", "t1", "t2"),
    order: few(1, 2, 3),
    selector,
    types: few(["Ingress", "Egress"], ["Ingress"], ["Egress"]),
    ingress: rules,
    egress: rules,
  })
  .map(spec => ({
    ...spec,
    ingress: spec.types.includes("Ingress" as never) ? spec.ingress : [],
    egress: spec.types.includes("Egress" as never) ? spec.egress : [],
  }));
const globalPolicy = fc.tuple(policy, category).map(([spec, more]) => ({ ...spec, ...more }));

const labels = fc.record(
  { app: few("web", "api"), role: few("front", "batch"), team: few("a", "b", "c") },
  optional,
);
const profile = fc.record({
  labelsToApply: fc.record({ team: few("a", "b") }, optional),
  ingress: rules,
  egress: rules,
});
const open = { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] };

const hostEndpoint = fc.record({
  labels: fc.record({ host: few("one", "two"), role: few("front") }, optional),
  profiles: few([], ["projectcalico-default-allow"], ["p1"]),
});

const probe = fc
  .record({
    from: few(...ENDS),
    to: few(...ENDS),
    version: few(4, 6),
    protocol: few("TCP", "TCP", "UDP", "UDP", "SCTP", "icmp", "UDPLite"),
    port: fc.oneof(fc.integer({ min: 1, max: 26 }), few(80, 53)),
  })
  .filter(({ from, to }) => from !== to)
  .map(({ from, to, version, protocol, port: destinationPort }) => ({
    text: `${from} -> ${to} ${protocol}:${destinationPort}`,
    from,
    to,
    versions: [version] as const,
    protocol: protocol as "TCP",
    ...(protocol !== "icmp" && { port: destinationPort }),
    unjudged: false,
  }));

type Loose = Draft<ResourceKind>;

export const randomState: fc.Arbitrary<RandomState> = fc
  .record({
    tiers: fc.tuple(few("Deny", "Pass"), few("Deny", "Pass"), few(10, 20, 30)),
    global: fc.array(globalPolicy, { minLength: 1, maxLength: 4 }),
    namespaced: fc.array(fc.tuple(few("default", "prod"), policy), { maxLength: 2 }),
    profiles: fc.tuple(profile, profile),
    hosts: fc.tuple(fc.option(hostEndpoint), fc.option(hostEndpoint)),
    sets: fc.array(fc.tuple(few(4, 6), fc.boolean()), { maxLength: 2 }),
    endpoints: fc.array(
      fc.tuple(few(...WORKLOADS), labels, few(["p1"], ["p1", "p2"], ["p2"], undefined, undefined)),
      { maxLength: 3 },
    ),
    probes: fc.array(probe, { minLength: 40, maxLength: 40 }),
  })
  .map(({ tiers: [first, second, order], global, namespaced, profiles, hosts, sets, endpoints, probes }) => ({
    resources: [
      { kind: "Tier", metadata: { name: "t1" }, spec: { order: 15, defaultAction: first } },
      { kind: "Tier", metadata: { name: "t2" }, spec: { order, defaultAction: second } },
      ...profiles.map((spec, i) => ({
        kind: "Profile",
        metadata: { name: `p${i + 1}` },
        spec: i === 0 ? spec : { ...spec, ...open },
      })),
      ...global.map((spec, i) => ({
        kind: "GlobalNetworkPolicy",
        metadata: { name: nameOf(spec.tier, `g${i}`) },
        spec,
      })),
      ...namespaced.map(([namespace, spec], i) => ({
        kind: "NetworkPolicy",
        metadata: { name: nameOf(spec.tier, `n${i}`), namespace },
        spec,
      })),
      ...hosts.flatMap((one, i) =>
        one
          ? [
              {
                kind: "HostEndpoint",
                metadata: { name: `h${i}`, labels: one.labels },
                spec: { node: `host${i + 1}`, interfaceName: i === 0 ? "eth0" : "*", profiles: one.profiles },
              },
            ]
          : [],
      ),
      ...sets.map(([version, isGlobal], i) => ({
        kind: isGlobal ? "GlobalNetworkSet" : "NetworkSet",
        metadata: { name: `s${i}`, labels: { listed: "yes" }, ...(!isGlobal && { namespace: "prod" }) },
        spec: { nets: version === 4 ? ["<far>/32", "<outside>/32"] : ["<far6>/128", "fd00:56::/64"] },
      })),
    ] as unknown as Loose[],
    endpoints: Object.fromEntries(
      endpoints.map(([name, own, names]) => [name, { labels: own, ...(names && { profiles: names }) }]),
    ),
    probes,
  }));

/** Policies of a tier are called after it. */
function nameOf(tier: string, name: string): string {
  return tier === "default" ? name : `${tier}.${name}`;
}
