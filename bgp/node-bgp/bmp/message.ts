/** BMP messages, version 3 (RFC 7854 4), from values to bytes. A complete message each, common header included. */

import { parseAddress, parseRouterId, withoutZone } from "../address.ts";
import { MessageType } from "../message/constants.ts";
import { frame } from "../message/framing.ts";
import { encodeNotification, type NotificationMessage } from "../message/notification.ts";
import { Writer } from "../message/writer.ts";

export const BMP_VERSION = 3;

export const BmpType = {
  routeMonitoring: 0,
  statisticsReport: 1,
  peerDown: 2,
  peerUp: 3,
  initiation: 4,
  termination: 5,
} as const;

export const PeerFlag = {
  ipv6: 0x80,
  postPolicy: 0x40,
  /** AS_PATHs have 2-byte AS numbers. */
  legacyAsPath: 0x20,
} as const;

export const TerminationReason = { administrativelyClosed: 0, unspecified: 1, outOfResources: 2 } as const;

/** RFC 7854 4.8, of those this library counts. 64-bit gauges but for the counter of UPDATEs. */
export const StatisticType = {
  adjRibIn: 7,
  adjRibInOfFamily: 9,
  updatesTreatedAsWithdraw: 11,
} as const;

/** What the per-peer header says (4.2). */
export interface BmpPeer {
  readonly address: string;
  readonly asn: number;
  /** Dotted quad. */
  readonly routerId: string;
  /** UPDATEs of this session have 4-byte AS numbers. */
  readonly fourOctetAs: boolean;
}

export interface PeerUpBody {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remotePort: number;
  /** Bodies of the OPENs. */
  readonly sentOpen: Uint8Array;
  readonly receivedOpen: Uint8Array;
}

/** Why a session has ended (4.9). */
export type PeerDownReason =
  | {
      readonly reason: "notification-sent" | "notification-received";
      readonly notification: NotificationMessage;
    }
  /** By us, without a word; `event` of RFC 4271 8.1, 0 where there is none. */
  | { readonly reason: "local"; readonly event: number }
  | { readonly reason: "remote" }
  | { readonly reason: "no-longer-monitored" };

export interface AdjRibInOfFamily {
  readonly afi: number;
  readonly safi: number;
  readonly routes: number;
}

export interface PeerStatistics {
  readonly adjRibIn: number;
  readonly families: readonly AdjRibInOfFamily[];
  readonly updatesTreatedAsWithdraw: number;
}

const HEADER = 6;
const PEER_HEADER = 42;
const BGP_HEADER = 19;
const GLOBAL_INSTANCE = 0;
const INFORMATION = { text: 0, systemDescription: 1, systemName: 2 } as const;
const TERMINATION = { text: 0, reason: 1 } as const;

/** Without the header; {@link finish} puts it in front. */
function begin(writer: Writer, type: number, length: number): Writer {
  return writer.u8(BMP_VERSION).u32(length).u8(type);
}

export function encodeInitiation(system: {
  readonly name: string;
  readonly description: string;
}): Uint8Array {
  const body = new Writer();
  text(body, INFORMATION.systemDescription, system.description);
  text(body, INFORMATION.systemName, system.name);
  return begin(new Writer(), BmpType.initiation, HEADER + body.length)
    .append(body)
    .copy();
}

export function encodeTermination(reason: number, words?: string): Uint8Array {
  const body = new Writer();
  if (words !== undefined) text(body, TERMINATION.text, words);
  body.u16(TERMINATION.reason).u16(2).u16(reason);
  return begin(new Writer(), BmpType.termination, HEADER + body.length)
    .append(body)
    .copy();
}

export function writePeerUp(writer: Writer, peer: BmpPeer, at: number, up: PeerUpBody): void {
  const sent = frame(MessageType.open, up.sentOpen);
  const received = frame(MessageType.open, up.receivedOpen);
  begin(writer, BmpType.peerUp, HEADER + PEER_HEADER + 20 + sent.length + received.length);
  peerHeader(writer, peer, at, 0);
  address(writer, up.localAddress);
  writer.u16(up.localPort).u16(up.remotePort).bytes(sent).bytes(received);
}

const DOWN_CODES = { "notification-sent": 1, "notification-received": 3 } as const;

export function writePeerDown(writer: Writer, peer: BmpPeer, at: number, why: PeerDownReason): void {
  const body = new Writer(64);
  if (why.reason === "local") body.u8(2).u16(why.event);
  else if (why.reason === "remote") body.u8(4);
  else if (why.reason === "no-longer-monitored") body.u8(5);
  else {
    body
      .u8(DOWN_CODES[why.reason])
      .bytes(frame(MessageType.notification, encodeNotification(why.notification)));
  }
  begin(writer, BmpType.peerDown, HEADER + PEER_HEADER + body.length);
  peerHeader(writer, peer, at, 0);
  writer.append(body);
}

export function writeStatistics(writer: Writer, peer: BmpPeer, at: number, statistics: PeerStatistics): void {
  const { adjRibIn, families, updatesTreatedAsWithdraw } = statistics;
  const body = new Writer(128);
  body.u32(2 + families.length);
  body.u16(StatisticType.adjRibIn).u16(8);
  gauge(body, adjRibIn);
  for (const { afi, safi, routes } of families) {
    body.u16(StatisticType.adjRibInOfFamily).u16(11).u16(afi).u8(safi);
    gauge(body, routes);
  }
  body.u16(StatisticType.updatesTreatedAsWithdraw).u16(4).u32(updatesTreatedAsWithdraw);
  begin(writer, BmpType.statisticsReport, HEADER + PEER_HEADER + body.length);
  peerHeader(writer, peer, at, 0);
  writer.append(body);
}

/** One UPDATE of which the body is `bytes` from `start` to `end`. */
export function writeRouteMonitoring(
  writer: Writer,
  peer: BmpPeer,
  at: number,
  flags: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const length = BGP_HEADER + end - start;
  begin(writer, BmpType.routeMonitoring, HEADER + PEER_HEADER + length);
  peerHeader(writer, peer, at, flags);
  for (let i = 0; i < 4; i++) writer.u32(0xffff_ffff);
  writer.u16(length).u8(MessageType.update).bytes(bytes.subarray(start, end));
}

/** `at`: milliseconds since the epoch. */
function peerHeader(writer: Writer, peer: BmpPeer, at: number, flags: number): void {
  const isIpv6 = peer.address.includes(":");
  const known = (isIpv6 ? PeerFlag.ipv6 : 0) | (peer.fourOctetAs ? 0 : PeerFlag.legacyAsPath);
  writer
    .u8(GLOBAL_INSTANCE)
    .u8(flags | known)
    .u32(0)
    .u32(0);
  address(writer, peer.address);
  writer
    .u32(peer.asn)
    .u32(parseRouterId(peer.routerId) ?? 0)
    .u32(Math.floor(at / 1000))
    .u32(Math.floor((at % 1000) * 1000));
}

/** 16 bytes; IPv4 in the last four. */
function address(writer: Writer, text: string): void {
  const bytes = parseAddress(withoutZone(text)) ?? new Uint8Array(4);
  for (let i = bytes.length; i < 16; i += 4) writer.u32(0);
  writer.bytes(bytes);
}

function gauge(writer: Writer, value: number): void {
  writer.u32(Math.floor(value / 2 ** 32)).u32(value % 2 ** 32);
}

function text(writer: Writer, type: number, value: string): void {
  const bytes = Buffer.from(value, "utf8");
  writer.u16(type).u16(bytes.length).bytes(bytes);
}
