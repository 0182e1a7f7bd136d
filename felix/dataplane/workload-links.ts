/**
 * Interfaces, routes and neighbours of the workloads on this host.
 *
 * A workload's addresses are routed to its veth while the veth is up and its policy is in force; who decides the latter
 * calls {@link WorkloadLinks.admit}. Until then, and after {@link WorkloadLinks.dismiss}, nothing leads there. What the
 * kernel reports (links up and down, routes wiped) is repaired by the next `apply`.
 */

import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { Conntrack } from "../../linux/conntrack.ts";
import type { KernelEvent } from "../../linux/events.ts";
import { OwnedRoutes } from "../../linux/owned-routes.ts";
import { type Link, type Route, RouteProtocol, RouteTable, type Rtnetlink } from "../../linux/rtnetlink.ts";
import { SysctlError, SysctlErrorCode, writeSysctl } from "../../linux/sysctl.ts";
import { hostCidr } from "../../net/cidr.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import type { LocalEndpoint } from "../calc/changes.ts";
import type { FelixConfig } from "../calc/config.ts";

/** Felix's own protocol number (calico.md 3.5). */
export const FELIX_ROUTE_PROTOCOL = 80;

/** A CNI plugin writes routes before the datastore has told us of the endpoint: leave them alone for so long. */
const GRACE_MS = 10_000;

export interface WorkloadLinksOptions {
  readonly rtnetlink: Rtnetlink;
  readonly conntrack: Pick<Conntrack, "deleteByAddress">;
  readonly config: FelixConfig;
  readonly logger: Logger;
  readonly clock: Clock;
}

interface KnownLink {
  readonly link: Link;
  readonly since: number;
  configured: boolean;
}

export class WorkloadLinks {
  readonly #options: WorkloadLinksOptions;
  readonly #routes: OwnedRoutes;
  /** Workload interfaces by name, and their names by index. */
  readonly #links = new Map<string, KnownLink>();
  readonly #names = new Map<number, string>();
  /** Endpoints whose policy is in force, by interface name. */
  readonly #admitted = new Map<string, LocalEndpoint>();
  readonly #reported = new Set<string>();
  /** Addresses to forget connections of: they are no longer where they were. */
  readonly #moved = new Set<Ip>();

  constructor(options: WorkloadLinksOptions) {
    this.#options = options;
    this.#routes = new OwnedRoutes({ rtnetlink: options.rtnetlink, owns: route => this.#owns(route) });
  }

  get pending(): boolean {
    return (
      this.#routes.pending || [...this.#links.values()].some(known => known.link.up && !known.configured)
    );
  }

  /** Interfaces that are there and up. */
  isUp(interfaceName: string): boolean {
    return this.#links.get(interfaceName)?.link.up ?? false;
  }

  /** Policy for this endpoint is in force: lead traffic to it. */
  admit(endpoint: LocalEndpoint): void {
    const former = this.#admitted.get(endpoint.interfaceName);
    for (const address of former?.addresses ?? []) {
      if (!endpoint.addresses.includes(address)) this.#drop(address, endpoint.interfaceName);
    }
    this.#admitted.set(endpoint.interfaceName, endpoint);
    this.#want(endpoint);
  }

  /** The endpoint is gone, or about to be without policy: nothing may lead to it from the next `applyRemovals` on. */
  dismiss(interfaceName: string): void {
    const endpoint = this.#admitted.get(interfaceName);
    if (!endpoint) return;
    this.#admitted.delete(interfaceName);
    for (const address of endpoint.addresses) this.#drop(address, interfaceName);
  }

  /** What was told is complete: routes of an earlier run that nobody wants are removed from now on. */
  sweep(): void {
    this.#routes.sweep();
  }

  /** Takes away routes. To be called before rules change. */
  applyRemovals(): void {
    this.#report(this.#routes.applyDeletions());
    for (const address of this.#moved) {
      try {
        this.#options.conntrack.deleteByAddress(address);
      } catch (error) {
        this.#options.logger.warn(
          { address, err: error },
          "could not forget the connections of an address that moved",
        );
      }
    }
    this.#moved.clear();
  }

  /** Configures interfaces and adds routes. To be called when rules are in force. */
  applyAdditions(): void {
    for (const [name, known] of this.#links) {
      if (known.link.up && !known.configured && this.#admitted.has(name))
        known.configured = this.#configure(known.link);
    }
    this.#report(this.#routes.applyAdditions());
  }

  /** Whether something is to be repaired. */
  noteEvents(events: readonly KernelEvent[]): boolean {
    let pending = false;
    for (const event of events) {
      if (event.type === "overflow") this.resync();
      else if (event.type === "link") this.#noteLink(event.link, event.action === "new");
      else if (event.type === "route") this.#routes.noteEvent(event.action, event.route);
    }
    pending ||= this.pending;
    return pending;
  }

  /** Reads links and routes afresh. */
  resync(): void {
    const links = this.#options.rtnetlink.listLinks();
    const names = new Set(links.map(link => link.name));
    for (const [name, known] of [...this.#links]) if (!names.has(name)) this.#noteLink(known.link, false);
    for (const link of links) this.#noteLink(link, true);
    this.#routes.resync();
    for (const known of this.#links.values()) known.configured = false;
  }

  #noteLink(link: Link, present: boolean): void {
    if (!this.#options.config.interfacePrefix.some(prefix => link.name.startsWith(prefix))) return;
    const known = this.#links.get(link.name);
    if (!present || known?.link.index !== link.index) {
      // An event of an interface that has been replaced under the same name since.
      if (!present && known && known.link.index !== link.index) return;
      if (known) {
        this.#routes.forgetInterface(known.link.index);
        this.#names.delete(known.link.index);
        this.#links.delete(link.name);
      }
    }
    if (present) {
      const same = known?.link.index === link.index ? known : undefined;
      if (same?.link.up && !link.up) this.#routes.forgetInterface(link.index);
      const configured = (same?.configured ?? false) && link.up;
      this.#links.set(link.name, { link, since: same?.since ?? this.#options.clock.now(), configured });
      this.#names.set(link.index, link.name);
      if (same && same.link.up === link.up) return;
    }
    const endpoint = this.#admitted.get(link.name);
    if (endpoint) this.#want(endpoint);
  }

  #want(endpoint: LocalEndpoint): void {
    const known = this.#links.get(endpoint.interfaceName);
    for (const address of endpoint.addresses) {
      if (known?.link.up) this.#routes.want(address, this.#routeTo(address, known.link.index));
      else this.#routes.unwant(address);
    }
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

  /** Unless another endpoint has taken the address over. */
  #drop(address: Ip, interfaceName: string): void {
    const wanted = this.#routes.wanted(address);
    const owner = wanted?.interfaceIndex === undefined ? undefined : this.#names.get(wanted.interfaceIndex);
    if (wanted && owner !== undefined && owner !== interfaceName) return;
    if (this.#routes.unwant(address)) this.#moved.add(address);
  }

  /**
   * In the main table: what carries our protocol number, and on workload interfaces whatever leads to a workload, if it
   * has been there long enough for the datastore to have told us why.
   */
  #owns(route: Route): boolean {
    if ((route.table ?? RouteTable.MAIN) !== RouteTable.MAIN) return false;
    if (route.protocol === FELIX_ROUTE_PROTOCOL) return true;
    const name = route.interfaceIndex === undefined ? undefined : this.#names.get(route.interfaceIndex);
    const known = name === undefined ? undefined : this.#links.get(name);
    if (!known) return false;
    const { config, clock } = this.#options;
    const external = route.protocol === RouteProtocol.BOOT || route.protocol === RouteProtocol.STATIC;
    if (route.protocol !== config.deviceRouteProtocol && !(external && config.removeExternalRoutes))
      return false;
    const metric = route.metric ?? 0;
    const likeOurs = metric === config.ipv4NormalRoutePriority || metric === config.ipv6NormalRoutePriority;
    return likeOurs || clock.now() - known.since > GRACE_MS;
  }

  /** Whether it worked. The veth may vanish at any moment: then its next event brings us back. */
  #configure(link: Link): boolean {
    const { config, logger, rtnetlink } = this.#options;
    const v4 = (name: string) => `net/ipv4/conf/${link.name}/${name}`;
    const v6 = (name: string) => `net/ipv6/conf/${link.name}/${name}`;
    const wanted: [string, string | number][] = [
      [v4("route_localnet"), 1],
      [`net/ipv4/neigh/${link.name}/proxy_delay`, 0],
      [v4("proxy_arp"), 1],
      [v4("forwarding"), 1],
    ];
    if (config.ipv6Support) wanted.push([v6("accept_ra"), 0], [v6("proxy_ndp"), 1], [v6("forwarding"), 1]);
    try {
      for (const [parameter, value] of wanted) writeSysctl(parameter, value);
      const endpoint = this.#admitted.get(link.name);
      for (const ip of endpoint?.mac ? endpoint.addresses : []) {
        rtnetlink.replaceNeighbour({ interfaceIndex: link.index, ip, mac: endpoint!.mac! });
      }
      return true;
    } catch (error) {
      const vanished = error instanceof SysctlError && error.code === SysctlErrorCode.NotFound;
      if (!vanished) logger.warn({ interface: link.name, err: error }, "could not configure an interface");
      return vanished;
    }
  }

  #report(failures: ReturnType<OwnedRoutes["applyAdditions"]>): void {
    if (failures.length === 0) {
      this.#reported.clear();
      return;
    }
    for (const { route, error } of failures) {
      const text = `${route.destination} ${error?.code}`;
      if (this.#reported.has(text)) continue;
      this.#reported.add(text);
      const reason = error?.message ?? "another program's route holds the place";
      this.#options.logger.warn(
        { destination: route.destination, reason },
        "route not written, trying again",
      );
    }
  }
}
