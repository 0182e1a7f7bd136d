/** What `show bgp FAMILY json detail` prints, as routes. */

import type { LearnedRoute } from "./daemon.ts";

interface FrrPath {
  readonly aspath: {
    readonly segments: readonly { readonly type: string; readonly list: readonly number[] }[];
  };
  readonly origin: "IGP" | "EGP" | "incomplete";
  readonly metric?: number;
  readonly locPrf?: number;
  readonly stale?: boolean;
  readonly community?: { readonly string: string };
  readonly extendedCommunity?: { readonly string: string };
  readonly largeCommunity?: { readonly list: readonly string[] };
  readonly originatorId?: string;
  readonly clusterList?: { readonly list: readonly string[] };
  readonly nexthops: readonly { readonly ip: string; readonly scope?: "global" | "link-local" }[];
  readonly peer: { readonly peerId: string };
}

/** A prefix is a list: first what it is, then its paths. */
interface FrrTable {
  readonly routes: Readonly<Record<string, readonly [object, ...FrrPath[]]>>;
}

const WELL_KNOWN: Readonly<Record<string, string>> = {
  "graceful-shutdown": "65535:0",
  "llgr-stale": "65535:6",
  "no-llgr": "65535:7",
  "no-export": "65535:65281",
  "no-advertise": "65535:65282",
  "local-AS": "65535:65283",
};

/** Those that `from` has sent, by the name frr knows it under. */
export function parseFrrRoutes(json: string, from: string): LearnedRoute[] {
  // An empty table is printed as nothing.
  const { routes } = JSON.parse(json.trim() || '{"routes":{}}') as FrrTable;
  return Object.entries(routes ?? {}).flatMap(([prefix, [, ...paths]]) =>
    (paths as FrrPath[]).filter(({ peer }) => peer.peerId === from).map(path => route(prefix, path, from)),
  );
}

function route(prefix: string, path: FrrPath, from: string): LearnedRoute {
  const linkLocal = path.nexthops.find(({ scope }) => scope === "link-local")?.ip;
  const global = path.nexthops.find(({ ip }) => ip !== linkLocal)?.ip;
  const words = (text: string | undefined) => (text ?? "").split(" ").filter(word => word !== "");
  return {
    prefix,
    nextHop: global ?? linkLocal ?? "",
    linkLocalNextHop: global === undefined ? undefined : linkLocal,
    asPath: path.aspath.segments
      .map(({ type, list }) => (type === "as-set" ? `{${list.join(" ")}}` : list.join(" ")))
      .join(" "),
    origin: path.origin === "incomplete" ? "incomplete" : (path.origin.toLowerCase() as "igp" | "egp"),
    med: path.metric,
    localPref: path.locPrf,
    communities: words(path.community?.string)
      .map(word => WELL_KNOWN[word] ?? word)
      .sort(),
    largeCommunities: [...(path.largeCommunity?.list ?? [])].sort(),
    routeTargets: words(path.extendedCommunity?.string)
      .filter(word => word.startsWith("RT:"))
      .map(word => word.slice("RT:".length))
      .sort(),
    originatorId: path.originatorId,
    clusterList: path.clusterList?.list ?? [],
    stale: path.stale ?? false,
    from,
  };
}
