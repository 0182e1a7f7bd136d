/** Any small cluster, as documents: two hosts with or without endpoints, workloads on them and elsewhere, and policies of every sort. */

import fc from "fast-check";
import type { Resource } from "../../../../crd-schemas/index.ts";
import type { NaivePacket } from "./naive.ts";

const few = <const T extends readonly unknown[]>(...values: T): fc.Arbitrary<T[number]> =>
  fc.constantFrom(...values);
const optional = { requiredKeys: [] as never[] };
const resource = (kind: string, metadata: object, spec: object): Resource =>
  ({ apiVersion: "projectcalico.org/v3", kind, metadata, spec }) as unknown as Resource;

const HOSTS = { here: ["10.0.0.1", "fd00::1"], there: ["10.0.0.2", "fd00::2"] } as const;
const WORKLOADS = [
  { name: "a", node: "here", addresses: ["10.65.0.1", "fd65::1"] },
  { name: "b", node: "here", addresses: ["10.65.0.2"] },
  { name: "c", node: "there", addresses: ["10.65.0.3", "fd65::3"] },
  { name: "d", node: undefined, addresses: ["10.65.0.4"] },
] as const;
const OUTSIDE = ["198.51.100.7", "2001:db8::7"];
/** Of each IP version: who may send to whom. */
export const ADDRESSES = [4, 6].map(version =>
  [...Object.values(HOSTS), ...WORKLOADS.map(one => one.addresses), OUTSIDE]
    .flat()
    .filter(address => address.includes(":") === (version === 6)),
);

const NETS = {
  4: ["10.65.0.0/30", "10.65.0.1/32", "10.0.0.0/24", "198.51.100.0/24", "10.0.0.0/8"],
  6: ["fd65::/64", "fd65::1/128", "fd00::/16", "2001:db8::/32"],
};
const selector = few(
  "all()",
  "app == 'x'",
  "app != 'x'",
  "has(role)",
  "role in {'q'} || app == 'y'",
  "!has(app)",
);
const port = few(22, 80, 443, "80:100", "web", "dns");
const numbered = few(22, 80, 443, "400:500");

const entity = (version: 4 | 6, ports: fc.Arbitrary<number | string> | undefined) =>
  fc.record(
    {
      nets: fc.uniqueArray(few(...NETS[version]), { minLength: 1, maxLength: 2 }),
      notNets: fc.uniqueArray(few(...NETS[version]), { minLength: 1, maxLength: 2 }),
      selector,
      notSelector: selector,
      namespaceSelector: few("all()", "global()", "team == 'red'"),
      serviceAccounts: few({ names: ["robot"] }, { selector: "kind == 'robot'" }),
      ...(ports && {
        ports: fc.uniqueArray(ports, { minLength: 1, maxLength: 3 }),
        notPorts: fc.uniqueArray(ports, { minLength: 1, maxLength: 2 }),
      }),
    },
    optional,
  );
/** Mostly they ask little, else nothing would ever match. */
const sparse = <T extends object>(of: fc.Arbitrary<T>): fc.Arbitrary<Partial<T>> =>
  fc.tuple(of, fc.array(fc.nat(3), { minLength: 12, maxLength: 12 })).map(([one, dice]) => {
    const kept = Object.entries(one).filter((_, i) => dice[i] === 0);
    return Object.fromEntries(kept) as Partial<T>;
  });

const ends = (version: 4 | 6, source?: fc.Arbitrary<number | string>, destination?: typeof source) =>
  fc.record(
    { source: sparse(entity(version, source)), destination: sparse(entity(version, destination)) },
    optional,
  );

const body = few<[4, 4, 6]>(4, 4, 6).chain(version =>
  fc.oneof(
    fc
      .tuple(few("TCP", "UDP", "SCTP", 6), ends(version, numbered, port))
      .map(([protocol, rest]) => ({ protocol, ...rest })),
    ends(version, undefined, few("web", "dns")),
    fc
      .tuple(few("TCP", "ICMP", 47), few(4, 6, undefined))
      .map(([notProtocol, ipVersion]) => ({ notProtocol, ...(ipVersion && { ipVersion }) })),
    few(
      { protocol: "ICMP", icmp: { type: 8 } },
      { protocol: "ICMP", icmp: { type: 8, code: 1 } },
      { protocol: "ICMP", notICMP: { type: 8, code: 0 } },
      { protocol: "ICMPv6", icmp: { type: 128 } },
      { protocol: "UDPLite" },
      { protocol: 47 },
      {},
    ),
  ),
);
const action = few("Allow", "Allow", "Deny", "Pass", "Log");
const plainRule = fc.tuple(action, body).map(([what, rest]) => ({ action: what, ...rest }));
/** Services stand where traffic comes from, or where it goes. */
const serviceRule = (direction: "ingress" | "egress") =>
  fc.tuple(action, few("shop", "nothing")).map(([what, name]) => ({
    action: what,
    [direction === "ingress" ? "source" : "destination"]: { services: { name, namespace: "red" } },
  }));
const rulesOf = (direction: "ingress" | "egress") =>
  fc.array(fc.oneof({ weight: 8, arbitrary: plainRule }, { weight: 1, arbitrary: serviceRule(direction) }), {
    maxLength: 3,
  });

const common = {
  selector: few("all()", "all()", "app == 'x'", "has(role)"),
  order: few(1, 2, 3),
  tier: few("default", "early", "gone"),
  ingress: rulesOf("ingress"),
  egress: rulesOf("egress"),
  types: few(["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Egress"]),
  serviceAccountSelector: few("all()", "kind == 'robot'"),
};
const required = { requiredKeys: ["selector" as const] };
const namespaced = fc
  .tuple(fc.record({ ...common, selector: common.selector }, required), few("red", "blue"))
  .map(([spec, namespace]) => ({ namespace, spec: rarely(spec, "serviceAccountSelector") }));
const flags = few<object[]>(
  {},
  {},
  { applyOnForward: true },
  { applyOnForward: true },
  { applyOnForward: true, doNotTrack: true },
  { applyOnForward: true, preDNAT: true },
);
const global = fc
  .tuple(fc.record({ ...common, namespaceSelector: few("all()", "team == 'red'") }, required), flags)
  .map(([spec, more]) => {
    const whole = rarely(rarely({ ...spec, ...more }, "serviceAccountSelector"), "namespaceSelector");
    if (!("preDNAT" in more)) return whole;
    const { egress: _, ...ingressOnly } = whole as { egress?: unknown };
    return { ...ingressOnly, types: ["Ingress"] };
  });

/** A narrowing that would leave nobody: kept only where the order is the rare one. */
function rarely<T extends object>(spec: T, field: string): T {
  if (!(field in spec) || (spec as { order?: number }).order === 3) return spec;
  return Object.fromEntries(Object.entries(spec).filter(([name]) => name !== field)) as T;
}

const labels = fc.record({ app: few("x", "y"), role: few("q", "r") }, optional);
const profileRules = fc.array(plainRule, { maxLength: 2 });
const ports = fc.subarray([
  { name: "web", protocol: "TCP", port: 80 },
  { name: "dns", protocol: "UDP", port: 53 },
]);
const hostEndpoint = fc.record(
  {
    node: few("here", "there"),
    interfaceName: few("eth0", "eth1", "*"),
    expectedIPs: few([], ["10.0.0.1"], ["10.0.0.2", "fd00::2"]),
    profiles: fc.subarray(["open", "kns.red"]),
    ports,
    labels,
  },
  { requiredKeys: ["node", "interfaceName"] },
);

export interface Cluster {
  readonly resources: readonly Resource[];
  /** Of service red/shop. */
  readonly slice: object;
  readonly toHost: "Drop" | "Accept" | "Return";
}

export const cluster: fc.Arbitrary<Cluster> = fc
  .record({
    order: few(undefined, 5, 2_000_000),
    early: few("Deny", "Pass"),
    global: fc.array(global, { maxLength: 4 }),
    namespaced: fc.array(namespaced, { maxLength: 2 }),
    spaces: fc.tuple(fc.tuple(profileRules, profileRules), fc.tuple(profileRules, profileRules)),
    workloads: fc.tuple(
      ...WORKLOADS.map(() =>
        fc.record({ labels, ports, namespace: few("red", "blue"), account: few("robot", "me") }),
      ),
    ),
    hosts: fc.array(hostEndpoint, { maxLength: 3 }),
    sets: fc.array(
      fc.record({
        namespace: few("red", undefined),
        nets: fc.subarray([...NETS[4], ...NETS[6]], { maxLength: 2 }),
        labels,
      }),
      { maxLength: 2 },
    ),
    toHost: few("Drop", "Accept", "Return"),
    shop: fc.subarray(["10.65.0.1", "10.65.0.3", "198.51.100.7"]),
  })
  .map(made => ({
    toHost: made.toHost,
    slice: {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { namespace: "red", name: "shop-1", labels: { "kubernetes.io/service-name": "shop" } },
      addressType: "IPv4",
      endpoints: [{ addresses: made.shop }],
      ports: [{ protocol: "TCP", port: 80 }],
    },
    resources: [
      resource("Tier", { name: "early" }, { order: made.order, defaultAction: made.early }),
      resource("FelixConfiguration", { name: "default" }, { defaultEndpointToHostAction: made.toHost }),
      resource(
        "Profile",
        { name: "open" },
        { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] },
      ),
      ...["red", "blue"].map((name, i) =>
        resource(
          "Profile",
          { name: `kns.${name}` },
          {
            labelsToApply: { "pcns.team": name, ...(i === 0 && { app: "x" }) },
            ingress: made.spaces[i]![0],
            egress: made.spaces[i]![1],
          },
        ),
      ),
      resource("Profile", { name: "ksa.robot" }, { labelsToApply: { "pcsa.kind": "robot" } }),
      ...Object.entries(HOSTS).map(([name, own]) =>
        resource("Node", { name }, { addresses: own.map(address => ({ address, type: "InternalIP" })) }),
      ),
      ...WORKLOADS.map(({ name, node, addresses }, i) => {
        const { namespace, account, labels: own, ports: named } = made.workloads[i]!;
        return resource(
          "WorkloadEndpoint",
          {
            namespace,
            name: `${node ?? "nowhere"}-k8s-${name}-eth0`,
            labels: {
              ...own,
              "projectcalico.org/namespace": namespace,
              "projectcalico.org/serviceaccount": account,
            },
          },
          {
            orchestrator: "k8s",
            pod: name,
            endpoint: "eth0",
            node: node ?? "nowhere",
            ipNetworks: addresses.map(address => `${address}/${address.includes(":") ? 128 : 32}`),
            interfaceName: `cali${name}`,
            profiles: [`kns.${namespace}`, `ksa.${account}`, "open"],
            ports: named,
          },
        );
      }),
      ...made.hosts.map(({ labels: own, ...spec }, i) =>
        resource("HostEndpoint", { name: `h${i}`, labels: own ?? {} }, spec),
      ),
      ...made.sets.map(({ namespace, nets, labels: own }, i) =>
        resource(
          namespace ? "NetworkSet" : "GlobalNetworkSet",
          { name: `s${i}`, labels: own, ...(namespace && { namespace }) },
          { nets },
        ),
      ),
      ...made.global.map((spec, i) => resource("GlobalNetworkPolicy", { name: `g${i}` }, spec)),
      ...made.namespaced.map(({ namespace, spec }, i) =>
        resource("NetworkPolicy", { name: `n${i}`, namespace }, spec),
      ),
    ],
  }));

const what: fc.Arbitrary<Omit<NaivePacket, "source" | "destination">> = fc.oneof(
  fc.record({ protocol: few("TCP", "TCP", "UDP", "SCTP"), destinationPort: few(22, 53, 80, 80, 443, 4789) }),
  few(
    { protocol: "ICMP", icmp: { type: 8, code: 0 } },
    { protocol: "ICMPv6", icmp: { type: 128, code: 0 } },
    { protocol: "ICMPv6", icmp: { type: 135, code: 0 } },
    { protocol: "UDPLite", destinationPort: 80 },
    { protocol: 47 },
    { protocol: 4 },
  ),
);

export const packet: fc.Arbitrary<NaivePacket> = few(...ADDRESSES).chain(addresses =>
  fc
    .tuple(few(...addresses), few(...addresses), what)
    .map(([source, destination, rest]) => ({ source, destination, ...rest })),
);
