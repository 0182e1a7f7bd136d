/**
 * The BFD control packet (RFC 5880 4.1) between bytes and values. Decoding makes every check of 6.8.6 that the packet alone decides;
 * those that need the session are the session table's. What fails one is dropped in silence, as the RFC demands: the reason is only counted.
 *
 *    0                   1                   2                   3
 *   |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
 *   |                       My Discriminator                        |
 *   |                      Your Discriminator                       |
 *   |                    Desired Min TX Interval                    |
 *   |                   Required Min RX Interval                    |
 *   |                 Required Min Echo RX Interval                 |
 *   |   Auth Type   |   Auth Len    |    Authentication Data...     |
 */

import { readUint32 } from "../address.ts";
import { SessionState } from "./constants.ts";

export const CONTROL_PACKET_LENGTH = 24;

const VERSION = 1;
const AUTHENTICATION_HEADER_LENGTH = 2;

const Flag = {
  poll: 0x20,
  final: 0x10,
  controlPlaneIndependent: 8,
  authentication: 4,
  demand: 2,
  multipoint: 1,
};

/** Intervals are microseconds. */
export interface ControlPacket {
  readonly diagnostic: number;
  readonly state: SessionState;
  readonly poll: boolean;
  readonly final: boolean;
  readonly controlPlaneIndependent: boolean;
  /** An authentication section follows. It is checked for length only; nothing here looks into it. */
  readonly authenticated: boolean;
  readonly demand: boolean;
  readonly multiplier: number;
  readonly myDiscriminator: number;
  readonly yourDiscriminator: number;
  readonly desiredMinTx: number;
  readonly requiredMinRx: number;
  readonly requiredMinEchoRx: number;
}

/** Which check of 6.8.6 a packet failed. */
export type MalformedReason =
  | "version"
  | "length"
  | "multiplier"
  | "multipoint"
  | "my-discriminator"
  | "your-discriminator";

/** The packet, or why it is none. */
export function decodeControlPacket(bytes: Uint8Array): ControlPacket | MalformedReason {
  // Shorter than any packet: there is no version to look at either.
  if (bytes.length < CONTROL_PACKET_LENGTH) return "length";
  const flags = bytes[1]!;
  const length = bytes[3]!;
  if (bytes[0]! >> 5 !== VERSION) return "version";
  const authenticated = (flags & Flag.authentication) !== 0;
  const minimum = CONTROL_PACKET_LENGTH + (authenticated ? AUTHENTICATION_HEADER_LENGTH : 0);
  if (length < minimum || length > bytes.length) return "length";
  // Auth Len counts itself and the type, and must fit into what Length leaves (6.7.2 to 6.7.4 give each type its own).
  if (authenticated && bytes[CONTROL_PACKET_LENGTH + 1]! !== length - CONTROL_PACKET_LENGTH) return "length";
  const multiplier = bytes[2]!;
  if (multiplier === 0) return "multiplier";
  if ((flags & Flag.multipoint) !== 0) return "multipoint";
  const myDiscriminator = readUint32(bytes, 4);
  if (myDiscriminator === 0) return "my-discriminator";
  const yourDiscriminator = readUint32(bytes, 8);
  const state = (flags >> 6) as SessionState;
  if (yourDiscriminator === 0 && state !== SessionState.down && state !== SessionState.adminDown) {
    return "your-discriminator";
  }
  return {
    diagnostic: bytes[0]! & 0x1f,
    state,
    poll: (flags & Flag.poll) !== 0,
    final: (flags & Flag.final) !== 0,
    controlPlaneIndependent: (flags & Flag.controlPlaneIndependent) !== 0,
    authenticated,
    demand: (flags & Flag.demand) !== 0,
    multiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTx: readUint32(bytes, 12),
    requiredMinRx: readUint32(bytes, 16),
    requiredMinEchoRx: readUint32(bytes, 20),
  };
}

/** Writes the {@link CONTROL_PACKET_LENGTH} bytes of the mandatory section; an authentication section is never sent. */
export function encodeControlPacket(
  packet: ControlPacket,
  into = new Uint8Array(CONTROL_PACKET_LENGTH),
): Uint8Array {
  const { controlPlaneIndependent } = packet;
  into[0] = (VERSION << 5) | packet.diagnostic;
  into[1] =
    (packet.state << 6) |
    (packet.poll ? Flag.poll : 0) |
    (packet.final ? Flag.final : 0) |
    (controlPlaneIndependent ? Flag.controlPlaneIndependent : 0) |
    (packet.demand ? Flag.demand : 0);
  into[2] = packet.multiplier;
  into[3] = CONTROL_PACKET_LENGTH;
  putUint32(into, 4, packet.myDiscriminator);
  putUint32(into, 8, packet.yourDiscriminator);
  putUint32(into, 12, packet.desiredMinTx);
  putUint32(into, 16, packet.requiredMinRx);
  putUint32(into, 20, packet.requiredMinEchoRx);
  return into;
}

function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
