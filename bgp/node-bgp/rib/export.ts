/**
 * What a neighbor is told of a best path, and with which attributes. Pure; shared by all neighbors of an update group.
 *
 * Who is told (RFC 4271 9.2, 4456 6): external neighbors everything; internal ones what is local or external, and what is internal
 * only where the source or the neighbor is a reflector client. NO_EXPORT and NO_ADVERTISE bind what was received, not what we
 * originate: there they are a message to the neighbor (RFC 1997).
 */

import { formatRouterId } from "../address.ts";
import { prependAs, withoutConfederation } from "../message/as-path.ts";
import { Trait } from "../message/attribute-scanner.ts";
import type { NextHopMode } from "../neighbor.ts";
import { Family, type PathAttributes, type Route, WellKnownCommunity } from "../route.ts";
import { DEFAULT_LOCAL_PREF } from "./attribute-table.ts";
import type { Source } from "./source.ts";

const STAYS_INSIDE = Trait.noExport | Trait.noExportSubconfed;

/** The settings that decide the bytes sent: equal targets share an update group. */
export interface ExportTarget {
  readonly type: "internal" | "external";
  readonly localAsn: number;
  readonly reflectorClient: boolean;
  readonly nextHopMode: NextHopMode;
  readonly nextHopSelf: { readonly ipv4?: string | undefined; readonly ipv6?: string | undefined };
  readonly clusterId: string;
  readonly fourOctetAs: boolean;
  /** IPv4 routes may have IPv6 next hops (RFC 8950). */
  readonly extendedNextHop: boolean;
  /** So many paths of a prefix, with path identifiers (RFC 7911); 0: the best one, without. */
  readonly addPaths: number;
  /** Messages may have 65535 bytes (RFC 8654). */
  readonly extendedMessages: boolean;
  /** It knows what LLGR_STALE means (RFC 9494). */
  readonly longLived: boolean;
  /** Everything carries GRACEFUL_SHUTDOWN (RFC 8326). */
  readonly gracefulShutdown: boolean;
}

/** `traits`: of the attribute set. */
export function mayExport(source: Source, traits: number, target: ExportTarget): boolean {
  if (source.type === "local") return true;
  if ((traits & Trait.noAdvertise) !== 0) return false;
  if ((traits & STAYS_INSIDE) !== 0 && target.type === "external") return false;
  // RFC 9494 4.3.
  if ((traits & Trait.llgrStale) !== 0 && !target.longLived) return false;
  return (
    source.type === "external" ||
    target.type === "external" ||
    source.reflectorClient ||
    target.reflectorClient
  );
}

/** What the export policy has set, which then stands. */
export interface PolicyChanges {
  readonly nextHop: boolean;
  readonly nextHopMode?: Route["nextHopMode"];
  readonly med: boolean;
}

/**
 * The attributes to send. Null where there is no next hop to
 * tell: an IPv6 route over an IPv4 session without `nextHopSelf.ipv6`.
 */
export function exportAttributes(
  attributes: PathAttributes,
  family: Family,
  source: Source,
  target: ExportTarget,
  changes: PolicyChanges = { nextHop: false, med: false },
): PathAttributes | null {
  const isReflected = source.type === "internal" && target.type === "internal";
  const takesOurs = attributes.nextHop === undefined || asksForOurs(target, changes);
  const nextHop = takesOurs ? ownNextHop(family, target) : attributes.nextHop;
  if (nextHop === undefined || !mayHaveNextHop(nextHop, family, target)) return null;
  const sameHop = nextHop === attributes.nextHop;
  const next: PathAttributes = {
    ...attributes,
    nextHop,
    linkLocalNextHop: sameHop && target.type === "internal" ? attributes.linkLocalNextHop : undefined,
    ...(target.gracefulShutdown ? { communities: withGracefulShutdown(attributes.communities) } : {}),
  };
  if (target.type === "external") {
    return {
      ...next,
      asPath: prependAs(withoutConfederation(attributes.asPath), target.localAsn),
      // A received MED is for our AS only (RFC 4271 5.1.4).
      med: source.type === "local" || changes.med ? attributes.med : undefined,
      localPref: undefined,
      originatorId: undefined,
      clusterList: undefined,
    };
  }
  const internal = { ...next, localPref: attributes.localPref ?? DEFAULT_LOCAL_PREF };
  if (!isReflected) return { ...internal, originatorId: undefined, clusterList: undefined };
  return {
    ...internal,
    originatorId: attributes.originatorId ?? formatRouterId(source.routerId),
    clusterList: [target.clusterId, ...(attributes.clusterList ?? [])],
  };
}

/** Our own next hop for routes of this family; undefined where there is none. */
export function ownNextHop(
  family: Family,
  { nextHopSelf, extendedNextHop }: ExportTarget,
): string | undefined {
  if (family === Family.ipv6Unicast) return nextHopSelf.ipv6;
  return nextHopSelf.ipv4 ?? (extendedNextHop ? nextHopSelf.ipv6 : undefined);
}

/** An IPv4 route with an IPv6 next hop goes only to who understands it (RFC 8950 4). */
function mayHaveNextHop(nextHop: string, family: Family, { extendedNextHop }: ExportTarget): boolean {
  return family === Family.ipv6Unicast || extendedNextHop || !nextHop.includes(":");
}

function withGracefulShutdown(communities: readonly string[] = []): readonly string[] {
  const { gracefulShutdown } = WellKnownCommunity;
  return communities.includes(gracefulShutdown) ? communities : [...communities, gracefulShutdown];
}

function asksForOurs({ nextHopMode, type }: ExportTarget, changes: PolicyChanges): boolean {
  if (changes.nextHopMode !== undefined) return changes.nextHopMode === "self";
  return !changes.nextHop && (nextHopMode === "self" || (nextHopMode === "auto" && type === "external"));
}
