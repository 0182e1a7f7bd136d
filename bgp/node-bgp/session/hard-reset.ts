/**
 * Which NOTIFICATIONs end a session for good (RFC 8538 5.1). With both N bits every other one is a graceful one: the routes stay, on both
 * sides, until the session is back. What says "do not expect me back", or "do not send packets to me", is therefore wrapped in a hard reset.
 */

import { Cease, NotificationCode } from "../message/constants.ts";
import { hardReset, type NotificationMessage } from "../message/notification.ts";
import type { Negotiated } from "./negotiation.ts";

const FOR_GOOD: readonly number[] = [
  Cease.maximumPrefixes,
  Cease.administrativeShutdown,
  Cease.peerDeconfigured,
  Cease.outOfResources,
  // The path to the neighbor is broken: keeping its routes would be a black hole.
  Cease.bfdDown,
];

/** What is sent for a reason: hard resets only to who knows them (RFC 8538 4). */
export function onTheWire(
  reason: NotificationMessage,
  negotiated: Negotiated | undefined,
): NotificationMessage {
  const isKnown = negotiated?.gracefulRestart?.notification ?? false;
  const isForGood = reason.code === NotificationCode.cease && FOR_GOOD.includes(reason.subcode);
  return isKnown && isForGood ? hardReset(reason) : reason;
}
