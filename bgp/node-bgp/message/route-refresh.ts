/** ROUTE-REFRESH (RFC 2918). The subtypes of RFC 7313 are carried, and answered like a plain request by nobody but 0. */

import { readUint16 } from "../address.ts";
import { MessageError } from "../errors.ts";
import { NotificationCode } from "./constants.ts";

export interface RouteRefreshMessage {
  readonly afi: number;
  readonly subtype: number;
  readonly safi: number;
}

export function encodeRouteRefresh({ afi, subtype, safi }: RouteRefreshMessage): Uint8Array {
  return Uint8Array.of(afi >>> 8, afi & 0xff, subtype, safi);
}

export function decodeRouteRefresh(body: Uint8Array): RouteRefreshMessage {
  if (body.length !== 4) {
    throw new MessageError(NotificationCode.routeRefresh, 1, `ROUTE-REFRESH of ${body.length} bytes`);
  }
  return { afi: readUint16(body, 0), subtype: body[2]!, safi: body[3]! };
}
