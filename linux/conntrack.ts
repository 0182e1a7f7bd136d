/**
 * Forgetting connections, over nfnetlink (linux/netfilter/nfnetlink_conntrack.h).
 *
 * A connection that was let through once goes on for as long as conntrack remembers it, and keeps the way it took:
 * when a workload leaves or moves, the entries of its address have to go. Newer kernels pick out IPv4 entries
 * themselves from one DELETE with a filter (2 ms in 10,000 entries). Older ones call that filter invalid, and for IPv6
 * Linux 6.18 has its comparison the wrong way round: it deletes every connection but those meant. There the table
 * is listed and the entries are deleted one by one (30 ms).
 *
 * The other danger: a DELETE without any tuple empties the whole table. Nothing here can write one.
 */

import { type Ip, ipToBytes, ipVersion } from "../net/ip.ts";
import { isNetlinkError } from "./errors.ts";
import type { NamespaceRef } from "./namespace.ts";
import { familyOfAddress } from "./netlink/address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./netlink/message.ts";
import { NetlinkSocket, Protocol } from "./netlink/socket.ts";

/** Which of a connection's four addresses: of its first packet (`orig`) or of the answer (`reply`: differs under NAT). */
export type TupleSide = "orig-source" | "orig-destination" | "reply-source" | "reply-destination";

const SIDES: readonly TupleSide[] = ["orig-source", "orig-destination", "reply-source", "reply-destination"];

/** Subsystem 1 in the high byte. */
const IPCTNL_MSG_CT_NEW = 0x0100;
const IPCTNL_MSG_CT_GET = 0x0101;
const IPCTNL_MSG_CT_DELETE = 0x0102;
const Attribute = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
const CTA_TUPLE_IP = 1;
/** In CTA_TUPLE_IP: IPv4 source 1 and destination 2, IPv6 3 and 4. */
const CTA_IP_V4_SRC = 1;
const CTA_IP_V6_SRC = 3;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;

export class Conntrack {
  readonly #socket: NetlinkSocket;
  #kernelFilters: boolean;

  private constructor(socket: NetlinkSocket, kernelFilters: boolean) {
    this.#socket = socket;
    this.#kernelFilters = kernelFilters;
  }

  /** `kernelFilters: false` does as on a kernel that cannot filter deletions; by default that is found out. */
  static open(options: { namespace?: NamespaceRef | undefined; kernelFilters?: boolean } = {}): Conntrack {
    const socket = NetlinkSocket.open({ protocol: Protocol.NETFILTER, namespace: options.namespace });
    return new Conntrack(socket, options.kernelFilters ?? true);
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Forgets every connection that has `address` on one of `sides` (default: on any). None is no error. */
  deleteByAddress(address: Ip, sides: readonly TupleSide[] = SIDES): void {
    if (sides.length === 0) return;
    if (ipVersion(address) === 4 && this.#kernelFilters) {
      const results = this.#socket.batch(
        sides,
        sides.length,
        (writer, side) => writeDeleteConnections(writer, address, side),
        side => `forget connections with ${side} ${address}`,
      );
      this.#kernelFilters = !results.some(error => isNetlinkError(error, "EINVAL", "EOPNOTSUPP"));
      if (this.#kernelFilters) {
        for (const error of results) if (error && error.code !== "ENOENT") throw error;
        return;
      }
    }
    this.#deleteOneByOne(address, sides);
  }

  #deleteOneByOne(address: Ip, sides: readonly TupleSide[]): void {
    const bytes = ipToBytes(address);
    const family = familyOfAddress(address);
    const connections = this.#socket.get(
      "list connections",
      writer => {
        writer.begin(IPCTNL_MSG_CT_GET, Flag.REQUEST | Flag.DUMP);
        writer.u32(family);
        writer.end();
      },
      message => readConnection(message, bytes, sides),
    );
    const results = this.#socket.batch(
      connections,
      100,
      (writer, connection) => writeDeleteConnection(writer, family, connection),
      () => `forget a connection of ${address}`,
    );
    // ENOENT: it ended by itself meanwhile.
    for (const error of results) if (error && error.code !== "ENOENT") throw error;
  }
}

/** All connections with `address` (IPv4) on that side. */
export function writeDeleteConnections(writer: MessageWriter, address: Ip, side: TupleSide): void {
  if (ipVersion(address) !== 4) throw new TypeError(`a filtered deletion of ${address} would hit all others`);
  const original = side.startsWith("orig");
  const destination = side.endsWith("destination") ? 1 : 0;
  writer.begin(IPCTNL_MSG_CT_DELETE, Flag.REQUEST);
  writer.u32(familyOfAddress(address)); // struct nfgenmsg: version and resource id are 0
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

/** Attribute payloads as the kernel sent them: they go back unread. */
interface Connection {
  readonly tuple: Uint8Array;
  /** Against deleting a newer connection of the same addresses and ports. */
  readonly id?: Uint8Array;
  readonly zone?: Uint8Array;
}

/** The connection in `message` if it has `address` on one of `sides`. */
function readConnection(
  message: Message,
  address: Uint8Array,
  sides: readonly TupleSide[],
): Connection | undefined {
  if (message.type !== IPCTNL_MSG_CT_NEW) return undefined;
  const connection: { -readonly [K in keyof Connection]: Connection[K] } = { tuple: new Uint8Array(0) };
  let matches = false;
  const attributes = new AttributeReader(message.view, message.offset + 4, message.end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.TUPLE_ORIG:
        connection.tuple = attributes.bytes().slice();
        matches ||= hasAddress(attributes.nested(), "orig", address, sides);
        break;
      case Attribute.TUPLE_REPLY:
        matches ||= hasAddress(attributes.nested(), "reply", address, sides);
        break;
      case Attribute.ID:
        connection.id = attributes.bytes().slice();
        break;
      case Attribute.ZONE:
        connection.zone = attributes.bytes().slice();
        break;
    }
  }
  return matches && connection.tuple.length > 0 ? connection : undefined;
}

function hasAddress(
  tuple: AttributeReader,
  direction: "orig" | "reply",
  address: Uint8Array,
  sides: readonly TupleSide[],
): boolean {
  while (tuple.next()) {
    if (tuple.type !== CTA_TUPLE_IP) continue;
    const ips = tuple.nested();
    while (ips.next()) {
      const isSource = ips.type === CTA_IP_V4_SRC || ips.type === CTA_IP_V6_SRC;
      if (!sides.includes(`${direction}-${isSource ? "source" : "destination"}`)) continue;
      if (Buffer.compare(ips.bytes(), address) === 0) return true;
    }
  }
  return false;
}

function writeDeleteConnection(writer: MessageWriter, family: number, connection: Connection): void {
  writer.begin(IPCTNL_MSG_CT_DELETE, Flag.REQUEST);
  writer.u32(family);
  const tuple = writer.nest(Attribute.TUPLE_ORIG);
  writer.raw(connection.tuple);
  writer.endNest(tuple);
  if (connection.id !== undefined) writer.attribute(Attribute.ID, connection.id);
  if (connection.zone !== undefined) writer.attribute(Attribute.ZONE, connection.zone);
  writer.end();
}
