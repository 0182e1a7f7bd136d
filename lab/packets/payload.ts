/**
 * Packets of protocols without sockets, as they follow the IP header. Each ends in a token by which its receiver
 * knows it; what comes before is as correct as connection tracking wants it: it drops what it calls invalid. Pure.
 */

import { PROTOCOL_NUMBERS } from "../../crd-schemas/index.ts";
import { type Ip, ipToBytes } from "../../net/ip.ts";

export interface RawPacket {
  /** The number in the IP header. */
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly icmp: { readonly type: number; readonly code: number };
  readonly token: number;
}

/** Tells ours from whatever else an open raw socket hears. */
const MAGIC = 0x63617078;
const TOKEN_LENGTH = 8;
const SCTP_INIT = 1;
/** RFC 9260 3.2.1: what is not known, with the highest bit, is skipped. */
const SCTP_SKIPPED_PARAMETER = 0x8000;
/** Nothing that GRE, ESP or others read in their first bytes means anything when zero. */
const FILLER = 16;

export function packetBytes(packet: RawPacket): Uint8Array {
  switch (packet.protocol) {
    case PROTOCOL_NUMBERS.SCTP:
      return sctpInit(packet);
    case PROTOCOL_NUMBERS.UDPLite:
      return udpLite(packet);
    case PROTOCOL_NUMBERS.ICMP:
    case PROTOCOL_NUMBERS.ICMPv6:
      return icmp(packet);
    default: {
      const view = new DataView(new ArrayBuffer(FILLER + TOKEN_LENGTH));
      return withToken(view, packet.token);
    }
  }
}

/** The token of a packet that {@link packetBytes} made, or of its echo. */
export function tokenOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < TOKEN_LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - TOKEN_LENGTH);
  return view.getUint32(0) === MAGIC ? view.getUint32(4) : undefined;
}

export function tokenBytes(token: number): Uint8Array {
  return withToken(new DataView(new ArrayBuffer(TOKEN_LENGTH)), token);
}

function withToken(view: DataView, token: number): Uint8Array {
  view.setUint32(view.byteLength - 8, MAGIC);
  view.setUint32(view.byteLength - 4, token);
  return new Uint8Array(view.buffer);
}

/** The first packet of an association (RFC 9260 3.3.2): the only one that connection tracking takes for a new flow. */
function sctpInit({ sourcePort, destinationPort, token }: RawPacket): Uint8Array {
  const header = 12;
  const init = 20;
  const parameter = 4 + TOKEN_LENGTH;
  const view = new DataView(new ArrayBuffer(header + init + parameter));
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  view.setUint8(header, SCTP_INIT);
  view.setUint16(header + 2, init + parameter);
  view.setUint32(header + 4, token || 1); // initiate tag, not zero
  view.setUint32(header + 8, 65535); // window
  view.setUint16(header + 12, 1); // streams out and in
  view.setUint16(header + 14, 1);
  view.setUint32(header + 16, token); // first TSN
  view.setUint16(header + init, SCTP_SKIPPED_PARAMETER);
  view.setUint16(header + init + 2, parameter);
  const bytes = withToken(view, token);
  view.setUint32(8, crc32c(bytes), true);
  return bytes;
}

/** In the pseudo header, by which connection tracking judges UDP-Lite too: RFC 3828's own number would make it invalid. */
const CHECKED_AS = PROTOCOL_NUMBERS.UDP;

/** RFC 3828: the checksum covers everything, and the addresses. */
function udpLite({ source, destination, sourcePort, destinationPort, token }: RawPacket): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 + TOKEN_LENGTH));
  view.setUint16(0, sourcePort);
  view.setUint16(2, destinationPort);
  const bytes = withToken(view, token);
  const ends = [...ipToBytes(source), ...ipToBytes(destination)];
  const pseudoHeader = [...ends, 0, CHECKED_AS, bytes.length >> 8, bytes.length & 255];
  view.setUint16(6, internetChecksum(Uint8Array.from([...pseudoHeader, ...bytes])) || 0xffff);
  return bytes;
}

/** The identifier tells flows apart, as ports do elsewhere. The kernel fills in ICMPv6's checksum itself. */
function icmp({ protocol, icmp: { type, code }, sourcePort, token }: RawPacket): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 + FILLER + TOKEN_LENGTH));
  view.setUint8(0, type);
  view.setUint8(1, code);
  view.setUint16(4, sourcePort);
  view.setUint16(6, 1);
  const bytes = withToken(view, token);
  if (protocol === PROTOCOL_NUMBERS.ICMP) view.setUint16(2, internetChecksum(bytes));
  return bytes;
}

/** RFC 1071 */
function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/** Castagnoli's polynomial, reflected, as SCTP has it (RFC 9260 appendix A); stored little-endian. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
