/**
 * Resolves BGP next hops to what the kernel wants of a route: a gateway on the link (recursive resolution, as BIRD's
 * `gateway recursive`). A hop on a connected subnet is its own gateway; any other goes where the longest other route
 * towards it goes. Routes of our own are no underlay: a learned route never depends on a learned route.
 *
 * Pure. Cost: resolving a hop is one lookup per prefix length in use, done once per hop and not per prefix; a change of
 * the underlay costs O(log hops) plus the hops it covers, so that the routes of workloads and tunnels, which cover
 * none, cost nothing (guarded by a counter in test/unit/bgp/next-hops.test.ts).
 */

import { type Cidr, cidrOf, cidrSize, cidrVersion, networkAddress, prefixLength } from "../net/cidr.ts";
import { type Ip, type IpVersion, ipToBigInt, ipVersion } from "../net/ip.ts";

export interface Gateway {
  readonly gateway: Ip;
  readonly interfaceIndex?: number;
  readonly onlink?: boolean;
}

/** One way of a route of somebody else's. Without a gateway it is connected. */
export interface UnderlayHop {
  readonly gateway?: Ip;
  readonly interfaceIndex?: number;
  readonly onlink?: boolean;
}

export interface UnderlayRoute {
  readonly destination: Cidr;
  /** Lower wins. */
  readonly metric: number;
  readonly hops: readonly UnderlayHop[];
}

interface Hop {
  readonly address: Ip;
  readonly value: bigint;
  /** Prefixes learned with it. */
  readonly prefixes: Set<Cidr>;
  gateway: Gateway | undefined;
}

export class NextHops {
  readonly #routes = new Map<string, UnderlayRoute>();
  readonly #keysByDestination = new Map<Cidr, Set<string>>();
  readonly #keysByInterface = new Map<number, Set<string>>();
  /** How many destinations there are of each length. */
  readonly #lengths: Record<IpVersion, Map<number, number>> = { 4: new Map(), 6: new Map() };
  readonly #hops = new Map<Ip, Hop>();
  readonly #hopsOf = new Map<Cidr, readonly Ip[]>();
  /** Hops in numeric order, made when first asked for after a change. */
  #sorted: Record<IpVersion, Hop[]> | undefined;
  #own: ReadonlySet<Ip> = new Set();
  readonly #changed = new Set<Cidr>();
  /** For tests and the curious: how often a hop was looked up. */
  lookups = 0;

  /** Prefixes whose gateways are no longer what they were when last asked for; forgets them. */
  takeChanged(): Cidr[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** The gateways of a prefix with these next hops, without duplicates; empty: unreachable now. */
  resolve(prefix: Cidr, nextHops: readonly Ip[]): Gateway[] {
    this.#follow(prefix, nextHops);
    const found = new Map<string, Gateway>();
    for (const address of nextHops) {
      const gateway = this.#hops.get(address)?.gateway;
      if (gateway) found.set(`${gateway.gateway} ${gateway.interfaceIndex}`, gateway);
    }
    return [...found.values()];
  }

  /** The prefix is of no more interest. */
  release(prefix: Cidr): void {
    this.#follow(prefix, []);
  }

  /** This host's own addresses, which lead nowhere. */
  setOwnAddresses(addresses: ReadonlySet<Ip>): void {
    const before = this.#own;
    this.#own = addresses;
    for (const address of new Set([...before, ...addresses])) {
      const hop = this.#hops.get(address);
      if (hop && before.has(address) !== addresses.has(address)) this.#update(hop);
    }
  }

  setRoute(key: string, route: UnderlayRoute): void {
    const { destination, hops } = route;
    const former = this.#routes.get(key);
    if (former) this.#remove(key, former);
    this.#routes.set(key, route);
    let keys = this.#keysByDestination.get(destination);
    if (!keys) {
      keys = new Set();
      this.#keysByDestination.set(destination, keys);
      this.#count(destination, 1);
    }
    keys.add(key);
    for (const { interfaceIndex } of hops) {
      if (interfaceIndex === undefined) continue;
      const onInterface = this.#keysByInterface.get(interfaceIndex);
      if (onInterface) onInterface.add(key);
      else this.#keysByInterface.set(interfaceIndex, new Set([key]));
    }
    if (former && former.destination !== destination) this.#updateWithin(former.destination);
    this.#updateWithin(destination);
  }

  deleteRoute(key: string): void {
    const route = this.#routes.get(key);
    if (!route) return;
    this.#remove(key, route);
    this.#updateWithin(route.destination);
  }

  /** The interface went down or away: IPv4 routes over it are gone without an event of their own. */
  forgetInterface(index: number): void {
    for (const key of [...(this.#keysByInterface.get(index) ?? [])]) {
      const route = this.#routes.get(key) as UnderlayRoute;
      const hops = route.hops.filter(hop => hop.interfaceIndex !== index);
      if (hops.length === 0) this.deleteRoute(key);
      else this.setRoute(key, { ...route, hops });
    }
  }

  /** Everything anew. */
  replaceRoutes(routes: Iterable<readonly [string, UnderlayRoute]>): void {
    const hops = this.#sorted;
    this.#sorted = { 4: [], 6: [] }; // Nothing is looked up until all is known.
    const present = new Set<string>();
    for (const [key, route] of routes) {
      present.add(key);
      this.setRoute(key, route);
    }
    for (const [key, route] of [...this.#routes]) if (!present.has(key)) this.#remove(key, route);
    this.#sorted = hops;
    for (const hop of this.#hops.values()) this.#update(hop);
  }

  #remove(key: string, { destination, hops }: UnderlayRoute): void {
    this.#routes.delete(key);
    const keys = this.#keysByDestination.get(destination);
    keys?.delete(key);
    if (keys?.size === 0) {
      this.#keysByDestination.delete(destination);
      this.#count(destination, -1);
    }
    for (const { interfaceIndex } of hops) {
      if (interfaceIndex === undefined) continue;
      const onInterface = this.#keysByInterface.get(interfaceIndex);
      onInterface?.delete(key);
      if (onInterface?.size === 0) this.#keysByInterface.delete(interfaceIndex);
    }
  }

  #count(destination: Cidr, change: 1 | -1): void {
    const lengths = this.#lengths[cidrVersion(destination)];
    const length = prefixLength(destination);
    const count = (lengths.get(length) ?? 0) + change;
    if (count === 0) lengths.delete(length);
    else lengths.set(length, count);
  }

  #follow(prefix: Cidr, nextHops: readonly Ip[]): void {
    const former = this.#hopsOf.get(prefix) ?? [];
    for (const address of nextHops) {
      let hop = this.#hops.get(address);
      if (!hop) {
        const value = ipToBigInt(address);
        hop = { address, value, prefixes: new Set(), gateway: this.#lookUp(address) };
        this.#hops.set(address, hop);
        this.#sorted = undefined;
      }
      hop.prefixes.add(prefix);
    }
    for (const address of former) {
      if (nextHops.includes(address)) continue;
      const hop = this.#hops.get(address);
      hop?.prefixes.delete(prefix);
      if (hop?.prefixes.size !== 0) continue;
      this.#hops.delete(address);
      this.#sorted = undefined;
    }
    if (nextHops.length === 0) this.#hopsOf.delete(prefix);
    else this.#hopsOf.set(prefix, nextHops);
  }

  #updateWithin(destination: Cidr): void {
    const hops = this.#hopsInOrder()[cidrVersion(destination)];
    const first = ipToBigInt(networkAddress(destination));
    const end = first + cidrSize(destination);
    let low = 0;
    for (let high = hops.length; low < high; ) {
      const middle = (low + high) >> 1;
      if ((hops[middle] as Hop).value < first) low = middle + 1;
      else high = middle;
    }
    for (let at = low; at < hops.length && (hops[at] as Hop).value < end; at++) this.#update(hops[at] as Hop);
  }

  #hopsInOrder(): Record<IpVersion, Hop[]> {
    if (!this.#sorted) {
      this.#sorted = { 4: [], 6: [] };
      for (const hop of this.#hops.values()) this.#sorted[ipVersion(hop.address)].push(hop);
      for (const hops of [this.#sorted[4], this.#sorted[6]])
        hops.sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
    }
    return this.#sorted;
  }

  #update(hop: Hop): void {
    const before = hop.gateway;
    const now = this.#lookUp(hop.address);
    hop.gateway = now;
    const isSame =
      before?.gateway === now?.gateway &&
      before?.interfaceIndex === now?.interfaceIndex &&
      before?.onlink === now?.onlink;
    if (!isSame) for (const prefix of hop.prefixes) this.#changed.add(prefix);
  }

  #lookUp(address: Ip): Gateway | undefined {
    this.lookups++;
    if (this.#own.has(address)) return undefined;
    const lengths = [...this.#lengths[ipVersion(address)].keys()].sort((a, b) => b - a);
    for (const length of lengths) {
      const keys = this.#keysByDestination.get(cidrOf(address, length));
      if (!keys) continue;
      let best: UnderlayRoute | undefined;
      for (const key of keys) {
        const route = this.#routes.get(key) as UnderlayRoute;
        if (!best || route.metric < best.metric) best = route;
      }
      const way = best?.hops[0];
      if (way) return { ...way, gateway: way.gateway ?? address };
    }
    return undefined;
  }
}
