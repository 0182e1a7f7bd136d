/** What of a received announcement is taken: loop checks (RFC 4271 9.1.2, 4456 8) and the neighbor's import policy. Pure. */

import { parseAddress, parseRouterId } from "../address.ts";
import { countInAsPath } from "../message/as-path.ts";
import { type AttributeScanner, Trait } from "../message/attribute-scanner.ts";
import type { PolicyNeighbor, RoutePolicy } from "../neighbor.ts";
import type { PathAttributes, Route } from "../route.ts";

export interface ImportContext {
  readonly neighbor: PolicyNeighbor;
  readonly allowedLocalAs: number;
  readonly routerId: string;
  readonly clusterId: string;
  /** Our address on the session. */
  readonly localAddress: string;
  /** The session is going to be shut down: every route gets LOCAL_PREF 0 (RFC 8326). */
  readonly gracefulShutdown: boolean;
  readonly policy: RoutePolicy | undefined;
  /** Soft reconfiguration: what the policy changes or refuses is kept as it was received. */
  readonly keepsReceived?: boolean;
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

/** {@link importRefusal} for attributes in the form of the scanner. */
export class LoopCheck {
  readonly #allowedLocalAs: number;
  readonly #routerId: number;
  readonly #localAddress: Uint8Array;

  constructor({ allowedLocalAs, routerId, localAddress }: ImportContext) {
    this.#allowedLocalAs = allowedLocalAs;
    this.#routerId = parseRouterId(routerId)!;
    this.#localAddress = parseAddress(localAddress.replace(/%.*$/, "")) ?? new Uint8Array(0);
  }

  /** `scan` has looked for our AS and our cluster, and its key is made. */
  refuses(scan: AttributeScanner): boolean {
    if (scan.ownAsCount > this.#allowedLocalAs || scan.hasOwnCluster) return true;
    if ((scan.traits & Trait.hasOriginatorId) !== 0 && scan.originatorId === this.#routerId) return true;
    return this.#isOwnNextHop(scan.key);
  }

  #isOwnNextHop(key: Uint8Array): boolean {
    const own = this.#localAddress;
    if (own.length === 0 || key[0]! < own.length) return false;
    if (own.length === 4 && key[0] !== 4) return false;
    for (let i = 0; i < own.length; i++) if (own[i] !== key[1 + i]) return false;
    return true;
  }
}

/** Who is about to leave is the last resort: its routes get LOCAL_PREF 0 (RFC 8326 4). `traits`: of the attribute set. */
export function isLeaving(traits: number, { gracefulShutdown, neighbor }: ImportContext): boolean {
  return gracefulShutdown || (neighbor.type === "external" && (traits & Trait.gracefulShutdown) !== 0);
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
