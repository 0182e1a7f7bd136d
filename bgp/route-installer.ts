/**
 * What each prefix should be in the kernel, and the way there: a blackhole for an own block, a route to a peer behind a gateway,
 * or what was learned, by the gateways of the moment (next-hops.ts). Prefixes queue and are written a portion per turn of the
 * event loop, and what the kernel refuses is tried again.
 */

import type { Logger } from "../daemon/log.ts";
import type { OwnedRoutes, RouteFailure } from "../linux/owned-routes.ts";
import { type Route, RouteProtocol, RouteTable, routeKey } from "../linux/rtnetlink.ts";
import { type Cidr, hostCidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import type { ForwardingRoute } from "./forwarding.ts";
import type { NextHops } from "./next-hops.ts";
import type { UnderlayRoute } from "./underlay.ts";

/** Prefixes per turn: 2 to 4 ms. */
const WRITE_PORTION = 400;

/** Of blackholes and of routes to peers: everything that is not learned. */
const OWN_METRIC = 1024;

export interface RouteInstallerOptions {
  readonly routes: OwnedRoutes;
  readonly nextHops: NextHops;
  readonly table: number;
  readonly logger: Logger;
  /** Nothing is written any more. */
  readonly signal: AbortSignal;
  /** The kernel did not answer: what it has is to be read again. */
  readonly onNoAnswer: () => void;
}

/** What is wanted for a prefix, besides being an own block or a peer behind a gateway. */
interface Wish {
  readonly prefix: Cidr;
  learned: ForwardingRoute | undefined;
  isQueued: boolean;
}

export class RouteInstaller {
  readonly #options: RouteInstallerOptions;
  readonly #routes: OwnedRoutes;
  readonly #nextHops: NextHops;
  readonly #table: number;
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
  /** Failures already reported, so that a retry every second does not fill the log. */
  readonly #reported = new Set<string>();

  constructor(options: RouteInstallerOptions) {
    this.#options = options;
    this.#routes = options.routes;
    this.#nextHops = options.nextHops;
    this.#table = options.table;
  }

  /** Whether everything that was set has been given to the kernel, whatever it said. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && !this.#routes.dirty;
  }

  setLearned(changes: Iterable<readonly [Cidr, ForwardingRoute | undefined]>): void {
    for (const [prefix, route] of changes) {
      const wish = this.#wish(prefix);
      wish.learned = route;
      this.#enqueue(wish);
    }
    this.workOff();
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
    this.noteWays();
    this.workOff();
  }

  /** Routes to peers that are reached through a gateway (BGPPeer reachableBy). */
  setPeerGateways(gateways: ReadonlyMap<Ip, Ip>): void {
    const wanted = new Map([...gateways].map(([peer, gateway]) => [hostCidr(peer), gateway]));
    for (const peer of new Set([...this.#peerGateways.keys(), ...wanted.keys()])) {
      if (this.#peerGateways.get(peer) !== wanted.get(peer)) this.#enqueue(this.#wish(peer));
    }
    this.#peerGateways = wanted;
    this.workOff();
  }

  /** What own blocks are to next hops: no way leads there. */
  *holes(): IterableIterator<readonly [string, UnderlayRoute]> {
    for (const block of this.#blackholes) yield holeRoute(block);
  }

  /** What was set is complete: stale routes of an earlier run go, once what was set is in. */
  sweep(): void {
    this.#sweepAfterQueue = true;
    this.workOff();
  }

  /** Prefixes whose gateways have changed queue again. */
  noteWays(): void {
    for (const prefix of this.#nextHops.takeChanged()) this.#enqueue(this.#wish(prefix));
  }

  /** Tries again what the kernel refused. Whether some of it went in: the rest need not wait. */
  retry(): boolean {
    const before = this.#routes.failing;
    if (before === 0 || this.#scheduled) return false;
    this.#routes.retry(WRITE_PORTION);
    this.writePortion();
    return this.#routes.failing > 0 && this.#routes.failing < before;
  }

  /** Writes a portion now, unless portions are under way already, and the rest in turns to come. */
  workOff(): void {
    if (!this.#scheduled) this.writePortion();
  }

  writePortion(): void {
    if (this.#options.signal.aborted) return;
    let left = WRITE_PORTION;
    while (left > 0 && this.#queueHead < this.#queue.length) {
      for (; left > 0 && this.#queueHead < this.#queue.length; left--) {
        const wish = this.#queue[this.#queueHead++] as Wish;
        wish.isQueued = false;
        this.#fulfil(wish);
      }
      // A route may be what others lead over.
      this.noteWays();
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
      this.#options.onNoAnswer();
      return;
    }
    if (!this.isIdle) this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.writePortion();
    });
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
}

const holeKey = (block: Cidr) => `hole ${block}`;

function holeRoute(block: Cidr): readonly [string, UnderlayRoute] {
  return [holeKey(block), { destination: block, metric: OWN_METRIC, hops: [] }];
}
