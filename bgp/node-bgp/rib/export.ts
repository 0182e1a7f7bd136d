/**
 * What a neighbor is told of a best path, and with which attributes. Pure; shared by all neighbors of an update group.
 *
 * Who is told (RFC 4271 9.2, 4456 6): external neighbors everything; internal ones what is local or external, and what is internal
 * only where the source or the neighbor is a reflector client. NO_EXPORT and NO_ADVERTISE bind what was received, not what we
 * originate: there they are a message to the neighbor (RFC 1997).
 */

import { formatRouterId } from "../address.ts";
import { prependAs, withoutConfederation } from "../message/as-path.ts";
import type { NextHopMode } from "../neighbor.ts";
import { Family, type PathAttributes, type Route, WellKnownCommunity } from "../route.ts";
import { DEFAULT_LOCAL_PREF } from "./attribute-table.ts";
import type { Source } from "./source.ts";

/** The settings that decide the bytes sent: equal targets share an update group. */
export interface ExportTarget {
  readonly type: "internal" | "external";
  readonly localAsn: number;
  readonly reflectorClient: boolean;
  readonly nextHopMode: NextHopMode;
  readonly nextHopSelf: { readonly ipv4?: string | undefined; readonly ipv6?: string | undefined };
  readonly clusterId: string;
  readonly fourOctetAs: boolean;
}

export function mayExport(source: Source, attributes: PathAttributes, target: ExportTarget): boolean {
  if (source.type === "local") return true;
  const communities = attributes.communities;
  if (communities !== undefined) {
    if (communities.includes(WellKnownCommunity.noAdvertise)) return false;
    const staysInside =
      communities.includes(WellKnownCommunity.noExport) ||
      communities.includes(WellKnownCommunity.noExportSubconfed);
    if (staysInside && target.type === "external") return false;
  }
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
  const self = family === Family.ipv4Unicast ? target.nextHopSelf.ipv4 : target.nextHopSelf.ipv6;
  const nextHop = takesOurs ? self : attributes.nextHop;
  if (nextHop === undefined) return null;
  const sameHop = nextHop === attributes.nextHop;
  const next: PathAttributes = {
    ...attributes,
    nextHop,
    linkLocalNextHop: sameHop && target.type === "internal" ? attributes.linkLocalNextHop : undefined,
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

function asksForOurs({ nextHopMode, type }: ExportTarget, changes: PolicyChanges): boolean {
  if (changes.nextHopMode !== undefined) return changes.nextHopMode === "self";
  return !changes.nextHop && (nextHopMode === "self" || (nextHopMode === "auto" && type === "external"));
}
