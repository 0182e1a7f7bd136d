/** What of a received announcement is taken: loop checks (RFC 4271 9.1.2, 4456 8) and the neighbor's import policy. Pure. */

import { countInAsPath } from "../message/as-path.ts";
import type { PolicyNeighbor, RoutePolicy } from "../neighbor.ts";
import type { Family, PathAttributes, Route } from "../route.ts";

export interface ImportContext {
  readonly neighbor: PolicyNeighbor;
  readonly allowedLocalAs: number;
  readonly routerId: string;
  readonly clusterId: string;
  /** Our address on the session. */
  readonly localAddress: string;
  readonly policy: RoutePolicy | undefined;
}

export type ImportRefusal = "as-loop" | "originator-loop" | "cluster-loop" | "own-next-hop";

/** Why routes with these attributes are not taken; undefined where they are. Holds for all prefixes of an UPDATE. */
export function importRefusal(attributes: PathAttributes, context: ImportContext): ImportRefusal | undefined {
  if (countInAsPath(attributes.asPath, context.neighbor.localAsn) > context.allowedLocalAs) return "as-loop";
  if (attributes.originatorId === context.routerId) return "originator-loop";
  if (attributes.clusterList?.includes(context.clusterId)) return "cluster-loop";
  if (attributes.nextHop === context.localAddress) return "own-next-hop";
  return undefined;
}

/** The attributes the policy leaves a route with: `attributes` itself where it changes nothing, null where it refuses. */
export function applyImportPolicy(
  prefix: string,
  family: Family,
  attributes: PathAttributes,
  context: ImportContext,
): PathAttributes | null {
  const { policy, neighbor } = context;
  if (policy === undefined) return attributes;
  const route: Route = {
    ...attributes,
    prefix,
    family,
    source: neighbor.address,
    sourceType: neighbor.type,
    nextHops: attributes.nextHop === undefined ? [] : [attributes.nextHop],
    stale: false,
  };
  const result = askPolicy(policy, route, neighbor);
  return result === route ? attributes : result && attributesOf(result);
}

/** A policy that throws refuses: what cannot be judged is not let through. */
export function askPolicy(policy: RoutePolicy, route: Route, neighbor: PolicyNeighbor): Route | null {
  try {
    return policy(route, neighbor);
  } catch {
    return null;
  }
}

/** The path attributes of a route, without what names and describes it. */
export function attributesOf(route: Route): PathAttributes {
  const {
    prefix: _prefix,
    family: _family,
    source: _source,
    sourceType: _sourceType,
    nextHops: _nextHops,
    stale: _stale,
    nextHopMode: _nextHopMode,
    ...attributes
  } = route;
  return attributes;
}
