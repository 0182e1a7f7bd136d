/**
 * The way of a packet: which walls it meets from the one who sends it to the one it is for (calico.md, Appendix C).
 *
 *   workload A ─ egress wall ─┬─────────────── same host ───────────────┬─ ingress wall ─ workload B
 *                             │                                         │
 *                    host of A: forward egress ──── host of B: untracked, preDNAT, forward ingress
 *
 *   a host itself: untracked and normal egress; untracked, preDNAT and normal ingress
 *   workload -> its own host: egress wall, then defaultEndpointToHostAction; the host -> its workload: always
 *
 * Untracked egress policies meet only what the host itself sends: forwarded packets do not come through raw OUTPUT, in
 * no packet filter, whatever Appendix C's table says.
 *
 * By which of its interfaces a packet comes to a host is in no resource. Where the caller does not say, it is the one
 * whose expected addresses are the host's own, else the only one that has a name, else all of them (`*`). What a host
 * sends to itself goes by `lo`, which only `*` governs. Encapsulated packets come by the tunnel's device: who wants to
 * know about these says so. Sources are seen as they are sent; masquerading is not modelled.
 */

import type { Cidr } from "../../net/cidr.ts";
import { contains } from "../../net/cidr.ts";
import type { Ip } from "../../net/ip.ts";
import { WORKLOAD_NEIGHBOR_DISCOVERY } from "../failsafes.ts";
import { DEFAULT_SETTINGS } from "../host-settings.ts";
import type { Direction, Profile } from "../model.ts";
import type { Packet } from "../packet.ts";
import type {
  EvaluatedEndpoint,
  EvaluatedHost,
  EvaluatedHostEndpoint,
  HostSettings,
  PolicyState,
} from "../policy-state.ts";
import type { Category, DirectionVerdict, Reason } from "../verdict.ts";
import type { AppliedPolicies } from "./applied.ts";
import { isNeighborDiscovery, type Seen } from "./walk.ts";
import { type Stage, type Wall, workloadWall } from "./wall.ts";

/** What a packet does not say about its way. */
export interface Route {
  /** The workload that sends it, by id: its source may be somebody else's address. */
  readonly sender?: string;
  /** A host that forwards it, besides those of its ends. */
  readonly via?: string;
  /** By host: by which interfaces it comes and goes there. */
  readonly interfaces?: Readonly<Record<string, { readonly in?: string; readonly out?: string }>>;
}

/** What stands in the way: a wall, or something that is decided already. */
export type Obstacle = { readonly wall: Wall; readonly seen: Seen } | { readonly decided: DirectionVerdict };

/** Who has an address. */
export type Party =
  | WorkloadParty
  | { readonly kind: "host"; readonly host: EvaluatedHost }
  | { readonly kind: "outside" };

export interface WorkloadParty {
  readonly kind: "workload";
  readonly endpoint: EvaluatedEndpoint;
  readonly floating?: Ip;
}

const OUTSIDE: Party = { kind: "outside" };

export class Ways {
  readonly #applied: AppliedPolicies;
  readonly #state: PolicyState;
  readonly #profiles: ReadonlyMap<string, Profile>;
  readonly #parties = new Map<Ip, Party>();
  readonly #hosts: ReadonlyMap<string, EvaluatedHost>;
  readonly #workloads: ReadonlyMap<string, EvaluatedEndpoint>;
  readonly #hostEndpoints: ReadonlyMap<string, readonly EvaluatedHostEndpoint[]>;
  readonly #walls = new Map<unknown, Map<string, Wall>>();

  constructor(state: PolicyState, applied: AppliedPolicies) {
    this.#state = state;
    this.#applied = applied;
    this.#profiles = new Map(state.profiles.map(profile => [profile.name, profile]));
    this.#hosts = new Map((state.hosts ?? []).map(host => [host.name, host]));
    this.#workloads = new Map(state.endpoints.map(endpoint => [endpoint.id, endpoint]));
    this.#hostEndpoints = Map.groupBy(
      (state.hostEndpoints ?? []).toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      endpoint => endpoint.node,
    );
    for (const host of state.hosts ?? [])
      for (const address of host.addresses) this.#claim(address, { kind: "host", host });
    for (const endpoint of state.endpoints)
      for (const address of endpoint.addresses) this.#claim(address, { kind: "workload", endpoint });
    for (const endpoint of state.endpoints) {
      if (!this.settings(endpoint.node).floatingIps) continue;
      for (const { external, internal } of endpoint.floatingIps ?? [])
        this.#claim(external, { kind: "workload", endpoint, floating: internal });
    }
  }

  party(address: Ip): Party {
    return this.#parties.get(address) ?? OUTSIDE;
  }

  /** Nobody sends from his floating address. */
  #sender(address: Ip): Party {
    const party = this.party(address);
    return party.kind === "workload" && party.floating !== undefined ? OUTSIDE : party;
  }

  settings(host: string | undefined): HostSettings {
    const { settings = DEFAULT_SETTINGS, settingsByHost } = this.#state;
    return (host === undefined ? undefined : settingsByHost?.get(host)) ?? settings;
  }

  obstacles(packet: Packet, route: Route): Obstacle[] {
    const sender = route.sender === undefined ? undefined : this.#workloads.get(route.sender);
    const from: Party = sender ? { kind: "workload", endpoint: sender } : this.#sender(packet.source);
    const to = this.party(packet.destination);
    const fromHost = hostOf(from);
    const toHost = hostOf(to);
    // Whoever talks to himself is asked nothing, unless he takes the way by his public address.
    if (isItself(from, to)) return [];
    const translated = to.kind === "workload" && to.floating !== undefined;
    const arrived: Packet = translated ? { ...packet, destination: to.floating! } : packet;
    const sameHost = fromHost !== undefined && fromHost === toHost;
    const atSource = plain(sameHost ? arrived : packet);
    const found: Obstacle[] = [];

    if (from.kind === "workload") found.push(...this.#leaveWorkload(from.endpoint, packet, atSource));
    if (sameHost) {
      found.push(...this.#withinHost(fromHost, from, to, packet, route));
    } else {
      if (fromHost !== undefined) {
        const way = from.kind === "host" ? "local" : "forward";
        found.push(...this.#atHost(fromHost, "egress", way, atSource, route));
      }
      if (route.via !== undefined && route.via !== fromHost && route.via !== toHost) {
        found.push(...this.#atHost(route.via, "ingress", "forward", plain(packet), route));
        found.push(...this.#atHost(route.via, "egress", "forward", plain(packet), route));
      }
      if (toHost !== undefined) {
        const way = to.kind === "host" ? "local" : "forward";
        found.push(...this.#atHost(toHost, "ingress", way, { before: packet, after: arrived }, route));
      }
    }
    if (to.kind === "workload" && !(sameHost && from.kind === "host"))
      found.push({ wall: this.workloadWall(to.endpoint, "ingress"), seen: plain(arrived) });
    return found;
  }

  /**
   * Whether all that can stand between the two are their own walls as workloads, unless the packet is a tunnel's: so it is
   * with most pairs there are, and this is known without a look at the packet.
   */
  isDirect(from: Party, to: Party): boolean {
    if (from.kind !== "workload" && to.kind !== "workload") return false;
    if (isFloating(from) || isFloating(to) || isItself(from, to)) return false;
    const node = hostOf(from);
    const other = hostOf(to);
    if (node !== undefined && node === other) return from.kind === to.kind;
    return this.#hostEndpoints.size === 0 || !(this.#isGoverned(node) || this.#isGoverned(other));
  }

  #isGoverned(host: string | undefined): boolean {
    return host !== undefined && this.#hostEndpoints.has(host);
  }

  /** Whether workloads of this host may not send such packets, whatever policy says. */
  isForbiddenTunnel(host: string | undefined, packet: Pick<Packet, "protocol" | "destinationPort">): boolean {
    const { encapsulated } = this.settings(host);
    const isVxlan = packet.protocol === "UDP" && packet.destinationPort === encapsulated.vxlanPort;
    return (isVxlan && !encapsulated.vxlan) || (packet.protocol === 4 && !encapsulated.ipip);
  }

  workloadWall(endpoint: EvaluatedEndpoint, direction: Direction): Wall {
    return this.#wall(`workload ${direction}`, endpoint, () =>
      workloadWall(
        endpoint.id,
        direction,
        this.#applied.tiers(endpoint, "normal", direction),
        this.#profilesOf(endpoint.profiles),
      ),
    );
  }

  hostWall(endpoint: EvaluatedHostEndpoint, direction: Direction, way: "local" | "forward"): Wall {
    return this.#wall(`${way} ${direction}`, endpoint, () => ({
      endpoint: endpoint.id,
      kind: "host-endpoint",
      direction,
      profiles: this.#profilesOf(endpoint.profiles),
      stages: categories(direction, way).map(category => this.#hostStage(endpoint, direction, category)),
    }));
  }

  #hostStage(endpoint: EvaluatedHostEndpoint, direction: Direction, category: Category): Stage {
    const { failsafes } = this.settings(endpoint.node);
    return {
      category,
      failsafes: category === "forward" ? [] : failsafes[direction],
      ...(category === "untracked" && {
        answered: failsafes[direction === "ingress" ? "egress" : "ingress"],
      }),
      tiers: this.#applied.tiers(endpoint, category, direction),
      tiersPass: category === "untracked" || category === "preDNAT",
      end: category === "normal" ? "profiles" : category === "forward" ? "allow" : "continue",
    };
  }

  #leaveWorkload(endpoint: EvaluatedEndpoint, packet: Packet, seen: Seen): Obstacle[] {
    const refused = (reason: Reason): Obstacle[] => [
      {
        decided: {
          endpoint: endpoint.id,
          kind: "workload",
          direction: "egress",
          verdict: "deny",
          trace: [{ action: "deny", reason }],
        },
      },
    ];
    const allowed = (block: Cidr): boolean => contains(block, packet.source);
    if (!endpoint.addresses.includes(packet.source) && !endpoint.allowedSources?.some(allowed))
      return refused({ kind: "spoofed-source" });
    if (this.isForbiddenTunnel(endpoint.node, packet)) return refused({ kind: "encapsulated" });
    const to = this.party(packet.destination);
    const ownHost = to.kind === "host" && to.host.name === endpoint.node;
    if (ownHost && isNeighborDiscovery(packet, WORKLOAD_NEIGHBOR_DISCOVERY)) return [];
    return [{ wall: this.workloadWall(endpoint, "egress"), seen }];
  }

  #withinHost(host: string, from: Party, to: Party, packet: Packet, route: Route): Obstacle[] {
    const byHost = (direction: Direction, action: "allow" | "deny", reason: Reason): Obstacle[] => [
      {
        decided: {
          endpoint: host,
          kind: "host",
          direction,
          verdict: action,
          trace: [{ action, reason }],
        },
      },
    ];
    if (from.kind === "workload" && to.kind === "host") {
      if (isNeighborDiscovery(packet, WORKLOAD_NEIGHBOR_DISCOVERY))
        return byHost("ingress", "allow", { kind: "neighbor-discovery" });
      const action = this.settings(host).endpointToHost;
      // Whoever returns to the host's own rules leaves it to them.
      return byHost("ingress", action === "drop" ? "deny" : "allow", { kind: "endpoint-to-host", action });
    }
    if (from.kind === "host" && to.kind === "workload")
      return byHost("egress", "allow", { kind: "host-to-workload" });
    if (from.kind === "host" && to.kind === "host") {
      const itself = { ...route, interfaces: { [host]: { in: "lo", out: "lo" } } };
      return [
        ...this.#atHost(host, "egress", "local", plain(packet), itself),
        ...this.#atHost(host, "ingress", "local", plain(packet), itself),
      ];
    }
    return [];
  }

  #atHost(
    host: string,
    direction: Direction,
    way: "local" | "forward",
    seen: Seen,
    route: Route,
  ): Obstacle[] {
    const said = route.interfaces?.[host]?.[direction === "ingress" ? "in" : "out"];
    const endpoint = this.hostEndpoint(host, said);
    return endpoint ? [{ wall: this.hostWall(endpoint, direction, way), seen }] : [];
  }

  /** Who governs the interface, or the one that packets are taken to come by. Of several the first by name. */
  hostEndpoint(host: string, interfaceName: string | undefined): EvaluatedHostEndpoint | undefined {
    const all = this.#hostEndpoints.get(host) ?? [];
    const any = all.find(endpoint => endpoint.interfaceName === "*");
    const single = all.filter(endpoint => endpoint.interfaceName !== "*");
    if (interfaceName !== undefined)
      return single.find(endpoint => endpoint.interfaceName === interfaceName) ?? any;
    const own = new Set(this.#hosts.get(host)?.addresses);
    const byAddress = single.find(endpoint => endpoint.addresses.some(address => own.has(address)));
    const names = new Set(single.map(endpoint => endpoint.interfaceName));
    return byAddress ?? (names.size === 1 ? single[0] : (any ?? single[0]));
  }

  #wall(place: string, of: unknown, make: () => Wall): Wall {
    let walls = this.#walls.get(of);
    if (walls === undefined) {
      walls = new Map();
      this.#walls.set(of, walls);
    }
    let wall = walls.get(place);
    if (wall === undefined) {
      wall = make();
      walls.set(place, wall);
    }
    return wall;
  }

  #profilesOf(names: readonly string[]): Profile[] {
    return names.flatMap(name => this.#profiles.get(name) ?? []);
  }

  /** An address is the first one's who claims it, as where two workloads have the same. */
  #claim(address: Ip, party: Party): void {
    const owner = this.#parties.get(address);
    if (owner === undefined || owner.kind === "host") this.#parties.set(address, party);
  }
}

function categories(direction: Direction, way: "local" | "forward"): Category[] {
  const last = way === "local" ? "normal" : "forward";
  if (direction === "ingress") return ["untracked", "preDNAT", last];
  return way === "local" ? ["untracked", "normal"] : ["forward"];
}

export function hostOf(party: Party): string | undefined {
  if (party.kind === "outside") return undefined;
  return party.kind === "host" ? party.host.name : party.endpoint.node;
}

function isFloating(party: Party): boolean {
  return party.kind === "workload" && party.floating !== undefined;
}

function isItself(from: Party, to: Party): boolean {
  return (
    from.kind === "workload" &&
    to.kind === "workload" &&
    from.endpoint === to.endpoint &&
    to.floating === undefined
  );
}

function plain(packet: Packet): Seen {
  return { before: packet, after: packet };
}
