/**
 * What two OPENs agree on. Pure: our side as configuration, their OPEN as a value; the answer is the session's terms,
 * or the NOTIFICATION of RFC 4271 6.2.
 */

import { MessageError } from "../errors.ts";
import type { Capability } from "../message/capabilities.ts";
import { afiSafiOf, familyOf, NotificationCode, OpenError } from "../message/constants.ts";
import type { OpenMessage } from "../message/open.ts";
import { Family } from "../route.ts";

/** Our side of a session. */
export interface SessionConfig {
  readonly localAsn: number;
  readonly asn: number;
  readonly routerId: string;
  /** Seconds; 0: no hold timer wanted. */
  readonly holdTime: number;
  /** Seconds; undefined: a third of what is negotiated. */
  readonly keepaliveTime: number | undefined;
  readonly sendHoldTime: number | undefined;
  readonly families: readonly Family[];
  /** Undefined: the capability is not offered. */
  readonly gracefulRestart:
    | { readonly restartTime: number; readonly restarting: boolean; readonly forwardingPreserved: boolean }
    | undefined;
}

/** What the neighbor promised about restarts, for the families both sides speak. */
export interface RemoteGracefulRestart {
  readonly restarting: boolean;
  /** Seconds. */
  readonly restartTime: number;
  /** True where its F bit is set. */
  readonly families: ReadonlyMap<Family, boolean>;
}

export interface Negotiated {
  readonly ebgp: boolean;
  readonly remoteRouterId: string;
  readonly remoteCapabilities: readonly Capability[];
  /** Seconds; 0: neither hold timer nor keepalives. */
  readonly holdTime: number;
  readonly keepaliveTime: number;
  readonly sendHoldTime: number;
  readonly families: readonly Family[];
  readonly fourOctetAs: boolean;
  readonly routeRefresh: boolean;
  readonly gracefulRestart: RemoteGracefulRestart | undefined;
}

/** RFC 9687 4. */
const SEND_HOLD_MINIMUM = 480;

export function openMessage(config: SessionConfig): OpenMessage {
  const capabilities: Capability[] = config.families.map(family => ({
    kind: "multiprotocol",
    ...afiSafiOf(family),
  }));
  capabilities.push({ kind: "route-refresh" }, { kind: "four-octet-as", asn: config.localAsn });
  if (config.gracefulRestart !== undefined) {
    const { restarting, restartTime, forwardingPreserved } = config.gracefulRestart;
    capabilities.push({
      kind: "graceful-restart",
      restarting,
      notification: false,
      restartTime,
      families: config.families.map(family => ({ ...afiSafiOf(family), forwardingPreserved })),
    });
  }
  return { asn: config.localAsn, holdTime: config.holdTime, routerId: config.routerId, capabilities };
}

/** Throws {@link MessageError}. */
export function negotiate(config: SessionConfig, open: OpenMessage): Negotiated {
  if (open.asn !== config.asn) {
    throw refuse(OpenError.badPeerAs, `AS ${open.asn} where ${config.asn} is configured`);
  }
  const ebgp = config.localAsn !== config.asn;
  // RFC 6286: any non-zero identifier; ours only where the AS differs.
  if (open.routerId === "0.0.0.0" || (!ebgp && open.routerId === config.routerId)) {
    throw refuse(OpenError.badIdentifier, `BGP identifier ${open.routerId}`);
  }
  if (open.holdTime === 1 || open.holdTime === 2) {
    throw refuse(OpenError.unacceptableHoldTime, `hold time ${open.holdTime}`);
  }
  const holdTime = Math.min(config.holdTime, open.holdTime);
  const third = Math.floor(holdTime / 3);
  const families = commonFamilies(config.families, open.capabilities);
  return {
    ebgp,
    remoteRouterId: open.routerId,
    remoteCapabilities: open.capabilities,
    holdTime,
    keepaliveTime: holdTime === 0 ? 0 : Math.min(config.keepaliveTime ?? third, third),
    sendHoldTime: config.sendHoldTime ?? Math.max(SEND_HOLD_MINIMUM, 2 * holdTime),
    families,
    fourOctetAs: open.capabilities.some(({ kind }) => kind === "four-octet-as"),
    routeRefresh: open.capabilities.some(({ kind }) => kind === "route-refresh"),
    gracefulRestart: remoteGracefulRestart(families, open.capabilities),
  };
}

/** A neighbor that says nothing about families speaks IPv4 unicast (RFC 4760 8). */
function commonFamilies(ours: readonly Family[], capabilities: readonly Capability[]): Family[] {
  const theirs = capabilities.flatMap(capability =>
    capability.kind === "multiprotocol" ? [familyOf(capability.afi, capability.safi)] : [],
  );
  if (theirs.length === 0) theirs.push(Family.ipv4Unicast);
  return ours.filter(family => theirs.includes(family));
}

function remoteGracefulRestart(
  common: readonly Family[],
  capabilities: readonly Capability[],
): RemoteGracefulRestart | undefined {
  const capability = capabilities.findLast(({ kind }) => kind === "graceful-restart");
  if (capability?.kind !== "graceful-restart") return undefined;
  const families = new Map<Family, boolean>();
  for (const { afi, safi, forwardingPreserved } of capability.families) {
    const family = familyOf(afi, safi);
    if (family !== undefined && common.includes(family)) families.set(family, forwardingPreserved);
  }
  return { restarting: capability.restarting, restartTime: capability.restartTime, families };
}

function refuse(subcode: number, text: string): MessageError {
  return new MessageError(NotificationCode.open, subcode, text);
}
