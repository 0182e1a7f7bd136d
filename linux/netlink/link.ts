/**
 * Links (network interfaces) as RTM_NEWLINK messages: linux/if_link.h, struct ifinfomsg.
 *
 * A link is referred to by index where that is known: names are reused, and a workload may rename its own end.
 */

import { type Ip, ipToBytes, ipVersion } from "../../net/ip.ts";
import { type Mac, macToBytes } from "../../net/mac.ts";
import { readIp, readMac } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu: number;
  /** IFF_UP: what the administrator wants. Whether it carries traffic is `operState`. */
  readonly up: boolean;
  readonly operState: OperState;
  /** Index of the bridge (or bond, VRF) that it is a port of. */
  readonly master?: number;
  /** `veth`, `bridge`, `vxlan`…; physical links and `lo` have none. */
  readonly kind?: string;
  /** For a veth, the other end's index, in that end's namespace; for a vxlan, its parent. */
  readonly peerIndex?: number;
  /** The namespace of `peerIndex` as this namespace numbers it; absent where it is this one. */
  readonly peerNamespaceId?: number;
  readonly vxlan?: VxlanParameters;
}

/** RFC 2863, as the kernel numbers them. */
const OPER_STATES = ["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] as const;
export type OperState = (typeof OPER_STATES)[number];

export interface VxlanParameters {
  /** The VNI. */
  readonly id: number;
  /** Source address of the outer packets. */
  readonly local?: Ip;
  /** Index of the link that the outer packets leave by; absent: as routed. */
  readonly parent?: number;
  /** UDP destination port. */
  readonly port: number;
  /** Whether forwarding entries are learned from traffic. */
  readonly learning: boolean;
}

/** Index or name. */
export type LinkRef = number | string;

export interface VethOptions {
  readonly name: string;
  readonly peerName: string;
  /** Where the peer is created; where the socket is, if absent. */
  readonly peerNamespace?: string | number;
  /** Of both ends. */
  readonly mtu?: number;
  readonly mac?: Mac;
  readonly peerMac?: Mac;
  /** Of both ends; the kernel's default is one per CPU, and memory for each. */
  readonly txQueues?: number;
}

/** Links that are made without parameters: `ipip` as the namespace's `tunl0`, which the kernel's module brings. */
export interface PlainLinkOptions {
  readonly kind: "bridge" | "ifb" | "ipip";
  readonly name: string;
  readonly mac?: Mac;
  readonly mtu?: number;
  readonly txQueues?: number;
}

export interface VxlanOptions {
  readonly name: string;
  readonly id: number;
  readonly local?: Ip;
  /** Index of the parent link. */
  readonly parent?: number;
  readonly port: number;
  readonly learning: boolean;
  readonly mac?: Mac;
  readonly mtu?: number;
}

export interface LinkChanges {
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: Mac;
  /** Needs the link to be found by index, which {@link LinkRef} by name is looked up for. */
  readonly name?: string;
  /** Index of the new master; 0 takes it out. */
  readonly master?: number;
  readonly namespace?: string | number;
}

const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
export const LinkMessageType = { NEW: RTM_NEWLINK, DELETE: RTM_DELLINK } as const;

const IFF_UP = 1;

const Attribute = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  LINK_NETNSID: 37,
} as const;
const InfoAttribute = { KIND: 1, DATA: 2 } as const;
const VETH_INFO_PEER = 1;
const VxlanAttribute = { ID: 1, LINK: 3, LOCAL: 4, LEARNING: 7, PORT: 15, LOCAL6: 17 } as const;

/** Leaves the counters out of the answer: most of its bytes. */
const RTEXT_FILTER_SKIP_STATS = 8;

export function writeGetLinks(writer: MessageWriter): void {
  writer.begin(RTM_GETLINK, Flag.REQUEST | Flag.DUMP);
  writeHeader(writer, 0, 0, 0);
  writer.attributeU32(Attribute.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  writer.end();
}

export function writeGetLink(writer: MessageWriter, link: LinkRef): void {
  writer.begin(RTM_GETLINK, Flag.REQUEST);
  writeReference(writer, link);
  writer.attributeU32(Attribute.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  writer.end();
}

/** Both ends at once, the second straight into the namespace that `peerNamespaceFd` is open on. */
export function writeCreateVeth(writer: MessageWriter, veth: VethOptions, peerNamespaceFd?: number): void {
  writeCreate(writer, "veth", veth, () => {
    const peer = writer.nest(VETH_INFO_PEER);
    writeHeader(writer, 0, 0, 0);
    writeCommon(writer, { ...veth, name: veth.peerName, mac: veth.peerMac });
    if (peerNamespaceFd !== undefined) writer.attributeU32(Attribute.NET_NS_FD, peerNamespaceFd);
    writer.endNest(peer);
  });
}

export function writeCreatePlainLink(writer: MessageWriter, link: PlainLinkOptions): void {
  writeCreate(writer, link.kind, link);
}

export function writeCreateVxlan(writer: MessageWriter, vxlan: VxlanOptions): void {
  writeCreate(writer, "vxlan", vxlan, () => {
    writer.attributeU32(VxlanAttribute.ID, vxlan.id);
    if (vxlan.parent !== undefined) writer.attributeU32(VxlanAttribute.LINK, vxlan.parent);
    if (vxlan.local !== undefined) {
      const type = ipVersion(vxlan.local) === 4 ? VxlanAttribute.LOCAL : VxlanAttribute.LOCAL6;
      writer.attribute(type, ipToBytes(vxlan.local));
    }
    writer.attributeU8(VxlanAttribute.LEARNING, vxlan.learning ? 1 : 0);
    writer.attributeU16BigEndian(VxlanAttribute.PORT, vxlan.port);
  });
}

/** `writeData`: what only links of this kind have. */
function writeCreate(
  writer: MessageWriter,
  kind: string,
  link: Parameters<typeof writeCommon>[1],
  writeData?: () => void,
): void {
  writer.begin(RTM_NEWLINK, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writeHeader(writer, 0, 0, 0);
  writeCommon(writer, link);
  const info = writer.nest(Attribute.LINKINFO);
  writer.attributeString(InfoAttribute.KIND, kind);
  if (writeData) {
    const data = writer.nest(InfoAttribute.DATA);
    writeData();
    writer.endNest(data);
  }
  writer.endNest(info);
  writer.end();
}

/** `changes.namespace` has to be an open descriptor by now. */
export function writeSetLink(
  writer: MessageWriter,
  link: LinkRef,
  changes: LinkChanges,
  namespaceFd?: number,
): void {
  writer.begin(RTM_NEWLINK, Flag.REQUEST);
  const flags = changes.up ? IFF_UP : 0;
  writeReference(writer, link, flags, changes.up === undefined ? 0 : IFF_UP);
  writeCommon(writer, changes);
  if (changes.master !== undefined) writer.attributeU32(Attribute.MASTER, changes.master);
  if (namespaceFd !== undefined) writer.attributeU32(Attribute.NET_NS_FD, namespaceFd);
  writer.end();
}

export function writeDeleteLink(writer: MessageWriter, link: LinkRef): void {
  writer.begin(RTM_DELLINK, Flag.REQUEST);
  writeReference(writer, link);
  writer.end();
}

/** Undefined where the message is not about a link (a bridge's port, with family AF_BRIDGE, is another matter). */
export function readLink(message: Message): Link | undefined {
  if (message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) return undefined;
  const { view, offset, end } = message;
  if (end - offset < 16 || view.getUint8(offset) !== 0) return undefined;
  const link: { -readonly [K in keyof Link]: Link[K] } = {
    index: view.getInt32(offset + 4, true),
    name: "",
    mtu: 0,
    up: (view.getUint32(offset + 8, true) & IFF_UP) !== 0,
    operState: "unknown",
  };
  const attributes = new AttributeReader(view, offset + 16, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.IFNAME:
        link.name = attributes.string();
        break;
      case Attribute.ADDRESS: {
        const address = readMac(attributes);
        if (address !== undefined) link.mac = address;
        break;
      }
      case Attribute.MTU:
        link.mtu = attributes.u32();
        break;
      case Attribute.MASTER:
        link.master = attributes.u32();
        break;
      case Attribute.OPERSTATE:
        link.operState = OPER_STATES[attributes.u8()] ?? "unknown";
        break;
      case Attribute.LINK:
        if (attributes.u32() !== 0) link.peerIndex = attributes.u32();
        break;
      case Attribute.LINK_NETNSID:
        link.peerNamespaceId = attributes.u32();
        break;
      case Attribute.LINKINFO:
        readInfo(link, attributes.nested());
        break;
    }
  }
  return link;
}

function readInfo(link: { kind?: string; vxlan?: VxlanParameters }, info: AttributeReader): void {
  while (info.next()) {
    if (info.type === InfoAttribute.KIND) link.kind = info.string();
    else if (info.type === InfoAttribute.DATA && link.kind === "vxlan") link.vxlan = readVxlan(info.nested());
  }
}

function readVxlan(data: AttributeReader): VxlanParameters {
  const vxlan: { -readonly [K in keyof VxlanParameters]: VxlanParameters[K] } = {
    id: 0,
    port: 0,
    learning: false,
  };
  while (data.next()) {
    switch (data.type) {
      case VxlanAttribute.ID:
        vxlan.id = data.u32();
        break;
      case VxlanAttribute.LINK:
        if (data.u32() !== 0) vxlan.parent = data.u32();
        break;
      case VxlanAttribute.LOCAL:
      case VxlanAttribute.LOCAL6: {
        const local = readIp(data.bytes());
        if (local !== undefined) vxlan.local = local;
        break;
      }
      case VxlanAttribute.LEARNING:
        vxlan.learning = data.u8() !== 0;
        break;
      case VxlanAttribute.PORT:
        vxlan.port = data.u16BigEndian();
        break;
    }
  }
  return vxlan;
}

/** struct ifinfomsg */
function writeHeader(writer: MessageWriter, index: number, flags: number, change: number): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(change);
}

function writeReference(writer: MessageWriter, link: LinkRef, flags = 0, change = 0): void {
  if (typeof link === "number") {
    writeHeader(writer, link, flags, change);
  } else {
    writeHeader(writer, 0, flags, change);
    writer.attributeString(Attribute.IFNAME, link);
  }
}

function writeCommon(
  writer: MessageWriter,
  link: { name?: string; mtu?: number; mac?: Mac | undefined; txQueues?: number },
): void {
  if (link.name !== undefined) writer.attributeString(Attribute.IFNAME, link.name);
  if (link.mtu !== undefined) writer.attributeU32(Attribute.MTU, link.mtu);
  if (link.mac !== undefined) writer.attribute(Attribute.ADDRESS, macToBytes(link.mac));
  if (link.txQueues !== undefined) {
    writer.attributeU32(Attribute.NUM_TX_QUEUES, link.txQueues);
    writer.attributeU32(Attribute.NUM_RX_QUEUES, link.txQueues);
  }
}
