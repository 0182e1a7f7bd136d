/** ROUTE-REFRESH (RFC 2918) with the subtypes of RFC 7313. */

import { readUint16 } from "../address.ts";
import { MessageError } from "../errors.ts";
import { MessageType, NotificationCode, RefreshSubtype, RouteRefreshError } from "./constants.ts";
import { frame } from "./framing.ts";

export interface RouteRefreshMessage {
  readonly afi: number;
  /** {@link RefreshSubtype}; others are to be ignored (RFC 7313 5). */
  readonly subtype: number;
  readonly safi: number;
}

export function encodeRouteRefresh({ afi, subtype, safi }: RouteRefreshMessage): Uint8Array {
  return Uint8Array.of(afi >>> 8, afi & 0xff, subtype, safi);
}

/** The framing guarantees at least four bytes; a request may carry more (outbound filters, RFC 5291), which are not looked at. */
export function decodeRouteRefresh(body: Uint8Array): RouteRefreshMessage {
  const subtype = body[2]!;
  const isMark = subtype === RefreshSubtype.begin || subtype === RefreshSubtype.end;
  if (isMark && body.length !== 4) {
    throw new MessageError(
      NotificationCode.routeRefresh,
      RouteRefreshError.invalidLength,
      `ROUTE-REFRESH of ${body.length} bytes`,
      frame(MessageType.routeRefresh, body),
    );
  }
  return { afi: readUint16(body, 0), subtype, safi: body[3]! };
}
