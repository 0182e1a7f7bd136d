/**
 * The daemon's side of the kernel: what BGP learned goes in as routes of protocol 186, own blocks as blackholes;
 * workload routes, host addresses and the underlay come out, because origination and next hops depend on them.
 *
 * Routes are never taken away because we stop: they carry traffic until the next start has read them back and
 * compared (graceful restart). Nothing of other protocols is ever changed.
 *
 * Cost: an event costs what it touches (next-hops.ts, linux/owned-routes.ts); everything is only read again every
 * half a minute, and when events were lost.
 */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { KernelEvent, SubscriptionOptions } from "../linux/events.ts";
import { OwnedRoutes, type RouteFailure } from "../linux/owned-routes.ts";
import {
  type LinkAddress,
  type Route,
  RouteProtocol,
  RouteTable,
  type Rtnetlink,
  routeKey,
} from "../linux/rtnetlink.ts";
import { type Cidr, cidrOf, hostCidr, isHostCidr, networkAddress } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import type { ForwardingRoute } from "./forwarding.ts";
import { NextHops, type UnderlayRoute } from "./next-hops.ts";
import type { WorkloadRoute } from "./origination.ts";

const RESYNC_INTERVAL_MS = 30_000;
const RETRY_INTERVAL_MS = 1_000;

/** Of blackholes and of routes to peers: everything that is not learned. */
const OWN_METRIC = 1024;

export interface KernelOptions {
  /** Interfaces of workloads begin with one of these, until there are others. */
  readonly interfacePrefixes: readonly string[];
  readonly logger: Logger;
  readonly clock: Clock;
  readonly rtnetlink: Pick<
    Rtnetlink,
    "listLinks" | "listAddresses" | "listRoutes" | "replaceRoutes" | "deleteRoutes" | "close"
  >;
  /** EventSubscription.open */
  readonly subscribe: (options: SubscriptionOptions) => { stop(): void };
}

export class Kernel {
  readonly #options: KernelOptions;
  readonly #routes: OwnedRoutes;
  #events: { stop(): void } | undefined;
  #onLocalChange: () => void = () => {};
  readonly #stop = new AbortController();

  readonly #learned = new Map<Cidr, ForwardingRoute>();
  readonly #blackholes = new Set<Cidr>();
  /** Peers that are reached through a gateway we were told. */
  readonly #peerGateways = new Map<Cidr, Ip>();
  /** Interface indexes of workloads. */
  readonly #workloadLinks = new Set<number>();
  #interfacePrefixes: readonly string[];
  readonly #workloadRoutes = new Map<string, WorkloadRoute & { interfaceIndex: number }>();
  readonly #nextHops = new NextHops();
  #hostAddresses: readonly Cidr[] = [];
  #applying = false;
  /** Failures already reported, so that a retry every second does not fill the log. */
  readonly #reported = new Set<string>();

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#interfacePrefixes = options.interfacePrefixes;
    this.#routes = new OwnedRoutes({
      rtnetlink: options.rtnetlink,
      owns: route => route.protocol === RouteProtocol.BGP,
    });
  }

  /** Reads what is there; from then on follows it. `onLocalChange`: workload routes or host addresses changed. */
  start(onLocalChange: () => void): void {
    this.#onLocalChange = onLocalChange;
    this.#subscribe();
    this.#resync();
    void this.#everySoOften(RESYNC_INTERVAL_MS, () => this.#resync());
    void this.#everySoOften(RETRY_INTERVAL_MS, () => this.#apply());
  }

  stop(): void {
    this.#stop.abort();
    this.#events?.stop();
    this.#options.rtnetlink.close();
  }

  /** Routes of ours were found: this is not the first run since boot. */
  get hasRoutes(): boolean {
    return this.#routes.size > 0;
  }

  get routeCount(): number {
    return this.#routes.size;
  }

  /** How often a next hop was looked up: what a flood of events costs beyond reading it. */
  get nextHopLookups(): number {
    return this.#nextHops.lookups;
  }

  get workloads(): Iterable<WorkloadRoute> {
    return this.#workloadRoutes.values();
  }

  get hostAddresses(): readonly Cidr[] {
    return this.#hostAddresses;
  }

  setInterfacePrefixes(prefixes: readonly string[]): void {
    if (prefixes.join() === this.#interfacePrefixes.join()) return;
    this.#interfacePrefixes = prefixes;
    this.#resync();
  }

  setLearned(changes: Iterable<readonly [Cidr, ForwardingRoute | undefined]>): void {
    for (const [prefix, route] of changes) {
      if (route) this.#learned.set(prefix, route);
      else if (!this.#learned.delete(prefix)) continue;
      this.#want(prefix);
    }
    this.#apply();
  }

  /** Every learned prefix there is: those that are not among them are no longer wanted. */
  replaceLearned(routes: ReadonlyMap<Cidr, ForwardingRoute | undefined>): void {
    const gone = [...this.#learned.keys()].filter(prefix => !routes.has(prefix));
    this.setLearned([...gone.map(prefix => [prefix, undefined] as const), ...routes]);
  }

  setBlackholes(blocks: ReadonlySet<Cidr>): void {
    for (const block of this.#blackholes) {
      if (blocks.has(block)) continue;
      this.#blackholes.delete(block);
      this.#want(block);
    }
    for (const block of blocks) {
      if (this.#blackholes.has(block)) continue;
      this.#blackholes.add(block);
      this.#want(block);
    }
    this.#apply();
  }

  /** Routes to peers that are reached through a gateway (BGPPeer reachableBy). */
  setPeerGateways(gateways: ReadonlyMap<Ip, Ip>): void {
    const wanted = new Map([...gateways].map(([peer, gateway]) => [hostCidr(peer), gateway]));
    for (const peer of this.#peerGateways.keys()) {
      if (wanted.has(peer)) continue;
      this.#peerGateways.delete(peer);
      this.#nextHops.deleteRoute(peerKey(peer));
      this.#want(peer);
    }
    for (const [peer, gateway] of wanted) {
      if (this.#peerGateways.get(peer) === gateway) continue;
      this.#peerGateways.set(peer, gateway);
      this.#nextHops.setRoute(...peerRoute(peer, gateway));
      this.#want(peer);
    }
    this.#wantChanged();
    this.#apply();
  }

  /** What was set is complete: stale routes of an earlier run go. */
  sweep(): void {
    this.#routes.sweep();
    this.#apply();
  }

  /** Tells the route table what a prefix should look like now: our own block first, then what was learned. */
  #want(prefix: Cidr): void {
    const base = { destination: prefix, protocol: RouteProtocol.BGP } as const;
    if (this.#blackholes.has(prefix)) {
      this.#nextHops.release(prefix);
      this.#routes.want(prefix, { ...base, type: "blackhole", metric: OWN_METRIC });
      return;
    }
    const peerGateway = this.#peerGateways.get(prefix);
    const learned = this.#learned.get(prefix);
    const hops = this.#nextHops.resolve(prefix, peerGateway ? [peerGateway] : (learned?.nextHops ?? []));
    const metric = peerGateway ? OWN_METRIC : (learned?.metric ?? OWN_METRIC);
    const route = { ...base, type: "unicast", metric } as const;
    const [first] = hops;
    if (!first) this.#routes.unwant(prefix);
    else this.#routes.want(prefix, hops.length === 1 ? { ...route, ...first } : { ...route, nextHops: hops });
  }

  #wantChanged(): void {
    for (const prefix of this.#nextHops.takeChanged()) this.#want(prefix);
  }

  #apply(): void {
    if (this.#applying || this.#stop.signal.aborted || !this.#routes.pending) return;
    this.#applying = true;
    try {
      this.#report([...this.#routes.applyDeletions(), ...this.#routes.applyAdditions()]);
    } finally {
      this.#applying = false;
    }
  }

  #report(failures: readonly RouteFailure[]): void {
    if (failures.length === 0) {
      this.#reported.clear();
      return;
    }
    for (const { route, error } of failures) {
      const text = `${routeKey(route)} ${error?.code}`;
      if (this.#reported.has(text)) continue;
      this.#reported.add(text);
      const reason = error?.message ?? "another program's route holds the place";
      this.#options.logger.warn({ prefix: route.destination, reason }, "route not installed, trying again");
    }
  }

  #subscribe(): void {
    this.#events = this.#options.subscribe({
      groups: ["link", "address", "route"],
      onEvents: events => this.#onEvents(events),
      onFailure: error => {
        this.#options.logger.error({ err: error }, "kernel events stopped, subscribing again");
        void this.#subscribeAgain();
      },
    });
  }

  /** Not at once: what ended one subscription may end the next, and that would be all we do. */
  async #subscribeAgain(): Promise<void> {
    const { signal } = this.#stop;
    await this.#options.clock.sleep(RETRY_INTERVAL_MS, signal).catch(() => {});
    if (signal.aborted) return;
    this.#subscribe();
    this.#resync();
  }

  #onEvents(events: readonly KernelEvent[]): void {
    if (this.#stop.signal.aborted) return;
    let workloadsChanged = false;
    let addressesTouched = false;
    for (const event of events) {
      if (event.type === "overflow") {
        this.#resync();
        return;
      }
      if (event.type === "route") {
        const { action, route } = event;
        if ((route.table ?? RouteTable.MAIN) !== RouteTable.MAIN) continue;
        this.#routes.noteEvent(action, route);
        if (route.protocol !== RouteProtocol.BGP && this.#noteForeign(action, route)) workloadsChanged = true;
      } else if (event.type === "link") {
        const { action, link } = event;
        this.#noteLink(link.index, link.name, action === "new");
        if (action === "new" && link.up) continue;
        if (this.#forgetInterface(link.index)) workloadsChanged = true;
      } else if (event.type === "address") {
        addressesTouched = true;
        if (event.action === "delete" && this.#isBare(event.address)) {
          this.#resync();
          return;
        }
      }
    }
    const addressesChanged = addressesTouched && this.#readAddresses();
    this.#wantChanged();
    if (workloadsChanged || addressesChanged) this.#onLocalChange();
    this.#apply();
  }

  #noteLink(index: number, name: string, present: boolean): void {
    if (present && this.#interfacePrefixes.some(prefix => name.startsWith(prefix)))
      this.#workloadLinks.add(index);
    else this.#workloadLinks.delete(index);
  }

  /** An interface that is down has no IPv4 routes, and the kernel says nothing of it. Whether workloads lost theirs. */
  #forgetInterface(index: number): boolean {
    this.#routes.forgetInterface(index);
    this.#nextHops.forgetInterface(index);
    let lost = false;
    for (const [key, route] of this.#workloadRoutes) {
      if (route.interfaceIndex === index) lost = this.#workloadRoutes.delete(key);
    }
    return lost;
  }

  /** The host lost its last IPv4 address there, and with it silently all IPv4 routes over that interface. */
  #isBare({ ip, interfaceIndex }: LinkAddress): boolean {
    if (ipVersion(ip) === 6 || this.#workloadLinks.has(interfaceIndex)) return false;
    return this.#options.rtnetlink.listAddresses({ family: 4, interfaceIndex }).length === 0;
  }

  /** Takes note of a route that is not ours. Whether the workloads' routes have changed. */
  #noteForeign(action: "new" | "delete", route: Route): boolean {
    const key = routeKey(route);
    const { destination, interfaceIndex, metric } = route;
    const onWorkload = interfaceIndex !== undefined && this.#workloadLinks.has(interfaceIndex);
    if (action === "delete" || onWorkload || route.type !== "unicast") this.#nextHops.deleteRoute(key);
    else this.#nextHops.setRoute(key, underlayRoute(route));
    if (action === "delete" || !onWorkload) return this.#workloadRoutes.delete(key);
    if (!isHostCidr(destination) || !isUnicastAddress(destination)) return false;
    const before = this.#workloadRoutes.get(key);
    this.#workloadRoutes.set(key, { prefix: destination, metric, interfaceIndex });
    return before === undefined;
  }

  /** Whether they are others than before. */
  #readAddresses(): boolean {
    const before = new Set(this.#hostAddresses);
    const addresses = this.#options.rtnetlink.listAddresses().map(({ ip }) => ip);
    this.#hostAddresses = addresses.map(hostCidr);
    this.#nextHops.setOwnAddresses(new Set(addresses));
    const now = new Set(this.#hostAddresses);
    return now.size !== before.size || this.#hostAddresses.some(address => !before.has(address));
  }

  #resync(): void {
    if (this.#stop.signal.aborted) return;
    const { rtnetlink } = this.#options;
    this.#workloadLinks.clear();
    for (const link of rtnetlink.listLinks()) this.#noteLink(link.index, link.name, true);
    this.#workloadRoutes.clear();
    const underlay: (readonly [string, UnderlayRoute])[] = [];
    for (const route of rtnetlink.listRoutes({ table: RouteTable.MAIN })) {
      if (route.protocol === RouteProtocol.BGP) continue;
      const { destination, interfaceIndex, metric } = route;
      if (interfaceIndex === undefined || !this.#workloadLinks.has(interfaceIndex)) {
        if (route.type === "unicast") underlay.push([routeKey(route), underlayRoute(route)]);
      } else if (isHostCidr(destination) && isUnicastAddress(destination)) {
        this.#workloadRoutes.set(routeKey(route), { prefix: destination, metric, interfaceIndex });
      }
    }
    for (const [peer, gateway] of this.#peerGateways) underlay.push(peerRoute(peer, gateway));
    this.#nextHops.replaceRoutes(underlay);
    this.#readAddresses();
    this.#wantChanged();
    this.#routes.resync();
    this.#onLocalChange();
    this.#apply();
  }

  async #everySoOften(intervalMs: number, action: () => void): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#options.clock.sleep(intervalMs, signal).catch(() => {});
      if (!signal.aborted) action();
    }
  }
}

function underlayRoute(route: Route): UnderlayRoute {
  const hops = (route.nextHops ?? [route]).map(({ gateway, interfaceIndex, onlink }) => ({
    ...(gateway !== undefined && { gateway }),
    ...(interfaceIndex !== undefined && { interfaceIndex }),
    ...(onlink && { onlink }),
  }));
  return { destination: route.destination, metric: route.metric ?? 0, hops };
}

const peerKey = (peer: Cidr) => `peer ${peer}`;

function peerRoute(peer: Cidr, gateway: Ip): readonly [string, UnderlayRoute] {
  return [peerKey(peer), { destination: peer, metric: OWN_METRIC, hops: [{ gateway }] }];
}

/** IPv6 interfaces carry link-local and multicast host routes of the kernel's own. */
function isUnicastAddress(prefix: Cidr): boolean {
  const address = networkAddress(prefix);
  if (ipVersion(address) === 4) return true;
  return cidrOf(address, 10) !== "fe80::/10" && cidrOf(address, 8) !== "ff00::/8";
}
