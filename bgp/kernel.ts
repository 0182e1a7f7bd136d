/**
 * The daemon's side of the kernel: what BGP learned goes in as routes of protocol 186, own blocks as blackholes; what others
 * have there comes out (local-routes.ts, next-hops.ts), because origination and next hops depend on it.
 *
 * Routes are never taken away because we stop: they carry traffic until the next start has read them back and
 * compared (graceful restart). Nothing of other protocols is ever changed.
 *
 * Cost: an event costs what it touches. A full table does not come in one turn of the event loop: prefixes queue and
 * are written a portion per turn, and everything is read again, a portion per turn, every half a minute and when events were
 * lost (test/bench/bgp-kernel.ts). The kernel does not tell us what we have written ourselves.
 */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { KernelEvent, SubscriptionOptions } from "../linux/events.ts";
import { OwnedRoutes, type RouteFailure, type RouteScan } from "../linux/owned-routes.ts";
import {
  type Link,
  type LinkAddress,
  type Route,
  RouteProtocol,
  RouteTable,
  type Rtnetlink,
  routeKey,
} from "../linux/rtnetlink.ts";
import { type Cidr, hostCidr } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import type { ForwardingRoute } from "./forwarding.ts";
import { LinkAddresses } from "./link-addresses.ts";
import { type LocalRoute, LocalRoutes } from "./local-routes.ts";
import { type NextHop, NextHops, type UnderlayRoute } from "./next-hops.ts";

const RESYNC_INTERVAL_MS = 30_000;
const RETRY_INTERVAL_MS = 1_000;

/** Prefixes per turn: 2 to 4 ms. */
const WRITE_PORTION = 400;
/** Portions of the kernel's, some 500 routes each, read per turn. */
const READ_PORTIONS = 3;

/** Of blackholes and of routes to peers: everything that is not learned. */
const OWN_METRIC = 1024;

export interface KernelOptions {
  /** Interfaces of workloads begin with one of these, until there are others. */
  readonly interfacePrefixes: readonly string[];
  /** Where our routes go; default the main table. Next hops are looked up in the main table, and in ours. */
  readonly table?: number;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly rtnetlink: Pick<
    Rtnetlink,
    | "portId"
    | "listLinks"
    | "listAddresses"
    | "listRoutes"
    | "scanRoutes"
    | "replaceRoutes"
    | "deleteRoutes"
    | "replaceAddress"
    | "deleteAddress"
    | "close"
  >;
  /** EventSubscription.open */
  readonly subscribe: (options: SubscriptionOptions) => { stop(): void };
}

export interface KernelListener {
  /** What is here to be announced, or host addresses, changed. */
  onLocalChange?(): void;
  /** An answer of {@link Kernel.interfaceTowards} is no longer right. */
  onWaysChange?(): void;
}

export class Kernel {
  readonly #options: KernelOptions;
  readonly #table: number;
  readonly #routes: OwnedRoutes;
  readonly #local: LocalRoutes;
  readonly #nextHops = new NextHops();
  #events: { stop(): void } | undefined;
  #listener: KernelListener = {};
  readonly #stop = new AbortController();

  readonly #linkAddresses: LinkAddresses;
  readonly #blackholes = new Set<Cidr>();
  /** Peers that are reached through a gateway we were told. */
  #peerGateways: ReadonlyMap<Cidr, Ip> = new Map();
  /** Whatever is wanted for a prefix; those without a wish left are not in here. */
  readonly #wishes = new Map<Cidr, Wish>();
  /** Those whose routes are to be looked at, and how far that has got. */
  #queue: Wish[] = [];
  #queueHead = 0;
  #scheduled = false;
  #sweepAfterQueue = false;
  /** Reading under way, and what was heard meanwhile. */
  #reading: { readonly steps: Iterator<void>; readonly heard: ForeignChange[] } | undefined;
  #readAgain = false;
  /** Failures already reported, so that a retry every second does not fill the log. */
  readonly #reported = new Set<string>();

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#local = new LocalRoutes(options.interfacePrefixes);
    this.#linkAddresses = new LinkAddresses(options);
    this.#table = options.table ?? RouteTable.MAIN;
    this.#routes = new OwnedRoutes({
      rtnetlink: options.rtnetlink,
      owns: route => this.#isOurs(route),
      table: this.#table,
    });
  }

  /** Reads what is there; from then on follows it. */
  start(listener: KernelListener = {}): void {
    this.#listener = listener;
    this.#subscribe();
    this.#read("at once");
    void this.#everySoOften(RESYNC_INTERVAL_MS, () => this.#read());
    void this.#everySoOften(RETRY_INTERVAL_MS, () => this.#retry());
  }

  stop(): void {
    this.#stop.abort();
    this.#reading?.steps.return?.();
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

  /** Whether everything that was set has been given to the kernel, whatever it said. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && !this.#routes.dirty;
  }

  /** How often a next hop was looked up: what a flood of events costs beyond reading it. */
  get nextHopLookups(): number {
    return this.#nextHops.lookups;
  }

  /** What others have put there. */
  localRoutes(): Iterable<LocalRoute> {
    return this.#local.routes();
  }

  get hostAddresses(): readonly Cidr[] {
    return this.#local.hostAddresses;
  }

  hasLink(name: string): boolean {
    return this.#local.indexOf(name) !== undefined;
  }

  /** The interface that packets to a next hop leave by now. */
  interfaceTowards(nextHop: NextHop): string | undefined {
    return this.#local.nameOf(this.#nextHops.gatewaysTo(nextHop)[0]?.interfaceIndex);
  }

  setInterfacePrefixes(prefixes: readonly string[]): void {
    if (this.#local.setWorkloadPrefixes(prefixes)) this.#listener.onLocalChange?.();
  }

  setLearned(changes: Iterable<readonly [Cidr, ForwardingRoute | undefined]>): void {
    for (const [prefix, route] of changes) {
      const wish = this.#wish(prefix);
      wish.learned = route;
      this.#enqueue(wish);
    }
    this.#workOff();
  }

  /** Every learned prefix there is: those that are not among them are no longer wanted. */
  replaceLearned(routes: ReadonlyMap<Cidr, ForwardingRoute | undefined>): void {
    for (const wish of this.#wishes.values()) {
      if (!wish.learned || routes.has(wish.prefix)) continue;
      wish.learned = undefined;
      this.#enqueue(wish);
    }
    this.setLearned(routes);
  }

  setBlackholes(blocks: ReadonlySet<Cidr>): void {
    for (const block of this.#blackholes) {
      if (blocks.has(block)) continue;
      this.#blackholes.delete(block);
      this.#nextHops.deleteRoute(holeKey(block));
      this.#enqueue(this.#wish(block));
    }
    for (const block of blocks) {
      if (this.#blackholes.has(block)) continue;
      this.#blackholes.add(block);
      this.#nextHops.setRoute(...holeRoute(block));
      this.#enqueue(this.#wish(block));
    }
    this.#waysChanged();
    this.#workOff();
  }

  /** Routes to peers that are reached through a gateway (BGPPeer reachableBy). */
  setPeerGateways(gateways: ReadonlyMap<Ip, Ip>): void {
    const wanted = new Map([...gateways].map(([peer, gateway]) => [hostCidr(peer), gateway]));
    for (const peer of new Set([...this.#peerGateways.keys(), ...wanted.keys()])) {
      if (this.#peerGateways.get(peer) !== wanted.get(peer)) this.#enqueue(this.#wish(peer));
    }
    this.#peerGateways = wanted;
    this.#workOff();
  }

  /** Addresses of ours on interfaces of workloads, by their names; set as soon as such an interface is there. */
  setLinkAddresses(wanted: ReadonlyMap<string, readonly Ip[]>): void {
    this.#linkAddresses.set(wanted);
    if (this.#applyLinkAddresses()) this.#follow(true);
  }

  /** What was set is complete: stale routes of an earlier run go, once what was set is in. */
  sweep(): void {
    this.#sweepAfterQueue = true;
    this.#workOff();
  }

  /** Gives the kernel everything now, however long that takes. */
  flush(): void {
    while (!this.isIdle && !this.#stop.signal.aborted && !this.#readAgain) this.#writePortion();
  }

  #applyLinkAddresses(): boolean {
    const written = this.#linkAddresses.apply(this.#local);
    // The kernel does not tell us what we have done ourselves.
    if (written) this.#readAddresses();
    return written;
  }

  #wish(prefix: Cidr): Wish {
    let wish = this.#wishes.get(prefix);
    if (!wish) {
      wish = { prefix, learned: undefined, isQueued: false };
      this.#wishes.set(prefix, wish);
    }
    return wish;
  }

  #enqueue(wish: Wish): void {
    if (wish.isQueued) return;
    wish.isQueued = true;
    this.#queue.push(wish);
  }

  /** Tells the route table what a prefix should look like now: our own block first, then what was learned. */
  #fulfil({ prefix, learned }: Wish): void {
    if (this.#blackholes.has(prefix)) {
      this.#nextHops.release(prefix);
      this.#routes.want(prefix, { ...this.#routeTo(prefix, OWN_METRIC), type: "blackhole" });
      return;
    }
    const peerGateway = this.#peerGateways.get(prefix);
    const metric = peerGateway ? OWN_METRIC : (learned?.metric ?? OWN_METRIC);
    const nextHops = peerGateway ? [peerGateway] : (learned?.nextHops ?? []);
    if (!peerGateway && !learned) this.#wishes.delete(prefix);
    const ways = this.#nextHops.resolve(prefix, nextHops, metric);
    const [only] = ways;
    if (!only) {
      this.#routes.unwant(prefix);
      return;
    }
    const route = this.#routeTo(prefix, metric);
    this.#routes.want(prefix, ways.length === 1 ? { ...route, ...only } : { ...route, nextHops: ways });
  }

  #routeTo(destination: Cidr, metric: number): Route {
    const route = { destination, protocol: RouteProtocol.BGP, type: "unicast", metric } as const;
    return this.#table === RouteTable.MAIN ? route : { ...route, table: this.#table };
  }

  #isOurs({ protocol, table = RouteTable.MAIN }: Route): boolean {
    return protocol === RouteProtocol.BGP && table === this.#table;
  }

  /** A route of the main table that is somebody else's. */
  #isForeign(route: Route): boolean {
    return (route.table ?? RouteTable.MAIN) === RouteTable.MAIN && !this.#isOurs(route);
  }

  /** Writes a portion now, unless portions are under way already, and the rest in turns to come. */
  #workOff(): void {
    if (!this.#scheduled) this.#writePortion();
  }

  #writePortion(): void {
    if (this.#stop.signal.aborted) return;
    let left = WRITE_PORTION;
    while (left > 0 && this.#queueHead < this.#queue.length) {
      for (; left > 0 && this.#queueHead < this.#queue.length; left--) {
        const wish = this.#queue[this.#queueHead++] as Wish;
        wish.isQueued = false;
        this.#fulfil(wish);
      }
      // A route may be what others lead over.
      this.#waysChanged();
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
      if (this.#sweepAfterQueue) this.#routes.sweep();
      this.#sweepAfterQueue = false;
    }
    try {
      // In this order: a route that takes another metric is there twice for a moment, not never.
      this.#report(this.#routes.applyAdditions(WRITE_PORTION));
      this.#report(this.#routes.applyDeletions(WRITE_PORTION));
    } catch (error) {
      this.#options.logger.warn({ err: error }, "the kernel did not answer, reading again what it has");
      this.#readAgain = true;
      return;
    }
    if (!this.isIdle) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#writePortion();
    });
  }

  #waysChanged(): void {
    for (const prefix of this.#nextHops.takeChanged()) this.#enqueue(this.#wish(prefix));
  }

  #retry(): void {
    if (this.#readAgain) {
      this.#read();
      return;
    }
    if (this.#applyLinkAddresses()) this.#follow(true);
    const before = this.#routes.failing;
    if (before === 0 || this.#scheduled) return;
    this.#routes.retry(WRITE_PORTION);
    this.#writePortion();
    // Whatever was in the way is gone: the others need not wait.
    if (this.#routes.failing > 0 && this.#routes.failing < before) setImmediate(() => this.#retry());
  }

  #report(failures: readonly RouteFailure[]): void {
    if (this.#routes.failing === 0) this.#reported.clear();
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
      exceptCausedBy: this.#options.rtnetlink.portId,
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
    this.#read();
  }

  #onEvents(events: readonly KernelEvent[]): void {
    if (this.#stop.signal.aborted) return;
    let localChanged = false;
    let addressesTouched = false;
    for (const event of events) {
      if (event.type === "overflow") {
        this.#read();
      } else if (event.type === "route") {
        const { action, route } = event;
        this.#routes.noteEvent(action, route);
        if (!this.#isForeign(route)) continue;
        this.#reading?.heard.push({ action, route });
        if (this.#noteForeign({ action, route })) localChanged = true;
      } else if (event.type === "link") {
        if (this.#noteLink(event.link, event.action === "new")) localChanged = true;
      } else if (event.type === "address") {
        addressesTouched = true;
        if (event.action === "delete" && this.#isBare(event.address)) this.#read();
      }
    }
    if (addressesTouched && this.#readAddresses()) localChanged = true;
    if (this.#applyLinkAddresses()) localChanged = true;
    this.#follow(localChanged);
  }

  /** What was heard or read has its consequences. */
  #follow(localChanged: boolean): void {
    this.#waysChanged();
    if (this.#nextHops.takeWatchedChanged()) this.#listener.onWaysChange?.();
    if (localChanged) this.#listener.onLocalChange?.();
    this.#workOff();
  }

  #noteLink(link: Link, present: boolean): boolean {
    let changed = this.#local.noteLink(link, present);
    this.#nextHops.setLink(link.name, present && link.up ? link.index : undefined);
    if (present && link.up) return changed;
    this.#routes.forgetInterface(link.index);
    this.#nextHops.forgetInterface(link.index);
    if (this.#local.forgetInterface(link.index)) changed = true;
    return changed;
  }

  /** The host lost its last IPv4 address there, and with it silently all IPv4 routes over that interface. */
  #isBare({ ip, interfaceIndex }: LinkAddress): boolean {
    if (ipVersion(ip) === 6 || this.#local.isWorkload(interfaceIndex)) return false;
    return this.#options.rtnetlink.listAddresses({ family: 4, interfaceIndex }).length === 0;
  }

  /** Takes note of a route that is not ours. Whether what may be announced has changed. */
  #noteForeign({ action, route }: ForeignChange): boolean {
    const key = routeKey(route);
    if (action === "delete" || route.type === "throw") this.#nextHops.deleteRoute(key);
    else this.#nextHops.setRoute(key, underlayRoute(route));
    return this.#local.noteRoute(action, route);
  }

  /** Whether they are others than before. */
  #readAddresses(): boolean {
    const addresses = this.#options.rtnetlink.listAddresses();
    this.#nextHops.setOwnAddresses(new Set(addresses.map(({ ip }) => ip)));
    return this.#local.setAddresses(addresses);
  }

  /** Reads everything again: a portion per turn, or at once. */
  #read(when: "at once" | "in turns" = "in turns"): void {
    if (this.#stop.signal.aborted) return;
    if (this.#reading) {
      // Begun before what we are to see now.
      this.#readAgain = true;
      return;
    }
    this.#readAgain = false;
    const heard: ForeignChange[] = [];
    this.#reading = { steps: this.#readSteps(heard), heard };
    this.#readOn(when === "at once" ? Number.POSITIVE_INFINITY : READ_PORTIONS);
  }

  #readOn(portions: number): void {
    if (!this.#reading || this.#stop.signal.aborted) return;
    try {
      while (portions-- > 0) {
        if (!this.#reading.steps.next().done) continue;
        this.#reading = undefined;
        return;
      }
      setImmediate(() => this.#readOn(READ_PORTIONS));
    } catch (error) {
      this.#options.logger.warn({ err: error }, "could not read the kernel's routes, trying again");
      this.#reading = undefined;
      this.#readAgain = true;
    }
  }

  *#readSteps(heard: readonly ForeignChange[]): Generator<void, void, undefined> {
    const { rtnetlink } = this.#options;
    const scan: RouteScan = this.#routes.scan();
    const foreign: Route[] = [];
    const portions = rtnetlink.scanRoutes({ table: RouteTable.MAIN });
    let complete = false;
    try {
      for (;;) {
        const { value, done } = portions.next();
        if (done) {
          complete = value;
          break;
        }
        scan.note(value);
        for (const route of value) if (this.#isForeign(route)) foreign.push(route);
        yield;
      }
    } finally {
      portions.return(false);
    }
    if (this.#table !== RouteTable.MAIN) scan.note(rtnetlink.listRoutes({ table: this.#table }));
    scan.end(complete);
    const links = rtnetlink.listLinks();
    this.#local.replace(links, foreign);
    for (const { name, index, up } of links) this.#nextHops.setLink(name, up ? index : undefined);
    const underlay = new Map<string, UnderlayRoute>();
    for (const route of foreign)
      if (route.type !== "throw") underlay.set(routeKey(route), underlayRoute(route));
    for (const block of this.#blackholes) underlay.set(...holeRoute(block));
    this.#nextHops.replaceRoutes(underlay);
    // Newer than what was read.
    for (const change of heard) this.#noteForeign(change);
    this.#readAddresses();
    this.#applyLinkAddresses();
    this.#follow(true);
  }

  async #everySoOften(intervalMs: number, action: () => void): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#options.clock.sleep(intervalMs, signal).catch(() => {});
      if (!signal.aborted) action();
    }
  }
}

/** What is wanted for a prefix, besides being an own block or a peer behind a gateway. */
interface Wish {
  readonly prefix: Cidr;
  learned: ForwardingRoute | undefined;
  isQueued: boolean;
}

/** A route that is not ours. */
interface ForeignChange {
  readonly action: "new" | "delete";
  readonly route: Route;
}

function underlayRoute(route: Route): UnderlayRoute {
  const { destination, metric = 0, type, nextHops = [route] } = route;
  const hops = type === "unicast" ? nextHops : [];
  return {
    destination,
    metric,
    hops: hops.map(({ gateway, interfaceIndex, onlink }) => ({
      ...(gateway !== undefined && { gateway }),
      ...(interfaceIndex !== undefined && { interfaceIndex }),
      ...(onlink && { onlink }),
    })),
  };
}

const holeKey = (block: Cidr) => `hole ${block}`;

function holeRoute(block: Cidr): readonly [string, UnderlayRoute] {
  return [holeKey(block), { destination: block, metric: OWN_METRIC, hops: [] }];
}
