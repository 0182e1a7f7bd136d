/**
 * Which local workloads speak BGP with their host: those that the `localWorkloadSelector` of a BGPPeer for this node selects.
 * Packet filters let them reach the host's BGP port whatever else workloads may send to their host.
 */

import type { BGPPeer, Node } from "../../crd-schemas/index.ts";
import type { Key } from "../../datastore/key.ts";
import { parseSelector, type Selector } from "../../policy/selector/index.ts";
import { LabelIndex, type LabelRecord } from "../../policy/selector/label-index.ts";
import type { PolicySubject } from "./active-policies.ts";

/** Read once: a selector that makes no sense is its own resource's fault, and nobody's later. */
interface Peer {
  readonly node: string | undefined;
  readonly nodeSelector: Selector | undefined;
  readonly workloads: Selector;
}

export class WorkloadPeers {
  readonly #nodeName: string;
  #nodeLabels: LabelRecord = {};
  readonly #peers = new Map<string, Peer>();
  /** By workload: by how many peers it is meant. */
  readonly #counts = new Map<string, number>();
  #changed = new Set<string>();
  readonly #index = new LabelIndex<string, string>({
    matchStarted: (_, workload) => this.#count(workload, 1),
    matchStopped: (_, workload) => this.#count(workload, -1),
  });

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  /** A BGPPeer or a Node. @throws SelectorError */
  set(key: Key, value: BGPPeer | Node | undefined): void {
    if (key.kind === "BGPPeer") {
      const peer = value && peerOf(value as BGPPeer);
      if (peer) this.#peers.set(key.name, peer);
      else this.#peers.delete(key.name);
      this.#select(key.name);
    } else if (key.name === this.#nodeName) {
      this.#nodeLabels = value?.metadata.labels ?? {};
      for (const name of this.#peers.keys()) this.#select(name);
    }
  }

  setWorkload(id: string, subject: PolicySubject | undefined): void {
    if (subject) this.#index.setItem(id, subject.labels, subject.profiles);
    else this.#index.deleteItem(id);
  }

  setProfile(name: string, labels: LabelRecord): void {
    this.#index.setParent(name, labels);
  }

  has(workload: string): boolean {
    return this.#counts.has(workload);
  }

  /** Workloads that became peers or ceased to be since the last call. */
  drain(): ReadonlySet<string> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #select(name: string): void {
    const peer = this.#peers.get(name);
    const labels = { get: (label: string) => this.#nodeLabels[label] };
    const isHere =
      peer &&
      (peer.node === undefined || peer.node === this.#nodeName) &&
      (peer.nodeSelector === undefined || peer.nodeSelector.matches(labels));
    if (isHere) this.#index.setSelector(name, peer.workloads);
    else this.#index.deleteSelector(name);
  }

  #count(workload: string, difference: 1 | -1): void {
    const former = this.#counts.get(workload) ?? 0;
    const count = former + difference;
    if (count > 0) this.#counts.set(workload, count);
    else this.#counts.delete(workload);
    if (former > 0 !== count > 0) this.#changed.add(workload);
  }
}

/** Undefined for one that is about no workloads. */
function peerOf({ spec }: BGPPeer): Peer | undefined {
  const { node, nodeSelector, localWorkloadSelector } = spec;
  if (!localWorkloadSelector) return undefined;
  return {
    node: node || undefined,
    nodeSelector: nodeSelector ? parseSelector(nodeSelector) : undefined,
    workloads: parseSelector(localWorkloadSelector),
  };
}
