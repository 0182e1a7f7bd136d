/**
 * Who is there in every case: workloads on two hosts, the hosts, and two machines that are nobody's, one on the hosts'
 * wire (`outside`) and one behind host1 (`yard`).
 */

import type { Draft } from "../../datastore/client.ts";
import type { ResourceKind } from "../../datastore/key.ts";
import type { ProbeEnd } from "../../lab/packets/flow.ts";
import { labNamespace } from "../../lab/plan.ts";
import { endpointOf } from "../../lab/resources.ts";
import type { LabDataplane, WorkloadRecord } from "../../lab/state.ts";
import { createNetwork, plugHost } from "../../lab/wiring.ts";
import { RouteProtocol, Rtnetlink } from "../../linux/rtnetlink.ts";
import { cidr, hostCidr } from "../../net/cidr.ts";
import { type Ip, ip, ipVersion } from "../../net/ip.ts";
import { SERVICE_ACCOUNT_LABEL } from "../../policy/resolve.ts";
import { TestLab } from "../system/test-lab.ts";

type Spec = Parameters<typeof endpointOf>[3];

interface Role {
  readonly host: string;
  readonly namespace?: string;
  readonly account: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports?: NonNullable<NonNullable<Spec>["ports"]>;
}

const ROLES: Readonly<Record<string, Role>> = {
  web: {
    host: "host1",
    account: "server",
    labels: { app: "web" },
    ports: [
      { name: "http", protocol: "TCP", port: 80 },
      { name: "dns", protocol: "UDP", port: 53 },
      { name: "assoc", protocol: "SCTP", port: 3868 },
    ],
  },
  near: { host: "host1", account: "front", labels: { role: "front" } },
  far: { host: "host2", account: "front", labels: { role: "front" } },
  batch: { host: "host2", account: "batch", labels: { role: "batch" } },
  prodweb: { host: "host2", namespace: "prod", account: "server", labels: { app: "web" } },
  prod: { host: "host2", namespace: "prod", account: "front", labels: { role: "front" } },
};

const OPEN = { ingress: [{ action: "Allow" as const }], egress: [{ action: "Allow" as const }] };
const profile = (
  name: string,
  labelsToApply: Record<string, string>,
  rules: object = {},
): Draft<"Profile"> => ({
  kind: "Profile",
  metadata: { name },
  spec: { labelsToApply, ...rules },
});
/** Namespaces and accounts, as Kubernetes makes them. */
export const SETTING: readonly Draft<ResourceKind>[] = [
  profile("kns.default", { "pcns.projectcalico.org/name": "default", "pcns.env": "test" }, OPEN),
  profile("kns.prod", { "pcns.projectcalico.org/name": "prod", "pcns.env": "live" }, OPEN),
  ...["default", "prod"].flatMap(namespace => [
    profile(`ksa.${namespace}.server`, { "pcsa.projectcalico.org/name": "server", "pcsa.team": "back" }),
    profile(`ksa.${namespace}.front`, { "pcsa.projectcalico.org/name": "front", "pcsa.team": "front" }),
    profile(`ksa.${namespace}.batch`, { "pcsa.projectcalico.org/name": "batch", "pcsa.team": "back" }),
  ]),
];

const OUTSIDE = [ip("192.168.56.50"), ip("fd00:56::50")];
const YARD = { host: [ip("10.99.0.1"), ip("fd99::1")], yard: [ip("10.99.0.2"), ip("fd99::2")] };
/** Of nobody, unless a case gives them to a workload of host1. */
const FLOATING = [ip("192.0.2.80"), ip("2001:db8:f::80")];
/** How long the wire's prefixes are, and the yard's. */
const prefixOf = (address: Ip) => ({ ip: address, prefixLength: ipVersion(address) === 4 ? 24 : 64 });
const ANYWHERE = { 4: cidr("0.0.0.0/0"), 6: cidr("::/0") };

export class Cast {
  readonly lab: TestLab;
  readonly #workloads: ReadonlyMap<string, WorkloadRecord>;
  readonly #ends: ReadonlyMap<string, ProbeEnd>;

  private constructor(
    lab: TestLab,
    workloads: ReadonlyMap<string, WorkloadRecord>,
    others: readonly ProbeEnd[],
  ) {
    this.lab = lab;
    this.#workloads = workloads;
    const hosts = lab.record.hosts.map(({ name, namespace, address, address6 }) => ({
      name,
      namespace,
      addresses: [address, address6 as Ip],
    }));
    const pods = [...workloads].map(([name, { namespace, addresses }]) => ({ name, namespace, addresses }));
    this.#ends = new Map([...hosts, ...pods, ...others].map(end => [end.name, end]));
  }

  static async up(dataplane: LabDataplane): Promise<Cast> {
    const lab = await TestLab.up({ hosts: 2, ipv6: true, dataplane });
    try {
      const client = await lab.client();
      for (const draft of SETTING) await client.apply(draft);
      for (const pool of (await client.list("IPPool")).items)
        await client.update({ ...pool, spec: { ...pool.spec, natOutgoing: false } });
      const workloads = await Promise.all(
        Object.entries(ROLES).map(async ([name, { host, namespace, account, labels, ports }]) => {
          const endpoint = specOf(namespace, account, ports);
          return [
            name,
            await lab.run(name, {
              host,
              labels: accounted(labels, account),
              pod: name,
              endpoint,
              ...(namespace && { namespace }),
            }),
          ] as const;
        }),
      );
      const cast = new Cast(lab, new Map(workloads), [plugOutside(lab), plugYard(lab)]);
      cast.#leadOutside();
      return cast;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  /** `<web>` and `<web6>`, as cases write them. */
  readonly vocabulary = (name: string): string => {
    const { addresses } = this.end(name.replace(/6$/, ""));
    return addresses[name.endsWith("6") ? 1 : 0] as string;
  };

  end(name: string): ProbeEnd {
    const end = this.#ends.get(name);
    if (!end) throw new Error(`nobody is called "${name}"; there are ${[...this.#ends.keys()].join(", ")}`);
    return end;
  }

  /** All workloads' endpoints, with the changes that a case makes. */
  endpoints(
    changes: Readonly<Record<string, { readonly labels?: Record<string, string> } & Spec>> = {},
  ): Draft<"WorkloadEndpoint">[] {
    for (const name of Object.keys(changes))
      if (!this.#workloads.has(name)) throw new Error(`there is no workload "${name}"`);
    return [...this.#workloads].map(([name, workload]) => {
      const { namespace, account, labels, ports } = ROLES[name] as Role;
      const { labels: others, ...more } = changes[name] ?? {};
      return endpointOf(workload, undefined, accounted(others ?? labels, account), {
        ...specOf(namespace, account, ports),
        ...more,
      });
    });
  }

  /** By which interfaces a packet comes and goes at the hosts it meets. */
  route(from: ProbeEnd, to: ProbeEnd) {
    const [coming, going] = [from, to].map(({ name }) => (name === "yard" ? "yard0" : "eth0"));
    const isForwarded = [from, to].some(({ name }) => name === "yard");
    return {
      ...(this.#workloads.has(from.name) && { sender: this.idOf(from.name) }),
      ...(isForwarded && { via: "host1" }),
      interfaces: {
        host1: { in: coming as string, out: going as string },
        host2: { in: "eth0", out: "eth0" },
      },
    };
  }

  /** As the evaluator calls the workload. */
  idOf(name: string): string {
    return `${this.#workloads.get(name)?.resourceNamespace}/${name}`;
  }

  /** From outside there is a way to everybody, and from host2 to the yard. */
  #leadOutside(): void {
    for (const { host, addresses } of this.#workloads.values())
      for (const address of addresses) this.#lead("outside", address, host);
    for (const address of [...YARD.yard, ...FLOATING]) this.#lead("outside", address, "host1");
    for (const address of YARD.yard) this.#lead("host2", address, "host1");
  }

  #lead(from: string, to: Ip, by: string): void {
    using netlink = Rtnetlink.open({ namespace: this.end(from).namespace });
    netlink.replaceRoute({
      destination: hostCidr(to),
      type: "unicast",
      protocol: RouteProtocol.STATIC,
      gateway: this.end(by).addresses.find(own => ipVersion(own) === ipVersion(to)) as Ip,
      interfaceIndex: netlink.getLink("eth0")?.index as number,
    });
  }
}

/** As the CNI plugin labels a pod. */
function accounted(labels: Readonly<Record<string, string>>, account: string) {
  return { ...labels, [SERVICE_ACCOUNT_LABEL]: account };
}

function specOf(namespace = "default", account: string, ports: Role["ports"]): NonNullable<Spec> {
  return {
    serviceAccountName: account,
    profiles: [`kns.${namespace}`, `ksa.${namespace}.${account}`],
    ...(ports && { ports }),
  };
}

function plugOutside(lab: TestLab): ProbeEnd {
  const { fabric } = lab.record;
  const { address, address6 } = lab.state.host("host1");
  const namespace = labNamespace(lab.name, "outside");
  plugHost(namespace, OUTSIDE.map(prefixOf), fabric, "outside", [address, address6 as Ip]);
  return { name: "outside", namespace, addresses: OUTSIDE };
}

/** By a cable of its own to host1. */
function plugYard(lab: TestLab): ProbeEnd {
  const namespace = labNamespace(lab.name, "yard");
  createNetwork(namespace);
  using host = Rtnetlink.open({ namespace: labNamespace(lab.name, "host1") });
  host.createVeth({ name: "yard0", peerName: "eth0", peerNamespace: namespace });
  using yard = Rtnetlink.open({ namespace });
  for (const [netlink, name, addresses] of [
    [host, "yard0", YARD.host],
    [yard, "eth0", YARD.yard],
  ] as const) {
    const interfaceIndex = netlink.getLink(name)?.index as number;
    for (const address of addresses)
      netlink.addAddress({ interfaceIndex, ...prefixOf(address), noDad: true });
    netlink.setLink(name, { up: true });
  }
  for (const gateway of YARD.host)
    yard.replaceRoute({
      destination: ANYWHERE[ipVersion(gateway)],
      type: "unicast",
      protocol: RouteProtocol.STATIC,
      gateway,
      interfaceIndex: yard.getLink("eth0")?.index as number,
    });
  return { name: "yard", namespace, addresses: YARD.yard };
}
