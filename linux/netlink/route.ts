/**
 * Routes as RTM_NEWROUTE messages: linux/rtnetlink.h, struct rtmsg.
 *
 * What the kernel takes for one and the same route (so that a replace replaces and a second one is refused) is the
 * destination, the table and the metric, {@link routeKey}; whose it is does not count. So "only ours" is up to the
 * caller: `protocol` says who made a route, and a delete that names a protocol takes away no one else's.
 *
 * Encoding and decoding run per route on full tables (test/bench/routes.ts): no intermediate objects.
 */

import { type Cidr, cidrVersion, networkAddress, prefixLength } from "../../net/cidr.ts";
import { type Ip, type IpVersion, ipToBytes, ipVersion } from "../../net/ip.ts";
import { AddressFamily } from "../libc.ts";
import { familyOf, familyOfAddress, readIp } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

export interface Route {
  readonly destination: Cidr;
  /** Default {@link RouteTable.MAIN}. */
  readonly table?: number;
  /** Who made it: {@link RouteProtocol} or another number up to 255. */
  readonly protocol: number;
  /** IPv4 only. Default: what fits the rest, as `ip route` chooses it. */
  readonly scope?: RouteScope;
  readonly type: RouteType;
  /** An IPv6 one for an IPv4 destination is fine (RFC 8950). */
  readonly gateway?: Ip;
  readonly interfaceIndex?: number;
  /** Lower wins. Default 0, for IPv6 1024. */
  readonly metric?: number;
  /** Source address of packets that start here. */
  readonly source?: Ip;
  /** The gateway is reachable on the interface although no subnet there says so. */
  readonly onlink?: boolean;
  readonly mtu?: number;
  /** More than one way; instead of `gateway` and `interfaceIndex`. */
  readonly nextHops?: readonly NextHop[];
}

export interface NextHop {
  readonly gateway?: Ip;
  readonly interfaceIndex?: number;
  /** 1 to 256, default 1. */
  readonly weight?: number;
  readonly onlink?: boolean;
}

export interface RouteFilter {
  /** Both versions, if absent. */
  readonly family?: IpVersion;
  /** All tables, if absent. */
  readonly table?: number;
  readonly protocol?: number;
  readonly interfaceIndex?: number;
}

/** RTPROT_*: rtnetlink.h and iproute2's rt_protos. */
export const RouteProtocol = {
  UNSPEC: 0,
  REDIRECT: 1,
  KERNEL: 2,
  BOOT: 3,
  STATIC: 4,
  RA: 9,
  BIRD: 12,
  BGP: 186,
} as const;
/** RT_TABLE_* */
export const RouteTable = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;

const TYPES = [
  "unspec",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;
export type RouteType = Exclude<(typeof TYPES)[number], "unspec">;

const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
export type RouteScope = keyof typeof SCOPES;

/** Types that go nowhere: the kernel reports IPv6's with a link (`lo`) that nobody gave. */
const REJECTING: ReadonlySet<RouteType> = new Set(["blackhole", "unreachable", "prohibit", "throw"]);

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
export const RouteMessageType = { NEW: RTM_NEWROUTE, DELETE: RTM_DELROUTE } as const;

const Attribute = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
/** A cached entry of the kernel's, no route. */
const RTM_F_CLONED = 0x200;
const DEFAULT_METRIC_V6 = 1024;

/** Asks for the routes of one version; a kernel without strict checking answers with more. */
export function writeGetRoutes(writer: MessageWriter, version: IpVersion, filter: RouteFilter): void {
  writer.begin(RTM_GETROUTE, Flag.REQUEST | Flag.DUMP);
  writer.u32(familyOf(version));
  writer.u8(filter.table !== undefined && filter.table < 256 ? filter.table : 0);
  writer.u8(filter.protocol ?? 0);
  writer.u16(0);
  writer.u32(0);
  if (filter.table !== undefined) writer.attributeU32(Attribute.TABLE, filter.table);
  if (filter.interfaceIndex !== undefined) writer.attributeU32(Attribute.OIF, filter.interfaceIndex);
  writer.end();
}

export function writeReplaceRoute(writer: MessageWriter, route: Route): void {
  writer.begin(RTM_NEWROUTE, Flag.REQUEST | Flag.CREATE | Flag.REPLACE);
  writeRoute(writer, route, SCOPES[route.scope ?? defaultScope(route)]);
  writer.end();
}

/** Fails with EEXIST where {@link routeKey} is taken. */
export function writeAddRoute(writer: MessageWriter, route: Route): void {
  writer.begin(RTM_NEWROUTE, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writeRoute(writer, route, SCOPES[route.scope ?? defaultScope(route)]);
  writer.end();
}

export function writeDeleteRoute(writer: MessageWriter, route: Route): void {
  writer.begin(RTM_DELROUTE, Flag.REQUEST);
  writeRoute(writer, route, SCOPES[route.scope ?? "nowhere"]); // "nowhere" matches every scope.
  writer.end();
}

export function readRoute(message: Message): Route | undefined {
  if (message.type !== RTM_NEWROUTE && message.type !== RTM_DELROUTE) return undefined;
  const { view, offset, end } = message;
  if (end - offset < 12) return undefined;
  const family = view.getUint8(offset);
  const flags = view.getUint32(offset + 8, true);
  if ((family !== AddressFamily.INET && family !== AddressFamily.INET6) || flags & RTM_F_CLONED)
    return undefined;
  const type = TYPES[view.getUint8(offset + 7)];
  if (type === undefined || type === "unspec") return undefined;
  let address = family === AddressFamily.INET ? "0.0.0.0" : "::";
  const route: { -readonly [K in keyof Route]: Route[K] } = {
    destination: "" as Cidr,
    table: view.getUint8(offset + 4),
    protocol: view.getUint8(offset + 5),
    type,
  };
  if (family === AddressFamily.INET) route.scope = scopeOf(view.getUint8(offset + 6));
  if (flags & RTNH_F_ONLINK) route.onlink = true;
  const attributes = new AttributeReader(view, offset + 12, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.DST:
        address = readIp(attributes.bytes()) ?? address;
        break;
      case Attribute.TABLE:
        route.table = attributes.u32();
        break;
      case Attribute.OIF:
        if (!REJECTING.has(type)) route.interfaceIndex = attributes.u32();
        break;
      case Attribute.GATEWAY:
      case Attribute.VIA: {
        const gateway = readGateway(attributes);
        if (gateway !== undefined) route.gateway = gateway;
        break;
      }
      case Attribute.PRIORITY:
        route.metric = attributes.u32();
        break;
      case Attribute.PREFSRC: {
        const source = readIp(attributes.bytes());
        if (source !== undefined) route.source = source;
        break;
      }
      case Attribute.METRICS: {
        const metrics = attributes.nested();
        while (metrics.next()) if (metrics.type === RTAX_MTU) route.mtu = metrics.u32();
        break;
      }
      case Attribute.MULTIPATH:
        route.nextHops = readNextHops(view, attributes.offset, attributes.offset + attributes.length);
        break;
    }
  }
  route.destination = `${address}/${view.getUint8(offset + 1)}` as Cidr;
  return route;
}

/** Whether a dumped route passes; what {@link writeGetRoutes} asks the kernel for, done again here. */
export function matchesFilter(route: Route, filter: RouteFilter): boolean {
  return (
    (filter.family === undefined || cidrVersion(route.destination) === filter.family) &&
    (filter.table === undefined || (route.table ?? RouteTable.MAIN) === filter.table) &&
    (filter.protocol === undefined || route.protocol === filter.protocol) &&
    (filter.interfaceIndex === undefined ||
      route.interfaceIndex === filter.interfaceIndex ||
      (route.nextHops?.some(hop => hop.interfaceIndex === filter.interfaceIndex) ?? false))
  );
}

/** Equal for two routes exactly where the kernel lets one replace the other. */
export function routeKey(route: Route): string {
  return `${route.table ?? RouteTable.MAIN} ${route.destination} ${metricOf(route)}`;
}

/**
 * Whether `actual`, as read from the kernel, is what writing `desired` gives: defaults filled in, and an interface
 * that was left to the kernel taken as it chose it.
 */
export function routeSatisfies(actual: Route, desired: Route): boolean {
  return (
    routeKey(actual) === routeKey(desired) &&
    actual.type === desired.type &&
    actual.protocol === desired.protocol &&
    (cidrVersion(desired.destination) === 6 ||
      (actual.scope ?? defaultScope(actual)) === (desired.scope ?? defaultScope(desired))) &&
    actual.source === desired.source &&
    actual.mtu === desired.mtu &&
    sameHops(hopsOf(actual), hopsOf(desired))
  );
}

function hopsOf(route: Route): readonly NextHop[] {
  if (REJECTING.has(route.type)) return [];
  return route.nextHops ?? [route];
}

/** In any order: IPv6 keeps its own. */
function sameHops(actual: readonly NextHop[], desired: readonly NextHop[]): boolean {
  if (actual.length !== desired.length) return false;
  const left = [...actual];
  return desired.every(wanted => {
    const i = left.findIndex(
      hop =>
        hop.gateway === wanted.gateway &&
        (wanted.interfaceIndex === undefined || hop.interfaceIndex === wanted.interfaceIndex) &&
        // A route with one hop has no weight, even if one was given.
        (desired.length === 1 || (hop.weight ?? 1) === (wanted.weight ?? 1)) &&
        (hop.onlink ?? false) === (wanted.onlink ?? false),
    );
    if (i >= 0) left.splice(i, 1);
    return i >= 0;
  });
}

function metricOf(route: Route): number {
  const fallback = cidrVersion(route.destination) === 6 ? DEFAULT_METRIC_V6 : 0;
  return route.metric || fallback;
}

/** A route to what is on the link has link scope, one through a gateway is global: a gateway must be nearer than what lies behind it. */
function defaultScope(route: Route): RouteScope {
  if (cidrVersion(route.destination) === 6) return "global";
  if (route.type === "local") return "host";
  if (route.type === "broadcast" || route.type === "multicast" || route.type === "anycast") return "link";
  if (route.type === "unicast" && route.gateway === undefined && route.nextHops === undefined) return "link";
  return "global";
}

function writeRoute(writer: MessageWriter, route: Route, scope: number): void {
  const version = cidrVersion(route.destination);
  const table = route.table ?? RouteTable.MAIN;
  const length = prefixLength(route.destination);
  writer.u8(familyOf(version));
  writer.u8(length);
  writer.u16(0);
  writer.u8(table < 256 ? table : 0);
  writer.u8(route.protocol);
  writer.u8(version === 4 ? scope : 0);
  writer.u8(TYPES.indexOf(route.type));
  writer.u32(route.onlink ? RTNH_F_ONLINK : 0);
  if (length > 0) writer.attribute(Attribute.DST, ipToBytes(networkAddress(route.destination)));
  if (table >= 256) writer.attributeU32(Attribute.TABLE, table);
  if (route.metric !== undefined) writer.attributeU32(Attribute.PRIORITY, route.metric);
  if (route.source !== undefined) writer.attribute(Attribute.PREFSRC, ipToBytes(route.source));
  if (route.mtu !== undefined) {
    const metrics = writer.nest(Attribute.METRICS);
    writer.attributeU32(RTAX_MTU, route.mtu);
    writer.endNest(metrics);
  }
  if (route.nextHops !== undefined) {
    const multipath = writer.nest(Attribute.MULTIPATH);
    for (const hop of route.nextHops) writeNextHop(writer, version, hop);
    writer.endNest(multipath);
  } else {
    if (route.gateway !== undefined) writeGateway(writer, version, route.gateway);
    if (route.interfaceIndex !== undefined) writer.attributeU32(Attribute.OIF, route.interfaceIndex);
  }
}

/** struct rtnexthop */
function writeNextHop(writer: MessageWriter, version: IpVersion, hop: NextHop): void {
  const record = writer.beginRecord();
  writer.u8(hop.onlink ? RTNH_F_ONLINK : 0);
  writer.u8((hop.weight ?? 1) - 1);
  writer.u32(hop.interfaceIndex ?? 0);
  if (hop.gateway !== undefined) writeGateway(writer, version, hop.gateway);
  writer.endNest(record);
}

function writeGateway(writer: MessageWriter, version: IpVersion, gateway: Ip): void {
  const bytes = ipToBytes(gateway);
  if (ipVersion(gateway) === version) {
    writer.attribute(Attribute.GATEWAY, bytes);
    return;
  }
  const via = new Uint8Array(2 + bytes.length); // struct rtvia: family, address
  via[0] = familyOfAddress(gateway);
  via.set(bytes, 2);
  writer.attribute(Attribute.VIA, via);
}

function readGateway(attribute: AttributeReader): Ip | undefined {
  return readIp(attribute.type === Attribute.VIA ? attribute.bytes().subarray(2) : attribute.bytes());
}

function readNextHops(view: DataView, start: number, end: number): NextHop[] {
  const hops: NextHop[] = [];
  for (let at = start; at + 8 <= end; ) {
    const length = view.getUint16(at, true);
    if (length < 8 || at + length > end) break;
    const interfaceIndex = view.getInt32(at + 4, true);
    let gateway: Ip | undefined;
    const attributes = new AttributeReader(view, at + 8, at + length);
    while (attributes.next()) {
      if (attributes.type === Attribute.GATEWAY || attributes.type === Attribute.VIA) {
        gateway = readGateway(attributes);
      }
    }
    hops.push({
      ...(gateway !== undefined ? { gateway } : {}),
      ...(interfaceIndex !== 0 ? { interfaceIndex } : {}),
      weight: view.getUint8(at + 3) + 1,
      ...(view.getUint8(at + 2) & RTNH_F_ONLINK ? { onlink: true } : {}),
    });
    at += (length + 3) & ~3;
  }
  return hops;
}

function scopeOf(number: number): RouteScope {
  switch (number) {
    case SCOPES.link:
      return "link";
    case SCOPES.host:
      return "host";
    case SCOPES.site:
      return "site";
    case SCOPES.nowhere:
      return "nowhere";
    default:
      return "global";
  }
}
