/**
 * NOTIFICATION (RFC 4271 4.5) with the names operators know, the shutdown communication of RFC 9003 and the hard reset of RFC 8538, which
 * carries another NOTIFICATION: the reason.
 */

import {
  Cease,
  FsmError,
  HeaderError,
  NotificationCode,
  OpenError,
  RouteRefreshError,
  UpdateError,
} from "./constants.ts";

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
  [NotificationCode.routeRefresh]: {
    [RouteRefreshError.invalidLength]: "Invalid Message Length",
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
  return { code: body[0] ?? 0, subcode: body[1] ?? 0, data: new Uint8Array(body.subarray(2)) };
}

/** A Cease, with a text for the other side's operator where there is one (RFC 9003: in a shutdown or a reset). */
export function cease(subcode: number, text?: string): NotificationMessage {
  const data = text === undefined ? new Uint8Array(0) : encodeShutdownText(text);
  return { code: NotificationCode.cease, subcode, data };
}

/** Cease data of RFC 9003: one length byte and UTF-8, cut at a character boundary within 255 bytes. */
export function encodeShutdownText(text: string): Uint8Array {
  const buffer = new Uint8Array(255);
  const { written } = new TextEncoder().encodeInto(text, buffer);
  if (written === 0) return new Uint8Array(0);
  return Uint8Array.of(written, ...buffer.subarray(0, written));
}

export function isHardReset({ code, subcode }: NotificationMessage): boolean {
  return code === NotificationCode.cease && subcode === Cease.hardReset;
}

/** Cease/Hard Reset around its reason (RFC 8538 3.1). */
export function hardReset(reason: NotificationMessage): NotificationMessage {
  return { code: NotificationCode.cease, subcode: Cease.hardReset, data: encodeNotification(reason) };
}

/** The reason of a hard reset, where it carries one; any other NOTIFICATION is its own reason. */
export function reasonOf(notification: NotificationMessage): NotificationMessage {
  const { data } = notification;
  // One inside the other is no reason, and a sender could nest them a thousand deep.
  const isWrapped = isHardReset(notification) && data.length >= 2;
  const inner = isWrapped ? decodeNotification(data) : notification;
  return isWrapped && isHardReset(inner) ? notification : inner;
}

/** The text in a Cease/Administrative Shutdown or Reset, also inside a hard reset; undefined where there is none or it is broken. */
export function shutdownText(notification: NotificationMessage): string | undefined {
  const { code, subcode, data } = reasonOf(notification);
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

/** `Cease/Administrative Shutdown (rack 4 maintenance)`; a hard reset is told by its reason. */
export function describeNotification(notification: NotificationMessage): string {
  const reason = reasonOf(notification);
  const { code, subcode } = reason;
  const name = CODES[code] ?? `Error ${code}`;
  const sub = SUBCODES[code]?.[subcode] ?? (subcode === 0 ? undefined : `${subcode}`);
  const text = shutdownText(reason);
  return `${name}${sub === undefined ? "" : `/${sub}`}${text === undefined ? "" : ` (${text})`}`;
}
