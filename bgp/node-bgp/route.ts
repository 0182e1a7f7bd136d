/**
 * What a route is to a reader of this library: a prefix with its path attributes, in plain values.
 *
 * These are values for people and policies. The RIB itself keeps no object per route (see rib/); a `Route` is made
 * when somebody asks for one, and all routes of one attribute set share its arrays: treat them as frozen.
 */

export const Family = {
  ipv4Unicast: "ipv4-unicast",
  ipv6Unicast: "ipv6-unicast",
} as const;
export type Family = (typeof Family)[keyof typeof Family];

export const FAMILIES: readonly Family[] = [Family.ipv4Unicast, Family.ipv6Unicast];

export const Origin = { igp: "igp", egp: "egp", incomplete: "incomplete" } as const;
export type Origin = (typeof Origin)[keyof typeof Origin];

export type AsSegmentType = "sequence" | "set" | "confed-sequence" | "confed-set";

export interface AsPathSegment {
  readonly type: AsSegmentType;
  readonly asns: readonly number[];
}

export interface Aggregator {
  readonly asn: number;
  readonly address: string;
}

/** An attribute this library does not interpret, carried byte for byte (RFC 4271 9). */
export interface RawAttribute {
  readonly flags: number;
  readonly type: number;
  /** Hexadecimal. */
  readonly value: string;
}

/** The path attributes of RFC 4271, 1997, 4360, 4456, 6793 and 8092. Absent means not present on the wire. */
export interface PathAttributes {
  readonly origin: Origin;
  readonly asPath: readonly AsPathSegment[];
  /** Address in canonical text; of the family of the route (also for IPv6, where the wire has it in MP_REACH_NLRI). */
  readonly nextHop?: string | undefined;
  /** The second, link-local next hop of RFC 2545. */
  readonly linkLocalNextHop?: string | undefined;
  readonly med?: number | undefined;
  readonly localPref?: number | undefined;
  readonly atomicAggregate?: boolean | undefined;
  readonly aggregator?: Aggregator | undefined;
  /** `asn:value`, e.g. `64512:100`; see {@link WellKnownCommunity}. */
  readonly communities?: readonly string[] | undefined;
  /** `global:local1:local2`. */
  readonly largeCommunities?: readonly string[] | undefined;
  /** 16 hexadecimal digits each. */
  readonly extendedCommunities?: readonly string[] | undefined;
  /** Dotted quad (RFC 4456). */
  readonly originatorId?: string | undefined;
  /** Dotted quads, nearest reflector first (RFC 4456). */
  readonly clusterList?: readonly string[] | undefined;
  readonly unknown?: readonly RawAttribute[] | undefined;
}

/** Where a route came from: `local`, or the address of the neighbor that sent it. */
export type RouteSource = "local" | (string & {});

/** What kind of neighbor that was, as RFC 4271 1.1 tells them apart. */
export type SourceType = "local" | "internal" | "external";

export interface Route extends PathAttributes {
  /** `10.0.0.0/26`, `fd00::/64`; host bits zero. */
  readonly prefix: string;
  readonly family: Family;
  readonly source: RouteSource;
  readonly sourceType: SourceType;
  /**
   * Next hops of every path as good as the best one up to the tie-breakers (ECMP), the best path's first.
   * Empty for a local route announced without a next hop.
   */
  readonly nextHops: readonly string[];
  /** Kept for a neighbor that is restarting (RFC 4724). */
  readonly stale: boolean;
  /**
   * Only in what an export policy returns: this route is sent with our own next hop (`self`) or with the one it has
   * (`keep`), whatever the neighbor's `nextHopMode`. A `nextHop` set by the policy is sent as it is without this.
   */
  readonly nextHopMode?: "self" | "keep" | undefined;
}

/** A path as a neighbor has sent it. */
export interface ReceivedRoute extends Route {
  /** What the neighbor calls it among its paths to the prefix (RFC 7911); 0 where it sends one alone. */
  readonly pathId: number;
}

/** The best path of a prefix changed. `best` is null when no path is left. */
export interface RouteChange {
  /** `added`: there was no best path before; `removed`: there is none now. */
  readonly kind: "added" | "changed" | "removed";
  readonly prefix: string;
  readonly family: Family;
  readonly best: Route | null;
}

/** What {@link Speaker.announce} takes: a locally originated route. */
export interface LocalRoute {
  readonly prefix: string;
  /** Absent: each neighbor is told our own address on its session. */
  readonly nextHop?: string;
  /** Default 100; only iBGP neighbors see it. */
  readonly localPref?: number;
  readonly med?: number;
  /** Default `igp`. */
  readonly origin?: Origin;
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  readonly extendedCommunities?: readonly string[];
  /** ASNs to appear in the path before ours is prepended; rarely wanted. */
  readonly asPath?: readonly AsPathSegment[];
  /** More specific routes, with paths of their own, are hidden behind this one. Default false. */
  readonly atomicAggregate?: boolean;
  /** Who has made one route of several. */
  readonly aggregator?: Aggregator;
}

export const WellKnownCommunity = {
  gracefulShutdown: "65535:0",
  /** RFC 9494. */
  llgrStale: "65535:6",
  noLlgr: "65535:7",
  noExport: "65535:65281",
  noAdvertise: "65535:65282",
  noExportSubconfed: "65535:65283",
} as const;

/** AS path as operators write it: `64512 64513 {64514 64515}`. */
export function formatAsPath(path: readonly AsPathSegment[]): string {
  const parts = path.map(({ type, asns }) => {
    const list = asns.join(" ");
    if (type === "sequence") return list;
    if (type === "set") return `{${list}}`;
    return type === "confed-sequence" ? `(${list})` : `[${list}]`;
  });
  return parts.join(" ");
}

/** The steps of the decision process at which a path can lose, in their order (RFC 4271 9.1.2.2, 4456 9, 9494 4.2). */
export type DecisionStep =
  | "long-lived-stale"
  | "local-pref"
  | "local-origin"
  | "as-path-length"
  | "origin"
  | "med"
  | "external"
  | "interior-cost"
  | "router-id"
  | "cluster-list-length"
  | "neighbor-address"
  | "path-id";

/** A path, and what the decision process made of it. */
export interface ExplainedPath extends Route {
  /** Path identifier as received (RFC 7911); 0: none. */
  readonly pathId: number;
  /** Where it lost; absent: it is the best path. */
  readonly lostAt?: DecisionStep;
  /** As good as the best path up to the tie-breakers: it carries traffic too (ECMP). True of the best path itself. */
  readonly equal: boolean;
}

/** What a speaker holds. JSON-safe. */
export interface SpeakerStatistics {
  readonly byFamily: Readonly<Record<Family, { readonly prefixes: number }>>;
  /** Different sets of path attributes, of all families; those no longer used are counted until they are swept. */
  readonly attributeSets: number;
}
