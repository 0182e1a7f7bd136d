/** Any resources, and packets that have a chance to be meant by them. */

import fc from "fast-check";
import type { Rule as RuleResource } from "../../../../../crd-schemas/index.ts";
import { type IpVersion, ip } from "../../../../../net/ip.ts";
import type { Packet } from "../../../../../policy/evaluate.ts";
import {
  globalNetworkSet,
  globalPolicy,
  networkPolicy,
  networkSet,
  profile,
  tier,
  workload,
} from "../../calc/resources.ts";

export const few = <const T extends readonly unknown[]>(...values: T): fc.Arbitrary<T[number]> =>
  fc.constantFrom(...values);
const optional = { requiredKeys: [] as never[] };
export const PODS = ["a", "b", "c"];
/** Addresses of the pods and of the world. */
export const ADDRESSES: Record<IpVersion, readonly string[]> = {
  4: ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.1", "198.51.100.7"],
  6: ["fd00::1", "fd00::2", "fd00::3", "2001:db8::1", "2001:db8:1::7"],
};
export const NETS: Record<IpVersion, readonly string[]> = {
  4: ["10.0.0.0/30", "10.0.0.1/32", "10.0.0.2/31", "192.0.2.0/24", "198.51.100.0/24", "192.0.0.0/8"],
  6: ["fd00::/126", "fd00::1/128", "fd00::2/127", "2001:db8::/48", "2001:db8:1::/48", "2001::/16"],
};
const SELECTORS = [
  "app == 'x'",
  "app != 'x'",
  "has(team)",
  "team in {'a'} || app == 'y'",
  "all()",
  "!has(app)",
];

/** Odd, so that they do not touch each other: a list of many takes more than one match. */
const number = fc.integer({ min: 0, max: 24 }).map(n => 2 * n + 1);
const port = fc.oneof(
  { weight: 5, arbitrary: number },
  { weight: 1, arbitrary: few("http", "dns") },
  { weight: 1, arbitrary: fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}:${Math.max(a, b)}`) },
);
const named = few("http", "dns");
const selector = few(...SELECTORS);
const tcpOrUdp = few("TCP", "UDP", 17);

/** None, one or many: three ways to render. */
function list<T>(of: fc.Arbitrary<T>, longest: number): fc.Arbitrary<T[]> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant<T[]>([]) },
    { weight: 3, arbitrary: fc.uniqueArray(of, { minLength: 1, maxLength: 1 }) },
    { weight: 2, arbitrary: fc.uniqueArray(of, { minLength: 2, maxLength: longest }) },
  );
}

function entityOf(version: IpVersion, portOf: fc.Arbitrary<number | string> | undefined) {
  const net = few(...NETS[version]);
  const everything = version === 4 ? "0.0.0.0/0" : "::/0";
  return fc.record(
    {
      nets: list(fc.oneof({ weight: 9, arbitrary: net }, { weight: 1, arbitrary: few(everything) }), 3),
      notNets: list(net, 3),
      selector,
      notSelector: selector,
      namespaceSelector: few("team == 'a'", "all()", "global()"),
      ...(portOf && { ports: list(portOf, 24), notPorts: list(portOf, 20) }),
    },
    optional,
  );
}

const entityPair = (portOf?: fc.Arbitrary<number | string>) =>
  few(4, 6).chain(version => {
    const entity = fc.oneof(
      { weight: 2, arbitrary: fc.constant({}) },
      { weight: 3, arbitrary: entityOf(version, portOf) },
    );
    return fc.record({ source: entity, destination: entity });
  });

/** Every list too long for one match, so that blocks follow blocks. */
const crowded = few(4, 6).chain(version => {
  const nets = fc.uniqueArray(few(...NETS[version]), { minLength: 2, maxLength: 3 });
  const manyPorts = fc.oneof(
    fc.uniqueArray(port, { minLength: 10, maxLength: 24 }),
    fc.constant(["http", 1, 3, "40:49"]),
  );
  const entity = fc.record(
    { nets, ports: manyPorts, notPorts: list(port, 20) },
    { requiredKeys: ["nets", "ports"] },
  );
  return fc.record({ source: entity, destination: entity });
});

const action = few("Allow", "Allow", "Allow", "Deny", "Pass", "Log");
const annotations = fc.option(fc.constant({ metadata: { annotations: { why: 'because "we" can' } } }), {
  nil: {},
});
const icmp = fc.record({ type: few(3, 8, 128), code: few(0, 1) }, { requiredKeys: ["type"] });
export const ruleResource = fc
  .tuple(
    action,
    annotations,
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(tcpOrUdp, entityPair(port)).map(([protocol, ends]) => ({ protocol, ...ends })),
      },
      {
        weight: 2,
        arbitrary: fc.tuple(few("TCP", "UDP"), crowded).map(([protocol, ends]) => ({ protocol, ...ends })),
      },
      { weight: 1, arbitrary: entityPair(named) },
      {
        weight: 2,
        arbitrary: fc
          .tuple(
            fc.record({ notProtocol: few("TCP", "UDP", "ICMP", 47), ipVersion: few(4, 6) }, optional),
            few({}, { protocol: "SCTP" }),
          )
          .map(([one, two]) => ({ ...one, ...two })),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(few("ICMP", "ICMPv6", 1), fc.record({ icmp, notICMP: icmp }, optional))
          .map(([protocol, match]) => ({ protocol, ...match })),
      },
      { weight: 1, arbitrary: fc.constant({}) },
    ),
  )
  .map(([what, more, rest]) => ({ action: what, ...more, ...rest }) as unknown as RuleResource);

const rules = fc.array(ruleResource, { maxLength: 4 });
const spec = fc.record(
  {
    selector: few("all()", ...SELECTORS),
    order: few(1, 2),
    tier: few("default", "t1", "t2", "nowhere"),
    ingress: rules,
    egress: rules,
    types: few(["Ingress", "Egress"], ["Ingress", "Egress"], ["Ingress"], ["Egress"]),
  },
  { requiredKeys: ["selector", "ingress", "egress", "types"] },
);

const labels = fc.record({ app: few("x", "y"), team: few("a", "b") }, optional);
export const resources = fc
  .record({
    tiers: fc.tuple(few("Deny", "Pass"), few("Deny", "Pass"), few(1, 2, 3)),
    global: fc.array(spec, { maxLength: 3 }),
    namespaced: fc.array(spec, { maxLength: 2 }),
    profiles: fc.array(fc.record({ labelsToApply: labels, ingress: rules, egress: rules }), {
      minLength: 2,
      maxLength: 2,
    }),
    pods: fc.array(
      fc.record({
        labels,
        namespace: few("one", "two"),
        profiles: fc.uniqueArray(few("p0", "p1", "kns.one", "nowhere"), { maxLength: 3 }),
        ports: fc.subarray([
          { name: "http", protocol: "TCP", port: 1 } as const,
          { name: "http", protocol: "UDP", port: 3 } as const,
          { name: "dns", protocol: "UDP", port: 5 } as const,
        ]),
      }),
      { minLength: PODS.length, maxLength: PODS.length },
    ),
    sets: fc.array(
      fc.tuple(few("one", "two", undefined), fc.subarray([...NETS[4], ...NETS[6]], { maxLength: 3 }), labels),
      { maxLength: 2 },
    ),
  })
  .map(({ tiers: [first, second, order], global, namespaced, profiles, pods, sets }) => [
    tier("t1", 2, first as "Deny"),
    tier("t2", order, second as "Deny"),
    profile("kns.one", { labelsToApply: { "pcns.team": "a" } }),
    ...profiles.map((one, i) => profile(`p${i}`, one as never)),
    ...global.map((one, i) => globalPolicy(`g${i}`, one)),
    ...namespaced.map((one, i) => networkPolicy("one", `n${i}`, one as never)),
    ...sets.map(([namespace, nets, own], i) =>
      namespace ? networkSet(namespace, `s${i}`, nets, own) : globalNetworkSet(`s${i}`, nets, own),
    ),
    // The last one lives elsewhere.
    ...pods.map(({ ports, ...one }, i) =>
      workload(PODS[i] as string, {
        ...one,
        node: i === PODS.length - 1 ? "there" : "here",
        address: [ADDRESSES[4][i] as string, ADDRESSES[6][i] as string],
        ports,
      }),
    ),
  ]);

/** Ends by their place in ADDRESSES; at least one is a workload of this host. */
export const packet = fc
  .record({
    version: few(4, 6),
    ends: few([0, 1], [1, 0], [0, 2], [0, 3], [4, 0], [3, 1], [1, 4], [2, 1]),
    protocol: few("TCP", "TCP", "UDP", "UDP", "SCTP", "ICMP", 47),
    sourcePort: fc.oneof(few(1, 3, 5), fc.integer({ min: 1, max: 49 })),
    destinationPort: fc.oneof(few(1, 3, 5), fc.integer({ min: 1, max: 49 })),
    icmp: fc.record({ type: few(3, 8, 128), code: few(0, 1) }),
  })
  .map(({ version, ends, protocol, sourcePort, destinationPort, icmp: message }): Packet => {
    const [source, destination] = ends.map(i => ip(ADDRESSES[version][i] as string));
    const base = { source: source!, destination: destination! };
    if (protocol === "ICMP") return { ...base, protocol: version === 4 ? "ICMP" : "ICMPv6", icmp: message };
    return typeof protocol === "number"
      ? { ...base, protocol }
      : { ...base, protocol: protocol as "TCP", sourcePort, destinationPort };
  });
