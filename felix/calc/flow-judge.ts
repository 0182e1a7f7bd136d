/**
 * Whether a connection that is established would be let through today, as the packet filter would say if its first
 * packet came now: in its original direction, with the destination that translation gave it and the source it had
 * before. The walls it meets are those of `policy/evaluation/`; the sets are those of the calculation.
 *
 * What is not certain is allowed: a connection that is cut by mistake is worse than one that lives on until its next
 * packet is judged. So for what the host sends to itself, for what was expected by another connection, for tunnels.
 */

import type { Ip } from "../../net/ip.ts";
import type { AppliedTier } from "../../policy/evaluation/applied.ts";
import { askWall, type Seen } from "../../policy/evaluation/walk.ts";
import { type Stage, type Wall, workloadWall } from "../../policy/evaluation/wall.ts";
import type { Membership } from "../../policy/match.ts";
import { canonicalProtocol, type Direction, type Policy, type Profile } from "../../policy/model.ts";
import type { Packet } from "../../policy/packet.ts";
import {
  ANY_INTERFACE,
  type Changes,
  type EndpointTier,
  type LocalEndpoint,
  type LocalHostEndpoint,
} from "./changes.ts";
import type { FelixConfig } from "./config.ts";

/** A connection, as connection tracking knows it. */
export interface EstablishedFlow {
  /** Its first packet as it came. */
  readonly original: {
    readonly source: Ip;
    readonly destination: Ip;
    /** IANA's number. */
    readonly protocol: number;
    readonly sourcePort?: number;
    readonly destinationPort?: number;
    readonly icmp?: { readonly type: number; readonly code: number };
  };
  /** The answers as they come: their source is where the first packet went. */
  readonly reply: { readonly source: Ip; readonly sourcePort?: number };
  /** It was let through as related to another one. */
  readonly isExpected: boolean;
}

/** What the judge has to know of the host besides policy. */
export interface HostView {
  isOwnAddress(address: Ip): boolean;
  /** By which packets to it leave, and so, as far as anybody can tell, those from it come. Undefined: unknown. */
  interfaceTowards(address: Ip): string | undefined;
}

export type JudgeConfig = Pick<
  FelixConfig,
  "defaultEndpointToHostAction" | "failsafeInboundHostPorts" | "failsafeOutboundHostPorts" | "vxlanPort"
>;

const IPIP = 4;
const UDP = 17;

const BGP_PORT = 179;

type Party =
  | { readonly kind: "workload"; readonly endpoint: LocalEndpoint }
  | { readonly kind: "host" | "else" };

export class FlowJudge {
  readonly #membership: Membership;
  readonly #config: JudgeConfig;
  readonly #policies = new Map<string, Policy>();
  readonly #profiles = new Map<string, Profile>();
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #byAddress = new Map<Ip, LocalEndpoint>();
  readonly #hostEndpoints = new Map<string, LocalHostEndpoint>();
  /** By endpoint and where at it; made when first asked. */
  #walls = new Map<LocalEndpoint | LocalHostEndpoint, Map<string, Wall>>();

  constructor(options: { readonly membership: Membership; readonly config: JudgeConfig }) {
    this.#membership = options.membership;
    this.#config = options.config;
  }

  /** To be called together with the calculation's hand-over: the sets are as they are now. */
  update(changes: Changes): void {
    replace(this.#policies, changes.policies);
    replace(this.#profiles, changes.profiles);
    replace(this.#hostEndpoints, changes.hostEndpoints);
    for (const id of changes.endpoints.keys()) {
      const former = this.#endpoints.get(id);
      for (const address of former?.addresses ?? [])
        if (this.#byAddress.get(address) === former) this.#byAddress.delete(address);
    }
    replace(this.#endpoints, changes.endpoints);
    for (const endpoint of changes.endpoints.values()) {
      for (const address of endpoint?.addresses ?? [])
        this.#byAddress.set(address, endpoint as LocalEndpoint);
    }
    if (changes.policies.size + changes.profiles.size > 0) this.#walls = new Map();
    else for (const endpoint of changes.endpoints.values()) if (endpoint) this.#walls.delete(endpoint);
  }

  isWorkload(address: Ip): boolean {
    return this.#byAddress.has(address);
  }

  /** Whether policy of this host has anything to say between the two. */
  concerns(source: Ip, destination: Ip): boolean {
    return this.#hostEndpoints.size > 0 || this.isWorkload(source) || this.isWorkload(destination);
  }

  allows(flow: EstablishedFlow, host: HostView): boolean {
    if (flow.isExpected) return true;
    const { original, reply } = flow;
    const from = this.#party(original.source, host);
    const to = this.#party(reply.source, host);
    const seen = seenOf(flow);
    if (from.kind === "workload" && to.kind === "workload" && from.endpoint === to.endpoint) return true;
    if (from.kind === "workload" && !this.#passes(this.#workloadWall(from.endpoint, "egress"), seen))
      return false;
    if (from.kind === "workload" && to.kind === "host") return this.#reachesHost(from.endpoint, seen.after);
    if (from.kind === "host" && to.kind !== "else") return true;
    if (from.kind !== "workload" && to.kind !== "workload" && this.#isTunnel(original)) return true;
    if (from.kind === "else") {
      const way = to.kind === "host" ? "local" : "forward";
      if (!this.#passesHost(original.source, "ingress", way, seen, host)) return false;
    }
    if (to.kind === "workload") return this.#passes(this.#workloadWall(to.endpoint, "ingress"), seen);
    if (to.kind === "host") return true;
    const way = from.kind === "host" ? "local" : "forward";
    return this.#passesHost(reply.source, "egress", way, { before: seen.after, after: seen.after }, host);
  }

  #party(address: Ip, host: HostView): Party {
    const endpoint = this.#byAddress.get(address);
    if (endpoint) return { kind: "workload", endpoint };
    return { kind: host.isOwnAddress(address) ? "host" : "else" };
  }

  #passes(wall: Wall | undefined, seen: Seen): boolean {
    return wall === undefined || askWall(wall, seen, this.#membership).verdict === "allow";
  }

  #passesHost(other: Ip, direction: Direction, way: Way, seen: Seen, host: HostView): boolean {
    if (this.#hostEndpoints.size === 0) return true;
    const interfaceName = host.interfaceTowards(other);
    if (interfaceName === undefined) return true;
    const endpoint = this.#hostEndpoints.get(interfaceName) ?? this.#hostEndpoints.get(ANY_INTERFACE);
    return this.#passes(endpoint && this.#hostWall(endpoint, direction, way), seen);
  }

  #reachesHost(endpoint: LocalEndpoint, packet: Packet): boolean {
    if (endpoint.bgpPeer && packet.protocol === "TCP" && packet.destinationPort === BGP_PORT) return true;
    return this.#config.defaultEndpointToHostAction !== "Drop";
  }

  /** Between hosts; what is inside is another connection. */
  #isTunnel({ protocol, destinationPort }: EstablishedFlow["original"]): boolean {
    return protocol === IPIP || (protocol === UDP && destinationPort === this.#config.vxlanPort);
  }

  #workloadWall(endpoint: LocalEndpoint, direction: Direction): Wall {
    const { id, enabled, tiers, profiles } = endpoint;
    return this.#wall(endpoint, direction, () =>
      enabled
        ? workloadWall(id, direction, this.#tiers(tiers, direction), this.#profilesOf(profiles))
        : workloadWall(id, direction, [], []),
    );
  }

  #hostWall(endpoint: LocalHostEndpoint, direction: Direction, way: Way): Wall {
    return this.#wall(endpoint, `${direction} ${way}`, () => {
      const { failsafeInboundHostPorts, failsafeOutboundHostPorts } = this.#config;
      const failsafes = direction === "ingress" ? failsafeInboundHostPorts : failsafeOutboundHostPorts;
      const preDnat: Stage = {
        category: "preDNAT",
        failsafes,
        tiers: this.#tiers(endpoint.preDnatTiers, "ingress"),
        tiersPass: true,
        end: "continue",
      };
      const last: Stage = {
        category: way === "local" ? "normal" : "forward",
        failsafes: way === "local" ? failsafes : [],
        tiers: this.#tiers(way === "local" ? endpoint.tiers : endpoint.forwardTiers, direction),
        tiersPass: false,
        end: way === "local" ? "profiles" : "allow",
      };
      return {
        endpoint: endpoint.id,
        kind: "host-endpoint",
        direction,
        profiles: this.#profilesOf(endpoint.profiles),
        stages: direction === "ingress" ? [preDnat, last] : [last],
      };
    });
  }

  #wall(endpoint: LocalEndpoint | LocalHostEndpoint, place: string, make: () => Wall): Wall {
    const walls = this.#walls.get(endpoint) ?? new Map<string, Wall>();
    this.#walls.set(endpoint, walls);
    const wall = walls.get(place) ?? make();
    walls.set(place, wall);
    return wall;
  }

  #tiers(tiers: readonly EndpointTier[], direction: Direction): AppliedTier[] {
    return tiers.flatMap(({ name, defaultAction, [direction]: keys }) => {
      const policies = keys.flatMap(key => this.#policies.get(key) ?? []);
      return policies.length > 0 ? [{ name, defaultAction, policies }] : [];
    });
  }

  #profilesOf(names: readonly string[]): Profile[] {
    return names.flatMap(name => this.#profiles.get(name) ?? []);
  }
}

/** To or from the host itself, or through it. */
type Way = "local" | "forward";

function seenOf({ original, reply }: EstablishedFlow): Seen {
  const { icmp, sourcePort, destinationPort } = original;
  const before: Packet = {
    source: original.source,
    destination: original.destination,
    protocol: canonicalProtocol(original.protocol) ?? original.protocol,
    ...(sourcePort !== undefined && { sourcePort }),
    ...(destinationPort !== undefined && { destinationPort }),
    ...(icmp && { icmp }),
  };
  const port = reply.sourcePort ?? destinationPort;
  const after = {
    ...before,
    destination: reply.source,
    ...(port !== undefined && { destinationPort: port }),
  };
  return { before, after };
}

function replace<T>(map: Map<string, T>, changes: ReadonlyMap<string, T | undefined>): void {
  for (const [id, value] of changes) {
    if (value === undefined) map.delete(id);
    else map.set(id, value);
  }
}
