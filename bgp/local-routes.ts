/**
 * What the kernel holds that is not BGP's: links, addresses and routes of others; and what of it a BGP speaker may announce
 * (calico.md 4.1, the kernel and direct protocols of Calico's bird):
 *
 *   workload   a single address on an interface of a workload
 *   connected  the subnet of an address of this host
 *   cluster    a route of felix's to other hosts, through a tunnel or not
 *   foreign    any other route that somebody has put into the main table
 *
 * What of it is announced is decided elsewhere (origination.ts). Pure: fed with what the kernel says. Everything goes by
 * interface index, and what an index is called is looked up last, since links are renamed while they have routes.
 */

import type { Link, LinkAddress, Route } from "../linux/rtnetlink.ts";
import { RouteProtocol, routeKey } from "../linux/rtnetlink.ts";
import { type Cidr, cidrOf, hostCidr, isHostCidr, networkAddress } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";

export interface LocalRoute {
  readonly kind: "workload" | "connected" | "cluster" | "foreign";
  readonly prefix: Cidr;
  readonly metric: number | undefined;
  /** Undefined: it leads to no interface (blackhole). */
  readonly interfaceName: string | undefined;
}

interface Held {
  readonly prefix: Cidr;
  readonly metric: number | undefined;
  readonly interfaceIndex: number | undefined;
  readonly protocol: number;
}

/** Felix's deviceRouteProtocol. */
const FELIX_PROTOCOL = 80;

const HOST_SCOPES: ReadonlySet<string | undefined> = new Set(["host", "link", "nowhere"]);

export class LocalRoutes {
  #workloadPrefixes: readonly string[];
  readonly #names = new Map<number, string>();
  readonly #routes = new Map<string, Held>();
  #addresses: readonly LinkAddress[] = [];

  /** Interfaces of workloads begin with one of these. */
  constructor(workloadPrefixes: readonly string[]) {
    this.#workloadPrefixes = workloadPrefixes;
  }

  /** Whether they are others. */
  setWorkloadPrefixes(prefixes: readonly string[]): boolean {
    if (prefixes.join() === this.#workloadPrefixes.join()) return false;
    this.#workloadPrefixes = prefixes;
    return true;
  }

  /** Whether what may be announced has changed; so with the methods below. */
  noteLink(link: Pick<Link, "index" | "name">, present: boolean): boolean {
    const former = this.#names.get(link.index);
    if (former === (present ? link.name : undefined)) return false;
    if (present) this.#names.set(link.index, link.name);
    else this.#names.delete(link.index);
    return (
      this.#addresses.some(({ interfaceIndex }) => interfaceIndex === link.index) ||
      [...this.#routes.values()].some(({ interfaceIndex }) => interfaceIndex === link.index)
    );
  }

  noteRoute(action: "new" | "delete", route: Route): boolean {
    const key = routeKey(route);
    const former = this.#routes.get(key);
    const now = action === "new" ? held(route) : undefined;
    if (!now) return this.#routes.delete(key);
    this.#routes.set(key, now);
    return former?.interfaceIndex !== now.interfaceIndex || former?.protocol !== now.protocol;
  }

  /** An interface that is down has no IPv4 routes, and the kernel says nothing of it. */
  forgetInterface(index: number): boolean {
    let lost = false;
    for (const [key, route] of this.#routes)
      if (route.interfaceIndex === index) lost = this.#routes.delete(key);
    return lost;
  }

  setAddresses(addresses: readonly LinkAddress[]): boolean {
    const before = new Set(this.#addresses.map(addressKey));
    this.#addresses = addresses;
    return before.size !== addresses.length || addresses.some(address => !before.has(addressKey(address)));
  }

  /** All links and all routes there are. */
  replace(links: Iterable<Pick<Link, "index" | "name">>, routes: Iterable<Route>): void {
    this.#names.clear();
    for (const { index, name } of links) this.#names.set(index, name);
    this.#routes.clear();
    for (const route of routes) this.noteRoute("new", route);
  }

  get hostAddresses(): Cidr[] {
    return this.#addresses.map(({ ip }) => hostCidr(ip));
  }

  nameOf(index: number | undefined): string | undefined {
    return index === undefined ? undefined : this.#names.get(index);
  }

  indexOf(name: string): number | undefined {
    for (const [index, other] of this.#names) if (other === name) return index;
    return undefined;
  }

  hasAddress(index: number, ip: Ip): boolean {
    return this.#addresses.some(address => address.interfaceIndex === index && address.ip === ip);
  }

  isWorkload(index: number | undefined): boolean {
    const name = this.nameOf(index);
    return name !== undefined && this.#workloadPrefixes.some(prefix => name.startsWith(prefix));
  }

  *routes(): Generator<LocalRoute> {
    for (const { ip, prefixLength, peer, interfaceIndex, scope } of this.#addresses) {
      const interfaceName = this.nameOf(interfaceIndex);
      const prefix = peer === undefined ? cidrOf(ip, prefixLength) : hostCidr(peer);
      if (HOST_SCOPES.has(scope) || this.isWorkload(interfaceIndex) || !isUnicast(prefix)) continue;
      yield { kind: "connected", prefix, metric: undefined, interfaceName };
    }
    for (const { prefix, metric, interfaceIndex, protocol } of this.#routes.values()) {
      const interfaceName = this.nameOf(interfaceIndex);
      if (!this.isWorkload(interfaceIndex)) {
        const kind = protocol === FELIX_PROTOCOL ? "cluster" : "foreign";
        if (protocol !== RouteProtocol.KERNEL) yield { kind, prefix, metric, interfaceName };
      } else if (isHostCidr(prefix)) yield { kind: "workload", prefix, metric, interfaceName };
    }
  }
}

function held(route: Route): Held | undefined {
  const { destination: prefix, metric, type, protocol, nextHops } = route;
  const leads = type === "unicast";
  if (!leads && type !== "blackhole" && type !== "unreachable" && type !== "prohibit") return undefined;
  if (!isUnicast(prefix)) return undefined;
  const interfaceIndex = leads ? (nextHops?.[0] ?? route).interfaceIndex : undefined;
  return { prefix, metric, interfaceIndex, protocol };
}

function addressKey({ interfaceIndex, ip, prefixLength, peer }: LinkAddress): string {
  return `${interfaceIndex} ${ip}/${prefixLength} ${peer ?? ""}`;
}

/** IPv6 interfaces carry link-local and multicast routes of the kernel's own. */
function isUnicast(prefix: Cidr): boolean {
  const address: Ip = networkAddress(prefix);
  if (ipVersion(address) === 4) return true;
  return cidrOf(address, 10) !== "fe80::/10" && cidrOf(address, 8) !== "ff00::/8";
}
