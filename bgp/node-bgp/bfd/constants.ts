/** Numbers of RFC 5880, 5881 and 5883, and their names. */

/** RFC 5880 4.1, the Sta field. */
export const SessionState = { adminDown: 0, down: 1, init: 2, up: 3 } as const;
export type SessionState = (typeof SessionState)[keyof typeof SessionState];

const STATE_NAMES = ["AdminDown", "Down", "Init", "Up"] as const;
export type SessionStateName = (typeof STATE_NAMES)[number];

export function stateName(state: SessionState): SessionStateName {
  return STATE_NAMES[state];
}

/** Why a side last left Up (RFC 5880 4.1, the Diag field). */
export const Diagnostic = {
  none: 0,
  detectionTimeExpired: 1,
  echoFailed: 2,
  neighborSignaledDown: 3,
  forwardingPlaneReset: 4,
  pathDown: 5,
  concatenatedPathDown: 6,
  administrativelyDown: 7,
  reverseConcatenatedPathDown: 8,
} as const;

const DIAGNOSTIC_NAMES = [
  "No Diagnostic",
  "Control Detection Time Expired",
  "Echo Function Failed",
  "Neighbor Signaled Session Down",
  "Forwarding Plane Reset",
  "Path Down",
  "Concatenated Path Down",
  "Administratively Down",
  "Reverse Concatenated Path Down",
];

export function diagnosticName(diagnostic: number): string {
  return DIAGNOSTIC_NAMES[diagnostic] ?? `Diagnostic ${diagnostic}`;
}

/** Where control packets go: RFC 5881 4, RFC 5883 5. */
export const BfdPort = { singleHop: 3784, multihop: 4784 } as const;

/** RFC 5881 4: where they come from. */
export const SOURCE_PORT_FIRST = 49152;
export const SOURCE_PORT_COUNT = 16384;

/** RFC 5881 5: what a packet leaves with, and on one hop must arrive with. */
export const MAX_TTL = 255;
