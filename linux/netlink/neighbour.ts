/**
 * Neighbours (ARP, ND), the addresses an interface answers for (proxy), and the forwarding entries of a vxlan or
 * bridge, all of them RTM_NEWNEIGH messages: linux/neighbour.h, struct ndmsg.
 */

import { type Ip, type IpVersion, ipToBytes } from "../../net/ip.ts";
import { type Mac, macToBytes } from "../../net/mac.ts";
import { AddressFamily } from "../libc.ts";
import { familyOf, familyOfAddress, readIp, readMac } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

export interface Neighbour {
  readonly interfaceIndex: number;
  readonly ip: Ip;
  /** Absent while it is not known. */
  readonly mac?: Mac;
  readonly state: NeighbourState;
}

/** An address for which the interface answers ARP or ND although it is not its own. */
export interface ProxyNeighbour {
  readonly interfaceIndex: number;
  readonly ip: Ip;
}

/** Frames to `mac` leave a vxlan towards the tunnel end `remote`, or a bridge by the port `interfaceIndex`. */
export interface ForwardingEntry {
  readonly interfaceIndex: number;
  readonly mac: Mac;
  readonly remote?: Ip;
  readonly state: NeighbourState;
}

/** NUD_* */
const STATES = {
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
} as const;
export type NeighbourState = keyof typeof STATES;

const RTM_NEWNEIGH = 28;
const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;
export const NeighbourMessageType = { NEW: RTM_NEWNEIGH, DELETE: RTM_DELNEIGH } as const;

const Attribute = { DST: 1, LLADDR: 2 } as const;
/** `SELF`: the device's own table, not that of the bridge it is a port of. */
const NeighbourFlag = { SELF: 0x02, PROXY: 0x08 } as const;

export function writeGetNeighbours(writer: MessageWriter, version: IpVersion): void {
  writer.begin(RTM_GETNEIGH, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, familyOf(version), 0, 0, 0);
  writer.end();
}

export function writeGetProxyNeighbours(writer: MessageWriter, version: IpVersion): void {
  writer.begin(RTM_GETNEIGH, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, familyOf(version), 0, 0, NeighbourFlag.PROXY);
  writer.end();
}

export function writeGetForwardingEntries(writer: MessageWriter, interfaceIndex: number): void {
  writer.begin(RTM_GETNEIGH, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, AddressFamily.BRIDGE, interfaceIndex, 0, 0);
  writer.end();
}

/** Always `permanent`: what we write is known, not learned. */
export function writeReplaceNeighbour(
  writer: MessageWriter,
  neighbour: { interfaceIndex: number; ip: Ip; mac: Mac },
): void {
  writer.begin(RTM_NEWNEIGH, Flag.REQUEST | Flag.CREATE | Flag.REPLACE);
  writeHeader(writer, familyOfAddress(neighbour.ip), neighbour.interfaceIndex, STATES.permanent, 0);
  writer.attribute(Attribute.DST, ipToBytes(neighbour.ip));
  writer.attribute(Attribute.LLADDR, macToBytes(neighbour.mac));
  writer.end();
}

export function writeDeleteNeighbour(
  writer: MessageWriter,
  neighbour: { interfaceIndex: number; ip: Ip },
): void {
  writer.begin(RTM_DELNEIGH, Flag.REQUEST);
  writeHeader(writer, familyOfAddress(neighbour.ip), neighbour.interfaceIndex, 0, 0);
  writer.attribute(Attribute.DST, ipToBytes(neighbour.ip));
  writer.end();
}

export function writeProxyNeighbour(
  writer: MessageWriter,
  change: "replace" | "delete",
  proxy: ProxyNeighbour,
): void {
  if (change === "replace") writer.begin(RTM_NEWNEIGH, Flag.REQUEST | Flag.CREATE | Flag.REPLACE);
  else writer.begin(RTM_DELNEIGH, Flag.REQUEST);
  const state = change === "replace" ? STATES.permanent : 0;
  writeHeader(writer, familyOfAddress(proxy.ip), proxy.interfaceIndex, state, NeighbourFlag.PROXY);
  writer.attribute(Attribute.DST, ipToBytes(proxy.ip));
  writer.end();
}

/** With the all-zero MAC it is where broadcasts go, of which a vxlan may have several: those are appended. */
export function writeReplaceForwardingEntry(
  writer: MessageWriter,
  entry: { interfaceIndex: number; mac: Mac; remote?: Ip },
): void {
  const flags = entry.mac === ALL_ZERO ? Flag.APPEND : Flag.REPLACE;
  writer.begin(RTM_NEWNEIGH, Flag.REQUEST | Flag.CREATE | flags);
  writeForwardingEntry(writer, entry, STATES.permanent);
}

export function writeDeleteForwardingEntry(
  writer: MessageWriter,
  entry: { interfaceIndex: number; mac: Mac; remote?: Ip },
): void {
  writer.begin(RTM_DELNEIGH, Flag.REQUEST);
  writeForwardingEntry(writer, entry, 0);
}

export function readNeighbour(message: Message): Neighbour | undefined {
  const entry = read(message);
  if (!entry || entry.family === AddressFamily.BRIDGE || entry.flags & NeighbourFlag.PROXY) return undefined;
  if (entry.dst === undefined) return undefined;
  return {
    interfaceIndex: entry.interfaceIndex,
    ip: entry.dst,
    ...(entry.mac !== undefined ? { mac: entry.mac } : {}),
    state: entry.state,
  };
}

export function readProxyNeighbour(message: Message): ProxyNeighbour | undefined {
  const entry = read(message);
  if (!entry || !(entry.flags & NeighbourFlag.PROXY) || entry.dst === undefined) return undefined;
  return { interfaceIndex: entry.interfaceIndex, ip: entry.dst };
}

export function readForwardingEntry(message: Message): ForwardingEntry | undefined {
  const entry = read(message);
  if (entry?.family !== AddressFamily.BRIDGE || entry.mac === undefined) return undefined;
  return {
    interfaceIndex: entry.interfaceIndex,
    mac: entry.mac,
    ...(entry.dst !== undefined ? { remote: entry.dst } : {}),
    state: entry.state,
  };
}

const ALL_ZERO = "00:00:00:00:00:00";

interface RawEntry {
  family: number;
  interfaceIndex: number;
  state: NeighbourState;
  flags: number;
  dst?: Ip;
  mac?: Mac;
}

function read(message: Message): RawEntry | undefined {
  if (message.type !== RTM_NEWNEIGH && message.type !== RTM_DELNEIGH) return undefined;
  const { view, offset, end } = message;
  if (end - offset < 12) return undefined;
  const entry: RawEntry = {
    family: view.getUint8(offset),
    interfaceIndex: view.getInt32(offset + 4, true),
    state: stateOf(view.getUint16(offset + 8, true)),
    flags: view.getUint8(offset + 10),
  };
  const attributes = new AttributeReader(view, offset + 12, end);
  while (attributes.next()) {
    if (attributes.type === Attribute.DST) {
      const dst = readIp(attributes.bytes());
      if (dst !== undefined) entry.dst = dst;
    } else if (attributes.type === Attribute.LLADDR) {
      const address = readMac(attributes);
      if (address !== undefined) entry.mac = address;
    }
  }
  return entry;
}

/** One bit is set, except that forwarding entries combine `permanent` and `noarp`. */
function stateOf(bits: number): NeighbourState {
  if (bits & STATES.permanent) return "permanent";
  for (const [name, bit] of Object.entries(STATES))
    if (bit !== 0 && bits & bit) return name as NeighbourState;
  return "none";
}

/** struct ndmsg */
function writeHeader(
  writer: MessageWriter,
  family: number,
  index: number,
  state: number,
  flags: number,
): void {
  writer.u32(family);
  writer.u32(index);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(0);
}

function writeForwardingEntry(
  writer: MessageWriter,
  entry: { interfaceIndex: number; mac: Mac; remote?: Ip },
  state: number,
): void {
  writeHeader(writer, AddressFamily.BRIDGE, entry.interfaceIndex, state, NeighbourFlag.SELF);
  writer.attribute(Attribute.LLADDR, macToBytes(entry.mac));
  if (entry.remote !== undefined) writer.attribute(Attribute.DST, ipToBytes(entry.remote));
  writer.end();
}
