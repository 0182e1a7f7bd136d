/** Numbers from IANA's "Border Gateway Protocol (BGP) Parameters", under their RFC names. */

import { Family } from "../route.ts";

export const MARKER_LENGTH = 16;
export const HEADER_LENGTH = 19;
/** RFC 4271. */
export const MAX_MESSAGE_LENGTH = 4096;
/** RFC 8654, where both sides said so; never for OPEN and KEEPALIVE. */
export const MAX_EXTENDED_LENGTH = 65535;
export const BGP_VERSION = 4;
/** Stands for a 4-byte AS in the 2-byte fields (RFC 6793). */
export const AS_TRANS = 23456;

export const MessageType = {
  open: 1,
  update: 2,
  notification: 3,
  keepalive: 4,
  routeRefresh: 5,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export const NotificationCode = {
  messageHeader: 1,
  open: 2,
  update: 3,
  holdTimer: 4,
  fsm: 5,
  cease: 6,
  routeRefresh: 7,
  sendHoldTimer: 8,
} as const;

export const HeaderError = { notSynchronized: 1, badLength: 2, badType: 3 } as const;

export const OpenError = {
  unspecific: 0,
  unsupportedVersion: 1,
  badPeerAs: 2,
  badIdentifier: 3,
  unsupportedParameter: 4,
  unacceptableHoldTime: 6,
  unsupportedCapability: 7,
} as const;

export const UpdateError = {
  malformedAttributeList: 1,
  unrecognizedWellKnown: 2,
  missingWellKnown: 3,
  attributeFlags: 4,
  attributeLength: 5,
  invalidOrigin: 6,
  invalidNextHop: 8,
  optionalAttribute: 9,
  invalidNetworkField: 10,
  malformedAsPath: 11,
} as const;

/** RFC 7313. */
export const RouteRefreshError = { invalidLength: 1 } as const;

/** What a ROUTE-REFRESH is: a request (RFC 2918), or the begin or end of an answer (RFC 7313). */
export const RefreshSubtype = { request: 0, begin: 1, end: 2 } as const;

/** RFC 6608. */
export const FsmError = {
  unspecific: 0,
  unexpectedInOpenSent: 1,
  unexpectedInOpenConfirm: 2,
  unexpectedInEstablished: 3,
} as const;

/** RFC 4486, 8538, 9384. */
export const Cease = {
  maximumPrefixes: 1,
  administrativeShutdown: 2,
  peerDeconfigured: 3,
  administrativeReset: 4,
  connectionRejected: 5,
  otherConfigurationChange: 6,
  connectionCollision: 7,
  outOfResources: 8,
  hardReset: 9,
  bfdDown: 10,
} as const;

export const CapabilityCode = {
  multiprotocol: 1,
  routeRefresh: 2,
  extendedNextHop: 5,
  extendedMessage: 6,
  gracefulRestart: 64,
  fourOctetAs: 65,
  addPath: 69,
  enhancedRouteRefresh: 70,
  longLivedGracefulRestart: 71,
} as const;

export const AttributeType = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  largeCommunities: 32,
} as const;

export const AttributeFlag = {
  optional: 0x80,
  transitive: 0x40,
  partial: 0x20,
  extendedLength: 0x10,
} as const;

export interface AfiSafi {
  readonly afi: number;
  readonly safi: number;
}

const AFI_SAFI: Record<Family, AfiSafi> = {
  [Family.ipv4Unicast]: { afi: 1, safi: 1 },
  [Family.ipv6Unicast]: { afi: 2, safi: 1 },
};

export function afiSafiOf(family: Family): AfiSafi {
  return AFI_SAFI[family];
}

/** Undefined for what this library does not speak. */
export function familyOf(afi: number, safi: number): Family | undefined {
  if (safi !== 1) return undefined;
  if (afi === 1) return Family.ipv4Unicast;
  return afi === 2 ? Family.ipv6Unicast : undefined;
}

export function addressBytes(family: Family): 4 | 16 {
  return family === Family.ipv4Unicast ? 4 : 16;
}
