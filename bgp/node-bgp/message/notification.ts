/** NOTIFICATION (RFC 4271 4.5) with the names operators know and the shutdown communication of RFC 9003. */

import { Cease, FsmError, HeaderError, NotificationCode, OpenError, UpdateError } from "./constants.ts";

export interface NotificationMessage {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

const CODES: Record<number, string> = {
  [NotificationCode.messageHeader]: "Message Header Error",
  [NotificationCode.open]: "OPEN Message Error",
  [NotificationCode.update]: "UPDATE Message Error",
  [NotificationCode.holdTimer]: "Hold Timer Expired",
  [NotificationCode.fsm]: "Finite State Machine Error",
  [NotificationCode.cease]: "Cease",
  [NotificationCode.routeRefresh]: "ROUTE-REFRESH Message Error",
  [NotificationCode.sendHoldTimer]: "Send Hold Timer Expired",
};

const SUBCODES: Record<number, Record<number, string>> = {
  [NotificationCode.messageHeader]: {
    [HeaderError.notSynchronized]: "Connection Not Synchronized",
    [HeaderError.badLength]: "Bad Message Length",
    [HeaderError.badType]: "Bad Message Type",
  },
  [NotificationCode.open]: {
    [OpenError.unsupportedVersion]: "Unsupported Version Number",
    [OpenError.badPeerAs]: "Bad Peer AS",
    [OpenError.badIdentifier]: "Bad BGP Identifier",
    [OpenError.unsupportedParameter]: "Unsupported Optional Parameter",
    [OpenError.unacceptableHoldTime]: "Unacceptable Hold Time",
    [OpenError.unsupportedCapability]: "Unsupported Capability",
  },
  [NotificationCode.update]: {
    [UpdateError.malformedAttributeList]: "Malformed Attribute List",
    [UpdateError.unrecognizedWellKnown]: "Unrecognized Well-known Attribute",
    [UpdateError.missingWellKnown]: "Missing Well-known Attribute",
    [UpdateError.attributeFlags]: "Attribute Flags Error",
    [UpdateError.attributeLength]: "Attribute Length Error",
    [UpdateError.invalidOrigin]: "Invalid ORIGIN Attribute",
    [UpdateError.invalidNextHop]: "Invalid NEXT_HOP Attribute",
    [UpdateError.optionalAttribute]: "Optional Attribute Error",
    [UpdateError.invalidNetworkField]: "Invalid Network Field",
    [UpdateError.malformedAsPath]: "Malformed AS_PATH",
  },
  [NotificationCode.fsm]: {
    [FsmError.unexpectedInOpenSent]: "Unexpected Message in OpenSent State",
    [FsmError.unexpectedInOpenConfirm]: "Unexpected Message in OpenConfirm State",
    [FsmError.unexpectedInEstablished]: "Unexpected Message in Established State",
  },
  [NotificationCode.cease]: {
    [Cease.maximumPrefixes]: "Maximum Number of Prefixes Reached",
    [Cease.administrativeShutdown]: "Administrative Shutdown",
    [Cease.peerDeconfigured]: "Peer De-configured",
    [Cease.administrativeReset]: "Administrative Reset",
    [Cease.connectionRejected]: "Connection Rejected",
    [Cease.otherConfigurationChange]: "Other Configuration Change",
    [Cease.connectionCollision]: "Connection Collision Resolution",
    [Cease.outOfResources]: "Out of Resources",
    [Cease.hardReset]: "Hard Reset",
    [Cease.bfdDown]: "BFD Down",
  },
};

export function encodeNotification({ code, subcode, data }: NotificationMessage): Uint8Array {
  const body = new Uint8Array(2 + data.length);
  body[0] = code;
  body[1] = subcode;
  body.set(data, 2);
  return body;
}

/** The framing guarantees at least two bytes. */
export function decodeNotification(body: Uint8Array): NotificationMessage {
  return { code: body[0] ?? 0, subcode: body[1] ?? 0, data: body.slice(2) };
}

/** Cease data of RFC 9003: one length byte and UTF-8, cut at a character boundary within 255 bytes. */
export function encodeShutdownText(text: string): Uint8Array {
  const buffer = new Uint8Array(255);
  const { written } = new TextEncoder().encodeInto(text, buffer);
  if (written === 0) return new Uint8Array(0);
  return Uint8Array.of(written, ...buffer.subarray(0, written));
}

/** The text in a Cease/Administrative Shutdown or Reset; undefined where there is none or it is broken. */
export function shutdownText({ code, subcode, data }: NotificationMessage): string | undefined {
  const carriesText = subcode === Cease.administrativeShutdown || subcode === Cease.administrativeReset;
  const length = data[0];
  if (code !== NotificationCode.cease || !carriesText || !length || length > data.length - 1)
    return undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data.subarray(1, 1 + length));
    return text.replace(/\p{Cc}+/gu, " ").trim();
  } catch {
    return undefined;
  }
}

/** `Cease/Administrative Shutdown (rack 4 maintenance)`. */
export function describeNotification(notification: NotificationMessage): string {
  const { code, subcode } = notification;
  const name = CODES[code] ?? `Error ${code}`;
  const sub = SUBCODES[code]?.[subcode] ?? (subcode === 0 ? undefined : `${subcode}`);
  const text = shutdownText(notification);
  return `${name}${sub === undefined ? "" : `/${sub}`}${text === undefined ? "" : ` (${text})`}`;
}
