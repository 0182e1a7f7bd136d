/**
 * The daemon's side of the kernel: what BGP learned goes in as routes of protocol 186, own blocks as blackholes;
 * workload routes, host addresses and the underlay come out, because origination and next hops depend on them.
 *
 * Routes are never taken away because we stop: they carry traffic until the next start has read them back and
 * compared (graceful restart). Nothing of other protocols is ever changed.
 */

import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import { EventSubscription, type KernelEvent } from "../linux/events.ts";
import { OwnedRoutes, type RouteFailure } from "../linux/owned-routes.ts";
import { type Route, RouteProtocol, RouteTable, Rtnetlink, routeKey } from "../linux/rtnetlink.ts";
import { type Cidr, cidrOf, hostCidr, isHostCidr, networkAddress } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import { type ForwardingRoute, resolveNextHop, type UnderlayRoute } from "./forwarding.ts";
import type { WorkloadRoute } from "./origination.ts";

const RESYNC_INTERVAL_MS = 30_000;
const RETRY_INTERVAL_MS = 1_000;

export interface KernelOptions {
  /** Interfaces of workloads begin with one of these. */
  readonly interfacePrefixes: readonly string[];
  readonly logger: Logger;
  readonly clock: Clock;
  /** Workload routes or host addresses changed. */
  readonly onLocalChange: () => void;
}

export class Kernel {
  readonly #options: KernelOptions;
  readonly #rtnetlink: Rtnetlink;
  readonly #routes: OwnedRoutes;
  #events: EventSubscription | undefined;
  readonly #stop = new AbortController();

  readonly #learned = new Map<Cidr, ForwardingRoute>();
  readonly #blackholes = new Set<Cidr>();
  /** Interface indexes of workloads. */
  readonly #workloadLinks = new Set<number>();
  readonly #workloadRoutes = new Map<string, WorkloadRoute>();
  readonly #underlay = new Map<string, UnderlayRoute>();
  #hostAddresses: Cidr[] = [];
  #applying = false;
  /** Failures already reported, so that a retry every second does not fill the log. */
  readonly #reported = new Set<string>();

  constructor(options: KernelOptions) {
    this.#options = options;
    this.#rtnetlink = Rtnetlink.open();
    this.#routes = new OwnedRoutes({
      rtnetlink: this.#rtnetlink,
      owns: route => route.protocol === RouteProtocol.BGP,
    });
  }

  /** Reads what is there; from then on follows it. */
  start(): void {
    this.#subscribe();
    this.#resync();
    void this.#everySoOften(RESYNC_INTERVAL_MS, () => this.#resync());
    void this.#everySoOften(RETRY_INTERVAL_MS, () => this.#apply());
  }

  stop(): void {
    this.#stop.abort();
    this.#events?.stop();
    this.#rtnetlink.close();
  }

  /** Routes of ours were found: this is not the first run since boot. */
  get hasRoutes(): boolean {
    return this.#routes.size > 0;
  }

  get routeCount(): number {
    return this.#routes.size;
  }

  get workloads(): WorkloadRoute[] {
    return [...this.#workloadRoutes.values()];
  }

  get hostAddresses(): readonly Cidr[] {
    return this.#hostAddresses;
  }

  setLearned(changes: Iterable<readonly [Cidr, ForwardingRoute | undefined]>): void {
    for (const [prefix, route] of changes) {
      if (route) this.#learned.set(prefix, route);
      else this.#learned.delete(prefix);
      this.#want(prefix);
    }
    this.#apply();
  }

  /** Every learned prefix there is: those that are not among them are no longer wanted. */
  replaceLearned(routes: ReadonlyMap<Cidr, ForwardingRoute>): void {
    const gone = [...this.#learned.keys()].filter(prefix => !routes.has(prefix));
    this.setLearned([...gone.map(prefix => [prefix, undefined] as const), ...routes]);
  }

  setBlackholes(blocks: ReadonlySet<Cidr>): void {
    for (const block of [...this.#blackholes]) {
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

  /** What was set is complete: stale routes of an earlier run go. */
  sweep(): void {
    this.#routes.sweep();
    this.#apply();
  }

  /** Tells the route table what a prefix should look like now: our own block first, then what was learned. */
  #want(prefix: Cidr): void {
    const base = { destination: prefix, protocol: RouteProtocol.BGP } as const;
    if (this.#blackholes.has(prefix)) {
      this.#routes.want(prefix, { ...base, type: "blackhole", metric: 1024 });
      return;
    }
    const learned = this.#learned.get(prefix);
    const gateways = learned ? this.#gateways(learned.nextHops) : [];
    if (!learned || gateways.length === 0) {
      this.#routes.unwant(prefix);
      return;
    }
    const route = { ...base, type: "unicast", metric: learned.metric } as const;
    this.#routes.want(
      prefix,
      gateways.length === 1
        ? { ...route, gateway: gateways[0] as Ip }
        : { ...route, nextHops: gateways.map(gateway => ({ gateway })) },
    );
  }

  #gateways(nextHops: readonly Ip[]): Ip[] {
    const underlay = [...this.#underlay.values()];
    const own = new Set(this.#hostAddresses);
    const gateways = nextHops
      .filter(hop => !own.has(hostCidr(hop)))
      .map(hop => resolveNextHop(hop, underlay))
      .filter(gateway => gateway !== undefined);
    return [...new Set(gateways)];
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
    this.#events = EventSubscription.open({
      groups: ["link", "address", "route"],
      onEvents: events => this.#onEvents(events),
      onFailure: error => {
        this.#options.logger.error({ err: error }, "kernel events stopped, subscribing again");
        this.#subscribe();
        this.#resync();
      },
    });
  }

  #onEvents(events: readonly KernelEvent[]): void {
    if (this.#stop.signal.aborted) return;
    let localChanged = false;
    let underlayChanged = false;
    for (const event of events) {
      if (event.type === "overflow") {
        this.#resync();
        return;
      }
      if (event.type === "route") {
        const { action, route } = event;
        if ((route.table ?? RouteTable.MAIN) !== RouteTable.MAIN) continue;
        this.#routes.noteEvent(action, route);
        if (route.protocol === RouteProtocol.BGP) continue;
        const isWorkload = this.#noteForeign(action, route);
        if (isWorkload) localChanged = true;
        else underlayChanged = true;
      } else if (event.type === "link") {
        if (event.action === "delete" || !event.link.up) {
          this.#routes.forgetInterface(event.link.index);
          underlayChanged = true;
        }
        this.#noteLink(event.link.index, event.link.name, event.action === "new");
      } else if (event.type === "address") {
        this.#readAddresses();
        localChanged = true;
      }
    }
    if (underlayChanged) this.#rewant();
    if (localChanged) this.#options.onLocalChange();
    this.#apply();
  }

  #noteLink(index: number, name: string, present: boolean): void {
    if (present && this.#options.interfacePrefixes.some(prefix => name.startsWith(prefix)))
      this.#workloadLinks.add(index);
    else this.#workloadLinks.delete(index);
  }

  /** Takes note of a route that is not ours. Whether it is a workload's. */
  #noteForeign(action: "new" | "delete", route: Route): boolean {
    const key = routeKey(route);
    const known = this.#workloadRoutes.has(key);
    const onWorkload = route.interfaceIndex !== undefined && this.#workloadLinks.has(route.interfaceIndex);
    if (onWorkload || known) {
      if (action === "delete") this.#workloadRoutes.delete(key);
      else if (isHostCidr(route.destination) && isUnicastAddress(route.destination)) {
        this.#workloadRoutes.set(key, { prefix: route.destination, metric: route.metric });
      }
      return true;
    }
    if (route.type !== "unicast") return false;
    if (action === "delete") this.#underlay.delete(key);
    else {
      for (const hop of route.nextHops ?? [route])
        this.#underlay.set(key, { destination: route.destination, gateway: hop.gateway });
    }
    return false;
  }

  /** Next hops may resolve differently now. */
  #rewant(): void {
    for (const prefix of this.#learned.keys()) this.#want(prefix);
  }

  #readAddresses(): void {
    this.#hostAddresses = this.#rtnetlink.listAddresses().map(address => hostCidr(address.ip));
  }

  #resync(): void {
    if (this.#stop.signal.aborted) return;
    this.#workloadLinks.clear();
    for (const link of this.#rtnetlink.listLinks()) this.#noteLink(link.index, link.name, true);
    this.#workloadRoutes.clear();
    this.#underlay.clear();
    for (const route of this.#rtnetlink.listRoutes({ table: RouteTable.MAIN })) {
      if (route.protocol !== RouteProtocol.BGP) this.#noteForeign("new", route);
    }
    this.#readAddresses();
    this.#routes.resync();
    this.#rewant();
    this.#options.onLocalChange();
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

/** IPv6 interfaces carry link-local and multicast host routes of the kernel's own. */
function isUnicastAddress(prefix: Cidr): boolean {
  const address = networkAddress(prefix);
  if (ipVersion(address) === 4) return true;
  return cidrOf(address, 10) !== "fe80::/10" && cidrOf(address, 8) !== "ff00::/8";
}
