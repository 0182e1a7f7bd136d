/**
 * Interfaces, routes and neighbours of the workloads on this host.
 *
 * A workload's addresses are routed to its veth while the veth is up and its policy is in force; who decides the latter
 * calls {@link WorkloadLinks.admit}. Until then, and after {@link WorkloadLinks.dismiss}, nothing leads there. What the
 * kernel reports (links up and down, renamed, routes wiped) is repaired by the next `apply`.
 *
 * More than one workload may claim an address, as when one takes it over before the other has given it up. The first
 * by interface name that is up has it, whatever the order of events; when it moves, it leaves the old interface, its
 * connections are forgotten, and only then it is led to the new one.
 */

import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { Conntrack, TupleSide } from "../../linux/conntrack.ts";
import type { KernelEvent } from "../../linux/events.ts";
import { OwnedRoutes, type RouteFailure } from "../../linux/owned-routes.ts";
import { type Link, type Route, RouteProtocol, RouteTable, type Rtnetlink } from "../../linux/rtnetlink.ts";
import { SysctlError, SysctlErrorCode, writeSysctl } from "../../linux/sysctl.ts";
import { hostCidr } from "../../net/cidr.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import type { Mac } from "../../net/mac.ts";
import type { LocalEndpoint } from "../calc/changes.ts";
import type { FelixConfig } from "../calc/config.ts";

/** Felix's own protocol number (calico.md 3.5). */
export const FELIX_ROUTE_PROTOCOL = 80;

/** A CNI plugin writes routes before the datastore has told us of the endpoint: leave them alone for so long. */
const GRACE_MS = 10_000;

/** Where a workload's own address stands, whatever is translated; and where its floating ones do. */
const OWN_SIDES: readonly TupleSide[] = ["orig-source", "reply-source"];
const ALL_SIDES: readonly TupleSide[] = [...OWN_SIDES, "orig-destination", "reply-destination"];

export interface WorkloadLinksOptions {
  readonly rtnetlink: Pick<
    Rtnetlink,
    "listLinks" | "listRoutes" | "replaceRoutes" | "deleteRoutes" | "replaceNeighbour" | "deleteNeighbour"
  >;
  readonly conntrack: Pick<Conntrack, "deleteByAddresses">;
  readonly config: FelixConfig;
  readonly logger: Logger;
  readonly clock: Clock;
  /** @throws SysctlError. Default: in the calling thread's namespace. */
  readonly setParameter?: (parameter: string, value: string | number) => void;
}

interface KnownLink {
  readonly link: Link;
  readonly since: number;
  /** Whether parameters and neighbours are as they should be. */
  configured: boolean;
  /** Entries written for the workload's addresses. */
  readonly neighbours: Map<Ip, Mac | undefined>;
}

export class WorkloadLinks {
  readonly #options: WorkloadLinksOptions;
  readonly #routes: OwnedRoutes;
  /** Workload interfaces by name, and their names by index. */
  readonly #links = new Map<string, KnownLink>();
  readonly #names = new Map<number, string>();
  /** Endpoints whose policy is in force, by interface name. */
  readonly #admitted = new Map<string, LocalEndpoint>();
  /** Interfaces of admitted endpoints by address. */
  readonly #claims = new Map<Ip, Set<string>>();
  /** Where an address was last led to. */
  readonly #holders = new Map<Ip, string>();
  /** Addresses to look at in the next apply. */
  readonly #unsettled = new Set<Ip>();
  /** Addresses to forget connections of: they are no longer where they were. */
  readonly #moved = new Set<Ip>();
  /** Failures that have been logged and persist. */
  readonly #reported = { deletions: new Set<string>(), additions: new Set<string>() };

  constructor(options: WorkloadLinksOptions) {
    this.#options = options;
    this.#routes = new OwnedRoutes({
      rtnetlink: options.rtnetlink,
      owns: route => this.#owns(route),
      // Of overlay/: an address that was on another host a moment ago.
      replaces: ({ protocol }) => protocol === FELIX_ROUTE_PROTOCOL,
    });
  }

  /** Whether there is something to apply, or to try again. */
  get pending(): boolean {
    if (this.#routes.pending || this.#unsettled.size > 0) return true;
    for (const name of this.#admitted.keys()) if (this.#needsConfiguring(name)) return true;
    return false;
  }

  /** Interfaces that are there and up. */
  isUp(interfaceName: string): boolean {
    return this.#links.get(interfaceName)?.link.up ?? false;
  }

  /** Policy for this endpoint is in force: lead traffic to it. */
  admit(endpoint: LocalEndpoint): void {
    const { interfaceName } = endpoint;
    const former = this.#admitted.get(interfaceName);
    this.#admitted.set(interfaceName, endpoint);
    if (former) this.#unclaim(former);
    for (const address of this.#ledAddresses(endpoint)) {
      const claims = this.#claims.get(address);
      if (claims) claims.add(interfaceName);
      else this.#claims.set(address, new Set([interfaceName]));
      this.#unsettled.add(address);
    }
    const known = this.#links.get(interfaceName);
    if (known) known.configured &&= sameNeighbours(known.neighbours, this.#neighboursOf(endpoint));
  }

  /** The endpoint is gone, or about to be without policy: nothing may lead to it from the next `applyRemovals` on. */
  dismiss(interfaceName: string): void {
    const endpoint = this.#admitted.get(interfaceName);
    if (!endpoint) return;
    this.#admitted.delete(interfaceName);
    this.#unclaim(endpoint);
  }

  /** What was told is complete: routes of an earlier run that nobody wants are removed from now on. */
  sweep(): void {
    this.#routes.sweep();
  }

  /** Takes away routes. To be called before rules change. */
  applyRemovals(): void {
    for (const address of this.#unsettled) {
      const target = this.#targetOf(address);
      const index = this.#routes.wanted(address)?.interfaceIndex;
      if (index !== undefined && index !== target?.link.index) this.#routes.unwant(address);
      // While its interface is only down, the workload keeps its connections.
      const holder = this.#holders.get(address);
      const left = target ? target.link.name !== holder : !this.#claims.get(address)?.has(holder ?? "");
      if (holder === undefined || !left) continue;
      this.#holders.delete(address);
      this.#moved.add(address);
    }
    this.#report("deletions", this.#routes.applyDeletions());
    this.#forgetMoved();
  }

  /** Configures interfaces and adds routes. To be called when rules are in force, after `applyRemovals`. */
  applyAdditions(): void {
    for (const name of this.#admitted.keys()) if (this.#needsConfiguring(name)) this.#configure(name);
    for (const address of this.#unsettled) {
      const target = this.#targetOf(address);
      if (!target) continue;
      this.#routes.want(address, this.#routeTo(address, target.link.index));
      this.#holders.set(address, target.link.name);
    }
    this.#unsettled.clear();
    this.#report("additions", this.#routes.applyAdditions());
  }

  /** Whether something is to be repaired. */
  noteEvents(events: readonly KernelEvent[]): boolean {
    for (const event of events) {
      if (event.type === "overflow") this.resync();
      else if (event.type === "link") this.#noteLink(event.link, event.action === "new");
      else if (event.type === "route") this.#routes.noteEvent(event.action, event.route);
    }
    return this.pending;
  }

  /** Reads links and routes afresh. */
  resync(): void {
    const links = this.#options.rtnetlink.listLinks();
    const indexes = new Set(links.map(link => link.index));
    for (const known of [...this.#links.values()])
      if (!indexes.has(known.link.index)) this.#noteLink(known.link, false);
    for (const link of links) this.#noteLink(link, true);
    this.#routes.resync();
    for (const known of this.#links.values()) {
      known.configured = false;
      // Whether they are still there is not known; which ones were ours is.
      for (const ip of known.neighbours.keys()) known.neighbours.set(ip, undefined);
    }
  }

  /** Connections of the addresses, whoever begins one now. */
  #forgetMoved(): void {
    if (this.#moved.size === 0) return;
    const { config, conntrack, logger } = this.#options;
    const addresses = [...this.#moved];
    this.#moved.clear();
    try {
      conntrack.deleteByAddresses(addresses, config.floatingIPs === "Enabled" ? ALL_SIDES : OWN_SIDES);
    } catch (error) {
      logger.warn({ addresses, err: error }, "could not forget the connections of addresses that moved");
    }
  }

  #noteLink(link: Link, present: boolean): void {
    const formerName = this.#names.get(link.index);
    if (formerName !== undefined && !present) this.#routes.forgetInterface(link.index);
    if (formerName !== undefined && (!present || formerName !== link.name)) this.#forgetLink(formerName);
    if (!present || !this.#options.config.interfacePrefix.some(prefix => link.name.startsWith(prefix)))
      return;

    const known = this.#links.get(link.name);
    // Another interface had the name, and the event of its end has not come yet.
    if (known && known.link.index !== link.index) {
      this.#routes.forgetInterface(known.link.index);
      this.#forgetLink(link.name);
    }
    const same = known?.link.index === link.index ? known : undefined;
    // With the interface, the kernel took down its routes and neighbours.
    if (same?.link.up && !link.up) this.#routes.forgetInterface(link.index);
    const keeps = same !== undefined && link.up;
    this.#links.set(link.name, {
      link,
      since: same?.since ?? this.#options.clock.now(),
      configured: keeps && same.configured,
      neighbours: keeps ? same.neighbours : new Map(),
    });
    this.#names.set(link.index, link.name);
    if (same?.link.up !== link.up) this.#unsettle(link.name);
  }

  #forgetLink(name: string): void {
    const known = this.#links.get(name);
    if (!known) return;
    this.#names.delete(known.link.index);
    this.#links.delete(name);
    this.#unsettle(name);
  }

  #unsettle(interfaceName: string): void {
    const endpoint = this.#admitted.get(interfaceName);
    if (endpoint) for (const address of this.#ledAddresses(endpoint)) this.#unsettled.add(address);
  }

  #unclaim(endpoint: LocalEndpoint): void {
    for (const address of this.#ledAddresses(endpoint)) {
      const claims = this.#claims.get(address);
      if (claims?.delete(endpoint.interfaceName) && claims.size === 0) this.#claims.delete(address);
      this.#unsettled.add(address);
    }
  }

  /** Its own, and those that are translated to them on the way in: they are told to other hosts by their routes. */
  #ledAddresses(endpoint: LocalEndpoint): readonly Ip[] {
    const floating = endpoint.floatingIps.map(({ external }) => external);
    return this.#usable([...endpoint.addresses, ...floating]);
  }

  /** Without rules for IPv6, nothing may be led to a workload by it. */
  #usable(addresses: readonly Ip[]): readonly Ip[] {
    return this.#options.config.ipv6Support ? addresses : addresses.filter(ip => ipVersion(ip) === 4);
  }

  #targetOf(address: Ip): KnownLink | undefined {
    const claims = [...(this.#claims.get(address) ?? [])].filter(name => this.isUp(name)).sort();
    return claims[0] === undefined ? undefined : this.#links.get(claims[0]);
  }

  #routeTo(address: Ip, interfaceIndex: number): Route {
    const { config } = this.#options;
    const v4 = ipVersion(address) === 4;
    const source = config.deviceRouteSourceAddress as Ip;
    return {
      destination: hostCidr(address),
      protocol: config.deviceRouteProtocol,
      type: "unicast",
      interfaceIndex,
      metric: v4 ? config.ipv4NormalRoutePriority : config.ipv6NormalRoutePriority,
      ...(v4 && { scope: "link" as const }),
      ...(v4 && source && { source }),
    };
  }

  /**
   * In the main table, on workload interfaces: what carries our protocol number, and whatever leads to a workload, if it has
   * been there long enough for the datastore to have told us why.
   */
  #owns(route: Route): boolean {
    if ((route.table ?? RouteTable.MAIN) !== RouteTable.MAIN) return false;
    const name = route.interfaceIndex === undefined ? undefined : this.#names.get(route.interfaceIndex);
    const known = name === undefined ? undefined : this.#links.get(name);
    if (!known) return false;
    if (route.protocol === FELIX_ROUTE_PROTOCOL) return true;
    const { config, clock } = this.#options;
    const external = route.protocol === RouteProtocol.BOOT || route.protocol === RouteProtocol.STATIC;
    if (route.protocol !== config.deviceRouteProtocol && !(external && config.removeExternalRoutes))
      return false;
    const metric = route.metric ?? 0;
    const likeOurs = metric === config.ipv4NormalRoutePriority || metric === config.ipv6NormalRoutePriority;
    return likeOurs || clock.now() - known.since > GRACE_MS;
  }

  #needsConfiguring(interfaceName: string): boolean {
    const known = this.#links.get(interfaceName);
    return known?.link.up === true && !known.configured;
  }

  #neighboursOf(endpoint: LocalEndpoint): ReadonlyMap<Ip, Mac> {
    const { mac, addresses } = endpoint;
    return new Map(mac ? this.#usable(addresses).map(address => [address, mac]) : []);
  }

  /** The veth may vanish at any moment: then its next event brings us back. */
  #configure(interfaceName: string): void {
    const { rtnetlink, logger } = this.#options;
    const known = this.#links.get(interfaceName) as KnownLink;
    const { index: interfaceIndex } = known.link;
    try {
      if (!this.#setParameters(interfaceName)) {
        known.configured = true;
        return;
      }
      const wanted = this.#neighboursOf(this.#admitted.get(interfaceName) as LocalEndpoint);
      for (const [ip, mac] of wanted) {
        if (known.neighbours.get(ip) !== mac) rtnetlink.replaceNeighbour({ interfaceIndex, ip, mac });
        known.neighbours.set(ip, mac);
      }
      for (const ip of [...known.neighbours.keys()]) {
        if (wanted.has(ip)) continue;
        rtnetlink.deleteNeighbour({ interfaceIndex, ip });
        known.neighbours.delete(ip);
      }
      known.configured = true;
    } catch (error) {
      logger.warn({ interface: interfaceName, err: error }, "could not configure an interface");
    }
  }

  /** False when the interface is not there any more. */
  #setParameters(interfaceName: string): boolean {
    const { config, setParameter = writeSysctl } = this.#options;
    const set = (parameter: string, value: number): boolean => {
      try {
        setParameter(parameter, value);
        return true;
      } catch (error) {
        if (error instanceof SysctlError && error.code === SysctlErrorCode.NotFound) return false;
        throw error;
      }
    };
    const v4 = `net/ipv4/conf/${interfaceName}`;
    const v6 = `net/ipv6/conf/${interfaceName}`;
    const there =
      set(`${v4}/route_localnet`, 1) &&
      set(`net/ipv4/neigh/${interfaceName}/proxy_delay`, 0) &&
      set(`${v4}/proxy_arp`, 1) &&
      set(`${v4}/forwarding`, 1);
    // A kernel without IPv6 has none of these, and nothing is lost.
    if (there && config.ipv6Support && set(`${v6}/accept_ra`, 0)) {
      set(`${v6}/proxy_ndp`, 1);
      set(`${v6}/forwarding`, 1);
    }
    return there;
  }

  #report(what: "deletions" | "additions", failures: readonly RouteFailure[]): void {
    const former = this.#reported[what];
    const now = new Set<string>();
    for (const { route, error } of failures) {
      const text = `${route.destination} ${error?.code}`;
      now.add(text);
      if (former.has(text)) continue;
      const reason = error?.message ?? "another program's route holds the place";
      const message =
        what === "additions" ? "route not written, trying again" : "route not removed, trying again";
      this.#options.logger.warn({ destination: route.destination, reason }, message);
    }
    this.#reported[what] = now;
  }
}

function sameNeighbours(a: ReadonlyMap<Ip, Mac | undefined>, b: ReadonlyMap<Ip, Mac>): boolean {
  return a.size === b.size && [...a].every(([ip, mac]) => b.get(ip) === mac);
}
