/**
 * Links, addresses, routes, neighbours and rules of one network namespace.
 *
 * Every method is one synchronous exchange with the kernel over one socket (microseconds, no process, no promise);
 * the socket stays in the namespace it was opened in. Whatever fails throws a {@link NetlinkError}, with two
 * exceptions that callers need constantly: deleting says with a boolean whether there was something to delete,
 * and the batched forms report failures item by item, because one bad route must not keep the others out.
 */

import { closeSync } from "node:fs";
import type { Ip, IpVersion } from "../net/ip.ts";
import type { Mac } from "../net/mac.ts";
import { isNetlinkError, NetlinkError } from "./errors.ts";
import { type NamespaceRef, openNamespace } from "./namespace.ts";
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
import type { MessageWriter } from "./netlink/message.ts";
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
import {
  matchesFilter,
  type Route,
  type RouteFilter,
  readRoute,
  writeAddRoute,
  writeDeleteRoute,
  writeGetRoutes,
  writeReplaceRoute,
} from "./netlink/route.ts";
import { readLookup, writeLookup } from "./netlink/route-lookup.ts";
import { type Rule, readRule, writeAddRule, writeDeleteRule, writeGetRules } from "./netlink/rule.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";
import {
  Parent,
  type QueueingDiscipline,
  type Redirect,
  readDiscipline,
  readRedirect,
  type TokenBucket,
  writeAddIngress,
  writeAddRedirect,
  writeDeleteDiscipline,
  writeGetDisciplines,
  writeGetRedirects,
  writeReplaceTokenBucket,
} from "./netlink/traffic-control.ts";

export { isNetlinkError, NetlinkError } from "./errors.ts";
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
export {
  Parent,
  type QueueingDiscipline,
  type Redirect,
  type TokenBucket,
} from "./netlink/traffic-control.ts";

/** An item of a batch that the kernel refused. */
export interface Failure<T> {
  readonly item: T;
  readonly error: NetlinkError;
}

/** 200 routes are some 12 kB: more per send gains nothing measurable, and answers stay few. */
const MESSAGES_PER_SEND = 200;

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
    withNamespace(veth.peerNamespace, fd => {
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
    withNamespace(changes.namespace, fd => {
      this.#socket.request(operation, w => writeSetLink(w, target, changes, fd));
    });
  }

  /** Whether it was there. Deleting one end of a veth deletes both. */
  deleteLink(link: LinkRef): boolean {
    return this.#delete(`delete link ${link}`, w => writeDeleteLink(w, link));
  }

  // Addresses

  listAddresses(filter: { family?: IpVersion; interfaceIndex?: number } = {}): LinkAddress[] {
    return this.#perVersion(filter.family, version =>
      this.#socket.get(
        `list IPv${version} addresses`,
        w => writeGetAddresses(w, version, filter.interfaceIndex),
        readAddress,
      ),
    ).filter(
      ({ interfaceIndex }) => filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
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
    return this.#delete(`delete address ${describeAddress(address)}`, w => writeDeleteAddress(w, address));
  }

  // Routes

  listRoutes(filter: RouteFilter = {}): Route[] {
    return this.#perVersion(filter.family, version => this.#listRoutes(version, filter));
  }

  #listRoutes(version: IpVersion, filter: RouteFilter): Route[] {
    const { operation, write, decode } = routeQuery(version, filter);
    try {
      return this.#socket.get(operation, write, decode);
    } catch (error) {
      if (isWithoutRoutes(error, filter)) return [];
      throw error;
    }
  }

  /**
   * {@link listRoutes} in portions of some hundreds, for those who do something else in between. Returns whether the
   * kernel vouches for these being all: IPv6 does not when the table changed meanwhile. (IPv4 goes on after the last
   * destination, and so leaves out nothing that was there all the time.)
   */
  *scanRoutes(filter: RouteFilter = {}): Generator<Route[], boolean, undefined> {
    let complete = true;
    for (const version of VERSIONS) {
      if (filter.family !== undefined && filter.family !== version) continue;
      // A socket of its own, as the other one is needed before this has been read.
      using socket = NetlinkSocket.open({ protocol: Protocol.ROUTE, namespace: this.#namespace });
      const { operation, write, decode } = routeQuery(version, filter);
      try {
        if (yield* socket.portions(operation, write, decode)) complete = false;
      } catch (error) {
        if (!isWithoutRoutes(error, filter)) throw error;
      }
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
    return this.#batch(routes, writeReplaceRoute, route => `replace route ${describeRoute(route)}`);
  }

  /** Takes away the route with this destination, table and protocol, and whatever else `route` names. */
  deleteRoute(route: Route): boolean {
    return this.#delete(`delete route ${describeRoute(route)}`, w => writeDeleteRoute(w, route));
  }

  /** Returns those that were not deleted, and why: `isAbsent(error)` for those that were not there. */
  deleteRoutes(routes: readonly Route[]): Failure<Route>[] {
    return this.#batch(routes, writeDeleteRoute, route => `delete route ${describeRoute(route)}`);
  }

  // Neighbours

  listNeighbours(filter: { family?: IpVersion; interfaceIndex?: number } = {}): Neighbour[] {
    return this.#perVersion(filter.family, version =>
      this.#socket.get(`list IPv${version} neighbours`, w => writeGetNeighbours(w, version), readNeighbour),
    ).filter(
      ({ interfaceIndex }) => filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
    );
  }

  /** A permanent entry. */
  replaceNeighbour(neighbour: { interfaceIndex: number; ip: Ip; mac: Mac }): void {
    this.#socket.request(`replace neighbour ${neighbour.ip}`, w => writeReplaceNeighbour(w, neighbour));
  }

  replaceNeighbours(neighbours: readonly { interfaceIndex: number; ip: Ip; mac: Mac }[]) {
    return this.#batch(neighbours, writeReplaceNeighbour, ({ ip }) => `replace neighbour ${ip}`);
  }

  deleteNeighbour(neighbour: { interfaceIndex: number; ip: Ip }): boolean {
    return this.#delete(`delete neighbour ${neighbour.ip}`, w => writeDeleteNeighbour(w, neighbour));
  }

  listProxyNeighbours(filter: { family?: IpVersion; interfaceIndex?: number } = {}): ProxyNeighbour[] {
    return this.#perVersion(filter.family, version =>
      this.#socket.get(
        `list IPv${version} proxies`,
        w => writeGetProxyNeighbours(w, version),
        readProxyNeighbour,
      ),
    ).filter(
      ({ interfaceIndex }) => filter.interfaceIndex === undefined || interfaceIndex === filter.interfaceIndex,
    );
  }

  replaceProxyNeighbour(proxy: ProxyNeighbour): void {
    this.#socket.request(`replace proxy ${proxy.ip}`, w => writeProxyNeighbour(w, "replace", proxy));
  }

  deleteProxyNeighbour(proxy: ProxyNeighbour): boolean {
    return this.#delete(`delete proxy ${proxy.ip}`, w => writeProxyNeighbour(w, "delete", proxy));
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

  replaceForwardingEntries(entries: readonly { interfaceIndex: number; mac: Mac; remote?: Ip }[]) {
    return this.#batch(entries, writeReplaceForwardingEntry, ({ mac }) => `replace forwarding entry ${mac}`);
  }

  deleteForwardingEntry(entry: { interfaceIndex: number; mac: Mac; remote?: Ip }): boolean {
    return this.#delete(`delete forwarding entry ${entry.mac}`, w => writeDeleteForwardingEntry(w, entry));
  }

  // Rules

  listRules(filter: { family?: IpVersion } = {}): Rule[] {
    return this.#perVersion(filter.family, version =>
      this.#socket.get(`list IPv${version} rules`, w => writeGetRules(w, version), readRule),
    );
  }

  /** EEXIST where the very same rule is there. */
  addRule(rule: Rule): void {
    this.#socket.request(`add rule ${rule.priority ?? ""}`, w => writeAddRule(w, rule));
  }

  deleteRule(rule: Rule): boolean {
    return this.#delete(`delete rule ${rule.priority ?? ""}`, w => writeDeleteRule(w, rule));
  }

  // Traffic control

  /** Of all interfaces, those that the kernel put there by itself included. */
  listDisciplines(): QueueingDiscipline[] {
    return this.#socket.get("list queueing disciplines", writeGetDisciplines, readDiscipline);
  }

  /** Shapes what leaves by the interface, by a discipline with this handle (`1:` is 0x10000). */
  replaceTokenBucket(interfaceIndex: number, handle: number, bucket: TokenBucket): void {
    this.#socket.request(`shape link ${interfaceIndex}`, w =>
      writeReplaceTokenBucket(w, interfaceIndex, handle, bucket),
    );
  }

  /** Whether there was a discipline of somebody's at the root. */
  deleteRootDiscipline(interfaceIndex: number): boolean {
    return this.#deleteDiscipline(interfaceIndex, Parent.ROOT);
  }

  /** What comes in by the interface leaves by `target`, from where the kernel takes it as if it had come in just now (ifb). */
  addRedirect(interfaceIndex: number, target: number): void {
    this.#socket.request(`add ingress to link ${interfaceIndex}`, w => writeAddIngress(w, interfaceIndex));
    this.#socket.request(`redirect link ${interfaceIndex}`, w => writeAddRedirect(w, interfaceIndex, target));
  }

  listRedirects(interfaceIndex: number): Redirect[] {
    return this.#socket.get("list redirects", w => writeGetRedirects(w, interfaceIndex), readRedirect);
  }

  /** Whether there was an ingress discipline; its filters go with it. */
  deleteIngress(interfaceIndex: number): boolean {
    return this.#deleteDiscipline(interfaceIndex, Parent.INGRESS);
  }

  #deleteDiscipline(interfaceIndex: number, parent: number): boolean {
    const operation = `delete discipline of link ${interfaceIndex}`;
    try {
      return this.#delete(operation, w => writeDeleteDiscipline(w, { interfaceIndex, parent }));
    } catch (error) {
      // What the kernel says where there is none that could be deleted.
      if (isNetlinkError(error, "EINVAL")) return false;
      throw error;
    }
  }

  #delete(operation: string, write: (writer: MessageWriter) => void): boolean {
    try {
      this.#socket.request(operation, write);
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  #batch<T>(
    items: readonly T[],
    write: (writer: MessageWriter, item: T) => void,
    operation: (item: T) => string,
  ): Failure<T>[] {
    const failures: Failure<T>[] = [];
    for (const [i, error] of this.#socket.batch(items, MESSAGES_PER_SEND, write, operation).entries()) {
      if (error !== undefined) failures.push({ item: items[i]!, error });
    }
    return failures;
  }

  #perVersion<T>(version: IpVersion | undefined, list: (version: IpVersion) => T[]): T[] {
    return version !== undefined ? list(version) : VERSIONS.flatMap(list);
  }

  #indexOf(link: LinkRef, operation: string): number {
    if (typeof link === "number") return link;
    const found = this.getLink(link);
    if (found === undefined) throw new NetlinkError(ENODEV, operation);
    return found.index;
  }
}

function routeQuery(version: IpVersion, filter: RouteFilter) {
  return {
    operation: `list IPv${version} routes`,
    write: (writer: MessageWriter) => writeGetRoutes(writer, version, filter),
    decode: (message: Parameters<typeof readRoute>[0]) => {
      const route = readRoute(message);
      return route !== undefined && matchesFilter(route, filter) ? route : undefined;
    },
  };
}

/** A table without routes does not exist; nor does a link that is gone have any. */
function isWithoutRoutes(error: unknown, filter: RouteFilter): boolean {
  return (
    (filter.table !== undefined && isNetlinkError(error, "ENOENT")) ||
    (filter.interfaceIndex !== undefined && isNetlinkError(error, "ENODEV"))
  );
}

const ENODEV = 19;

/**
 * Whether a delete failed only because the thing, or the link it was on, was not there: ESRCH routes, ENOENT rules,
 * neighbours and tables, EADDRNOTAVAIL addresses, ENODEV and ENXIO links.
 */
export function isAbsent(error: unknown): error is NetlinkError {
  return isNetlinkError(error, "ESRCH", "ENOENT", "ENODEV", "ENXIO", "EADDRNOTAVAIL");
}

function describeRoute(route: Route): string {
  const gateway = route.gateway === undefined ? "" : ` via ${route.gateway}`;
  return `${route.type === "unicast" ? "" : `${route.type} `}${route.destination}${gateway}`;
}

function describeAddress(address: LinkAddress): string {
  return `${address.ip}/${address.prefixLength} on link ${address.interfaceIndex}`;
}

/** Netlink takes a namespace as an open descriptor, which is needed only while the message is read. */
function withNamespace(namespace: NamespaceRef | undefined, use: (fd: number | undefined) => void): void {
  const fd = namespace === undefined ? undefined : openNamespace(namespace);
  try {
    use(fd);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}
