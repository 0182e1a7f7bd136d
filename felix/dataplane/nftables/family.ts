/**
 * One IP version: what is wanted, as chains and sets of its table. `update` only translates what changed; the table
 * knows what the kernel has, and writes the difference.
 */

import { addressData, concatenation, hostU32, interfaceData } from "../../../linux/nf-tables/data.ts";
import type { Verdict } from "../../../linux/nf-tables/expression.ts";
import type { Element } from "../../../linux/nf-tables/model.ts";
import { type Cidr, cidrVersion } from "../../../net/cidr.ts";
import { type IpVersion, ipVersion } from "../../../net/ip.ts";
import type { Policy, Profile } from "../../../policy/model.ts";
import type {
  Changes,
  Encapsulation,
  LocalEndpoint,
  LocalHostEndpoint,
  PoolInfo,
  SetChange,
} from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import { allocateMarks } from "../marks.ts";
import { addressPortElements, addressPortSet } from "./address-port-set.ts";
import type { RenderContext } from "./context.ts";
import { coverOf } from "./cover.ts";
import { HostChains } from "./host-chains.ts";
import { AddressSet, ElementSet, type KeptSet } from "./kept-set.ts";
import { type ChainSink, LinkedChains } from "./linked-chains.ts";
import { netList } from "./list-sets.ts";
import { ConnectionState, inAddressSet } from "./match.ts";
import {
  ALL_HOSTS,
  ALL_POOLS,
  ALLOW_CHAIN,
  BGP_PEERS,
  CONNECTION_STATES,
  chainName,
  DIRECTIONS,
  FLOATING_DNAT,
  FLOATING_SNAT,
  INVALID_CHAIN,
  type Layer,
  MASQUERADED_POOLS,
  policyChain,
  profileChain,
  SENT_CONNECTION_STATES,
  setName,
  VXLAN_HOSTS,
} from "./names.ts";
import { mangleChains, natChains, rawChains, spoofingExceptions } from "./other-layers.ts";
import { policyRules, profileRules } from "./policy-chains.ts";
import { dscpRules } from "./qos-rules.ts";
import { type Chains, filterChains, serviceLoopRules, sharedChains } from "./static-chains.ts";
import { WorkloadChains } from "./workload-chains.ts";

/** Where chains and sets go. */
export interface TableSink extends ChainSink {
  /** Watched from now on: what changes in it is committed. A set that was there by this name is replaced. */
  addSet(set: KeptSet): void;
  /** To be called when something about the set has changed. */
  touchSet(set: KeptSet): void;
  removeSet(name: string): void;
}

const NO_TUNNELS: Encapsulation = { ipip: false, vxlan: false, vxlan6: false };

export class Family {
  readonly #table: TableSink;
  readonly #version: IpVersion;
  readonly #config: FelixConfig;
  readonly #context: RenderContext;
  readonly #chains: LinkedChains;
  readonly #workloads: WorkloadChains;
  readonly #hosts: HostChains;
  readonly #sets = new Map<string, AddressSet | ElementSet>();
  readonly #floating: { readonly destinations: ElementSet; readonly sources: ElementSet } | undefined;
  readonly #bgpPeers = new ElementSet({ name: BGP_PEERS, key: ["ifname"] });
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #hostEndpoints = new Map<string, LocalHostEndpoint>();
  readonly #pools = new Map<string, PoolInfo>();

  constructor(version: IpVersion, config: FelixConfig, table: TableSink) {
    this.#version = version;
    this.#config = config;
    this.#table = table;
    this.#context = { version, config, marks: allocateMarks(config.nftablesMarkMask), layer: "filter" };
    this.#chains = new LinkedChains(this.#table);
    this.#workloads = new WorkloadChains(this.#chains, this.#context);
    this.#hosts = new HostChains(this.#chains, this.#context);
    for (const map of [...Object.values(this.#workloads.maps), ...this.#hosts.maps]) this.#table.addSet(map);
    this.#table.addSet(connectionStates(CONNECTION_STATES, "accept", config));
    this.#table.addSet(connectionStates(SENT_CONNECTION_STATES, { goto: ALLOW_CHAIN }, config));
    this.#table.addSet(this.#bgpPeers);
    for (const id of [MASQUERADED_POOLS, ALL_POOLS, ALL_HOSTS, VXLAN_HOSTS]) this.#addressSet(id);
    this.#floating = config.floatingIPs === "Enabled" ? this.#floatingMaps() : undefined;
    this.#set(sharedChains(this.#context));
    this.#set(mangleChains(this.#context));
    this.#setTunnels(NO_TUNNELS);
    this.#setServices([]);
    this.#setSpoofingExceptions();
    this.#setDscp();
  }

  update(changes: Changes): void {
    for (const [id, change] of changes.sets) this.#updateSet(id, change);
    for (const [id, policy] of changes.policies) this.#updatePolicy(id, policy);
    for (const [name, profile] of changes.profiles) this.#updateProfile(name, profile);
    if (changes.endpoints.size > 0) this.#updateEndpoints(changes.endpoints);
    if (changes.pools.size > 0) this.#updatePools(changes.pools);
    if (changes.hostEndpoints.size > 0) this.#updateHostEndpoints(changes.hostEndpoints);
    if (changes.encapsulation) this.#setTunnels(changes.encapsulation);
    if (changes.serviceCidrs) this.#setServices(changes.serviceCidrs);
  }

  #set(chains: Chains): void {
    for (const [name, content] of chains) this.#chains.set(name, content);
  }

  #setTunnels(encapsulation: Encapsulation): void {
    this.#set(filterChains(encapsulation, this.#context));
    this.#set(rawChains(encapsulation, this.#context));
    this.#set(natChains(encapsulation, this.#context));
  }

  #setServices(cidrs: readonly Cidr[]): void {
    const own = coverOf(cidrs.filter(cidr => cidrVersion(cidr) === this.#version));
    const list = own.length > 0 ? netList(own) : undefined;
    const match = list ? inAddressSet(this.#version, "destination", list.set.name) : [];
    const rules = list
      ? serviceLoopRules(match, this.#context).map(rule => ({ ...rule, lists: [list] }))
      : [];
    this.#chains.set(chainName("filter", "cidr-block"), { rules });
  }

  /** In the layers where packets may meet it. */
  #updatePolicy(id: string, policy: Policy | undefined): void {
    for (const layer of ["raw", "mangle", "filter"] as const satisfies Layer[]) {
      const asked = policy !== undefined && layersOf(policy).includes(layer);
      const context = { ...this.#context, layer };
      for (const direction of DIRECTIONS) {
        const name = policyChain(layer, direction, id);
        if (asked) this.#chains.offer(name, () => policyRules(policy, direction, context));
        else this.#chains.withdraw(name);
      }
    }
  }

  #updateProfile(profile: string, content: Profile | undefined): void {
    for (const layer of ["mangle", "filter"] as const satisfies Layer[]) {
      const context = { ...this.#context, layer };
      for (const direction of DIRECTIONS) {
        const name = profileChain(layer, direction, profile);
        if (content) this.#chains.offer(name, () => profileRules(content, direction, context));
        else this.#chains.withdraw(name);
      }
    }
  }

  #updateSet(id: string, change: SetChange | undefined): void {
    const kept = this.#sets.get(id);
    if (!change) {
      // Those that our own chains name stay, empty.
      if (PERMANENT.has(id)) (kept as AddressSet).replace([]);
      else {
        this.#sets.delete(id);
        this.#table.removeSet(setName(this.#version, id));
        return;
      }
    } else if (change.kind === "whole") {
      if (change.type === "net") {
        const set = kept instanceof AddressSet ? kept : this.#addressSet(id);
        set.replace(change.members);
      } else {
        const set = kept instanceof ElementSet ? kept : this.#addressPortSet(id);
        set.replace(addressPortElements(change.members, this.#version));
      }
    } else if (kept instanceof AddressSet) kept.update(change.added, change.removed);
    else if (kept instanceof ElementSet) {
      for (const { key } of addressPortElements(change.removed, this.#version)) kept.remove(key);
      for (const element of addressPortElements(change.added, this.#version)) kept.put(element);
    }
    const set = this.#sets.get(id);
    if (set) this.#table.touchSet(set);
  }

  #addressSet(id: string): AddressSet {
    const set = new AddressSet(setName(this.#version, id), this.#version);
    this.#sets.set(id, set);
    this.#table.addSet(set);
    return set;
  }

  #addressPortSet(id: string): ElementSet {
    const set = addressPortSet(setName(this.#version, id), this.#version);
    this.#sets.set(id, set);
    this.#table.addSet(set);
    return set;
  }

  #updateEndpoints(endpoints: Changes["endpoints"]): void {
    const touched: (LocalEndpoint | undefined)[] = [];
    // First all that goes: an interface may pass from one endpoint to another, in any order.
    for (const [id, endpoint] of endpoints) {
      const former = this.#endpoints.get(id);
      touched.push(former, endpoint);
      this.#endpoints.delete(id);
      if (former && former.interfaceName !== endpoint?.interfaceName)
        this.#workloads.remove(former.interfaceName);
    }
    for (const [id, endpoint] of endpoints) {
      if (!endpoint) continue;
      this.#endpoints.set(id, endpoint);
      this.#workloads.set(endpoint);
    }
    for (const map of Object.values(this.#workloads.maps)) this.#table.touchSet(map);
    const some = (has: (endpoint: LocalEndpoint) => boolean) => touched.some(one => one && has(one));
    if (some(({ allowedSources }) => allowedSources.length > 0)) this.#setSpoofingExceptions();
    if (some(({ qos }) => qos?.dscp !== undefined)) this.#setDscp();
    if (some(({ bgpPeer }) => bgpPeer === true)) this.#setBgpPeers();
    if (some(({ floatingIps }) => floatingIps.length > 0)) this.#setFloating();
  }

  #updateHostEndpoints(endpoints: Changes["hostEndpoints"]): void {
    for (const [name, endpoint] of endpoints) {
      if (endpoint) {
        this.#hostEndpoints.set(name, endpoint);
        this.#hosts.set(name, endpoint);
      } else {
        this.#hostEndpoints.delete(name);
        this.#hosts.remove(name);
      }
    }
    for (const map of this.#hosts.maps) this.#table.touchSet(map);
    this.#setDscp();
  }

  #setSpoofingExceptions(): void {
    const endpoints = this.#config.workloadSourceSpoofing === "Any" ? this.#endpoints.values() : [];
    const rules = spoofingExceptions(endpoints, this.#version);
    this.#chains.set(chainName("raw", "rpf-skip"), { rules });
  }

  #setDscp(): void {
    const rules = dscpRules(this.#endpoints.values(), this.#hostEndpoints, this.#context);
    this.#chains.set(chainName("mangle", "egress-dscp"), { rules });
  }

  #setBgpPeers(): void {
    const peers = [...this.#endpoints.values()].filter(({ bgpPeer }) => bgpPeer);
    this.#bgpPeers.replace(peers.map(({ interfaceName }) => ({ key: interfaceData(interfaceName) })));
    this.#table.touchSet(this.#bgpPeers);
  }

  #floatingMaps() {
    const address = this.#version === 4 ? "ipv4_addr" : "ipv6_addr";
    const destinations = new ElementSet({ name: FLOATING_DNAT, key: [address], data: address });
    const sources = new ElementSet({ name: FLOATING_SNAT, key: [address, address], data: address });
    this.#table.addSet(destinations);
    this.#table.addSet(sources);
    return { destinations, sources };
  }

  #setFloating(): void {
    if (!this.#floating) return;
    const destinations: Element[] = [];
    const sources = new Map<string, Element>();
    for (const { floatingIps } of this.#endpoints.values()) {
      for (const { external, internal } of floatingIps) {
        if (ipVersion(external) !== this.#version) continue;
        const [outside, inside] = [addressData(external), addressData(internal)];
        destinations.push({ key: outside, data: inside });
        const key = concatenation(inside, inside);
        // Of several, any will do; always the same.
        if (outside < (sources.get(key)?.data ?? "g")) sources.set(key, { key, data: outside });
      }
    }
    this.#floating.destinations.replace(destinations);
    this.#floating.sources.replace(sources.values());
    this.#table.touchSet(this.#floating.destinations);
    this.#table.touchSet(this.#floating.sources);
  }

  #updatePools(pools: Changes["pools"]): void {
    for (const [name, pool] of pools) {
      if (pool) this.#pools.set(name, pool);
      else this.#pools.delete(name);
    }
    const all = [...this.#pools.values()];
    const cidrs = (which: readonly PoolInfo[]) => which.map(({ cidr }) => cidr);
    const change = (id: string, members: readonly string[]) =>
      this.#updateSet(id, { kind: "whole", type: "net", members: new Set(members) });
    change(ALL_POOLS, cidrs(all));
    change(MASQUERADED_POOLS, cidrs(all.filter(({ masquerade }) => masquerade)));
  }
}

const PERMANENT: ReadonlySet<string> = new Set([MASQUERADED_POOLS, ALL_POOLS, ALL_HOSTS, VXLAN_HOSTS]);

/** Untracked before connections, preDNAT before translation; of the rest, egress also after it. */
function layersOf({ doNotTrack, preDNAT }: Policy): readonly Layer[] {
  if (doNotTrack) return ["raw"];
  return preDNAT ? ["mangle"] : ["mangle", "filter"];
}

function connectionStates(name: string, known: Verdict, config: FelixConfig): ElementSet {
  const { ESTABLISHED, RELATED, INVALID } = ConnectionState;
  return new ElementSet({ name, key: ["ct_state"], data: "verdict" }, [
    { key: hostU32(ESTABLISHED), verdict: known },
    { key: hostU32(RELATED), verdict: known },
    ...(config.disableConntrackInvalidCheck
      ? []
      : [{ key: hostU32(INVALID), verdict: { goto: INVALID_CHAIN } }]),
  ]);
}
