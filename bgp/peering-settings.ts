/** One session with a neighbor and its settings, as BGPPeers and the mesh's part of BGPConfiguration spell them (calico.md 4.2). Pure. */

import { type BGPConfiguration, type BGPPeer, parseDuration } from "../crd-schemas/index.ts";
import { type Ip, parseIp } from "../net/ip.ts";
import { DEFAULT_PORT, type NodeSpeaker, ownAddress } from "./node-speaker.ts";

const LABELS = { global: "Global", node: "Node", workload: "Local_Workload" } as const;

type PeeringType = "mesh" | "node" | "global" | "workload";

export interface Peering {
  /** `Mesh_10_0_0_2`, `Node_…`, `Global_…`, `Local_Workload_…`: what operators know from BIRD. */
  readonly name: string;
  readonly type: PeeringType;
  readonly address: Ip;
  readonly port: number;
  readonly asn: number;
  readonly localAsn: number;
  /** Undefined: the kernel picks. */
  readonly localAddress: Ip | undefined;
  /** We wait for the other side to dial: of two Calico nodes exactly one dials. */
  readonly passive: boolean;
  readonly reflectorClient: boolean;
  readonly nextHopMode: "auto" | "self" | "keep";
  readonly filters: readonly string[];
  readonly passwordSecret: { readonly name: string; readonly key: string } | undefined;
  /** Hops for GTSM (RFC 5082). */
  readonly ttlSecurity: number | undefined;
  readonly allowedLocalAs: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  readonly restartSeconds: number | undefined;
  /** Gateway behind which the peer is reached. */
  readonly reachableBy: Ip | undefined;
  /** The interface of a workload of ours: the session is over it and no other. */
  readonly interfaceName: string | undefined;
  readonly bfd: BfdTimes | undefined;
}

export interface BfdTimes {
  /** Milliseconds between packets, both ways. */
  readonly interval: number;
  /** Packets missed until the peer is down. */
  readonly multiplier: number;
}

/** On a BGPPeer, or on BGPConfiguration `default` for the mesh: `300x3`. Calico has no field for it. */
export const BFD_ANNOTATION = "calyx.io/bfd";

interface MeshEnds {
  readonly self: NodeSpeaker;
  readonly own: Ip;
  readonly other: NodeSpeaker;
  readonly address: Ip;
}

/** A session of the node-to-node mesh. */
export function meshPeering(
  { self, own, other, address }: MeshEnds,
  configuration: BGPConfiguration | undefined,
): Peering {
  const { nodeMeshPassword, nodeMeshMaxRestartTime } = configuration?.spec ?? {};
  return {
    ...plain("mesh", "Mesh", address, other.port, DEFAULT_PORT),
    asn: other.asn,
    localAsn: self.asn,
    localAddress: own,
    passive: address > own,
    reflectorClient: false,
    passwordSecret: secretOf(nodeMeshPassword),
    restartSeconds: seconds(nodeMeshMaxRestartTime),
    bfd: bfdTimes(configuration),
  };
}

interface Ends {
  readonly type: "global" | "node" | "workload";
  readonly self: NodeSpeaker;
  readonly address: Ip;
  readonly port: number;
  readonly asn: number;
  readonly localAsn: number;
  /** Undefined: not one of the cluster's nodes. */
  readonly remote: NodeSpeaker | undefined;
}

/** What a BGPPeer says of a session between these ends. */
export function peeringWith(
  peer: BGPPeer,
  { type, self, address, port, asn, localAsn, remote }: Ends,
): Peering {
  const spec = peer.spec ?? {};
  const own = ownAddress(self, address);
  const ibgp = asn === localAsn;
  return {
    ...plain(type, LABELS[type], address, port, remote?.port ?? DEFAULT_PORT),
    asn,
    localAsn,
    localAddress: spec.sourceAddress === "None" ? undefined : own,
    passive: remote !== undefined && own !== undefined && address > own,
    // RFC 4456: our clients are the iBGP peers outside our cluster; those in it are reflectors like us.
    reflectorClient: self.clusterId !== undefined && ibgp && remote?.clusterId !== self.clusterId,
    nextHopMode: nextHopMode(spec, ibgp),
    filters: spec.filters ?? [],
    passwordSecret: secretOf(spec.password),
    ttlSecurity: spec.ttlSecurity,
    allowedLocalAs: spec.numAllowedLocalASNumbers,
    keepaliveSeconds: seconds(spec.keepaliveTime),
    restartSeconds: seconds(spec.maxRestartTime),
    reachableBy: spec.reachableBy ? parseIp(spec.reachableBy) : undefined,
    bfd: bfdTimes(peer),
  };
}

/** None where the annotation makes no sense. */
export function bfdTimes(resource: BGPPeer | BGPConfiguration | undefined): BfdTimes | undefined {
  const text = resource?.metadata.annotations?.[BFD_ANNOTATION] ?? "";
  const [, interval, multiplier] = /^(\d{1,6})x(\d{1,3})$/.exec(text) ?? [];
  return interval === undefined ? undefined : { interval: Number(interval), multiplier: Number(multiplier) };
}

function nextHopMode(spec: NonNullable<BGPPeer["spec"]>, ibgp: boolean): Peering["nextHopMode"] {
  if (spec.nextHopMode === "Self") return "self";
  if (spec.nextHopMode === "Keep" || (spec.keepOriginalNextHop && !ibgp)) return "keep";
  return "auto";
}

function plain(type: PeeringType, label: string, address: Ip, port: number, usualPort: number) {
  const name = `${label}_${address.replace(/[.:]/g, "_")}`;
  return {
    name: type === "mesh" || port === usualPort ? name : `${name}_port_${port}`,
    type,
    address,
    port,
    nextHopMode: "auto",
    filters: [],
    passwordSecret: undefined,
    ttlSecurity: undefined,
    allowedLocalAs: undefined,
    keepaliveSeconds: undefined,
    restartSeconds: undefined,
    reachableBy: undefined,
    interfaceName: undefined,
    bfd: undefined,
  } as const;
}

function secretOf(
  password: { secretKeyRef?: { name?: string; key?: string } } | undefined,
): Peering["passwordSecret"] {
  const reference = password?.secretKeyRef;
  return reference?.name && reference.key ? { name: reference.name, key: reference.key } : undefined;
}

function seconds(duration: string | undefined): number | undefined {
  const ms = duration === undefined ? undefined : parseDuration(duration);
  return ms === undefined ? undefined : ms / 1000;
}
