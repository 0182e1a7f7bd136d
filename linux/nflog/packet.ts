/** The beginning of an IP packet: who sends what to whom. */

import { bytesToIp, type Ip } from "../../net/ip.ts";

export interface PacketSummary {
  readonly source: Ip;
  readonly destination: Ip;
  /** IANA's number; of IPv6, what follows the extension headers. */
  readonly protocol: number;
  /** Of TCP, UDP, UDP-Lite, SCTP and DCCP; absent where the packet is a later fragment, or was cut before it. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** Of ICMP and ICMPv6. */
  readonly icmp?: { readonly type: number; readonly code: number };
  /** The whole packet's, from its header. */
  readonly bytes: number;
}

const WITH_PORTS: readonly number[] = [6, 17, 33, 132, 136];
const ICMP: readonly number[] = [1, 58];
const IPV6_HEADER_LENGTH = 40;
/** Hop-by-hop options, routing, destination options: length in eight bytes, not counting the first. */
const IPV6_EXTENSIONS: readonly number[] = [0, 43, 60];
const IPV6_FRAGMENT = 44;

/** Undefined where it is no IP packet, or too short to say. */
export function summarize(packet: Uint8Array): PacketSummary | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const version = packet.length === 0 ? 0 : view.getUint8(0) >> 4;
  if (version === 4 && packet.length >= 20) return summarizeIpv4(packet, view);
  if (version === 6 && packet.length >= IPV6_HEADER_LENGTH) return summarizeIpv6(packet, view);
  return undefined;
}

function summarizeIpv4(packet: Uint8Array, view: DataView): PacketSummary {
  const protocol = view.getUint8(9);
  const isFirst = (view.getUint16(6) & 0x1fff) === 0;
  return {
    source: bytesToIp(packet.subarray(12, 16)),
    destination: bytesToIp(packet.subarray(16, 20)),
    protocol,
    ...(isFirst && transport(view, protocol, (view.getUint8(0) & 0xf) * 4)),
    bytes: view.getUint16(2),
  };
}

function summarizeIpv6(packet: Uint8Array, view: DataView): PacketSummary {
  let protocol = view.getUint8(6);
  let at = IPV6_HEADER_LENGTH;
  let isFirst = true;
  for (;;) {
    if (at + 8 > packet.length) break;
    if (IPV6_EXTENSIONS.includes(protocol)) {
      protocol = view.getUint8(at);
      at += 8 * (view.getUint8(at + 1) + 1);
    } else if (protocol === IPV6_FRAGMENT) {
      protocol = view.getUint8(at);
      isFirst = view.getUint16(at + 2) >> 3 === 0;
      at += 8;
    } else break;
  }
  return {
    source: bytesToIp(packet.subarray(8, 24)),
    destination: bytesToIp(packet.subarray(24, 40)),
    protocol,
    ...(isFirst && transport(view, protocol, at)),
    bytes: IPV6_HEADER_LENGTH + view.getUint16(4),
  };
}

function transport(
  view: DataView,
  protocol: number,
  at: number,
): Pick<PacketSummary, "sourcePort" | "destinationPort" | "icmp"> {
  if (WITH_PORTS.includes(protocol) && at + 4 <= view.byteLength)
    return { sourcePort: view.getUint16(at), destinationPort: view.getUint16(at + 2) };
  if (ICMP.includes(protocol) && at + 2 <= view.byteLength)
    return { icmp: { type: view.getUint8(at), code: view.getUint8(at + 1) } };
  return {};
}
