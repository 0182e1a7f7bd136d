/**
 * A kernel as far as the BGP daemon knows it: links, addresses, one table of routes, and events of what changes.
 * It outlives the daemons that use it, as kernels do.
 */

import { NetlinkError } from "../../../linux/errors.ts";
import type { KernelEvent, SubscriptionOptions } from "../../../linux/events.ts";
import {
  type Link,
  type LinkAddress,
  type Route,
  RouteProtocol,
  routeKey,
} from "../../../linux/rtnetlink.ts";
import { cidr, cidrOf, cidrVersion, parseInterfaceAddress } from "../../../net/cidr.ts";
import { ipVersion } from "../../../net/ip.ts";

export class FakeKernel {
  readonly routes = new Map<string, Route>();
  /** Every write of the daemon, as text: `+10.65.1.0/26 via 10.0.0.2`, `-10.65.1.0/26`. */
  readonly writes: string[] = [];
  listings = 0;
  subscriptions = 0;
  readonly #links = new Map<number, Link>();
  readonly #addresses: LinkAddress[] = [];
  readonly #subscribers = new Set<SubscriptionOptions>();

  /** Routes to these are refused. */
  readonly refused = new Set<string>();
  /** Thrown by the next write. */
  writeError: Error | undefined;
  /** Routes per portion of a scan. */
  portion = Number.POSITIVE_INFINITY;

  /** What a daemon is given. */
  readonly rtnetlink = {
    portId: 4711,
    listLinks: () => [...this.#links.values()],
    listAddresses: (filter: { family?: 4 | 6; interfaceIndex?: number } = {}) =>
      this.#addresses.filter(
        ({ ip, interfaceIndex }) =>
          (filter.family === undefined || filter.family === ipVersion(ip)) &&
          (filter.interfaceIndex === undefined || filter.interfaceIndex === interfaceIndex),
      ),
    listRoutes: ({ table = 254 }: { table?: number } = {}) => this.#inTable(table),
    scanRoutes: ({ table = 254 }: { table?: number } = {}) => this.#scan(table),
    replaceRoutes: (routes: readonly Route[]) => {
      this.#failIfToldTo();
      return routes.flatMap(item => {
        if (this.refused.has(item.destination))
          return [{ item, error: new NetlinkError(101, "replace route") }];
        this.writes.push(`+${describe(item)}`);
        this.setRoute(item, this.rtnetlink.portId);
        return [];
      });
    },
    deleteRoutes: (routes: readonly Route[]) => {
      this.#failIfToldTo();
      for (const route of routes) {
        this.writes.push(`-${route.destination}`);
        this.deleteRoute(route.destination, route.metric, this.rtnetlink.portId);
      }
      return [];
    },
    replaceAddress: (address: LinkAddress) => this.#addAddress(address, this.rtnetlink.portId),
    deleteAddress: ({ interfaceIndex, ip }: LinkAddress) => {
      const at = this.#addresses.findIndex(
        other => other.interfaceIndex === interfaceIndex && other.ip === ip,
      );
      if (at >= 0) this.#addresses.splice(at, 1);
      return at >= 0;
    },
    close: () => {},
  };

  #inTable(wanted: number): Route[] {
    return [...this.routes.values()].filter(({ table = 254 }) => table === wanted);
  }

  *#scan(table: number): Generator<Route[], boolean, undefined> {
    this.listings++;
    const routes = this.#inTable(table);
    for (let at = 0; at < routes.length; at += this.portion) yield routes.slice(at, at + this.portion);
    return true;
  }

  #failIfToldTo(): void {
    const error = this.writeError;
    this.writeError = undefined;
    if (error) throw error;
  }

  readonly subscribe = (options: SubscriptionOptions) => {
    this.subscriptions++;
    this.#subscribers.add(options);
    return { stop: () => void this.#subscribers.delete(options) };
  };

  /** `ip addr add ADDRESS dev NAME`, with the connected route that comes with it. */
  addAddress(index: number, text: string): void {
    const { ip, prefixLength } = parseInterfaceAddress(text)!;
    this.#addAddress({ interfaceIndex: index, ip, prefixLength }, undefined);
    this.setRoute({
      destination: cidrOf(ip, prefixLength),
      protocol: RouteProtocol.KERNEL,
      type: "unicast",
      scope: "link",
      interfaceIndex: index,
    });
  }

  #addAddress(address: LinkAddress, by: number | undefined): void {
    this.#addresses.push(address);
    this.#emit([{ type: "address", action: "new", address }], by);
  }

  /** `cali7 169.254.1.1/32` */
  get addresses(): string[] {
    return this.#addresses.map(
      ({ interfaceIndex, ip, prefixLength }) =>
        `${this.#links.get(interfaceIndex)?.name} ${ip}/${prefixLength}`,
    );
  }

  /** The last one of an interface takes all its routes with it, without events. */
  removeAddress(text: string): void {
    const { ip } = parseInterfaceAddress(text)!;
    const at = this.#addresses.findIndex(address => address.ip === ip);
    const [address] = this.#addresses.splice(at, 1);
    for (const [key, route] of this.routes)
      if (route.interfaceIndex === address?.interfaceIndex) this.routes.delete(key);
    this.emit({ type: "address", action: "delete", address: address! });
  }

  addLink(index: number, name: string): void {
    const link = { index, name, mtu: 1500, up: true, operState: "up" } as const;
    this.#links.set(index, link);
    this.emit({ type: "link", action: "new", link });
  }

  /** The kernel drops IPv4 routes over it without a word. */
  linkDown(index: number): void {
    const link = { ...this.#links.get(index)!, up: false };
    this.#links.set(index, link);
    for (const [key, route] of this.routes) {
      if (route.interfaceIndex === index && cidrVersion(route.destination) === 4) this.routes.delete(key);
    }
    this.emit({ type: "link", action: "new", link });
  }

  /** `by`: the socket of whoever does it. */
  setRoute(route: Route, by?: number): void {
    const interfaceIndex = route.interfaceIndex ?? this.#interfaceTo(route);
    const whole = interfaceIndex === undefined ? route : { ...route, interfaceIndex };
    this.routes.set(routeKey(route), whole);
    this.#emit([{ type: "route", action: "new", route: whole }], by);
  }

  deleteRoute(destination: string, metric?: number, by?: number): void {
    for (const [key, route] of this.routes) {
      if (route.destination !== destination || (metric !== undefined && route.metric !== metric)) continue;
      this.routes.delete(key);
      this.#emit([{ type: "route", action: "delete", route }], by);
    }
  }

  /** A workload's route as felix writes it. */
  addWorkload(index: number, destination: string, metric = 1024): void {
    this.setRoute({
      destination: cidr(destination),
      protocol: 80,
      type: "unicast",
      interfaceIndex: index,
      metric,
    });
  }

  /** Whoever listens hears nothing any more, and is told so. */
  failEvents(): void {
    const subscribers = [...this.#subscribers];
    this.#subscribers.clear();
    for (const { onFailure } of subscribers) onFailure(new Error("the worker ended"));
  }

  /** Events come later, as from a socket. */
  emit(...events: KernelEvent[]): void {
    this.#emit(events, undefined);
  }

  #emit(events: readonly KernelEvent[], by: number | undefined): void {
    for (const subscriber of this.#subscribers) {
      if (by !== undefined && subscriber.exceptCausedBy === by) continue;
      queueMicrotask(() => {
        if (this.#subscribers.has(subscriber)) subscriber.onEvents(events);
      });
    }
  }

  /** Protocol bgp, sorted: `10.65.1.0/26 via 10.0.0.2`, `blackhole 10.65.0.0/26`. */
  get bgpRoutes(): string[] {
    return [...this.routes.values()]
      .filter(({ protocol }) => protocol === RouteProtocol.BGP)
      .map(describe)
      .sort();
  }

  #interfaceTo({ gateway }: Route): number | undefined {
    return gateway === undefined
      ? undefined
      : this.#addresses.find(
          ({ ip, prefixLength }) =>
            ipVersion(ip) === ipVersion(gateway) &&
            cidrOf(ip, prefixLength) === cidrOf(gateway, prefixLength),
        )?.interfaceIndex;
  }
}

function describe({ destination, type, gateway, nextHops, metric }: Route): string {
  if (type === "blackhole") return `blackhole ${destination}`;
  const ways = nextHops ?? [{ gateway }];
  const unusual = metric === 1024 ? "" : ` metric ${metric}`;
  return `${destination}${ways.map(way => ` via ${way.gateway}`).join("")}${unusual}`;
}
