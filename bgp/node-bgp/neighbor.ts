/** A neighbor as its owner sees it: what may be configured, what is reported, what a policy is told. */

import type { BfdSessionStatus } from "./bfd/bfd-service.ts";
import type { Capability } from "./message/capabilities.ts";
import type { Family, PathAttributes, Route, RouteSource, SourceType } from "./route.ts";
import type { StaleTimes } from "./speaker-options.ts";

/** The state names of RFC 4271 8.2.2. */
export type NeighborState = "Idle" | "Connect" | "Active" | "OpenSent" | "OpenConfirm" | "Established";

/**
 * Next hop towards this neighbor. `auto`: ours towards eBGP, unchanged towards iBGP; `self`: always ours; `keep`:
 * always unchanged. A locally originated route without next hop gets ours in every mode.
 */
export type NextHopMode = "auto" | "self" | "keep";

/** The part of a neighbor a policy may look at. */
export interface PolicyNeighbor {
  readonly address: string;
  readonly asn: number;
  readonly localAsn: number;
  readonly type: "internal" | "external";
}

/**
 * Accepts (the same object), changes (a new object, `{ ...route, localPref: 200 }`) or refuses (null) a route.
 * Import: called with the route as received. Export: with the best path, before the protocol's own changes
 * (AS prepended, next hop, LOCAL_PREF dropped towards eBGP); a next hop set here is sent as it is.
 * Must be a pure function of its arguments: call {@link Speaker.refreshExports} or
 * {@link Speaker.refreshImports} when what it closes over has changed. Throwing refuses the route.
 */
export interface RoutePolicy {
  (route: Route, neighbor: PolicyNeighbor): Route | null;
  /**
   * The same policy, asked once for an attribute set instead of once per route: what does not depend on the prefix is decided here. Policies
   * made by `compilePolicy` have it; where present it is what the speaker calls, so it must agree with the function.
   */
  readonly prepare?: (paths: PolicyPaths, neighbor: PolicyNeighbor) => PreparedPolicy;
}

/** All that paths of one attribute set have in common. */
export interface PolicyPaths {
  readonly attributes: PathAttributes;
  readonly family: Family;
  readonly source: RouteSource;
  readonly sourceType: SourceType;
}

/** What a policy makes of an attribute set: equal object, equal answer, so a caller may keep by identity what it derives from it. */
export type PolicyAnswer = (PathAttributes & Pick<Route, "nextHopMode">) | null;

export interface PreparedPolicy {
  /** The answer for every prefix (the very `attributes` where it changes nothing); undefined where prefixes matter: `decide`. */
  readonly answer: PolicyAnswer | undefined;
  /** The answer for the prefix whose address begins at `offset` (host bits zero). */
  decide(address: Uint8Array, offset: number, length: number): PolicyAnswer;
}

export type PolicyDirection = "import" | "export";

export interface NeighborOptions {
  /** IPv4 or IPv6 address; also the identity of the neighbor. A zone (`fe80::1%eth0`) is kept. */
  readonly address: string;
  readonly asn: number;
  /** Port to dial, default 179. */
  readonly port?: number;
  /** Source address of our connections, and our next hop; default: what the kernel chooses. */
  readonly localAddress?: string;
  /**
   * The interface the neighbor is behind: we dial from it (SO_BINDTODEVICE) and accept the neighbor only from it. It completes a
   * link-local `address` without a zone. Default: the zone of `address`, else any. Linux, needs `koffi` unless the address is link-local.
   */
  readonly interface?: string;
  /** Next hop of our own routes, per family; needed to send IPv6 routes over an IPv4 session and the reverse. */
  readonly nextHopSelf?: { readonly ipv4?: string; readonly ipv6?: string };
  /** AS number to show to this neighbor; default the speaker's. Equal to `asn` means iBGP. */
  readonly localAsn?: number;
  /** Do not dial; wait to be dialled. Default false. */
  readonly passive?: boolean;
  /** Where passive: dial nevertheless when nothing came for so many seconds. Default: never. */
  readonly passiveFallback?: number;
  /** TCP MD5 key (RFC 2385), at most 80 bytes. Linux, needs the npm package `koffi`. */
  readonly password?: string;
  /** GTSM (RFC 5082): how many hops away the neighbor may be (1 = on link). Linux, needs `koffi`. */
  readonly ttlSecurity?: number;
  /** Seconds, 0 or 3..65535; default the speaker's. */
  readonly holdTime?: number;
  /** Seconds; default a third of the negotiated hold time. */
  readonly keepaliveTime?: number;
  /** Seconds between dials, jittered down to 75 %; default 5. */
  readonly connectRetryTime?: number;
  /** Seconds without any progress in sending before the session is given up (RFC 9687); default max(480, 2 x hold time). */
  readonly sendHoldTime?: number;
  /** Seconds, 0..65535: how long to wait, once connected, for the neighbor's OPEN before sending ours (RFC 4271 8.1.1); default 0: at once. */
  readonly delayOpenTime?: number;
  /** Seconds the neighbor should keep our routes while we restart; default the speaker's; 0: no graceful restart at all. */
  readonly gracefulRestartTime?: number;
  /**
   * Seconds, 0..16777215, the neighbor should keep our routes after the restart time is over, as a last resort (RFC 9494); also says
   * that we keep its routes for as long as it asks, at most this long. For all families or by family. Default the speaker's; 0: no long-lived
   * graceful restart.
   */
  readonly longLivedStaleTime?: number | StaleTimes;
  /** Messages of up to 65535 bytes where the neighbor takes them (RFC 8654). Default true. */
  readonly extendedMessages?: boolean;
  /** Refreshes are bracketed, so that what was not sent again goes (RFC 7313). Default true. */
  readonly enhancedRefresh?: boolean;
  /** IPv4 routes may have IPv6 next hops (RFC 8950). Default: true where `address` is IPv6 and `families` has IPv4. */
  readonly extendedNextHop?: boolean;
  /** Several paths for one prefix (RFC 7911). Default: neither way. */
  readonly addPath?: AddPathOptions;
  /** How many prefixes of one family the neighbor may send; a number: end the session above it. Default: no limit. */
  readonly maxPrefixes?: number | MaxPrefixesOptions;
  /**
   * GRACEFUL_SHUTDOWN (RFC 8326): this session is going to be shut down. What we send carries the community, what
   * we receive gets LOCAL_PREF 0, so that traffic moves away first. Applied without a new session. Default false.
   */
  readonly gracefulShutdown?: boolean;
  /** Watch the neighbor by BFD and end the session when it says down (RFC 5882). True: all defaults. Default: no BFD. Linux. */
  readonly bfd?: boolean | NeighborBfdOptions;
  /** The neighbor is our route reflector client (RFC 4456). iBGP only. */
  readonly reflectorClient?: boolean;
  readonly nextHopMode?: NextHopMode;
  /** How often our own AS may appear in a received AS_PATH; default 0. */
  readonly allowedLocalAs?: number;
  /** Default: the family of `address`. */
  readonly families?: readonly Family[];
  /** An external neighbor without one is not listened to (RFC 8212): give `acceptAll` to take everything. Internal ones need none. */
  readonly importPolicy?: RoutePolicy;
  /** An external neighbor without one is told nothing (RFC 8212): give `acceptAll` to tell everything. Internal ones need none. */
  readonly exportPolicy?: RoutePolicy;
  /**
   * Keep what the neighbor sent as it sent it, also what the import policy refuses: a new policy is applied to that, without asking the
   * neighbor, and {@link Speaker.received} shows it. Costs the memory of the routes that the policy changes or refuses. Default false.
   */
  readonly softReconfiguration?: boolean;
  /**
   * Neighbors of one group with the same `exportPolicy` function and the same export settings share one Adj-RIB-Out
   * and one encoding. Without a policy they always do. The policy must then give the same answer for each of them.
   */
  readonly exportGroup?: string;
  /** Free text, returned in the status. */
  readonly description?: string;
}

/** One AS number, or any of several numbers and ranges, both ends included: `[64512, [65000, 65534]]`. */
export type AsnSet = number | readonly (number | readonly [from: number, to: number])[];

/**
 * Whoever dials us from a prefix is a neighbor, with these options (all of {@link NeighborOptions} but for dialling), for as long as it is up. The
 * most specific prefix counts; a neighbor that is configured by its address comes first.
 */
export interface DynamicNeighborsOptions
  extends Omit<
    NeighborOptions,
    "address" | "asn" | "port" | "passive" | "passiveFallback" | "connectRetryTime"
  > {
  /** `10.0.0.0/24`; also the identity of this setting. `fe80::/10` with `interface` for whoever is on a link. */
  readonly prefix: string;
  /** The AS numbers a neighbor may have; which one it is, is learned from its OPEN. */
  readonly asn: AsnSet;
  /** At most so many neighbors at a time, 1..65535; default 100. Who comes then is refused with Cease/Connection Rejected. */
  readonly limit?: number;
  /** TCP MD5 key (RFC 2385) of all of them: one key in the kernel, however many come. */
  readonly password?: string;
}

/** JSON-safe. */
export interface DynamicNeighborsStatus {
  readonly prefix: string;
  readonly asn: AsnSet;
  readonly limit: number;
  /** Addresses of those that are there. */
  readonly neighbors: readonly string[];
  readonly description?: string | undefined;
}

export interface AddPathOptions {
  /** Take several paths for one prefix. Default false. */
  readonly receive?: boolean;
  /** Send the best so many paths for one prefix, 1..255, or all of them. Default 1: without path identifiers. */
  readonly send?: number | "all";
}

export interface MaxPrefixesOptions {
  /** Per family, at least 1. */
  readonly limit: number;
  /** `reset`: Cease/Maximum Number of Prefixes Reached (RFC 4486), and no dial before `restartAfter`; `warn`: only an event. Default `reset`. */
  readonly action?: "reset" | "warn";
  /** Percent of the limit above which an event warns, 1..100; default 75. */
  readonly warnAt?: number;
  /**
   * After a reset: stay Idle so many seconds, 1..65535, or `never` come back by itself, only by {@link Speaker.resetNeighbor}. Default: as
   * after any error, at most a minute.
   */
  readonly restartAfter?: number | "never";
}

export interface NeighborBfdOptions {
  /** Milliseconds between the packets we would like to send, 10..60000; default 300. */
  readonly transmitInterval?: number;
  /** Milliseconds between the packets we can take, 10..60000; default 300. */
  readonly receiveInterval?: number;
  /** Packets missed until it is down, 1..255; default 3. */
  readonly multiplier?: number;
  /** RFC 5883. Default: where `ttlSecurity` is above 1, or not set and the neighbor is internal; never by a link-local address. */
  readonly multihop?: boolean;
  /** Milliseconds between measurements of the round trip, 1000..3600000, or 0 for none; default 10000. */
  readonly pollInterval?: number;
  /** No session before BFD has come up, nor while it is down. Default false: BGP does not wait for a neighbor that may have no BFD. */
  readonly strict?: boolean;
  /**
   * When BFD says down, close the session as if the connection had been lost: graceful restart, where negotiated, keeps the neighbor's
   * routes. For a forwarding plane of its own. Default false: Cease/BFD Down (RFC 9384), and the routes go at once.
   */
  readonly keepRoutes?: boolean;
}

export type NeighborErrorReason =
  | "notification-sent"
  | "notification-received"
  | "connect-failed"
  | "connection-lost"
  | "collision"
  | "send-hold-expired";

/** Why a session or an attempt ended. */
export interface NeighborError {
  readonly reason: NeighborErrorReason;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** One line for people: `Cease/Administrative Shutdown (rack 4 maintenance)`. */
  readonly text: string;
  /** NOTIFICATION code and subcode where there was one. */
  readonly code?: number;
  readonly subcode?: number;
  /** What the operator on the other side wrote into a shutdown or reset (RFC 9003), or we into ours. */
  readonly communication?: string;
}

/** A session came, went, or could not be had. */
export interface NeighborTransition {
  readonly from: NeighborState;
  readonly to: NeighborState;
  /** When it happened first and, where the same happened `times` in a row, last. Milliseconds since the epoch. */
  readonly at: number;
  readonly last: number;
  readonly times: number;
  /** One line for people; absent where a session came up. */
  readonly reason?: string;
}

/** How many attributes or UPDATEs were wrong, by what was done about them (RFC 7606). */
export interface ProblemCounters {
  readonly withdraw: number;
  readonly discard: number;
  readonly disableFamily: number;
}

/** A neighbor changed state. */
export interface NeighborEvent {
  readonly address: string;
  readonly state: NeighborState;
  readonly previous: NeighborState;
  /** Milliseconds since the epoch. */
  readonly since: number;
  readonly error?: NeighborError | undefined;
  /** The neighbor is gone: removed, or a dynamic one that is down. */
  readonly removed?: true;
}

export interface MessageCounters {
  readonly open: number;
  readonly update: number;
  readonly notification: number;
  readonly keepalive: number;
  readonly routeRefresh: number;
}

export interface PrefixCounters {
  /** Taken: what loop checks and the import policy have let through. */
  readonly received: number;
  /** Of these, kept for a neighbor that is restarting. */
  readonly stale: number;
  readonly advertised: number;
}

/** JSON-safe snapshot of one neighbor. */
export interface NeighborStatus {
  readonly address: string;
  readonly asn: number;
  readonly localAsn: number;
  readonly type: "internal" | "external";
  readonly description?: string | undefined;
  /** The prefix by which it was accepted, of a dynamic neighbor. */
  readonly dynamic?: string | undefined;
  readonly state: NeighborState;
  /** When it entered the state, milliseconds since the epoch. */
  readonly since: number;
  /** How often it has been Established. */
  readonly established: number;
  /** How often it was Established and then no longer. */
  readonly flaps: number;
  /** When it last became Established, and when it last ceased to be. Milliseconds since the epoch; absent: never. */
  readonly lastUp?: number | undefined;
  readonly lastDown?: number | undefined;
  /** Why the last session or attempt ended. */
  readonly lastError?: NeighborError | undefined;
  /** Why the last session that was Established ended. */
  readonly lastSessionError?: NeighborError | undefined;
  /** The last 20 ups and downs, oldest first. */
  readonly history: readonly NeighborTransition[];
  readonly localAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly remoteRouterId?: string | undefined;
  readonly remoteCapabilities?: readonly Capability[] | undefined;
  /** Seconds, as negotiated. */
  readonly holdTime?: number | undefined;
  readonly families: readonly Family[];
  /** Directions of an external neighbor that have no policy, and so no routes (RFC 8212). */
  readonly policyMissing: readonly PolicyDirection[];
  /** The neighbor is away and its routes are kept (RFC 4724 helper). */
  readonly restarting: boolean;
  /** Established, and its End-of-RIB has come for every family: what we have of it is all it has. */
  readonly synchronized: boolean;
  readonly sent: MessageCounters;
  readonly received: MessageCounters;
  /** Where the neighbor is watched by BFD. */
  readonly bfd?: BfdSessionStatus | undefined;
  /** Since the neighbor was configured. */
  readonly problems: ProblemCounters;
  /** UPDATEs per second over the last 10 seconds. */
  readonly updateRate: { readonly sent: number; readonly received: number };
  /** Bytes that wait for the neighbor to read. */
  readonly sendQueue: number;
  readonly prefixes: PrefixCounters & { readonly byFamily: Readonly<Record<Family, PrefixCounters>> };
}
