/** One side of a session, and the OPEN of the other, for tests that change what they are about. */

import type { OpenMessage } from "../../message/open.ts";
import { Family } from "../../route.ts";
import type { SessionConfig } from "../../session/negotiation.ts";

/** AS 64512 with a neighbor in AS 64513; nothing that is optional. */
export const PLAIN_SESSION: SessionConfig = {
  localAsn: 64512,
  asn: 64513,
  routerId: "10.0.0.1",
  holdTime: 90,
  keepaliveTime: undefined,
  sendHoldTime: undefined,
  delayOpenTime: 0,
  families: [Family.ipv4Unicast],
  gracefulRestart: undefined,
  addPath: { receive: false, send: false },
  extendedMessages: false,
  extendedNextHop: false,
  enhancedRefresh: false,
};

export const PLAIN_OPEN: OpenMessage = { asn: 64513, holdTime: 30, routerId: "10.0.0.2", capabilities: [] };
