/** What `gobgp -j neighbor ADDRESS adj-in` prints, as routes. */

import type { LearnedRoute } from "./daemon.ts";

type GobgpAttribute =
  | { readonly type: 1; readonly value: number }
  | {
      readonly type: 2;
      readonly as_paths: readonly { readonly segment_type: number; readonly asns: readonly number[] }[];
    }
  | { readonly type: 3; readonly nexthop: string }
  | { readonly type: 14; readonly nexthop: string }
  | { readonly type: 4; readonly metric: number }
  | { readonly type: 5; readonly value: number }
  | { readonly type: 8; readonly communities: readonly number[] }
  | { readonly type: 9; readonly value: string }
  | { readonly type: 10; readonly value: readonly string[] }
  | { readonly type: 16; readonly value: readonly { readonly subtype: number; readonly value: string }[] }
  | {
      readonly type: 32;
      readonly value: readonly {
        readonly ASN: number;
        readonly LocalData1: number;
        readonly LocalData2: number;
      }[];
    };

interface GobgpPath {
  readonly attrs: readonly GobgpAttribute[];
  readonly stale: boolean;
  readonly "neighbor-ip"?: string;
}

const ORIGINS = ["igp", "egp", "incomplete"] as const;
const AS_SET = 1;
const ROUTE_TARGET = 2;

export function parseGobgpRoutes(json: string, from: string): LearnedRoute[] {
  const table: Readonly<Record<string, readonly GobgpPath[]>> = JSON.parse(json.trim() || "{}");
  return Object.entries(table).flatMap(([prefix, paths]) => paths.map(path => route(prefix, path, from)));
}

function route(prefix: string, path: GobgpPath, from: string): LearnedRoute {
  const find = <T extends GobgpAttribute["type"]>(type: T) =>
    path.attrs.find(
      (attribute): attribute is Extract<GobgpAttribute, { type: T }> => attribute.type === type,
    );
  const segments = find(2)?.as_paths ?? [];
  return {
    prefix,
    nextHop: find(3)?.nexthop ?? find(14)?.nexthop ?? "",
    asPath: segments
      .map(({ segment_type, asns }) => (segment_type === AS_SET ? `{${asns.join(" ")}}` : asns.join(" ")))
      .join(" "),
    origin: ORIGINS[find(1)?.value ?? 0]!,
    med: find(4)?.metric,
    localPref: find(5)?.value,
    communities: (find(8)?.communities ?? []).map(value => `${value >>> 16}:${value & 0xffff}`).sort(),
    largeCommunities: (find(32)?.value ?? [])
      .map(({ ASN, LocalData1, LocalData2 }) => `${ASN}:${LocalData1}:${LocalData2}`)
      .sort(),
    routeTargets: (find(16)?.value ?? [])
      .filter(({ subtype }) => subtype === ROUTE_TARGET)
      .map(({ value }) => value)
      .sort(),
    originatorId: find(9)?.value,
    clusterList: find(10)?.value ?? [],
    stale: path.stale,
    from,
  };
}
