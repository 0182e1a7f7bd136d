/**
 * Connections as ctnetlink messages (linux/netfilter/nfnetlink_conntrack.h): reading them, and asking for their end.
 *
 * The danger: a DELETE without any tuple empties the whole table. Nothing here can write one.
 */

import { type Ip, type IpVersion, ipToBytes, ipVersion } from "../../net/ip.ts";
import { familyOf, familyOfAddress, readIp } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

/** Which of a connection's four addresses: of its first packet (`orig`) or of the answer (`reply`: differs under NAT). */
export type TupleSide = "orig-source" | "orig-destination" | "reply-source" | "reply-destination";

/** Where packets of one direction come from and go to. */
export interface FlowTuple {
  readonly source: Ip;
  readonly destination: Ip;
  /** IANA's number. */
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
}

/** A connection as the kernel remembers it. */
export interface TrackedFlow {
  /** Of its first packet, before any translation. */
  readonly original: FlowTuple;
  /** Of the answers, as they arrive: their source is where the first packet really went. */
  readonly reply: FlowTuple;
  /** Somebody expected it (FTP's data): it was let through as related to another one. */
  readonly isExpected: boolean;
  /** Put there in the place of a TCP connection that was cut: {@link writeTombstone}. */
  readonly isTombstone: boolean;
  /** 0 for all that no rule puts elsewhere. */
  readonly zone: number;
  /** TCP only; TCP_CONNTRACK_*. */
  readonly tcpState: number | undefined;
  /** What the kernel needs to find it again, as it sent it. */
  readonly raw: RawFlow;
}

export interface RawFlow {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  readonly original: Uint8Array;
  /** Against deleting a newer connection of the same addresses and ports. */
  readonly id: Uint8Array | undefined;
  readonly zone: Uint8Array | undefined;
  /** Seconds it would be remembered without another packet, big-endian. */
  readonly timeout: Uint8Array | undefined;
}

/** Subsystem 1 in the high byte. */
const IPCTNL_MSG_CT_NEW = 0x0100;
const IPCTNL_MSG_CT_GET = 0x0101;
const IPCTNL_MSG_CT_DELETE = 0x0102;
const Attribute = {
  TUPLE_ORIG: 1,
  TUPLE_REPLY: 2,
  STATUS: 3,
  PROTOINFO: 4,
  TIMEOUT: 7,
  ID: 12,
  ZONE: 18,
  FILTER: 25,
} as const;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_TUPLE_ZONE = 3;
/** In CTA_TUPLE_IP: IPv4 source 1 and destination 2, IPv6 3 and 4. */
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
/** In CTA_TUPLE_PROTO; ICMPv6 has the same three later. */
const Proto = {
  NUM: 1,
  SRC_PORT: 2,
  DST_PORT: 3,
  ICMP_TYPE: 5,
  ICMP_CODE: 6,
  ICMPV6_TYPE: 8,
  ICMPV6_CODE: 9,
};
const CTA_PROTOINFO_TCP = 1;
const CTA_PROTOINFO_TCP_STATE = 1;
const CTA_PROTOINFO_TCP_FLAGS_REPLY = 5;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;

/** IPS_* */
const Status = { EXPECTED: 1, CONFIRMED: 8, FIXED_TIMEOUT: 1024 } as const;
const TCP_CLOSE = 8;
const TCP_FLAG_CLOSE_INIT = 4;

/** No packet's: where nobody looks for the answers of what was cut. */
const TOMBSTONE_ZONE = 0xca11;

/** All; without a version of both. */
export function writeListFlows(writer: MessageWriter, version?: IpVersion): void {
  writer.begin(IPCTNL_MSG_CT_GET, Flag.REQUEST | Flag.DUMP);
  writer.u32(version === undefined ? 0 : familyOf(version)); // struct nfgenmsg: resource id 0
  writer.end();
}

/** All connections with `address` (IPv4) on that side. */
export function writeDeleteConnections(writer: MessageWriter, address: Ip, side: TupleSide): void {
  if (ipVersion(address) !== 4) throw new TypeError(`a filtered deletion of ${address} would hit all others`);
  const original = side.startsWith("orig");
  const destination = side.endsWith("destination") ? 1 : 0;
  writer.begin(IPCTNL_MSG_CT_DELETE, Flag.REQUEST);
  writer.u32(familyOfAddress(address));
  const tuple = writer.nest(original ? Attribute.TUPLE_ORIG : Attribute.TUPLE_REPLY);
  const ip = writer.nest(CTA_TUPLE_IP);
  writer.attribute(CTA_IP_V4_SRC + destination, ipToBytes(address));
  writer.endNest(ip);
  writer.endNest(tuple);
  const filter = writer.nest(Attribute.FILTER);
  writer.attributeU32(original ? CTA_FILTER_ORIG_FLAGS : CTA_FILTER_REPLY_FLAGS, 1 << destination);
  writer.endNest(filter);
  writer.end();
}

/** By its original tuple and its id. */
export function writeDeleteFlow(writer: MessageWriter, { raw }: TrackedFlow): void {
  writer.begin(IPCTNL_MSG_CT_DELETE, Flag.REQUEST);
  writer.u32(raw.family);
  const tuple = writer.nest(Attribute.TUPLE_ORIG);
  writer.raw(raw.original);
  writer.endNest(tuple);
  if (raw.id !== undefined) writer.attribute(Attribute.ID, raw.id);
  if (raw.zone !== undefined) writer.attribute(Attribute.ZONE, raw.zone);
  writer.end();
}

/** Whatever connection has packets of this tuple now, in either direction. */
export function writeDeleteByTuple(writer: MessageWriter, tuple: FlowTuple): void {
  writer.begin(IPCTNL_MSG_CT_DELETE, Flag.REQUEST);
  writer.u32(familyOfAddress(tuple.source));
  writeTuple(writer, Attribute.TUPLE_ORIG, tuple);
  writer.end();
}

/**
 * An entry in the place of a TCP connection that was cut. Without one, the next segment of the answering side would be
 * taken for the first of a connection the other way round (nf_conntrack_tcp_loose), which policy may well allow, and
 * all would go on. With it, the answers to that segment are another connection's already: the kernel gives the segment
 * another port (NAT) or drops it, and its sender is reset. What the first side sends finds an entry that has never
 * been answered, and is judged as new.
 *
 * The reply tuple is in a zone of its own, so no packet is ever an answer. The state is CLOSE, closed by the other side:
 * a SYN from the same port replaces the entry, as if there were none. It lasts as long as the connection would have.
 */
export function writeTombstone(writer: MessageWriter, flow: TrackedFlow): void {
  const { reply, raw } = flow;
  writer.begin(IPCTNL_MSG_CT_NEW, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writer.u32(raw.family);
  writeTuple(writer, Attribute.TUPLE_ORIG, inverse(reply));
  writeTuple(writer, Attribute.TUPLE_REPLY, reply, TOMBSTONE_ZONE);
  writer.attribute(Attribute.STATUS, bigEndian(Status.CONFIRMED | Status.FIXED_TIMEOUT));
  writer.attribute(Attribute.TIMEOUT, raw.timeout ?? bigEndian(DEFAULT_TIMEOUT_S));
  const protocol = writer.nest(Attribute.PROTOINFO);
  const tcp = writer.nest(CTA_PROTOINFO_TCP);
  writer.attributeU8(CTA_PROTOINFO_TCP_STATE, TCP_CLOSE);
  // struct nf_ct_tcp_flags: flags, mask
  writer.attribute(CTA_PROTOINFO_TCP_FLAGS_REPLY, Uint8Array.of(TCP_FLAG_CLOSE_INIT, TCP_FLAG_CLOSE_INIT));
  writer.endNest(tcp);
  writer.endNest(protocol);
  writer.end();
}

/** What packets the other way look like. */
export function inverse(tuple: FlowTuple): FlowTuple {
  const { source, destination, sourcePort, destinationPort } = tuple;
  return {
    ...tuple,
    source: destination,
    destination: source,
    ...(destinationPort !== undefined && { sourcePort: destinationPort }),
    ...(sourcePort !== undefined && { destinationPort: sourcePort }),
  };
}

/** Of an established connection by the kernel's default. */
const DEFAULT_TIMEOUT_S = 432_000;

/** The connection in `message`, if it is `wanted`: of what nobody asked for, most is not even read. */
export function readFlow(
  message: Message,
  wanted: (original: FlowTuple, reply: FlowTuple) => boolean,
): TrackedFlow | undefined {
  if (message.type !== IPCTNL_MSG_CT_NEW) return undefined;
  const { view, offset, end } = message;
  let rawOriginal: Uint8Array | undefined;
  let original: ReadTuple | undefined;
  let reply: ReadTuple | undefined;
  let status = 0;
  let tcpState: number | undefined;
  let id: Uint8Array | undefined;
  let zone: Uint8Array | undefined;
  let timeout: Uint8Array | undefined;
  const attributes = new AttributeReader(view, offset + 4, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.TUPLE_ORIG:
        rawOriginal = attributes.bytes();
        original = readTuple(attributes.nested());
        break;
      case Attribute.TUPLE_REPLY:
        reply = readTuple(attributes.nested());
        // The tuples come first.
        if (!original || !reply || !wanted(original.tuple, reply.tuple)) return undefined;
        break;
      case Attribute.STATUS:
        status = view.getUint32(attributes.offset, false);
        break;
      case Attribute.PROTOINFO:
        tcpState = readTcpState(attributes.nested());
        break;
      case Attribute.TIMEOUT:
        timeout = attributes.bytes();
        break;
      case Attribute.ID:
        id = attributes.bytes();
        break;
      case Attribute.ZONE:
        zone = attributes.bytes();
        break;
    }
  }
  if (!original || !reply || !rawOriginal) return undefined;
  const isTombstone = reply.zone === TOMBSTONE_ZONE;
  const whole = zone ? (zone[0]! << 8) | zone[1]! : 0;
  return {
    original: original.tuple,
    reply: reply.tuple,
    isExpected: (status & Status.EXPECTED) !== 0,
    isTombstone,
    zone: whole || original.zone || (isTombstone ? 0 : reply.zone),
    tcpState,
    raw: {
      family: view.getUint8(offset),
      original: rawOriginal.slice(),
      id: id?.slice(),
      zone: zone?.slice(),
      timeout: timeout?.slice(),
    },
  };
}

interface ReadTuple {
  readonly tuple: FlowTuple;
  /** 0: none. */
  readonly zone: number;
}

function readTuple(attributes: AttributeReader): ReadTuple | undefined {
  let source: Ip | undefined;
  let destination: Ip | undefined;
  let protocol: Partial<FlowTuple> = {};
  let zone = 0;
  while (attributes.next()) {
    if (attributes.type === CTA_TUPLE_IP) {
      const ips = attributes.nested();
      while (ips.next()) {
        const isSource = ips.type === CTA_IP_V4_SRC || ips.type === CTA_IP_V6_SRC;
        if (isSource) source = readIp(ips.bytes());
        else destination = readIp(ips.bytes());
      }
    } else if (attributes.type === CTA_TUPLE_PROTO) protocol = readProtocol(attributes.nested());
    else if (attributes.type === CTA_TUPLE_ZONE) zone = attributes.u16BigEndian();
  }
  if (source === undefined || destination === undefined) return undefined;
  return { tuple: { source, destination, protocol: 0, ...protocol }, zone };
}

function readProtocol(attributes: AttributeReader): Partial<FlowTuple> {
  const found: { -readonly [K in keyof FlowTuple]?: FlowTuple[K] } = {};
  let type: number | undefined;
  let code = 0;
  while (attributes.next()) {
    switch (attributes.type) {
      case Proto.NUM:
        found.protocol = attributes.u8();
        break;
      case Proto.SRC_PORT:
        found.sourcePort = attributes.u16BigEndian();
        break;
      case Proto.DST_PORT:
        found.destinationPort = attributes.u16BigEndian();
        break;
      case Proto.ICMP_TYPE:
      case Proto.ICMPV6_TYPE:
        type = attributes.u8();
        break;
      case Proto.ICMP_CODE:
      case Proto.ICMPV6_CODE:
        code = attributes.u8();
        break;
    }
  }
  if (type !== undefined) found.icmp = { type, code };
  return found;
}

function readTcpState(protocols: AttributeReader): number | undefined {
  while (protocols.next()) {
    if (protocols.type !== CTA_PROTOINFO_TCP) continue;
    const tcp = protocols.nested();
    while (tcp.next()) if (tcp.type === CTA_PROTOINFO_TCP_STATE) return tcp.u8();
  }
  return undefined;
}

function writeTuple(writer: MessageWriter, type: number, tuple: FlowTuple, zone?: number): void {
  const isV6 = ipVersion(tuple.source) === 6;
  const whole = writer.nest(type);
  const ip = writer.nest(CTA_TUPLE_IP);
  writer.attribute(isV6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, ipToBytes(tuple.source));
  writer.attribute(isV6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, ipToBytes(tuple.destination));
  writer.endNest(ip);
  const protocol = writer.nest(CTA_TUPLE_PROTO);
  writer.attributeU8(Proto.NUM, tuple.protocol);
  if (tuple.sourcePort !== undefined) writer.attributeU16BigEndian(Proto.SRC_PORT, tuple.sourcePort);
  if (tuple.destinationPort !== undefined)
    writer.attributeU16BigEndian(Proto.DST_PORT, tuple.destinationPort);
  writer.endNest(protocol);
  if (zone !== undefined) writer.attributeU16BigEndian(CTA_TUPLE_ZONE, zone);
  writer.endNest(whole);
}

function bigEndian(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
