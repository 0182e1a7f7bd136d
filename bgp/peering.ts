/**
 * Whom this node speaks BGP with: the datastore's view in, a set of peerings out (calico.md 4.2).
 *
 * Three sources, in rising precedence where they name the same address: the node-to-node mesh, peerings back to nodes
 * that have selected us (reverse), and BGPPeers that apply to us, the global ones over the node-specific ones. An
 * address has one session, so a second BGPPeer that wants another port there is reported.
 * Pure, and recomputed whole at each change: a thousand nodes cost some milliseconds.
 */

import { type BGPConfiguration, type BGPPeer, type Node, parsePeerAddress } from "../crd-schemas/index.ts";
import { AddressError, type Ip, ipVersion, parseIp } from "../net/ip.ts";
import { parseSelector } from "../policy/selector/index.ts";
import type { LocalWorkload } from "./local-workloads.ts";
import {
  DEFAULT_AS,
  DEFAULT_PORT,
  matches,
  type NodeSpeaker,
  ownAddress,
  speakerOf,
} from "./node-speaker.ts";
import { BFD_ANNOTATION, bfdTimes, meshPeering, type Peering, peeringWith } from "./peering-settings.ts";

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

function* meshPeerings(
  self: NodeSpeaker,
  speakers: readonly NodeSpeaker[],
  input: PeeringInput,
): Generator<Peering> {
  const configuration = input.configurations.get("default");
  if (self.clusterId !== undefined || configuration?.spec?.nodeToNodeMeshEnabled === false) return;
  for (const other of speakers) {
    if (other.name === self.name || other.clusterId !== undefined) continue;
    for (const address of other.addresses) {
      const own = ownAddress(self, address);
      if (own === undefined || own === address) continue;
      yield meshPeering({ self, own, other, address }, configuration);
    }
  }
}

/** Whether a BGPPeer is a global one, one for this node, or none of ours. */
function appliesTo(peer: BGPPeer, self: NodeSpeaker): "global" | "node" | undefined {
  const { node, nodeSelector } = peer.spec ?? {};
  if (!node && !nodeSelector) return "global";
  return selectsLocal(peer, self) ? "node" : undefined;
}

function selectsLocal(peer: BGPPeer, speaker: NodeSpeaker): boolean {
  const { node, nodeSelector } = peer.spec ?? {};
  if (node) return node === speaker.name;
  if (nodeSelector) return matches(nodeSelector, speaker);
  return true;
}

/** The Calico nodes that are the far side of a BGPPeer. */
function remoteSpeakers(
  peer: BGPPeer,
  speakers: readonly NodeSpeaker[],
): { speaker: NodeSpeaker; address: Ip }[] {
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
  self: NodeSpeaker,
  speakers: readonly NodeSpeaker[],
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
  self: NodeSpeaker,
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
function* reversePeerings(
  peer: BGPPeer,
  self: NodeSpeaker,
  speakers: readonly NodeSpeaker[],
): Generator<Peering> {
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

/** @throws AddressError */
function peerAddress(text: string): { address: Ip; port: number | undefined } {
  const parsed = parsePeerAddress(text);
  if (!parsed) throw new AddressError(text, "an address, with or without a port");
  return { address: parsed.ip, port: parsed.port };
}

function sortedByName<T>(resources: ReadonlyMap<string, T>): T[] {
  return [...resources].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, resource]) => resource);
}
