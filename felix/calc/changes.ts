/**
 * What the calculation hands to the dataplane: how this host should look from now on, as differences to what was
 * handed over before. Maps, so that a thing that changed twice between two hand-overs is told once; no order among
 * them, because what has to come before what is the dataplane's knowledge.
 *
 * Undefined as a value means: no longer wanted.
 */

import type { Cidr } from "../../net/cidr.ts";
import type { Ip, IpVersion } from "../../net/ip.ts";
import type { Mac } from "../../net/mac.ts";
import type { Policy, Profile } from "../../policy/model.ts";
import type { QosControls } from "./qos.ts";

/** Addresses and CIDRs (`10.0.0.1`, `10.0.0.0/8`), or `10.0.0.1,tcp:80`; both IP versions mixed. */
export type SetMember = string;

/** `net`: addresses and CIDRs. `ip-port`: address, protocol and port, for named ports. */
export type SetType = "net" | "ip-port";

export type SetChange =
  /** A new set, or one that is to be replaced. */
  | { readonly kind: "whole"; readonly type: SetType; readonly members: ReadonlySet<SetMember> }
  | {
      readonly kind: "delta";
      readonly added: ReadonlySet<SetMember>;
      readonly removed: ReadonlySet<SetMember>;
    };

/** The policies of one tier that apply to an endpoint, in order, by id, for each direction. */
export interface EndpointTier {
  readonly name: string;
  readonly defaultAction: "deny" | "pass";
  readonly ingress: readonly string[];
  readonly egress: readonly string[];
}

/** A workload on this host. */
export interface LocalEndpoint {
  /** Names the status file, and the endpoint in messages. */
  readonly id: string;
  readonly interfaceName: string;
  /** False: nothing in, nothing out. */
  readonly enabled: boolean;
  readonly addresses: readonly Ip[];
  readonly mac: Mac | undefined;
  readonly tiers: readonly EndpointTier[];
  readonly profiles: readonly string[];
  /** Prefixes it may send from besides its own addresses. */
  readonly allowedSources: readonly Cidr[];
  /** Addresses by which it is reached and known besides its own; none unless the configuration enables them. */
  readonly floatingIps: readonly FloatingIp[];
  readonly qos: QosControls | undefined;
  /** A BGPPeer of this node selects it: it may speak BGP to this host. */
  readonly bgpPeer?: boolean;
}

export interface FloatingIp {
  readonly external: Ip;
  /** One of the endpoint's own addresses, of the same IP version. */
  readonly internal: Ip;
}

/**
 * An interface of this host that policy governs. What reaches or leaves the host by it is judged by four lists of
 * tiers, one per place in a packet's way (calico.md, Appendix C); each holds only policies of its kind.
 */
export interface LocalHostEndpoint {
  /** The resource's name. */
  readonly id: string;
  /** To and from this host itself. */
  readonly tiers: readonly EndpointTier[];
  /** Through this host; where none applies, forwarding is allowed. */
  readonly forwardTiers: readonly EndpointTier[];
  /** Before connection tracking, both ways; no end of tier denies. */
  readonly untrackedTiers: readonly EndpointTier[];
  /** Before destinations are translated, ingress only; no end of tier denies. */
  readonly preDnatTiers: readonly EndpointTier[];
  readonly profiles: readonly string[];
  /** Written into what the host itself sends out of the cluster: 0 to 63. */
  readonly dscp?: number;
}

/** For all interfaces that have no host endpoint of their own and are no workload's. */
export const ANY_INTERFACE = "*";

/** How packets to other hosts' workloads travel. */
export interface Encapsulation {
  readonly ipip: boolean;
  readonly vxlan: boolean;
  readonly vxlan6: boolean;
}

/** A block or address elsewhere that felix, not the BGP speaker, routes to. */
export interface RemoteRoute {
  /** `direct`: in the same subnet or without encapsulation, by the node's own address. */
  readonly via: "vxlan" | "ipip" | "direct";
  readonly node: string;
  /** The tunnel address for `vxlan`, else the node's own. */
  readonly gateway: Ip;
}

/** Another node's end of our VXLAN. */
export interface Vtep {
  readonly node: string;
  /** Inside the tunnel. */
  readonly address: Ip;
  readonly mac: Mac;
  /** The node's own address, where packets for it are sent. */
  readonly hostAddress: Ip;
}

/** This host's end of a VXLAN tunnel. */
export interface TunnelEnd {
  readonly address: Ip;
  readonly mac: Mac;
}

/** This host as its Node resource says, where it is known. */
export interface OwnNode {
  readonly addresses: Readonly<Record<IpVersion, Ip | undefined>>;
  readonly vxlan: Readonly<Record<IpVersion, TunnelEnd | undefined>>;
  /** The address of the IPIP device. */
  readonly ipip: Ip | undefined;
}

export interface PoolInfo {
  readonly cidr: Cidr;
  readonly masquerade: boolean;
}

export interface Changes {
  readonly sets: ReadonlyMap<string, SetChange | undefined>;
  /** Policies that some local endpoint needs, by id (`np/default/allow-web`). */
  readonly policies: ReadonlyMap<string, Policy | undefined>;
  readonly profiles: ReadonlyMap<string, Profile | undefined>;
  /** All applied, no two endpoints have one interface; halfway, in any order, they may. */
  readonly endpoints: ReadonlyMap<string, LocalEndpoint | undefined>;
  readonly pools: ReadonlyMap<string, PoolInfo | undefined>;
  /** By interface name, or {@link ANY_INTERFACE}. */
  readonly hostEndpoints: ReadonlyMap<string, LocalHostEndpoint | undefined>;
  /** Given when it changed. */
  readonly encapsulation?: Encapsulation;
  /** Given when it changed; undefined again when the Node is gone. */
  readonly ownNode?: OwnNode | undefined;
  /** Service addresses that are advertised, of both IP versions; what nobody translated must not loop. Given when they changed. */
  readonly serviceCidrs?: readonly Cidr[];
  readonly routes: ReadonlyMap<Cidr, RemoteRoute | undefined>;
  /** By node and IP version: `node/4`. */
  readonly vteps: ReadonlyMap<string, Vtep | undefined>;
  /** This host's own blocks: what in them belongs to no workload goes nowhere. */
  readonly blackholes: ReadonlyMap<Cidr, true | undefined>;
}

export const NO_CHANGES: Changes = {
  sets: new Map(),
  policies: new Map(),
  profiles: new Map(),
  endpoints: new Map(),
  pools: new Map(),
  hostEndpoints: new Map(),
  routes: new Map(),
  vteps: new Map(),
  blackholes: new Map(),
};
