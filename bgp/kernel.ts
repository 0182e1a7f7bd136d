/**
 * The daemon's side of the kernel: what BGP learned goes in as routes of protocol 186, own blocks as blackholes
 * (route-installer.ts); what others have there comes out (local-routes.ts, next-hops.ts), because origination and next hops
 * depend on it.
 *
 * Routes are never taken away because we stop: they carry traffic until the next start has read them back and
 * compared (graceful restart). Nothing of other protocols is ever changed.
 *
 * Cost: an event costs what it touches. A full table does not come in one turn of the event loop: it is written a portion per
 * turn, and everything is read again, a portion per turn, every half a minute and when events were lost
 * (test/bench/bgp-kernel.ts). The kernel does not tell us what we have written ourselves.
 */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import type { KernelEvent, SubscriptionOptions } from "../linux/events.ts";
import { OwnedRoutes, type RouteScan } from "../linux/owned-routes.ts";
import {
  type Link,
  type LinkAddress,
  type Route,
  RouteProtocol,
  RouteTable,
  type Rtnetlink,
  routeKey,
} from "../linux/rtnetlink.ts";
import type { Cidr } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import type { ForwardingRoute } from "./forwarding.ts";
import { LinkAddresses } from "./link-addresses.ts";
import { type LocalRoute, LocalRoutes } from "./local-routes.ts";
import { type NextHop, NextHops } from "./next-hops.ts";
import { RouteInstaller } from "./route-installer.ts";
import { type UnderlayRoute, underlayRoute } from "./underlay.ts";

const RESYNC_INTERVAL_MS = 30_000;
const RETRY_INTERVAL_MS = 1_000;

/** Portions of the kernel's, some 500 routes each, read per turn. */
const READ_PORTIONS = 3;

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
  readonly #installer: RouteInstaller;
  readonly #local: LocalRoutes;
  readonly #nextHops = new NextHops();
  #events: { stop(): void } | undefined;
  #listener: KernelListener = {};
  readonly #stop = new AbortController();

  readonly #linkAddresses: LinkAddresses;
  /** Reading under way, and what was heard meanwhile. */
  #reading: { readonly steps: Iterator<void>; readonly heard: ForeignChange[] } | undefined;
  #readAgain = false;

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
    this.#installer = new RouteInstaller({
      routes: this.#routes,
      nextHops: this.#nextHops,
      table: this.#table,
      logger: options.logger,
      signal: this.#stop.signal,
      onNoAnswer: () => {
        this.#readAgain = true;
      },
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
    return this.#installer.isIdle;
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
    this.#installer.setLearned(changes);
  }

  /** Every learned prefix there is: those that are not among them are no longer wanted. */
  replaceLearned(routes: ReadonlyMap<Cidr, ForwardingRoute | undefined>): void {
    this.#installer.replaceLearned(routes);
  }

  setBlackholes(blocks: ReadonlySet<Cidr>): void {
    this.#installer.setBlackholes(blocks);
  }

  /** Routes to peers that are reached through a gateway (BGPPeer reachableBy). */
  setPeerGateways(gateways: ReadonlyMap<Ip, Ip>): void {
    this.#installer.setPeerGateways(gateways);
  }

  /** Addresses of ours on interfaces of workloads, by their names; set as soon as such an interface is there. */
  setLinkAddresses(wanted: ReadonlyMap<string, readonly Ip[]>): void {
    this.#linkAddresses.set(wanted);
    if (this.#applyLinkAddresses()) this.#follow(true);
  }

  /** What was set is complete: stale routes of an earlier run go, once what was set is in. */
  sweep(): void {
    this.#installer.sweep();
  }

  /** Gives the kernel everything now, however long that takes. */
  flush(): void {
    while (!this.isIdle && !this.#stop.signal.aborted && !this.#readAgain) this.#installer.writePortion();
  }

  #applyLinkAddresses(): boolean {
    const written = this.#linkAddresses.apply(this.#local);
    // The kernel does not tell us what we have done ourselves.
    if (written) this.#readAddresses();
    return written;
  }

  #isOurs({ protocol, table = RouteTable.MAIN }: Route): boolean {
    return protocol === RouteProtocol.BGP && table === this.#table;
  }

  /** A route of the main table that is somebody else's. */
  #isForeign(route: Route): boolean {
    return (route.table ?? RouteTable.MAIN) === RouteTable.MAIN && !this.#isOurs(route);
  }

  #retry(): void {
    if (this.#readAgain) {
      this.#read();
      return;
    }
    if (this.#applyLinkAddresses()) this.#follow(true);
    if (this.#installer.retry()) setImmediate(() => this.#retry());
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
    this.#installer.noteWays();
    if (this.#nextHops.takeWatchedChanged()) this.#listener.onWaysChange?.();
    if (localChanged) this.#listener.onLocalChange?.();
    this.#installer.workOff();
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
    for (const hole of this.#installer.holes()) underlay.set(...hole);
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

/** A route that is not ours. */
interface ForeignChange {
  readonly action: "new" | "delete";
  readonly route: Route;
}
