/**
 * The reference once more, read by somebody who has not seen policy/: resources to a verdict by asking everybody about
 * everything, without a model, sets or walls. Slow, and short enough to be compared with calico.md line by line
 * (sections 2.2-2.9, 3.2, Appendix C). Only the selector language itself is shared, which has tests of its own.
 */

import type {
  EntityRule,
  GlobalNetworkPolicy,
  HostEndpoint,
  NetworkPolicy,
  NetworkSet,
  Node,
  Profile,
  Resource,
  Rule,
  Tier,
  WorkloadEndpoint,
} from "../../../../crd-schemas/index.ts";
import { type Cidr, contains } from "../../../../net/cidr.ts";
import type { Ip } from "../../../../net/ip.ts";
import { parseSelector } from "../../../../policy/selector/index.ts";

export interface NaivePacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol: string | number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
}

/** One question asked on the way: who answered what, and by which rule or default. */
export interface Answer {
  readonly who: string;
  readonly direction: "ingress" | "egress";
  readonly verdict: "allow" | "deny";
  readonly because: string;
}

interface Slice {
  readonly endpoints: readonly { readonly addresses: readonly string[] }[];
  readonly ports: readonly { readonly protocol: string; readonly port: number }[];
}

type Policy = NetworkPolicy | GlobalNetworkPolicy;
type Labels = Readonly<Record<string, string>>;
type Direction = "ingress" | "egress";

const NUMBERS: Readonly<Record<string, number>> = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
};
const number = (protocol: string | number): number =>
  typeof protocol === "number" ? protocol : NUMBERS[protocol]!;

const FAILSAFE_IN = ["6/22", "17/68", "6/179", "6/2379", "6/2380", "6/5473", "6/6443", "6/6666", "6/6667"];
const FAILSAFE_OUT = ["17/53", "17/67", "6/179", "6/2379", "6/2380", "6/5473", "6/6443", "6/6666", "6/6667"];

export class Naive {
  readonly #resources: readonly Resource[];
  readonly #slice: Slice;
  readonly #toHost: "Drop" | "Accept" | "Return";

  /** `slice`: the only service's. */
  constructor(resources: readonly Resource[], slice: object, toHost: "Drop" | "Accept" | "Return") {
    this.#resources = resources;
    this.#slice = slice as Slice;
    this.#toHost = toHost;
  }

  #all<R extends Resource>(...kinds: R["kind"][]): R[] {
    return this.#resources.filter(one => (kinds as string[]).includes(one.kind)) as R[];
  }

  /** In the order they are asked, to the first that denies. */
  answers(packet: NaivePacket): Answer[] {
    const answers: Answer[] = [];
    for (const ask of this.#questions(packet)) {
      const answer = ask();
      answers.push(answer);
      if (answer.verdict === "deny") break;
    }
    return answers;
  }

  *#questions(packet: NaivePacket): Generator<() => Answer> {
    const from = this.#workloadAt(packet.source);
    const to = this.#workloadAt(packet.destination);
    const fromHost = from ? from.spec.node : this.#hostAt(packet.source);
    const toHost = to ? to.spec.node : this.#hostAt(packet.destination);
    if (from && from === to) return;
    const together = fromHost !== undefined && fromHost === toHost;

    const neighbor = packet.protocol === "ICMPv6" && packet.icmp!.type === 135;
    if (from && together && !to && neighbor) {
      yield () => answer(toHost, "ingress", "allow", "neighbor-discovery");
      return;
    }
    if (from) {
      const tunnel =
        number(packet.protocol) === 4 || (number(packet.protocol) === 17 && packet.destinationPort === 4789);
      if (tunnel) {
        yield () => answer(idOf(from), "egress", "deny", "encapsulated");
        return;
      }
      yield () => this.#atWorkload(from, "egress", packet);
    } else if (fromHost !== undefined && !together) {
      yield* this.#atHost(fromHost, undefined, "egress", "local", packet);
    }
    if (from && fromHost !== undefined && !together)
      yield* this.#atHost(fromHost, undefined, "egress", "forward", packet);

    if (together && from && !to)
      yield () => answer(toHost, "ingress", this.#toHost === "Drop" ? "deny" : "allow", "endpoint-to-host");
    if (together && !from && to) {
      yield () => answer(fromHost, "egress", "allow", "host-to-workload");
      return;
    }
    if (together && !from && !to) {
      yield* this.#atHost(fromHost, "lo", "egress", "local", packet);
      yield* this.#atHost(fromHost, "lo", "ingress", "local", packet);
    }
    if (!together && toHost !== undefined)
      yield* this.#atHost(toHost, undefined, "ingress", to ? "forward" : "local", packet);
    if (to) yield () => this.#atWorkload(to, "ingress", packet);
  }

  #atWorkload(endpoint: WorkloadEndpoint, direction: Direction, packet: NaivePacket): Answer {
    const mine = this.#policiesFor(endpoint, direction).filter(policy => !raw(policy) && !early(policy));
    const [verdict, because] =
      this.#throughTiers(mine, direction, packet, true) ?? this.#throughProfiles(endpoint, direction, packet);
    return answer(idOf(endpoint), direction, verdict, because);
  }

  *#atHost(
    host: string,
    iface: string | undefined,
    direction: Direction,
    way: "local" | "forward",
    packet: NaivePacket,
  ): Generator<() => Answer> {
    const endpoint = this.#hostEndpoint(host, iface);
    if (endpoint) yield () => this.#atHostEndpoint(endpoint, direction, way, packet);
  }

  #atHostEndpoint(
    endpoint: HostEndpoint,
    direction: Direction,
    way: "local" | "forward",
    packet: NaivePacket,
  ): Answer {
    const say = (verdict: "allow" | "deny", because: string): Answer =>
      answer(endpoint.metadata.name, direction, verdict, because);
    const mine = this.#policiesFor(endpoint, direction);
    const port = (direction === "ingress" ? FAILSAFE_IN : FAILSAFE_OUT).includes(
      `${number(packet.protocol)}/${packet.destinationPort}`,
    );
    const neighbor = packet.protocol === "ICMPv6" && packet.icmp!.type >= 130 && packet.icmp!.type <= 136;
    const failsafe = port || neighbor;
    // Tables before connection tracking and DNAT: PREROUTING for all that comes, OUTPUT for what the host sends.
    if (!failsafe && (direction === "ingress" || way === "local")) {
      const found =
        this.#throughTiers(mine.filter(raw), direction, packet, false) ??
        (direction === "ingress"
          ? this.#throughTiers(mine.filter(early), direction, packet, false)
          : undefined);
      if (found) return say(...found);
    }
    const late = mine.filter(policy => !raw(policy) && !early(policy));
    if (way === "forward") {
      const forwarded = late.filter(policy => (policy as GlobalNetworkPolicy).spec.applyOnForward);
      return say(...(this.#throughTiers(forwarded, direction, packet, true) ?? ["allow", "forward-default"]));
    }
    if (failsafe) return say("allow", port ? "failsafe" : "neighbor-discovery");
    return say(
      ...(this.#throughTiers(late, direction, packet, true) ??
        this.#throughProfiles(endpoint, direction, packet)),
    );
  }

  /** Undefined where all tiers let it pass. */
  #throughTiers(
    policies: readonly Policy[],
    direction: Direction,
    packet: NaivePacket,
    ends: boolean,
  ): ["allow" | "deny", string] | undefined {
    const place = (tier: string): [number, number, string] => {
      const found = this.#tier(tier);
      return [found ? 0 : 1, found?.spec.order ?? 1_000_000, tier];
    };
    const tiers = [...new Set(policies.map(policy => policy.spec.tier ?? "default"))];
    tiers.sort((a, b) => compare(place(a), place(b)));
    next: for (const tier of tiers) {
      const within = policies.filter(policy => (policy.spec.tier ?? "default") === tier);
      const rank = ({ spec, metadata, kind }: Policy): [number, string] => [
        spec.order ?? Number.POSITIVE_INFINITY,
        `${metadata.name}/${metadata.namespace ?? ""}/${kind}`,
      ];
      within.sort((a, b) => compare(rank(a), rank(b)));
      for (const policy of within) {
        for (const [i, rule] of (policy.spec[direction] ?? []).entries()) {
          if (rule.action === "Log" || !this.#matches(rule, packet, direction, policy.metadata.namespace))
            continue;
          if (rule.action === "Pass") continue next;
          return [rule.action === "Allow" ? "allow" : "deny", `${policy.metadata.name}#${i}`];
        }
      }
      if (ends && this.#tier(tier)?.spec.defaultAction !== "Pass") return ["deny", `tier ${tier}`];
    }
    return undefined;
  }

  /** Tier `default` is always there (0.4). */
  #tier(name: string): Pick<Tier, "spec"> | undefined {
    const stored = this.#all<Tier>("Tier").find(one => one.metadata.name === name);
    return stored ?? (name === "default" ? { spec: { order: 1_000_000, defaultAction: "Deny" } } : undefined);
  }

  #throughProfiles(
    endpoint: WorkloadEndpoint | HostEndpoint,
    direction: Direction,
    packet: NaivePacket,
  ): ["allow" | "deny", string] {
    next: for (const name of endpoint.spec.profiles ?? []) {
      const profile = this.#all<Profile>("Profile").find(one => one.metadata.name === name);
      for (const [i, rule] of (profile?.spec[direction] ?? []).entries()) {
        if (rule.action === "Log" || !this.#matches(rule, packet, direction, undefined)) continue;
        if (rule.action === "Pass") continue next;
        return [rule.action === "Allow" ? "allow" : "deny", `${name}#${i}`];
      }
    }
    return ["deny", "no-profile"];
  }

  #policiesFor(endpoint: WorkloadEndpoint | HostEndpoint, direction: Direction): Policy[] {
    const labels = this.#labels(endpoint);
    return this.#all<Policy>("NetworkPolicy", "GlobalNetworkPolicy").filter(policy => {
      const { spec, metadata } = policy;
      if (!typesOf(spec).includes(direction) || !selects(spec.selector, labels)) return false;
      if (policy.kind === "NetworkPolicy" && labels["projectcalico.org/namespace"] !== metadata.namespace)
        return false;
      const namespaces = policy.kind === "GlobalNetworkPolicy" ? policy.spec.namespaceSelector : undefined;
      if (namespaces && !inNamespaces(namespaces, labels)) return false;
      return !spec.serviceAccountSelector || underAccounts(spec.serviceAccountSelector, labels);
    });
  }

  #matches(rule: Rule, packet: NaivePacket, direction: Direction, namespace: string | undefined): boolean {
    const protocol = number(packet.protocol);
    const version = packet.destination.includes(":") ? 6 : 4;
    const icmp = (wanted: Rule["icmp"]): boolean =>
      packet.icmp !== undefined &&
      packet.icmp.type === wanted?.type &&
      (wanted.code === undefined || wanted.code === packet.icmp.code);
    if (rule.ipVersion !== undefined && rule.ipVersion !== version) return false;
    if (rule.protocol !== undefined && number(rule.protocol) !== protocol) return false;
    // ICMP is IPv4's, ICMPv6 is IPv6's (2.3).
    if (rule.protocol === "ICMP" && version === 6) return false;
    if (rule.protocol === "ICMPv6" && version === 4) return false;
    if (rule.notProtocol !== undefined && number(rule.notProtocol) === protocol) return false;
    if (rule.icmp?.type !== undefined && !icmp(rule.icmp)) return false;
    if (rule.notICMP?.type !== undefined && icmp(rule.notICMP)) return false;
    return (
      this.#isEnd(rule.source, packet.source, undefined, protocol, namespace, false) &&
      this.#isEnd(
        rule.destination,
        packet.destination,
        packet.destinationPort,
        protocol,
        namespace,
        direction === "egress",
      )
    );
  }

  #isEnd(
    end: EntityRule | undefined,
    address: string,
    port: number | undefined,
    protocol: number,
    namespace: string | undefined,
    servicePorts: boolean,
  ): boolean {
    if (!end) return true;
    if (end.services) {
      const { endpoints, ports } = this.#slice;
      if (end.services.name !== "shop" || !endpoints.some(one => one.addresses.includes(address)))
        return false;
      if (servicePorts && !ports.some(one => one.port === port && number(one.protocol) === protocol))
        return false;
    }
    if (end.nets?.length && !end.nets.some(holding(address))) return false;
    if (end.notNets?.some(holding(address))) return false;
    const here = this.#everybody().filter(one => one.nets.some(holding(address)));
    const asksWho = end.selector || end.namespaceSelector || end.serviceAccounts;
    const isMeant = (labels: Labels): boolean => {
      if (end.selector && !selects(end.selector, labels)) return false;
      const { names, selector } = end.serviceAccounts ?? {};
      if (names?.length && !names.includes(labels["projectcalico.org/serviceaccount"] ?? "")) return false;
      if (selector && !underAccounts(selector, labels)) return false;
      if (end.namespaceSelector) return inNamespaces(end.namespaceSelector, labels);
      if (namespace === undefined || !(asksWho || end.notSelector)) return true;
      return labels["projectcalico.org/namespace"] === namespace;
    };
    if ((asksWho || (end.notSelector && namespace !== undefined)) && !here.some(one => isMeant(one.labels)))
      return false;
    if (end.notSelector && here.some(one => selects(end.notSelector, one.labels))) return false;
    const isPort = (wanted: number | string): boolean => {
      if (typeof wanted === "number") return port === wanted;
      const [, low, high] = /^(\d+):(\d+)$/.exec(wanted) ?? [];
      if (low !== undefined) return port !== undefined && Number(low) <= port && port <= Number(high);
      return here.some(
        one =>
          isMeant(one.labels) &&
          one.ports.some(
            own => own.name === wanted && own.port === port && number(own.protocol) === protocol,
          ),
      );
    };
    if (end.ports?.length && !end.ports.some(isPort)) return false;
    return !end.notPorts?.some(isPort);
  }

  #everybody(): {
    labels: Labels;
    nets: readonly string[];
    ports: readonly { name?: string; protocol: string | number; port: number }[];
  }[] {
    return [
      ...this.#all<WorkloadEndpoint>("WorkloadEndpoint").map(one => ({
        labels: this.#labels(one),
        nets: one.spec.ipNetworks ?? [],
        ports: one.spec.ports ?? [],
      })),
      ...this.#all<HostEndpoint>("HostEndpoint").map(one => ({
        labels: this.#labels(one),
        nets: one.spec.expectedIPs ?? [],
        ports: one.spec.ports ?? [],
      })),
      ...this.#all<NetworkSet>("NetworkSet", "GlobalNetworkSet" as "NetworkSet").map(one => ({
        labels: one.metadata.namespace
          ? {
              ...this.#inherited([`kns.${one.metadata.namespace}`]),
              ...one.metadata.labels,
              "projectcalico.org/namespace": one.metadata.namespace,
            }
          : (one.metadata.labels ?? {}),
        nets: one.spec.nets ?? [],
        ports: [],
      })),
    ];
  }

  #labels(endpoint: WorkloadEndpoint | HostEndpoint): Labels {
    return { ...this.#inherited(endpoint.spec.profiles ?? []), ...endpoint.metadata.labels };
  }

  #inherited(profiles: readonly string[]): Labels {
    const labels: Record<string, string> = {};
    for (const name of profiles) {
      const profile = this.#all<Profile>("Profile").find(one => one.metadata.name === name);
      for (const [key, value] of Object.entries(profile?.spec.labelsToApply ?? {})) labels[key] ??= value;
    }
    return labels;
  }

  #workloadAt(address: string): WorkloadEndpoint | undefined {
    return this.#all<WorkloadEndpoint>("WorkloadEndpoint").find(one =>
      one.spec.ipNetworks?.some(holding(address)),
    );
  }

  #hostAt(address: string): string | undefined {
    return this.#all<Node>("Node").find(one => one.spec.addresses?.some(own => own.address === address))
      ?.metadata.name;
  }

  /** The interface that has the host's address; else the only one with a name; else `*`; else the first. */
  #hostEndpoint(host: string, iface: string | undefined): HostEndpoint | undefined {
    const mine = this.#all<HostEndpoint>("HostEndpoint")
      .filter(one => one.spec.node === host)
      .sort((a, b) => compare([a.metadata.name], [b.metadata.name]));
    const star = mine.find(one => one.spec.interfaceName === "*");
    if (iface === "lo") return star;
    const named = mine.filter(one => one.spec.interfaceName !== "*");
    const withAddress = named.find(one => one.spec.expectedIPs?.some(own => this.#hostAt(own) === host));
    if (withAddress) return withAddress;
    if (new Set(named.map(one => one.spec.interfaceName)).size === 1) return named[0];
    return star ?? named[0];
  }
}

const raw = (policy: Policy): boolean => (policy as GlobalNetworkPolicy).spec.doNotTrack ?? false;
const early = (policy: Policy): boolean => (policy as GlobalNetworkPolicy).spec.preDNAT ?? false;

/** Pods by their names, everything else by the resource's. */
function idOf({ metadata, spec }: WorkloadEndpoint): string {
  return `${metadata.namespace}/${spec.pod ?? metadata.name}`;
}

function answer(who: string, direction: Direction, verdict: "allow" | "deny", because: string): Answer {
  return { who, direction, verdict, because };
}

function typesOf(spec: Policy["spec"]): Direction[] {
  if (spec.types?.length) return spec.types.map(type => type.toLowerCase() as Direction);
  if (!spec.egress?.length) return ["ingress"];
  return spec.ingress?.length ? ["ingress", "egress"] : ["egress"];
}

function selects(selector: string | undefined, labels: Labels): boolean {
  return parseSelector(selector ?? "").matches({ get: label => labels[label] });
}

function inNamespaces(selector: string, labels: Labels): boolean {
  const named = labels["projectcalico.org/namespace"] !== undefined;
  if (selector === "global()") return !named;
  if (selector === "all()") return named;
  return parseSelector(selector).matches({ get: label => labels[`pcns.${label}`] });
}

function underAccounts(selector: string, labels: Labels): boolean {
  if (selector === "all()") return labels["projectcalico.org/serviceaccount"] !== undefined;
  return parseSelector(selector).matches({ get: label => labels[`pcsa.${label}`] });
}

function holding(address: string): (net: string) => boolean {
  return net => {
    const bits = address.includes(":") ? 128 : 32;
    return contains((net.includes("/") ? net : `${net}/${bits}`) as Cidr, address as Ip);
  };
}

function compare(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  for (const [i, value] of a.entries()) {
    if (value < b[i]!) return -1;
    if (value > b[i]!) return 1;
  }
  return 0;
}
