/**
 * What two OPENs agree on. Pure: our side as configuration, their OPEN as a value; the answer is the session's terms,
 * or the NOTIFICATION of RFC 4271 6.2.
 */

import { MessageError } from "../errors.ts";
import { type Capability, encodeCapability } from "../message/capabilities.ts";
import { afiSafiOf, familyOf, NotificationCode, OpenError } from "../message/constants.ts";
import type { OpenMessage } from "../message/open.ts";
import { Writer } from "../message/writer.ts";
import { Family } from "../route.ts";
import type { StaleTimes } from "../speaker-options.ts";

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
  /** Seconds; 0: our OPEN goes out at once. */
  readonly delayOpenTime: number;
  readonly families: readonly Family[];
  /** Undefined: the capability is not offered. */
  readonly gracefulRestart: LocalGracefulRestart | undefined;
  /** What we can do with more than one path per prefix (RFC 7911). */
  readonly addPath: { readonly receive: boolean; readonly send: boolean };
  readonly extendedMessages: boolean;
  /** IPv4 routes may have IPv6 next hops (RFC 8950). */
  readonly extendedNextHop: boolean;
  readonly enhancedRefresh: boolean;
}

export interface LocalGracefulRestart {
  /** Seconds. */
  readonly restartTime: number;
  readonly restarting: boolean;
  readonly forwardingPreserved: boolean;
  /** The N bit (RFC 8538). */
  readonly notification: boolean;
  /** Seconds our routes may be kept after the restart time (RFC 9494), by family; without any that capability is not offered. */
  readonly longLivedStaleTime: StaleTimes;
}

/** What the neighbor promised about restarts, for the families both sides speak. */
export interface RemoteGracefulRestart {
  readonly restarting: boolean;
  /** The N bits of both sides: a NOTIFICATION ends the session like a lost connection (RFC 8538). */
  readonly notification: boolean;
  /** Seconds. */
  readonly restartTime: number;
  /** True where its F bit is set. */
  readonly families: ReadonlyMap<Family, boolean>;
}

/** RFC 9494, for one family. */
export interface LongLivedTerms {
  readonly forwardingPreserved: boolean;
  /** Seconds after the restart time. */
  readonly staleTime: number;
}

export interface Negotiated {
  readonly ebgp: boolean;
  readonly remoteRouterId: string;
  readonly remoteCapabilities: readonly Capability[];
  /** Seconds; 0: neither hold timer nor keepalives. */
  readonly holdTime: number;
  readonly keepaliveTime: number;
  /** Seconds; 0: no send hold timer. */
  readonly sendHoldTime: number;
  readonly families: readonly Family[];
  readonly fourOctetAs: boolean;
  readonly routeRefresh: boolean;
  readonly gracefulRestart: RemoteGracefulRestart | undefined;
  /** What the neighbor asked for, for the families both sides speak; undefined where one side does not speak RFC 9494. */
  readonly longLived: ReadonlyMap<Family, LongLivedTerms> | undefined;
  /** Routes with LLGR_STALE may be sent to it: it knows what that is (RFC 9494 4.3). */
  readonly takesLongLivedStale: boolean;
  /** Families whose NLRI come with path identifiers (RFC 7911), and those we send them for. */
  readonly addPathReceive: readonly Family[];
  readonly addPathSend: readonly Family[];
  /** Messages of up to 65535 bytes, both ways. */
  readonly extendedMessages: boolean;
  /** Families whose routes may have IPv6 next hops although they are IPv4, both ways. */
  readonly extendedNextHop: readonly Family[];
  /** BoRR and EoRR around what is sent again (RFC 7313). */
  readonly enhancedRefresh: boolean;
}

/** RFC 9687 6. */
const SEND_HOLD_MINIMUM = 480;
const IPV6_AFI = 2;

export function openMessage(config: SessionConfig): OpenMessage {
  const capabilities: Capability[] = config.families.map(family => ({
    kind: "multiprotocol",
    ...afiSafiOf(family),
  }));
  capabilities.push({ kind: "route-refresh" });
  if (config.enhancedRefresh) capabilities.push({ kind: "enhanced-route-refresh" });
  const nextHops = extendedNextHopFamilies(config);
  if (nextHops.length > 0) {
    const families = nextHops.map(family => ({ ...afiSafiOf(family), nextHopAfi: IPV6_AFI }));
    capabilities.push({ kind: "extended-next-hop", families });
  }
  if (config.extendedMessages) capabilities.push({ kind: "extended-message" });
  if (config.gracefulRestart !== undefined) {
    const { restarting, restartTime, forwardingPreserved, notification, longLivedStaleTime } =
      config.gracefulRestart;
    const families = config.families.map(family => ({ ...afiSafiOf(family), forwardingPreserved }));
    capabilities.push({ kind: "graceful-restart", restarting, notification, restartTime, families });
    const longLived = config.families.flatMap(family => {
      const staleTime = longLivedStaleTime[family];
      return staleTime === undefined ? [] : [{ ...afiSafiOf(family), forwardingPreserved, staleTime }];
    });
    if (longLived.length > 0) capabilities.push({ kind: "long-lived-graceful-restart", families: longLived });
  }
  capabilities.push({ kind: "four-octet-as", asn: config.localAsn });
  const { send, receive } = config.addPath;
  if (send || receive) {
    const families = config.families.map(family => ({ ...afiSafiOf(family), send, receive }));
    capabilities.push({ kind: "add-path", families });
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
  if (families.length === 0) throw noCommonFamily(config.families, open.capabilities);
  const offers = (kind: Capability["kind"]) => open.capabilities.some(capability => capability.kind === kind);
  const routeRefresh = offers("route-refresh");
  return {
    ebgp,
    remoteRouterId: open.routerId,
    remoteCapabilities: open.capabilities,
    holdTime,
    keepaliveTime: holdTime === 0 ? 0 : Math.min(config.keepaliveTime ?? third, third),
    sendHoldTime: sendHoldTime(config, holdTime),
    families,
    fourOctetAs: offers("four-octet-as"),
    routeRefresh,
    gracefulRestart: remoteGracefulRestart(config, families, open.capabilities),
    longLived: longLivedTerms(config, families, open.capabilities),
    takesLongLivedStale: longLivedCapability(open.capabilities) !== undefined,
    ...addPathFamilies(config, families, open.capabilities),
    extendedMessages: config.extendedMessages && offers("extended-message"),
    extendedNextHop: extendedNextHopFamilies(config).filter(family =>
      allowsIpv6NextHop(family, families, open.capabilities),
    ),
    enhancedRefresh: config.enhancedRefresh && routeRefresh && offers("enhanced-route-refresh"),
  };
}

/** RFC 9687 4.4: longer than the hold time. Without hold time there is none (4.3), unless it was asked for. */
function sendHoldTime({ sendHoldTime: configured }: SessionConfig, holdTime: number): number {
  if (configured === undefined) return holdTime === 0 ? 0 : Math.max(SEND_HOLD_MINIMUM, 2 * holdTime);
  return Math.max(configured, holdTime + 1);
}

/** A neighbor that says nothing about families speaks IPv4 unicast (RFC 4760 8). */
function commonFamilies(ours: readonly Family[], capabilities: readonly Capability[]): Family[] {
  const theirs = capabilities.flatMap(capability =>
    capability.kind === "multiprotocol" ? [familyOf(capability.afi, capability.safi)] : [],
  );
  if (theirs.length === 0) theirs.push(Family.ipv4Unicast);
  return ours.filter(family => theirs.includes(family));
}

/** RFC 5492 3: the data are the capabilities that are missing. */
function noCommonFamily(ours: readonly Family[], capabilities: readonly Capability[]): MessageError {
  const writer = new Writer(16);
  for (const family of ours) encodeCapability(writer, { kind: "multiprotocol", ...afiSafiOf(family) });
  const theirs = capabilities.flatMap(capability =>
    capability.kind === "multiprotocol" ? [`${capability.afi}/${capability.safi}`] : [],
  );
  const text = `no address family in common: ${ours.join(", ")} here, ${theirs.join(", ")} (AFI/SAFI) there`;
  return refuse(OpenError.unsupportedCapability, text, writer.copy());
}

/** Of a capability that must stand once, the last one counts (RFC 4724 3). */
function last<K extends Capability["kind"]>(
  capabilities: readonly Capability[],
  kind: K,
): Extract<Capability, { kind: K }> | undefined {
  return capabilities.findLast(
    (capability): capability is Extract<Capability, { kind: K }> => capability.kind === kind,
  );
}

function remoteGracefulRestart(
  config: SessionConfig,
  common: readonly Family[],
  capabilities: readonly Capability[],
): RemoteGracefulRestart | undefined {
  const capability = last(capabilities, "graceful-restart");
  if (capability === undefined) return undefined;
  const families = new Map<Family, boolean>();
  for (const { afi, safi, forwardingPreserved } of capability.families) {
    const family = familyOf(afi, safi);
    if (family !== undefined && common.includes(family)) families.set(family, forwardingPreserved);
  }
  const { restarting, restartTime } = capability;
  const notification = capability.notification && (config.gracefulRestart?.notification ?? false);
  return { restarting, notification, restartTime, families };
}

function longLivedTerms(
  config: SessionConfig,
  common: readonly Family[],
  capabilities: readonly Capability[],
): ReadonlyMap<Family, LongLivedTerms> | undefined {
  const capability = longLivedCapability(capabilities);
  const isOffered = Object.keys(config.gracefulRestart?.longLivedStaleTime ?? {}).length > 0;
  if (capability === undefined || !isOffered) return undefined;
  const terms = new Map<Family, LongLivedTerms>();
  for (const { afi, safi, forwardingPreserved, staleTime } of capability.families) {
    const family = familyOf(afi, safi);
    if (family !== undefined && common.includes(family))
      terms.set(family, { forwardingPreserved, staleTime });
  }
  return terms;
}

/** RFC 9494 3: without the graceful restart capability beside it, it is not there. */
function longLivedCapability(capabilities: readonly Capability[]) {
  const isBeside = last(capabilities, "graceful-restart") !== undefined;
  return isBeside ? last(capabilities, "long-lived-graceful-restart") : undefined;
}

/** RFC 7911 4: what one side sends the other must be able to receive. */
function addPathFamilies(
  { addPath }: SessionConfig,
  common: readonly Family[],
  capabilities: readonly Capability[],
): Pick<Negotiated, "addPathReceive" | "addPathSend"> {
  const theirs = last(capabilities, "add-path")?.families ?? [];
  const both = (ours: boolean, their: "send" | "receive") =>
    common.filter(
      family => ours && theirs.some(entry => familyOf(entry.afi, entry.safi) === family && entry[their]),
    );
  return { addPathReceive: both(addPath.receive, "send"), addPathSend: both(addPath.send, "receive") };
}

function extendedNextHopFamilies({ extendedNextHop, families }: SessionConfig): Family[] {
  return extendedNextHop ? families.filter(family => family === Family.ipv4Unicast) : [];
}

function allowsIpv6NextHop(
  family: Family,
  common: readonly Family[],
  capabilities: readonly Capability[],
): boolean {
  const entries = last(capabilities, "extended-next-hop")?.families ?? [];
  return (
    common.includes(family) &&
    entries.some(({ afi, safi, nextHopAfi }) => familyOf(afi, safi) === family && nextHopAfi === IPV6_AFI)
  );
}

function refuse(subcode: number, text: string, data?: Uint8Array): MessageError {
  return new MessageError(NotificationCode.open, subcode, text, data);
}
