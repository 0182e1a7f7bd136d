/**
 * Whom this node speaks BGP with: the datastore's view in, a set of peerings out (calico.md 4.2).
 *
 * Three sources, in rising precedence where they name the same address: the node-to-node mesh, peerings back to nodes
 * that have selected us (reverse), and BGPPeers that apply to us, the global ones over the node-specific ones. An
 * address has one session, so a second BGPPeer that wants another port there is reported.
 * Pure, and recomputed whole at each change: a thousand nodes cost some milliseconds.
 */

import {
  type BGPConfiguration,
  type BGPPeer,
  type Node,
  parseDuration,
  parsePeerAddress,
} from "../crd-schemas/index.ts";
import { parseInterfaceAddress } from "../net/cidr.ts";
import { AddressError, type Ip, ipVersion, parseIp } from "../net/ip.ts";
import { parseSelector } from "../policy/selector/index.ts";
import type { LocalWorkload } from "./local-workloads.ts";

const LABELS = { global: "Global", node: "Node", workload: "Local_Workload" } as const;

export const DEFAULT_AS = 64512;
export const DEFAULT_PORT = 179;

export type PeeringType = "mesh" | "node" | "global" | "workload";

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

export interface PeeringInput {
  readonly nodeName: string;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly peers: ReadonlyMap<string, BGPPeer>;
  /** By name: `default` and `node.<name>`. */
  readonly configurations: ReadonlyMap<string, BGPConfiguration>;
  /** Those of this node. */
  readonly workloads: readonly LocalWorkload[];
}

export interface PeeringProblem {
  readonly peer: string;
  readonly message: string;
}

/** A Calico node as a BGP speaker. */
interface Speaker {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly Ip[];
  readonly asn: number;
  readonly port: number;
  readonly clusterId: string | undefined;
}

export function localAs(input: PeeringInput): number {
  const own = input.nodes.get(input.nodeName)?.spec?.bgp?.asNumber;
  return Number(own ?? input.configurations.get("default")?.spec?.asNumber ?? DEFAULT_AS);
}

export function computePeerings(input: PeeringInput): { peerings: Peering[]; problems: PeeringProblem[] } {
  const problems: PeeringProblem[] = [];
  const defaultAs = Number(input.configurations.get("default")?.spec?.asNumber ?? DEFAULT_AS);
  const speakers = [...input.nodes.values()].map(node => speakerOf(node, defaultAs, input.configurations));
  const self = speakers.find(speaker => speaker.name === input.nodeName);
  if (!self) return { peerings: [], problems };

  const byAddress = new Map<Ip, Peering>();
  for (const peering of meshPeerings(self, speakers, input)) byAddress.set(peering.address, peering);
  for (const resource of [input.configurations.get("default"), ...input.peers.values()]) {
    const text = resource?.metadata.annotations?.[BFD_ANNOTATION];
    if (resource === undefined || !text || bfdTimes(resource)) continue;
    const message = `annotation ${BFD_ANNOTATION}: ${JSON.stringify(text)} is not milliseconds and packets as in 300x3: no BFD`;
    problems.push({ peer: resource.metadata.name, message });
  }
  const applicable: { peer: BGPPeer; type: "global" | "node" }[] = [];
  for (const peer of sortedByName(input.peers)) {
    try {
      for (const reverse of reversePeerings(peer, self, speakers)) byAddress.set(reverse.address, reverse);
      const type = appliesTo(peer, self);
      if (type) applicable.push({ peer, type });
    } catch (error) {
      problems.push({ peer: peer.metadata.name, message: (error as Error).message });
    }
  }
  // A global peering to an address suppresses node-specific duplicates, so the global ones come last.
  applicable.sort((a, b) => Number(a.type === "global") - Number(b.type === "global"));
  const portOf = new Map<Ip, number>();
  for (const { peer, type } of applicable) {
    const problem = (message: string) => problems.push({ peer: peer.metadata.name, message });
    try {
      if (peer.spec?.localWorkloadSelector) {
        for (const peering of workloadPeerings(peer, self, input, problem))
          byAddress.set(peering.address, peering);
        continue;
      }
      for (const peering of explicitPeerings(peer, type, self, speakers)) {
        const { address, port } = peering;
        const other = portOf.get(address);
        if (other !== undefined && other !== port)
          problem(`${address} has port ${other} in another BGPPeer, and ${port} here: one of them counts`);
        portOf.set(address, port);
        byAddress.set(address, peering);
      }
    } catch (error) {
      problem((error as Error).message);
    }
  }
  return { peerings: [...byAddress.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), problems };
}

function speakerOf(
  node: Node,
  defaultAs: number,
  configurations: ReadonlyMap<string, BGPConfiguration>,
): Speaker {
  const bgp = node.spec?.bgp;
  const addresses = [bgp?.ipv4Address, bgp?.ipv6Address]
    .map(text => (text === undefined ? undefined : parseInterfaceAddress(text)?.ip))
    .filter(address => address !== undefined);
  const port =
    configurations.get(`node.${node.metadata.name}`)?.spec?.listenPort ??
    configurations.get("default")?.spec?.listenPort;
  return {
    name: node.metadata.name,
    labels: node.metadata.labels ?? {},
    addresses,
    asn: Number(bgp?.asNumber ?? defaultAs),
    port: port ?? DEFAULT_PORT,
    clusterId: bgp?.routeReflectorClusterID || undefined,
  };
}

function* meshPeerings(self: Speaker, speakers: readonly Speaker[], input: PeeringInput): Generator<Peering> {
  const configuration = input.configurations.get("default")?.spec;
  const bfd = bfdTimes(input.configurations.get("default"));
  if (self.clusterId !== undefined || configuration?.nodeToNodeMeshEnabled === false) return;
  for (const other of speakers) {
    if (other.name === self.name || other.clusterId !== undefined) continue;
    for (const address of other.addresses) {
      const own = ownAddress(self, address);
      if (own === undefined || own === address) continue;
      yield {
        ...plain("mesh", "Mesh", address, other.port, DEFAULT_PORT),
        asn: other.asn,
        localAsn: self.asn,
        localAddress: own,
        passive: address > own,
        reflectorClient: false,
        passwordSecret: secretOf(configuration?.nodeMeshPassword),
        restartSeconds: seconds(configuration?.nodeMeshMaxRestartTime),
        bfd,
      };
    }
  }
}

/** Whether a BGPPeer is a global one, one for this node, or none of ours. */
function appliesTo(peer: BGPPeer, self: Speaker): "global" | "node" | undefined {
  const { node, nodeSelector } = peer.spec ?? {};
  if (!node && !nodeSelector) return "global";
  return selectsLocal(peer, self) ? "node" : undefined;
}

function selectsLocal(peer: BGPPeer, speaker: Speaker): boolean {
  const { node, nodeSelector } = peer.spec ?? {};
  if (node) return node === speaker.name;
  if (nodeSelector) return matches(nodeSelector, speaker);
  return true;
}

/** Addresses of nodes that packets go to through WireGuard; none where it is off on this node (calico.md 4.5). */
export function wireguardPeers(nodes: ReadonlyMap<string, Node>, nodeName: string): ReadonlySet<Ip> {
  const found = new Set<Ip>();
  const own = nodes.get(nodeName)?.status;
  for (const { metadata, spec, status } of nodes.values()) {
    if (metadata.name === nodeName) continue;
    const [v4, v6] = [spec?.bgp?.ipv4Address, spec?.bgp?.ipv6Address].map(
      text => text && parseInterfaceAddress(text)?.ip,
    );
    if (v4 && own?.wireguardPublicKey && status?.wireguardPublicKey) found.add(v4);
    if (v6 && own?.wireguardPublicKeyV6 && status?.wireguardPublicKeyV6) found.add(v6);
  }
  return found;
}

/** The Calico nodes that are the far side of a BGPPeer. */
function remoteSpeakers(peer: BGPPeer, speakers: readonly Speaker[]): { speaker: Speaker; address: Ip }[] {
  const { peerIP, peerSelector, asNumber } = peer.spec ?? {};
  if (peerSelector) {
    return speakers
      .filter(speaker => matches(peerSelector, speaker))
      .flatMap(speaker => speaker.addresses.map(address => ({ speaker, address })));
  }
  if (!peerIP) return [];
  const { address, port } = peerAddress(peerIP);
  return speakers
    .filter(
      s =>
        s.addresses.includes(address) &&
        s.asn === Number(asNumber) &&
        (port === undefined || port === s.port),
    )
    .map(speaker => ({ speaker, address }));
}

function* explicitPeerings(
  peer: BGPPeer,
  type: "global" | "node",
  self: Speaker,
  speakers: readonly Speaker[],
): Generator<Peering> {
  const remotes = remoteSpeakers(peer, speakers);
  for (const { speaker, address } of remotes) {
    if (speaker.name === self.name || ownAddress(self, address) === undefined) continue;
    yield peeringWith(peer, {
      type,
      self,
      address,
      port: speaker.port,
      asn: speaker.asn,
      localAsn: Number(peer.spec?.localASNumber ?? self.asn),
      remote: speaker,
    });
  }
  const { peerIP, asNumber, peerSelector } = peer.spec ?? {};
  if (peerSelector || !peerIP || remotes.length > 0) return;
  const { address, port } = peerAddress(peerIP);
  if (self.addresses.includes(address)) return;
  yield peeringWith(peer, {
    type,
    self,
    address,
    port: port ?? DEFAULT_PORT,
    asn: Number(asNumber ?? self.asn),
    localAsn: Number(peer.spec?.localASNumber ?? self.asn),
    remote: undefined,
  });
}

/**
 * Our workloads that a BGPPeer selects (calico.md 4.8). They dial, over their own interface, an address that is on all of
 * these interfaces; we never do, as there is nothing to find out before they come.
 */
function* workloadPeerings(
  peer: BGPPeer,
  self: Speaker,
  { workloads, configurations }: PeeringInput,
  problem: (message: string) => void,
): Generator<Peering> {
  const spec = peer.spec ?? {};
  const selected = parseSelector(spec.localWorkloadSelector as string);
  const own = workloadPeeringAddresses(configurations);
  const localAsn = Number(spec.localASNumber ?? self.asn);
  const asn = Number(spec.asNumber ?? self.asn);
  for (const { addresses, interfaceName, labels } of workloads) {
    if (!selected.matches({ get: label => labels[label] })) continue;
    for (const address of addresses) {
      const localAddress = own.find(other => ipVersion(other) === ipVersion(address));
      if (localAddress === undefined) {
        const field = `localWorkloadPeeringIPV${ipVersion(address)}`;
        problem(`${address}: BGPConfiguration ${field} is not set, so the workload has no address to dial`);
        continue;
      }
      yield {
        ...peeringWith(peer, {
          type: "workload",
          self,
          address,
          port: DEFAULT_PORT,
          asn,
          localAsn,
          remote: undefined,
        }),
        localAddress,
        passive: true,
        interfaceName,
        reachableBy: undefined,
      };
    }
  }
}

/** Under which workloads reach this host's speaker. */
export function workloadPeeringAddresses(configurations: PeeringInput["configurations"]): Ip[] {
  const { localWorkloadPeeringIPV4, localWorkloadPeeringIPV6 } = configurations.get("default")?.spec ?? {};
  return [localWorkloadPeeringIPV4, localWorkloadPeeringIPV6]
    .map(text => parseIp(text ?? ""))
    .filter(address => address !== undefined);
}

/** A Calico node that is the far side of somebody's BGPPeer peers back with the nodes that BGPPeer is for. */
function* reversePeerings(peer: BGPPeer, self: Speaker, speakers: readonly Speaker[]): Generator<Peering> {
  const spec = peer.spec ?? {};
  if (spec.reversePeering === "Manual" || spec.localWorkloadSelector) return;
  const remotes = remoteSpeakers(peer, speakers).filter(remote => remote.speaker.name === self.name);
  if (remotes.length === 0) return;
  for (const other of speakers) {
    if (other.name === self.name || !selectsLocal(peer, other)) continue;
    for (const address of other.addresses) {
      if (!remotes.some(remote => ipVersion(remote.address) === ipVersion(address))) continue;
      const peering = peeringWith(peer, {
        type: spec.node || spec.nodeSelector ? "node" : "global",
        self,
        address,
        port: other.port,
        // What the BGPPeer calls local is the other side's, seen from here.
        asn: Number(spec.localASNumber ?? other.asn),
        localAsn: self.asn,
        remote: other,
      });
      yield { ...peering, reachableBy: undefined };
    }
  }
}

interface Ends {
  readonly type: "global" | "node" | "workload";
  readonly self: Speaker;
  readonly address: Ip;
  readonly port: number;
  readonly asn: number;
  readonly localAsn: number;
  /** Undefined: not one of the cluster's nodes. */
  readonly remote: Speaker | undefined;
}

function peeringWith(peer: BGPPeer, { type, self, address, port, asn, localAsn, remote }: Ends): Peering {
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
function bfdTimes(resource: BGPPeer | BGPConfiguration | undefined): BfdTimes | undefined {
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

/** @throws AddressError */
function peerAddress(text: string): { address: Ip; port: number | undefined } {
  const parsed = parsePeerAddress(text);
  if (!parsed) throw new AddressError(text, "an address, with or without a port");
  return { address: parsed.ip, port: parsed.port };
}

function ownAddress(self: Speaker, towards: Ip): Ip | undefined {
  return self.addresses.find(address => ipVersion(address) === ipVersion(towards));
}

function matches(selector: string, speaker: Speaker): boolean {
  return parseSelector(selector).matches({ get: label => speaker.labels[label] });
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

function sortedByName<T>(resources: ReadonlyMap<string, T>): T[] {
  return [...resources].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, resource]) => resource);
}
