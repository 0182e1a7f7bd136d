/**
 * Resolves BGP next hops to what the kernel wants of a route: gateways on a link. A hop on a connected subnet is its own
 * gateway; any other goes where the longest route towards it goes, somebody else's route or a learned one, whose own next
 * hops are then resolved in turn (a fabric that announces its hosts' loopbacks over eBGP, and the hosts' blocks with those
 * loopbacks as next hops). A learned route never resolves through itself, directly or over others: it is passed over in
 * favour of the next shorter one, as zebra does. A hop with a zone (`10.0.0.2%tunl0`, `fe80::1%eth0`) is on that link
 * whatever the routes say.
 *
 * Pure. Cost: prefixes with the same next hops are one group, resolved once; a change of the underlay costs O(log hops)
 * plus the hops it covers, and so does a learned prefix; the routes of workloads and tunnels, which cover no hop, cost
 * next to nothing (guarded by a counter in test/unit/bgp/next-hops.test.ts).
 */

import { type Cidr, cidrOf, cidrVersion, networkAddress, prefixLength } from "../net/cidr.ts";
import { addressBits, type Ip, type IpVersion, ipToBigInt, ipVersion, ipv4ToNumber } from "../net/ip.ts";
import { PrefixLengths } from "./prefix-lengths.ts";
import { Underlay, type UnderlayRoute } from "./underlay.ts";

export interface Gateway {
  readonly gateway: Ip;
  readonly interfaceIndex?: number;
  readonly onlink?: boolean;
}

/** An address, or one on a named link: `10.0.0.2%tunl0`. */
export type NextHop = Ip | `${Ip}%${string}`;

/** More ways than this are of no use to a packet, and a burden to the kernel. */
const MAX_WAYS = 64;

/** Learned routes over learned routes: real fabrics need two. */
const MAX_DEPTH = 8;

const USUAL_METRIC = 1024;

interface Hop {
  readonly name: NextHop;
  readonly address: Ip;
  readonly zone: string | undefined;
  /** The address: a number for IPv4, a bigint for IPv6. */
  readonly value: number | bigint;
  readonly groups: Set<Group>;
  /** Somebody asked for it by itself: it is kept without a group. */
  watched: boolean;
  gateways: readonly Gateway[];
  /** Next hops of the learned routes on its way, to the last one; and the hops that have this one on theirs. */
  through: ReadonlySet<Hop>;
  readonly dependents: Set<Hop>;
}

/** Prefixes with the same next hops and metric. */
interface Group {
  readonly name: string;
  readonly metric: number;
  readonly hops: readonly Hop[];
  readonly members: Member[];
  gateways: readonly Gateway[];
}

/** A learned prefix, and its place among the members of its group. */
interface Member {
  readonly prefix: Cidr;
  group: Group;
  at: number;
}

const NOTHING: readonly Cidr[] = [];
const NO_GATEWAYS: readonly Gateway[] = [];
const NO_HOPS: ReadonlySet<Hop> = new Set();

export class NextHops {
  /** Of destinations, learned ones included. */
  readonly #lengths = new PrefixLengths();
  readonly #underlay = new Underlay(this.#lengths);
  readonly #hops = new Map<NextHop, Hop>();
  readonly #groups = new Map<string, Group>();
  readonly #learned = new Map<Cidr, Member>();
  readonly #links = new Map<string, number>();
  /** Hops in numeric order, made when first asked for after a change. */
  #sorted: Record<IpVersion, Hop[]> | undefined;
  #own: ReadonlySet<Ip> = new Set();
  readonly #changed = new Set<Cidr>();
  #watchedChanged = false;
  #lastName: { nextHops: readonly NextHop[]; metric: number; name: string } | undefined;
  /** For tests and the curious: how often a hop was looked up. */
  lookups = 0;

  /** Prefixes whose gateways are no longer what they were when last asked for; forgets them. */
  takeChanged(): readonly Cidr[] {
    if (this.#changed.size === 0) return NOTHING;
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /**
   * The gateways of a learned prefix with these next hops, without duplicates; empty: unreachable now. From then on the
   * prefix is followed, and what lies behind it is reached by it.
   */
  resolve(prefix: Cidr, nextHops: readonly NextHop[], metric = USUAL_METRIC): readonly Gateway[] {
    const member = this.#learned.get(prefix);
    const former = member?.group;
    const name = this.#nameOf(nextHops, metric);
    if (former?.name === name) return former.gateways;
    if (nextHops.length > 0) {
      const group = this.#groups.get(name) ?? this.#addGroup(name, nextHops, metric);
      if (member) this.#move(member, group);
      else this.#add(prefix, group);
    } else if (member) {
      this.#learned.delete(prefix);
      this.#lengths.count(prefix, -1);
      this.#leave(member);
    } else return NO_GATEWAYS;
    this.#updateWithin(prefix);
    this.#changed.delete(prefix);
    return this.#learned.get(prefix)?.group.gateways ?? NO_GATEWAYS;
  }

  /** The prefix is of no more interest. */
  release(prefix: Cidr): void {
    this.resolve(prefix, []);
  }

  /** Where a packet to this address would go now. It is followed from then on: {@link takeWatchedChanged}. */
  gatewaysTo(address: NextHop): readonly Gateway[] {
    const hop = this.#hops.get(address) ?? this.#addHop(address);
    hop.watched = true;
    return hop.gateways;
  }

  /** Whether an answer of {@link gatewaysTo} is no longer right. */
  takeWatchedChanged(): boolean {
    const changed = this.#watchedChanged;
    this.#watchedChanged = false;
    return changed;
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

  /** A link that is up, or (undefined) gone or down: what hops with a zone are about. */
  setLink(name: string, index: number | undefined): void {
    if (this.#links.get(name) === index) return;
    if (index === undefined) this.#links.delete(name);
    else this.#links.set(name, index);
    for (const hop of this.#hops.values()) if (hop.zone === name) this.#update(hop);
  }

  setRoute(key: string, route: UnderlayRoute): void {
    const { destination } = route;
    const former = this.#underlay.set(key, route);
    if (former && former.destination !== destination) this.#updateWithin(former.destination);
    this.#updateWithin(destination);
  }

  deleteRoute(key: string): void {
    const route = this.#underlay.delete(key);
    if (route) this.#updateWithin(route.destination);
  }

  /** The interface went down or away: IPv4 routes over it are gone without an event of their own. */
  forgetInterface(index: number): void {
    for (const key of this.#underlay.keysOver(index)) {
      const route = this.#underlay.get(key) as UnderlayRoute;
      const hops = route.hops.filter(hop => hop.interfaceIndex !== index);
      if (hops.length === 0) this.deleteRoute(key);
      else this.setRoute(key, { ...route, hops });
    }
  }

  /** Everything that is not learned, anew. */
  replaceRoutes(routes: Iterable<readonly [string, UnderlayRoute]>): void {
    this.#sorted = { 4: [], 6: [] }; // Nothing is looked up until all is known.
    const present = new Set<string>();
    for (const [key, route] of routes) {
      present.add(key);
      this.setRoute(key, route);
    }
    for (const key of this.#underlay.keys()) if (!present.has(key)) this.#underlay.delete(key);
    this.#sorted = undefined;
    for (const hop of this.#hops.values()) this.#update(hop);
  }

  #addGroup(name: string, nextHops: readonly NextHop[], metric: number): Group {
    const hops = [...new Set(nextHops)].map(nextHop => this.#hops.get(nextHop) ?? this.#addHop(nextHop));
    const group: Group = { name, metric, hops, members: [], gateways: union(hops) };
    for (const hop of hops) hop.groups.add(group);
    this.#groups.set(name, group);
    return group;
  }

  #addHop(name: NextHop): Hop {
    const hop = newHop(name);
    this.#hops.set(name, hop);
    this.#sorted = undefined;
    this.#refer(hop, this.#lookUp(hop));
    return hop;
  }

  /** Most prefixes come in runs with the very same list of next hops. */
  #nameOf(nextHops: readonly NextHop[], metric: number): string {
    const last = this.#lastName;
    if (last?.nextHops === nextHops && last.metric === metric) return last.name;
    const name = `${metric} ${nextHops.join()}`;
    this.#lastName = { nextHops, metric, name };
    return name;
  }

  #add(prefix: Cidr, group: Group): void {
    const member: Member = { prefix, group, at: group.members.length };
    this.#learned.set(prefix, member);
    group.members.push(member);
    this.#lengths.count(prefix, 1);
  }

  #move(member: Member, group: Group): void {
    this.#leave(member);
    member.group = group;
    member.at = group.members.length;
    group.members.push(member);
  }

  #leave({ group, at }: Member): void {
    const last = group.members.pop() as Member;
    if (last.at !== at) {
      group.members[at] = last;
      last.at = at;
    }
    if (group.members.length > 0) return;
    this.#groups.delete(group.name);
    for (const hop of group.hops) {
      hop.groups.delete(group);
      if (hop.groups.size > 0 || hop.watched) continue;
      this.#hops.delete(hop.name);
      for (const other of hop.through) other.dependents.delete(hop);
      this.#sorted = undefined;
    }
  }

  #updateWithin(destination: Cidr): void {
    const version = cidrVersion(destination);
    const hops = this.#hopsInOrder()[version];
    if (hops.length === 0) return;
    const first = numberOf(networkAddress(destination));
    const hostBits = addressBits(version) - prefixLength(destination);
    const last =
      typeof first === "number" ? first + 2 ** hostBits - 1 : first + (1n << BigInt(hostBits)) - 1n;
    let low = 0;
    for (let high = hops.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (hops[middle]!.value < first) low = middle + 1;
      else high = middle;
    }
    for (let at = low; at < hops.length && hops[at]!.value <= last; at++) this.#update(hops[at]!);
  }

  #hopsInOrder(): Record<IpVersion, Hop[]> {
    if (!this.#sorted) {
      this.#sorted = { 4: [], 6: [] };
      for (const hop of this.#hops.values())
        if (hop.zone === undefined) this.#sorted[ipVersion(hop.address)].push(hop);
      for (const hops of [this.#sorted[4], this.#sorted[6]])
        hops.sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0));
    }
    return this.#sorted;
  }

  /** Those that go through it are looked up too, and not only if it changes: seen from them it may have gone another way. */
  #update(hop: Hop): void {
    this.#refresh(hop);
    for (const dependent of [...hop.dependents]) this.#refresh(dependent);
  }

  #refresh(hop: Hop): void {
    const before = hop.gateways;
    this.#refer(hop, this.#lookUp(hop));
    if (sameGateways(before, hop.gateways)) return;
    if (hop.watched) this.#watchedChanged = true;
    for (const group of hop.groups) {
      const now = union(group.hops);
      if (sameGateways(now, group.gateways)) continue;
      group.gateways = now;
      for (const { prefix } of group.members) this.#changed.add(prefix);
    }
  }

  #refer(hop: Hop, { gateways, through }: { gateways: readonly Gateway[]; through: ReadonlySet<Hop> }): void {
    hop.gateways = gateways;
    for (const other of hop.through) if (!through.has(other)) other.dependents.delete(hop);
    for (const other of through) other.dependents.add(hop);
    hop.through = through;
  }

  #lookUp(hop: Hop): { gateways: readonly Gateway[]; through: ReadonlySet<Hop> } {
    this.lookups++;
    if (hop.zone !== undefined) return { gateways: this.#onLink(hop), through: NO_HOPS };
    const through = new Set<Hop>();
    const gateways = this.#waysTo(hop, [hop], through);
    return { gateways, through: through.size === 0 ? NO_HOPS : through };
  }

  #onLink({ address, zone }: Hop): Gateway[] {
    const interfaceIndex = this.#links.get(zone as string);
    if (interfaceIndex === undefined) return [];
    // Link-local gateways are on the link by their nature.
    return [{ gateway: address, interfaceIndex, ...(!address.startsWith("fe80:") && { onlink: true }) }];
  }

  /** `path`: the hops whose resolution this is part of, itself the last. */
  #waysTo(hop: Hop, path: readonly Hop[], through: Set<Hop>): readonly Gateway[] {
    const { address } = hop;
    if (hop.zone !== undefined) return this.#onLink(hop);
    if (this.#own.has(address)) return [];
    for (const length of this.#lengths.longestFirst[ipVersion(address)]) {
      const block = cidrOf(address, length);
      const route = this.#underlay.best(block);
      const learned = this.#learned.get(block)?.group;
      if (learned && (!route || learned.metric < route.metric)) {
        const ways = this.#waysOfLearned(learned, path, through);
        // One that leads nowhere is not in the kernel either.
        if (ways.length > 0) return ways;
      }
      if (route) return route.hops.map(way => ({ ...way, gateway: way.gateway ?? address }));
    }
    return [];
  }

  #waysOfLearned({ hops }: Group, path: readonly Hop[], through: Set<Hop>): readonly Gateway[] {
    if (path.length > MAX_DEPTH || hops.some(hop => path.includes(hop))) return [];
    const ways: { gateways: readonly Gateway[] }[] = [];
    for (const hop of hops) {
      through.add(hop);
      ways.push({ gateways: this.#waysTo(hop, [...path, hop], through) });
    }
    return union(ways);
  }
}

function newHop(name: NextHop): Hop {
  const at = name.indexOf("%");
  const address = (at < 0 ? name : name.slice(0, at)) as Ip;
  return {
    name,
    address,
    zone: at < 0 ? undefined : name.slice(at + 1),
    value: numberOf(address),
    groups: new Set(),
    watched: false,
    gateways: [],
    through: NO_HOPS,
    dependents: new Set(),
  };
}

function numberOf(address: Ip): number | bigint {
  const v4 = ipv4ToNumber(address);
  return v4 >= 0 ? v4 : ipToBigInt(address);
}

function union(hops: readonly { readonly gateways: readonly Gateway[] }[]): readonly Gateway[] {
  const [only] = hops;
  if (only !== undefined && hops.length === 1) return only.gateways;
  const found: Gateway[] = [];
  for (const { gateways } of hops) {
    for (const way of gateways) if (!found.some(other => sameGateway(other, way))) found.push(way);
  }
  return found.length > MAX_WAYS ? found.slice(0, MAX_WAYS) : found;
}

function sameGateway(a: Gateway, b: Gateway): boolean {
  return (
    a.gateway === b.gateway &&
    a.interfaceIndex === b.interfaceIndex &&
    (a.onlink ?? false) === (b.onlink ?? false)
  );
}

function sameGateways(a: readonly Gateway[], b: readonly Gateway[]): boolean {
  return a === b || (a.length === b.length && a.every((way, i) => sameGateway(way, b[i] as Gateway)));
}
