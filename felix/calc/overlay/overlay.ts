/**
 * The routes, tunnels and blackholes that felix programs, as a part of the calculation.
 *
 *   IPPool ------------> encapsulation --+
 *   IPAMBlock --> Claims ----------------+--> routeOf --> routes, blackholes
 *   Node ------> Nodes ------------------+--> vteps --> set all-vxlan-net
 *   WorkloadEndpoint (local) ------------+
 *
 * An update marks the prefixes and nodes that it touches; `drain` looks at these alone and hands over what differs. A change
 * of a pool, of the own Node or of which tunnels there are touches all prefixes: these are rare.
 */

import type { IPPool, Node, WorkloadEndpoint } from "../../../crd-schemas/index.ts";
import { type Key, type Kind, key, keyText } from "../../../datastore/key.ts";
import { parseBlock } from "../../../ipam/records.ts";
import {
  type Cidr,
  cidrVersion,
  hostCidr,
  isHostCidr,
  networkAddress,
  parseCidr,
} from "../../../net/cidr.ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes, Encapsulation, OwnNode, RemoteRoute, TunnelEnd, Vtep } from "../changes.ts";
import { CountedMembers } from "../counted-members.ts";
import type { GraphPart } from "../part.ts";
import { type BlockView, blockView } from "./block-view.ts";
import { type Claim, Claims } from "./claims.ts";
import { type NodeSide, type NodeView, nodeView } from "./node-view.ts";
import { Nodes } from "./nodes.ts";
import { encapsulationOf, type OverlayConfig, type OverlayPool, overlayPool, poolOf } from "./pools.ts";
import { routeOf, sameRoute } from "./route.ts";

/** Who may send us VXLAN: the other nodes' own addresses. */
export const ALL_VXLAN_NET = "all-vxlan-net";

const VERSIONS: readonly IpVersion[] = [4, 6];
const OFF: Encapsulation = { ipip: false, vxlan: false, vxlan6: false };
const NO_CONFIG: OverlayConfig = {
  programClusterRoutes: "Disabled",
  vxlanEnabled: false,
  ipipEnabled: false,
  ipv6Support: false,
  externalNodesList: [],
  floatingIPs: "Disabled",
};

export interface OverlayOptions {
  readonly nodeName: string;
  readonly onProblem: (problem: { readonly key: Key; readonly message: string }) => void;
}

export class Overlay implements GraphPart {
  readonly kinds: readonly Kind[] = ["IPPool", "IPAMBlock", "Node", "WorkloadEndpoint"];
  readonly #options: OverlayOptions;
  #config = NO_CONFIG;
  readonly #pools = new Map<string, OverlayPool>();
  readonly #blocks = new Map<string, BlockView>();
  readonly #nodes: Nodes;
  /** Tunnel addresses by node, as claimed. */
  readonly #tunnels = new Map<string, readonly Cidr[]>();
  /** Their addresses, by local workload. */
  readonly #workloads = new Map<string, LocalAddresses>();
  /** How many local workloads have the address. */
  readonly #local = new Map<Cidr, number>();
  /** So too of addresses by which they are known elsewhere, if the configuration lets them. */
  readonly #floating = new Map<Cidr, number>();
  readonly #claims = new Claims();

  readonly #dirtyPrefixes = new Set<Cidr>();
  readonly #dirtyNodes = new Set<string>();
  #everythingDirty = false;

  // What was handed over.
  #encapsulation = OFF;
  #ownNode: OwnNode | undefined;
  readonly #routes = new Map<Cidr, RemoteRoute | "blackhole">();
  readonly #vteps = new Map<string, Vtep>();
  readonly #members = new CountedMembers();

  constructor(options: OverlayOptions) {
    this.#options = options;
    this.#nodes = new Nodes(options.nodeName, (loser, winner, address) =>
      options.onProblem({
        key: key("Node", loser),
        message: `its address ${address} is that of node ${winner}: nothing is sent to it`,
      }),
    );
  }

  configure(config: OverlayConfig): void {
    this.#config = config;
    this.#everythingDirty = true;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the kind says what it is
  set(k: Key, value: any): void {
    switch (k.kind) {
      case "IPPool":
        this.#setPool(k.name, value);
        break;
      case "IPAMBlock":
        this.#setBlock(k, value);
        break;
      case "Node":
        this.#setNode(k.name, value && nodeView(value as Node));
        break;
      case "WorkloadEndpoint":
        this.#setWorkload(keyText(k), value);
        break;
    }
  }

  drain(): Partial<Changes> {
    const encapsulation = encapsulationOf(this.#pools.values(), this.#config);
    const switched = !sameEncapsulation(encapsulation, this.#encapsulation);
    this.#encapsulation = encapsulation;
    if (switched) this.#everythingDirty = true;
    const ownNode = ownNodeOf(this.#nodes.own);
    const moved = JSON.stringify(ownNode) !== JSON.stringify(this.#ownNode);
    this.#ownNode = ownNode;
    if (switched) this.#switchSenders();
    // Before routes, which lead through them, and the set, which they are in.
    const vteps = this.#drainVteps();
    return {
      ...this.#drainRoutes(),
      vteps,
      sets: this.#members.drain(),
      ...(switched && { encapsulation }),
      ...(moved && { ownNode }),
    };
  }

  #setPool(name: string, value: IPPool | undefined): void {
    const former = this.#pools.get(name);
    const pool = value && overlayPool(value);
    if (JSON.stringify(former) === JSON.stringify(pool)) return;
    if (pool) this.#pools.set(name, pool);
    else this.#pools.delete(name);
    this.#everythingDirty = true;
  }

  #setBlock(k: Key, value: Record<string, unknown> | undefined): void {
    const former = this.#blocks.get(k.name);
    const record = value && parseBlock(value);
    const block = record && blockView(record);
    if (former) for (const [prefix, claim] of claimsOf(former)) this.#unclaim(prefix, claim);
    if (block) for (const [prefix, claim] of claimsOf(block)) this.#claim(prefix, claim);
    if (block) this.#blocks.set(k.name, block);
    else this.#blocks.delete(k.name);
  }

  #setNode(name: string, view: NodeView | undefined): void {
    for (const prefix of this.#tunnels.get(name) ?? [])
      this.#unclaim(prefix, { source: "tunnel", node: name });
    const tunnels = [view?.sides[4]?.vxlan, view?.sides[6]?.vxlan, view?.sides[4]?.ipip].flatMap(address =>
      address ? [hostCidr(address)] : [],
    );
    for (const prefix of tunnels) this.#claim(prefix, { source: "tunnel", node: name });
    if (view) this.#tunnels.set(name, tunnels);
    else this.#tunnels.delete(name);
    for (const touched of this.#nodes.set(name, view)) this.#dirtyNodes.add(touched);
    if (name === this.#options.nodeName) this.#everythingDirty = true;
  }

  #setWorkload(id: string, value: WorkloadEndpoint | undefined): void {
    const isLocal = value !== undefined && value.spec.node === this.#options.nodeName;
    const former = this.#workloads.get(id);
    if (!isLocal && !former) return;
    if (former) this.#countLocal(former, -1);
    if (isLocal) {
      const addresses = localAddresses(value);
      this.#countLocal(addresses, 1);
      this.#workloads.set(id, addresses);
    } else this.#workloads.delete(id);
  }

  #countLocal({ own, floating }: LocalAddresses, change: 1 | -1): void {
    for (const prefix of own) this.#count(this.#local, prefix, change);
    for (const prefix of floating) this.#count(this.#floating, prefix, change);
  }

  #count(counts: Map<Cidr, number>, prefix: Cidr, change: 1 | -1): void {
    const count = (counts.get(prefix) ?? 0) + change;
    if (count > 0) counts.set(prefix, count);
    else counts.delete(prefix);
    this.#dirtyPrefixes.add(prefix);
  }

  #claim(prefix: Cidr, claim: Claim): void {
    this.#claims.add(prefix, claim);
    this.#touch(prefix);
  }

  #unclaim(prefix: Cidr, claim: Claim): void {
    this.#claims.remove(prefix, claim);
    this.#touch(prefix);
  }

  #touch(prefix: Cidr): void {
    this.#dirtyPrefixes.add(prefix);
    for (const node of this.#claims.tunnelsAt(prefix)) this.#dirtyNodes.add(node);
  }

  #drainRoutes(): Pick<Changes, "routes" | "blackholes"> {
    const touched = this.#dirtyPrefixes;
    for (const node of this.#dirtyNodes)
      for (const prefix of this.#claims.prefixesOf(node)) touched.add(prefix);
    if (this.#everythingDirty) {
      for (const prefix of this.#claims.prefixes()) touched.add(prefix);
      for (const prefix of this.#routes.keys()) touched.add(prefix);
    }
    const routes = new Map<Cidr, RemoteRoute | undefined>();
    const blackholes = new Map<Cidr, true | undefined>();
    for (const prefix of touched) {
      const former = this.#routes.get(prefix);
      const now = this.#routeOf(prefix);
      if (sameRoute(former, now)) continue;
      if (now) this.#routes.set(prefix, now);
      else this.#routes.delete(prefix);
      if (former === "blackhole") blackholes.set(prefix, undefined);
      else if (former) routes.set(prefix, undefined);
      if (now === "blackhole") blackholes.set(prefix, true);
      else if (now) routes.set(prefix, now);
    }
    this.#dirtyPrefixes.clear();
    this.#dirtyNodes.clear();
    this.#everythingDirty = false;
    return { routes, blackholes };
  }

  #routeOf(prefix: Cidr): RemoteRoute | "blackhole" | undefined {
    const { nodeName } = this.#options;
    // Wherever its block says it is: a workload that runs here has its address here.
    if (this.#local.has(prefix)) return undefined;
    if (this.#config.floatingIPs === "Enabled" && this.#floating.has(prefix)) return undefined;
    const version = cidrVersion(prefix);
    const claim = this.#claims.of(prefix);
    return routeOf({
      prefix,
      claim,
      pool: claim && poolOf(this.#pools.values(), prefix),
      node: claim && this.#nodes.side(claim.node, version),
      vtep: claim && this.#vteps.get(`${claim.node}/${version}`),
      own: this.#nodes.side(nodeName, version),
      ownName: nodeName,
      config: this.#config,
      encapsulation: this.#encapsulation,
    });
  }

  #drainVteps(): Map<string, Vtep | undefined> {
    const changed = new Map<string, Vtep | undefined>();
    const names = this.#everythingDirty
      ? new Set([...this.#tunnels.keys(), ...this.#dirtyNodes])
      : this.#dirtyNodes;
    for (const name of names) {
      for (const version of VERSIONS) {
        const id = `${name}/${version}`;
        const former = this.#vteps.get(id);
        const now = this.#vtepOf(name, version);
        if (sameVtep(former, now)) continue;
        if (former) this.#members.remove(ALL_VXLAN_NET, former.hostAddress);
        if (now) this.#members.add(ALL_VXLAN_NET, now.hostAddress);
        if (now) this.#vteps.set(id, now);
        else this.#vteps.delete(id);
        changed.set(id, now);
      }
    }
    return changed;
  }

  #vtepOf(name: string, version: IpVersion): Vtep | undefined {
    const { vxlan, vxlan6 } = this.#encapsulation;
    if (name === this.#options.nodeName || !(version === 4 ? vxlan : vxlan6)) return undefined;
    const side = this.#nodes.side(name, version);
    // Where two nodes have one tunnel address, or its block says that it is somebody else's, one of them is reached.
    if (!side?.vxlan || this.#claims.of(hostCidr(side.vxlan))?.node !== name) return undefined;
    return { node: name, address: side.vxlan, mac: side.vxlanMac, hostAddress: side.address };
  }

  /** Others may send us VXLAN exactly while we have it. */
  #switchSenders(): void {
    const { vxlan, vxlan6 } = this.#encapsulation;
    if (!vxlan && !vxlan6) this.#members.delete(ALL_VXLAN_NET);
    else if (!this.#members.has(ALL_VXLAN_NET)) {
      this.#members.create(ALL_VXLAN_NET, "net");
      for (const text of this.#config.externalNodesList) {
        const block = parseCidr(text);
        if (block) this.#members.add(ALL_VXLAN_NET, isHostCidr(block) ? networkAddress(block) : block);
      }
    }
  }
}

interface LocalAddresses {
  readonly own: readonly Cidr[];
  readonly floating: readonly Cidr[];
}

/** In OpenStack, floating addresses are no matter of configuration. */
function localAddresses({ spec }: WorkloadEndpoint): LocalAddresses {
  const blocks = (texts: readonly string[]) => texts.flatMap(text => parseCidr(text) ?? []);
  const own = blocks(spec.ipNetworks ?? []);
  const floating = blocks((spec.ipNATs ?? []).map(({ externalIP }) => externalIP));
  return spec.orchestrator === "openstack" ? { own: [...own, ...floating], floating: [] } : { own, floating };
}

function* claimsOf({ cidr, node, elsewhere }: BlockView): Generator<[Cidr, Claim]> {
  if (node !== undefined) yield [cidr, { source: "block", node }];
  for (const [address, user] of elsewhere) yield [hostCidr(address), { source: "address", node: user }];
}

function ownNodeOf(view: NodeView | undefined): OwnNode | undefined {
  if (!view) return undefined;
  const end = (side: NodeSide | undefined): TunnelEnd | undefined =>
    side?.vxlan && { address: side.vxlan, mac: side.vxlanMac };
  return {
    addresses: { 4: view.sides[4]?.address, 6: view.sides[6]?.address },
    vxlan: { 4: end(view.sides[4]), 6: end(view.sides[6]) },
    ipip: view.sides[4]?.ipip,
  };
}

function sameEncapsulation(a: Encapsulation, b: Encapsulation): boolean {
  return a.ipip === b.ipip && a.vxlan === b.vxlan && a.vxlan6 === b.vxlan6;
}

function sameVtep(a: Vtep | undefined, b: Vtep | undefined): boolean {
  return a?.address === b?.address && a?.mac === b?.mac && a?.hostAddress === b?.hostAddress;
}
