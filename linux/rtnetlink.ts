/**
 * Links, addresses, routes, neighbours and rules of one network namespace.
 *
 * Every method is one synchronous exchange with the kernel over one socket (microseconds, no process, no promise);
 * the socket stays in the namespace it was opened in. Whatever fails throws a {@link NetlinkError}, with two
 * exceptions that callers need constantly: deleting says with a boolean whether there was something to delete,
 * and the batched forms report failures item by item, because one bad route must not keep the others out.
 */

import type { Ip, IpVersion } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import { isNetlinkError, NetlinkError } from "./errors.ts";
import { type NamespaceRef, withOpenNamespace } from "./namespace.ts";
import {
  type LinkAddress,
  readAddress,
  writeAddAddress,
  writeDeleteAddress,
  writeGetAddresses,
} from "./netlink/address.ts";
import {
  type Link,
  type LinkChanges,
  type LinkRef,
  type PlainLinkOptions,
  readLink,
  type VethOptions,
  type VxlanOptions,
  writeCreatePlainLink,
  writeCreateVeth,
  writeCreateVxlan,
  writeDeleteLink,
  writeGetLink,
  writeGetLinks,
  writeSetLink,
} from "./netlink/link.ts";
import {
  type ForwardingEntry,
  type Neighbour,
  type ProxyNeighbour,
  readForwardingEntry,
  readNeighbour,
  readProxyNeighbour,
  writeDeleteForwardingEntry,
  writeDeleteNeighbour,
  writeGetForwardingEntries,
  writeGetNeighbours,
  writeGetProxyNeighbours,
  writeProxyNeighbour,
  writeReplaceForwardingEntry,
  writeReplaceNeighbour,
} from "./netlink/neighbour.ts";
import { deleteIfThere, type Failure, requestAll } from "./netlink/requests.ts";
import {
  type Route,
  type RouteFilter,
  writeAddRoute,
  writeDeleteRoute,
  writeReplaceRoute,
} from "./netlink/route.ts";
import { listRoutes, scanRoutes } from "./netlink/route-list.ts";
import { readLookup, writeLookup } from "./netlink/route-lookup.ts";
import { type Rule, readRule, writeAddRule, writeDeleteRule, writeGetRules } from "./netlink/rule.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";

export { isAbsent, isNetlinkError, NetlinkError } from "./errors.ts";
export type { AddressScope, LinkAddress } from "./netlink/address.ts";
export type {
  Link,
  LinkChanges,
  LinkRef,
  OperState,
  PlainLinkOptions,
  VethOptions,
  VxlanOptions,
  VxlanParameters,
} from "./netlink/link.ts";
export type { ForwardingEntry, Neighbour, NeighbourState, ProxyNeighbour } from "./netlink/neighbour.ts";
export {
  type NextHop,
  type Route,
  type RouteFilter,
  RouteProtocol,
  type RouteScope,
  RouteTable,
  type RouteType,
  routeKey,
  routeSatisfies,
} from "./netlink/route.ts";
export type { Rule, RuleAction } from "./netlink/rule.ts";

const VERSIONS: readonly IpVersion[] = [4, 6];

export class Rtnetlink {
  readonly #socket: NetlinkSocket;
  readonly #namespace: NamespaceRef | undefined;

  private constructor(socket: NetlinkSocket, namespace: NamespaceRef | undefined) {
    this.#socket = socket;
    this.#namespace = namespace;
  }

  /** For the calling thread's namespace, or the one given (name, path or descriptor). */
  static open(options: { namespace?: NamespaceRef | undefined } = {}): Rtnetlink {
    const { namespace } = options;
    return new Rtnetlink(NetlinkSocket.open({ protocol: Protocol.ROUTE, namespace }), namespace);
  }

  /** For {@link SubscriptionOptions.exceptCausedBy}. */
  get portId(): number {
    return this.#socket.portId;
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // Links

  listLinks(): Link[] {
    return this.#socket.get("list links", writeGetLinks, readLink);
  }

  /** Undefined where there is none. */
  getLink(link: LinkRef): Link | undefined {
    try {
      return this.#socket.get(`get link ${link}`, w => writeGetLink(w, link), readLink)[0];
    } catch (error) {
      if (isNetlinkError(error, "ENODEV")) return undefined;
      throw error;
    }
  }

  /** Both ends are down; the peer exists in its own namespace from the beginning, never here. */
  createVeth(veth: VethOptions): void {
    withOpenNamespace(veth.peerNamespace, fd => {
      this.#socket.request(`create veth ${veth.name}`, w => writeCreateVeth(w, veth, fd));
    });
  }

  /** EOPNOTSUPP where the kernel has no such links. */
  createPlainLink(link: PlainLinkOptions): void {
    this.#socket.request(`create ${link.kind} ${link.name}`, w => writeCreatePlainLink(w, link));
  }

  createVxlan(vxlan: VxlanOptions): void {
    this.#socket.request(`create vxlan ${vxlan.name}`, w => writeCreateVxlan(w, vxlan));
  }

  setLink(link: LinkRef, changes: LinkChanges): void {
    const operation = `set link ${link}`;
    // The message's name field is either whom to change or the new name.
    const target = changes.name === undefined ? link : this.#indexOf(link, operation);
    withOpenNamespace(changes.namespace, fd => {
      this.#socket.request(operation, w => writeSetLink(w, target, changes, fd));
    });
  }

  /** Whether it was there. Deleting one end of a veth deletes both. */
  deleteLink(link: LinkRef): boolean {
    return deleteIfThere(this.#socket, `delete link ${link}`, w => writeDeleteLink(w, link));
  }

  // Addresses

  listAddresses(filter: { family?: IpVersion; interfaceIndex?: number } = {}): LinkAddress[] {
    return versions(filter.family)
      .flatMap(version =>
        this.#socket.get(
          `list IPv${version} addresses`,
          w => writeGetAddresses(w, version, filter.interfaceIndex),
          readAddress,
        ),
      )
      .filter(
        ({ interfaceIndex }) =>
          filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
      );
  }

  /** EEXIST where the interface has it. */
  addAddress(address: LinkAddress): void {
    this.#socket.request(`add address ${describeAddress(address)}`, w => writeAddAddress(w, address, false));
  }

  /** Adds it, or gives it these flags. (Scope and peer of an address do not change.) */
  replaceAddress(address: LinkAddress): void {
    this.#socket.request(`replace address ${describeAddress(address)}`, w =>
      writeAddAddress(w, address, true),
    );
  }

  deleteAddress(address: LinkAddress): boolean {
    return deleteIfThere(this.#socket, `delete address ${describeAddress(address)}`, w =>
      writeDeleteAddress(w, address),
    );
  }

  // Routes

  listRoutes(filter: RouteFilter = {}): Route[] {
    return versions(filter.family).flatMap(version => listRoutes(this.#socket, version, filter));
  }

  /**
   * {@link listRoutes} in portions of some hundreds, for those who do something else in between. Returns whether the
   * kernel vouches for these being all: IPv6 does not when the table changed meanwhile. (IPv4 goes on after the last
   * destination, and so leaves out nothing that was there all the time.)
   */
  *scanRoutes(filter: RouteFilter = {}): Generator<Route[], boolean, undefined> {
    let complete = true;
    for (const version of versions(filter.family)) {
      // A socket of its own, as the other one is needed before this has been read.
      using socket = NetlinkSocket.open({ protocol: Protocol.ROUTE, namespace: this.#namespace });
      if (!(yield* scanRoutes(socket, version, filter))) complete = false;
    }
    return complete;
  }

  /** The index of the interface by which packets to `destination` leave; undefined where there is no way. */
  interfaceTowards(destination: Ip): number | undefined {
    try {
      return this.#socket.get(
        `find the way to ${destination}`,
        w => writeLookup(w, destination),
        readLookup,
      )[0];
    } catch (error) {
      if (isNetlinkError(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
      throw error;
    }
  }

  /** EEXIST where a route of the same {@link routeKey} is there. */
  addRoute(route: Route): void {
    this.#socket.request(`add route ${describeRoute(route)}`, w => writeAddRoute(w, route));
  }

  /** Adds it, or puts it in the place of the one with the same {@link routeKey}, whoever made that. */
  replaceRoute(route: Route): void {
    this.#socket.request(`replace route ${describeRoute(route)}`, w => writeReplaceRoute(w, route));
  }

  /** Returns those that were refused, and why; all others are in. */
  replaceRoutes(routes: readonly Route[]): Failure<Route>[] {
    return requestAll(
      this.#socket,
      routes,
      writeReplaceRoute,
      route => `replace route ${describeRoute(route)}`,
    );
  }

  /** Takes away the route with this destination, table and protocol, and whatever else `route` names. */
  deleteRoute(route: Route): boolean {
    return deleteIfThere(this.#socket, `delete route ${describeRoute(route)}`, w =>
      writeDeleteRoute(w, route),
    );
  }

  /** Returns those that were not deleted, and why: `isAbsent(error)` for those that were not there. */
  deleteRoutes(routes: readonly Route[]): Failure<Route>[] {
    return requestAll(
      this.#socket,
      routes,
      writeDeleteRoute,
      route => `delete route ${describeRoute(route)}`,
    );
  }

  // Neighbours

  listNeighbours(filter: { family?: IpVersion; interfaceIndex?: number } = {}): Neighbour[] {
    return versions(filter.family)
      .flatMap(version =>
        this.#socket.get(`list IPv${version} neighbours`, w => writeGetNeighbours(w, version), readNeighbour),
      )
      .filter(
        ({ interfaceIndex }) =>
          filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
      );
  }

  /** A permanent entry. */
  replaceNeighbour(neighbour: { interfaceIndex: number; ip: Ip; mac: Mac }): void {
    this.#socket.request(`replace neighbour ${neighbour.ip}`, w => writeReplaceNeighbour(w, neighbour));
  }

  deleteNeighbour(neighbour: { interfaceIndex: number; ip: Ip }): boolean {
    return deleteIfThere(this.#socket, `delete neighbour ${neighbour.ip}`, w =>
      writeDeleteNeighbour(w, neighbour),
    );
  }

  listProxyNeighbours(filter: { family?: IpVersion; interfaceIndex?: number } = {}): ProxyNeighbour[] {
    return versions(filter.family)
      .flatMap(version =>
        this.#socket.get(
          `list IPv${version} proxies`,
          w => writeGetProxyNeighbours(w, version),
          readProxyNeighbour,
        ),
      )
      .filter(
        ({ interfaceIndex }) =>
          filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
      );
  }

  replaceProxyNeighbour(proxy: ProxyNeighbour): void {
    this.#socket.request(`replace proxy ${proxy.ip}`, w => writeProxyNeighbour(w, "replace", proxy));
  }

  deleteProxyNeighbour(proxy: ProxyNeighbour): boolean {
    return deleteIfThere(this.#socket, `delete proxy ${proxy.ip}`, w =>
      writeProxyNeighbour(w, "delete", proxy),
    );
  }

  /** Of one vxlan or bridge. */
  listForwardingEntries(interfaceIndex: number): ForwardingEntry[] {
    return this.#socket
      .get("list forwarding entries", w => writeGetForwardingEntries(w, interfaceIndex), readForwardingEntry)
      .filter(entry => entry.interfaceIndex === interfaceIndex);
  }

  replaceForwardingEntry(entry: { interfaceIndex: number; mac: Mac; remote?: Ip }): void {
    this.#socket.request(`replace forwarding entry ${entry.mac}`, w => writeReplaceForwardingEntry(w, entry));
  }

  deleteForwardingEntry(entry: { interfaceIndex: number; mac: Mac; remote?: Ip }): boolean {
    return deleteIfThere(this.#socket, `delete forwarding entry ${entry.mac}`, w =>
      writeDeleteForwardingEntry(w, entry),
    );
  }

  // Rules

  listRules(filter: { family?: IpVersion } = {}): Rule[] {
    return versions(filter.family).flatMap(version =>
      this.#socket.get(`list IPv${version} rules`, w => writeGetRules(w, version), readRule),
    );
  }

  /** EEXIST where the very same rule is there. */
  addRule(rule: Rule): void {
    this.#socket.request(`add rule ${rule.priority ?? ""}`, w => writeAddRule(w, rule));
  }

  deleteRule(rule: Rule): boolean {
    return deleteIfThere(this.#socket, `delete rule ${rule.priority ?? ""}`, w => writeDeleteRule(w, rule));
  }

  #indexOf(link: LinkRef, operation: string): number {
    if (typeof link === "number") return link;
    const found = this.getLink(link);
    if (found === undefined) throw new NetlinkError(ENODEV, operation);
    return found.index;
  }
}

function versions(only: IpVersion | undefined): readonly IpVersion[] {
  return only === undefined ? VERSIONS : [only];
}

const ENODEV = 19;

function describeRoute(route: Route): string {
  const gateway = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  return `${route.type === "unicast" ? "" : `${route.type} `}${route.destination}${gateway}`;
}

function describeAddress(address: LinkAddress): string {
  return `${address.ip}/${address.prefixLength} on link ${address.interfaceIndex}`;
}
