/**
 * The calculation, wired: stored resources in, differences of this host's desired state out.
 *
 *   WorkloadEndpoint --+-----------------------> SetIndex --------------> sets
 *   HostEndpoint ------+                          ^   ^
 *   NetworkSet --------+                   labels |   | sets in use
 *   EndpointSlice -----+                          |   |
 *                      | local ones               |   |
 *                      v                          |   |
 *   Policy, Tier --> ActivePolicies --------------|---+----> policies, profiles
 *   Profile -------->     |  ---------------------+
 *                         +--> InterfaceClaims ----------------> endpoints (with their tiers in order)
 *   the host's            +--> HostEndpoints ------------------> hostEndpoints, by interface
 *   interfaces ---------------------^
 *   Staged* --> StagedJudge (asks ActivePolicies and SetIndex; hands over nothing)
 *   IPPool, IPAMBlock, Node, ... ---> parts (part.ts) ---------------> pools, serviceCidrs, all-hosts-net, routes, ...
 *
 * Pure: no I/O, no clock. `apply` costs what the updates touch; `drain` gives what came of all of them. Resources are
 * validated once more, because not everybody who can write to the datastore has to do it first: those that make no
 * sense are reported and treated as absent, as Calico does. Of workloads elsewhere, which are most of what there is,
 * only what matters here is read, and read strictly: labels, addresses, named ports.
 */

import { validResource, type WorkloadEndpoint } from "../../crd-schemas/index.ts";
import { type Key, type Kind, key, keyText, type Query } from "../../datastore/key.ts";
import { isIpamKind, isKubernetesKind } from "../../datastore/layout.ts";
import type { Update } from "../../datastore/reflector.ts";
import type { Membership } from "../../policy/match.ts";
import { type Direction, type PolicyId, type PolicyKind, policyKey } from "../../policy/model.ts";
import { resolvePolicy, resolveProfile, resolveTier } from "../../policy/resolve.ts";
import { resolveStagedKubernetesPolicy } from "../../policy/staged.ts";
import { ActivePolicies, type PolicySubject } from "./active-policies.ts";
import { ANY_INTERFACE, type Changes, type LocalEndpoint, NO_CHANGES } from "./changes.ts";
import type { FelixConfig } from "./config.ts";
import { serviceSlice } from "./endpoint-slice.ts";
import {
  hostEndpointInput,
  hostEndpointItem,
  networkSetItem,
  type WorkloadInput,
  workloadInput,
  workloadItem,
} from "./endpoints.ts";
import { HostAddresses } from "./host-addresses.ts";
import { HostEndpoints, type HostInterface } from "./host-endpoints.ts";
import { InterfaceClaims } from "./interface-claims.ts";
import { Overlay } from "./overlay/overlay.ts";
import type { GraphPart } from "./part.ts";
import { Pools } from "./pools.ts";
import { ServiceCidrs } from "./service-cidrs.ts";
import { SetIndex } from "./set-index.ts";
import { type DecidedPacket, type StagedDecision, StagedJudge } from "./staged-judge.ts";
import { WorkloadPeers } from "./workload-peers.ts";

const OWN_KINDS: readonly Kind[] = [
  "Tier",
  "Profile",
  "NetworkPolicy",
  "GlobalNetworkPolicy",
  "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy",
  "StagedKubernetesNetworkPolicy",
  "NetworkSet",
  "GlobalNetworkSet",
  "HostEndpoint",
  "WorkloadEndpoint",
  "KubernetesEndpointSlice",
  "BGPPeer",
  "Node",
];

export interface CalcProblem {
  readonly key: Key;
  readonly message: string;
}

export interface CalcOptions {
  readonly nodeName: string;
  readonly onProblem: (problem: CalcProblem) => void;
}

export class CalcGraph {
  readonly #options: CalcOptions;
  readonly #sets = new SetIndex();
  readonly #active = new ActivePolicies(this.#sets);
  /** Undefined where nobody is going to ask. */
  #staged: StagedJudge | undefined = new StagedJudge({
    inForce: this.#active,
    sets: this.#sets.aside,
    membership: this.#sets,
  });
  readonly #parts: readonly GraphPart[];
  readonly #peers: WorkloadPeers;
  #floatingIps = false;
  readonly #partsOf = new Map<Kind, GraphPart[]>();
  readonly #workloads = new Map<string, WorkloadInput & { readonly key: Key }>();
  readonly #claims = new InterfaceClaims((id, winner, interfaceName) => {
    const message = `interface ${interfaceName} is already that of ${winner}: the endpoint is ignored`;
    this.#options.onProblem({ key: this.#workloads.get(id)!.key, message });
  });
  readonly #hosts = new HostEndpoints(
    {
      setEndpoint: (id, subject) => this.#setSubject(id, subject),
      tiersOf: (id, stage) => this.#active.tiersOf(id, stage),
    },
    (name, winner, interfaceName) => {
      const message = `${interfaceName === ANY_INTERFACE ? "any interface" : `interface ${interfaceName}`} is already that of ${winner}: the endpoint is ignored there`;
      this.#options.onProblem({ key: key("HostEndpoint", name), message });
    },
  );

  constructor(options: CalcOptions) {
    this.#options = options;
    this.#peers = new WorkloadPeers(options.nodeName);
    this.#parts = [new Pools(), new ServiceCidrs(), new HostAddresses(), new Overlay(options)];
    for (const part of this.#parts) {
      for (const kind of part.kinds) this.#partsOf.set(kind, [...(this.#partsOf.get(kind) ?? []), part]);
    }
  }

  /** What to follow in the datastore. */
  get queries(): readonly Query[] {
    return [...new Set([...OWN_KINDS, ...this.#partsOf.keys()])].map(kind => ({ kind }));
  }

  /** Once, before the first `drain`. */
  configure(config: FelixConfig): void {
    this.#floatingIps = config.floatingIPs === "Enabled";
    if (!config.flowLogsLocalReporter) this.#staged = undefined;
    for (const part of this.#parts) part.configure?.(config);
  }

  apply(updates: Iterable<Update>): void {
    for (const update of updates) {
      const { key } = update;
      if (update.type === "delete") {
        this.#applyOne(key, undefined);
        continue;
      }
      try {
        this.#applyOne(key, this.#isAsStored(update) ? update.value : validResource(update.value));
      } catch (error) {
        this.#options.onProblem({ key, message: (error as Error).message });
        this.#applyOne(key, undefined);
      }
    }
  }

  /** The host's interfaces, save those of workloads, each time they or their addresses change. */
  setHostInterfaces(interfaces: readonly HostInterface[]): void {
    this.#hosts.setInterfaces(interfaces);
    this.#staged?.setInterfaces(interfaces);
  }

  /** Everything that changed since the last call. */
  drain(): Changes {
    this.#hosts.settle();
    // Active policies first: they decide which sets there are.
    const { policies, profiles, endpoints } = this.#active.drain();
    this.#staged?.settle();
    const parts = this.#parts.map(part => part.drain());
    const changes: Changes = Object.assign({}, NO_CHANGES, ...parts, {
      sets: new Map([...this.#sets.drain(), ...parts.flatMap(({ sets }) => [...(sets ?? [])])]),
      policies,
      profiles,
      endpoints: this.#claims.resolve(this.#judged([...endpoints, ...this.#peers.drain()])),
      hostEndpoints: this.#hosts.drain(endpoints),
    } satisfies Partial<Changes>);
    this.#staged?.update(changes);
    return changes;
  }

  /** What staged policies would make of a packet (staged-judge.ts); of nothing unless flows are logged. */
  judgeStaged(direction: Direction, packet: DecidedPacket): StagedDecision[] {
    return this.#staged?.judge(direction, packet) ?? [];
  }

  /** Who is in the sets now; of those that no active rule uses, nobody. */
  get membership(): Membership {
    return this.#sets;
  }

  get sizes(): {
    policies: number;
    activePolicies: number;
    localEndpoints: number;
    hostEndpoints: number;
    sets: number;
    setItems: number;
  } {
    const { sets, items } = this.#sets.sizes;
    return {
      ...this.#active.sizes,
      localEndpoints: this.#workloads.size,
      hostEndpoints: this.#hosts.size,
      sets,
      setItems: items,
    };
  }

  /** What has no schema here, and workloads elsewhere: who reads them is strict. */
  #isAsStored({ key, value }: Extract<Update, { type: "put" }>): boolean {
    if (isIpamKind(key.kind) || isKubernetesKind(key.kind)) return true;
    const node: unknown = key.kind === "WorkloadEndpoint" ? value?.spec?.node : undefined;
    return typeof node === "string" && node !== this.#options.nodeName;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the kind says which resource it is
  #applyOne(key: Key, value: any): void {
    switch (key.kind) {
      case "WorkloadEndpoint":
        this.#applyWorkload(key, value);
        break;
      case "HostEndpoint":
        this.#setItem(keyText(key), value && hostEndpointItem(value));
        this.#hosts.setEndpoint(
          key.name,
          value?.spec.node === this.#options.nodeName ? hostEndpointInput(value) : undefined,
        );
        break;
      case "NetworkSet":
      case "GlobalNetworkSet":
        this.#setItem(keyText(key), value && networkSetItem(value));
        break;
      case "KubernetesEndpointSlice":
        this.#sets.setSlice(keyText(key), value && serviceSlice(key.namespace as string, value));
        break;
      case "NetworkPolicy":
      case "GlobalNetworkPolicy":
        this.#active.setPolicy(policyKey(policyId(key, key.kind)), value && resolvePolicy(value));
        break;
      case "StagedNetworkPolicy":
      case "StagedGlobalNetworkPolicy":
        this.#staged?.setPolicy(policyId(key, key.kind), value && resolvePolicy(value));
        break;
      case "StagedKubernetesNetworkPolicy":
        this.#staged?.setPolicy(policyId(key, key.kind), value && resolveStagedKubernetesPolicy(value));
        break;
      case "BGPPeer":
      case "Node":
        this.#peers.set(key, value);
        break;
      case "Tier":
        this.#active.setTier(key.name, value && resolveTier(value));
        this.#staged?.noteTier();
        break;
      case "Profile": {
        const profile = value && resolveProfile(value);
        const labels = profile?.labelsToApply ?? {};
        this.#sets.setParent(key.name, labels);
        this.#peers.setProfile(key.name, labels);
        this.#active.setProfile(key.name, profile);
        this.#staged?.setProfile(key.name, labels);
        break;
      }
    }
    for (const part of this.#partsOf.get(key.kind) ?? []) part.set(key, value);
  }

  #applyWorkload(key: Key, value: WorkloadEndpoint | undefined): void {
    const id = keyText(key);
    this.#setItem(id, value && workloadItem(value));
    const local = value?.spec.node === this.#options.nodeName ? workloadInput(value) : undefined;
    if (local) this.#workloads.set(id, { ...local, key });
    else if (!this.#workloads.delete(id)) return;
    this.#setSubject(id, local?.subject);
    this.#peers.setWorkload(id, local?.subject);
  }

  #setSubject(id: string, subject: PolicySubject | undefined): void {
    this.#active.setEndpoint(id, subject);
    this.#staged?.setEndpoint(id, subject);
  }

  /** Of what policies called changed, the workloads, with their tiers; undefined for those that went. */
  #judged(ids: readonly string[]): Map<string, LocalEndpoint | undefined> {
    const endpoints = new Map<string, LocalEndpoint | undefined>();
    for (const id of ids) {
      const workload = this.#workloads.get(id);
      endpoints.set(id, workload && this.#withPolicy(id, workload));
    }
    return endpoints;
  }

  #withPolicy(id: string, { endpoint, isOpenStack }: WorkloadInput): LocalEndpoint {
    const floatingIps = this.#floatingIps || isOpenStack ? endpoint.floatingIps : [];
    const tiers = this.#active.tiersOf(id, "normal");
    return { ...endpoint, floatingIps, tiers, ...(this.#peers.has(id) && { bgpPeer: true }) };
  }

  #setItem(id: string, item: ReturnType<typeof workloadItem>): void {
    if (item) this.#sets.setItem(id, item);
    else this.#sets.deleteItem(id);
  }
}

function policyId({ name, namespace }: Key, kind: PolicyKind): PolicyId {
  return { kind, name, ...(namespace !== undefined && { namespace }) };
}
