/**
 * One state, asked by peers: which kinds of packets its rules tell apart between two of them, and the verdict on
 * each. Remembers what it looked up, since every peer is asked about with every other one.
 */

import { parseProtocol } from "../../crd-schemas/index.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import { PolicyEvaluator, type Verdict } from "../evaluate.ts";
import { canonicalProtocol, type Direction, type Policy, type Rule } from "../model.ts";
import type { EvaluatedEndpoint, EvaluatedHost, PolicyState } from "../policy-state.ts";
import { enforceStaged, isStaged } from "../staged.ts";
import type { Category } from "../verdict.ts";
import type { Peer } from "./peers.ts";
import { asksPorts, type KnownPort, type TrafficKind, trafficKinds } from "./traffic-kinds.ts";

export class Reach {
  readonly state: PolicyState;
  readonly evaluator: PolicyEvaluator;
  readonly #endpoints: ReadonlyMap<string, EvaluatedEndpoint>;
  readonly #hosts: ReadonlyMap<string, EvaluatedHost>;
  readonly #servicePorts = new Map<Ip, KnownPort[]>();
  readonly #policies = { egress: new Map<string, Policy[]>(), ingress: new Map<string, Policy[]>() };
  #atHosts: readonly Policy[] | undefined;
  #asksSourcePorts: boolean | undefined;

  /** `staged`: as if all staged policies were carried out. */
  constructor(state: PolicyState, { staged = false } = {}) {
    const policies = staged
      ? enforceStaged(state.policies)
      : state.policies.filter(({ id }) => !isStaged(id.kind));
    this.state = { ...state, policies };
    this.evaluator = new PolicyEvaluator(this.state, { askAll: true });
    this.#endpoints = new Map(state.endpoints.map(endpoint => [endpoint.id, endpoint]));
    this.#hosts = new Map((state.hosts ?? []).map(host => [host.name, host]));
    for (const behind of (state.services ?? new Map()).values())
      for (const { address, protocol, port } of behind)
        this.#servicePorts.set(address, [...(this.#servicePorts.get(address) ?? []), { protocol, port }]);
  }

  endpoint(id: string): EvaluatedEndpoint | undefined {
    return this.#endpoints.get(id);
  }

  /**
   * The addresses of a packet from one to the other: within a peer of several one talks to another. Undefined where
   * nobody sends: an endpoint to itself, or ends without addresses of this version.
   */
  ends(from: Peer, to: Peer, version: IpVersion): readonly [source: Ip, destination: Ip] | undefined {
    const [sender, receiver] = this.#members(from, to);
    const source = this.#address(from, sender, version);
    const destination = this.#address(to, receiver, version);
    return source === undefined || destination === undefined ? undefined : [source, destination];
  }

  /** Of the first member. */
  addressOf(peer: Peer, version: IpVersion): Ip | undefined {
    return this.#address(peer, 0, version);
  }

  /** Whether any rule tells packets apart by where they come from: there are few of those. */
  get asksSourcePorts(): boolean {
    this.#asksSourcePorts ??= [...this.state.policies, ...this.state.profiles].some(owner =>
      [...owner.ingress, ...owner.egress].some(({ source }) => asksPorts(source)),
    );
    return this.#asksSourcePorts;
  }

  /** A workload and its own host are no matter of policy alone, so another host is taken where there is one. */
  #members(from: Peer, to: Peer): readonly [from: number, to: number] {
    if (from === to) return [0, 1];
    const remote = (hosts: Peer, other: Peer): number => {
      if (hosts.kind !== "hosts" || other.kind !== "endpoints") return 0;
      const own = this.#endpoints.get(other.ids[0]!)?.node;
      return Math.max(
        0,
        hosts.names.findIndex(name => name !== own),
      );
    };
    return [remote(from, to), remote(to, from)];
  }

  #address(peer: Peer, member: number, version: IpVersion): Ip | undefined {
    if (peer.kind === "outside") return peer.version === version ? peer.address : undefined;
    const owner =
      peer.kind === "hosts"
        ? this.#hosts.get(peer.names[member] ?? "")
        : this.#endpoints.get(peer.ids[member] ?? "");
    return owner?.addresses.find(address => ipVersion(address) === version);
  }

  /** The policies that are asked at an endpoint, in their order. */
  policies(id: string, direction: Direction): readonly Policy[] {
    const known = this.#policies[direction];
    const found = known.get(id) ?? this.evaluator.tiersOf(id, direction).flatMap(tier => [...tier.policies]);
    known.set(id, found);
    return found;
  }

  /** Those that are asked at any host endpoint about anything, and so may stand in everybody's way. */
  get policiesAtHosts(): readonly Policy[] {
    this.#atHosts ??= (this.state.hostEndpoints ?? []).flatMap(({ id }) =>
      CATEGORIES.flatMap(category =>
        DIRECTIONS.flatMap(direction =>
          this.evaluator.tiersOf(id, direction, category).flatMap(tier => tier.policies),
        ),
      ),
    );
    return this.#atHosts;
  }

  /** All rules that may have a say at this end. */
  rules(peer: Peer, direction: Direction): Rule[] {
    const id = peer.kind === "endpoints" ? peer.ids[0]! : undefined;
    const policies = id === undefined ? [] : this.policies(id, direction);
    const ends = id === undefined ? (this.state.hostEndpoints ?? []) : [this.#endpoints.get(id)!];
    const profiles = new Set(ends.flatMap(end => end.profiles));
    return [
      ...[...policies, ...this.policiesAtHosts],
      ...this.state.profiles.filter(({ name }) => profiles.has(name)),
    ].flatMap(owner => owner[direction]);
  }

  /** Those that rules may come to mean by a name or as a service's, and those with a meaning of their own. */
  ports(peer: Peer): KnownPort[] {
    const servicePorts = (address: Ip): readonly KnownPort[] => this.#servicePorts.get(address) ?? [];
    if (peer.kind === "outside") return [...servicePorts(peer.address), ...this.#specialPorts()];
    const owners =
      peer.kind === "hosts"
        ? [...(this.state.hostEndpoints ?? [])].filter(({ node }) => peer.names.includes(node))
        : [this.#endpoints.get(peer.ids[0]!)!];
    return owners.flatMap(({ ports, addresses }) => [
      ...ports.map(({ protocol, port }) => ({ protocol: canonicalProtocol(protocol)!, port })),
      ...addresses.flatMap(servicePorts),
      ...this.#specialPorts(),
    ]);
  }

  /** A workload's own tunnels are stopped by their port, and failsafes at host endpoints are ports. */
  #specialPorts(): KnownPort[] {
    const { settings, settingsByHost, hostEndpoints = [] } = this.state;
    return [settings, ...(settingsByHost?.values() ?? [])].flatMap(one => {
      if (one === undefined) return [];
      const failsafes = hostEndpoints.length > 0 ? [...one.failsafes.ingress, ...one.failsafes.egress] : [];
      return [
        { protocol: "UDP", port: one.encapsulated.vxlanPort } as const,
        ...failsafes.map(({ protocol, port }) => ({ protocol: parseProtocol(protocol)!, port })),
      ];
    });
  }

  verdict(source: Ip, destination: Ip, { packet }: TrafficKind): Verdict {
    return this.evaluator.verdict({ source, destination, ...packet });
  }
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];
const CATEGORIES: readonly Category[] = ["untracked", "preDNAT", "normal", "forward"];

/** All that the rules of any of the states can tell apart on the way from one to the other. */
export function kindsBetween(
  from: Peer,
  to: Peer,
  version: IpVersion,
  states: readonly Reach[],
): TrafficKind[] {
  const rules = states.flatMap(reach => [...reach.rules(from, "egress"), ...reach.rules(to, "ingress")]);
  return trafficKinds(rules, version, {
    sourcePorts: states.flatMap(reach => reach.ports(from)),
    destinationPorts: states.flatMap(reach => reach.ports(to)),
  });
}
