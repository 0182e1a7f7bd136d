/** What `birdc show route all` prints, as routes. */

import type { LearnedRoute } from "./daemon.ts";

const ORIGINS = { IGP: "igp", EGP: "egp", Incomplete: "incomplete" } as const;

/** `from`: the neighbor all of them are of. */
export function parseBirdRoutes(text: string, from: string): LearnedRoute[] {
  const routes: LearnedRoute[] = [];
  let prefix = "";
  let isStale = false;
  let attributes = new Map<string, string>();
  const finish = () => {
    if (attributes.size > 0) routes.push(route(prefix, attributes, isStale, from));
    attributes = new Map();
  };
  for (const line of text.split("\n")) {
    // Only the first path of a prefix repeats it; the rest start with blanks.
    const head = /^(\S*)\s+(?:unicast|unreachable|blackhole) \[/.exec(line);
    if (head !== null) {
      finish();
      prefix = head[1] || prefix;
      isStale = /\(\d+-?s/.test(line);
      continue;
    }
    const attribute = /^\tBGP\.([a-z_]+): ?(.*)$/.exec(line);
    if (attribute !== null) attributes.set(attribute[1]!, attribute[2]!);
  }
  finish();
  return routes;
}

function route(
  prefix: string,
  attributes: ReadonlyMap<string, string>,
  stale: boolean,
  from: string,
): LearnedRoute {
  const number = (name: string) => {
    const text = attributes.get(name);
    return text === undefined ? undefined : Number(text);
  };
  const tuples = (name: string) =>
    Array.from((attributes.get(name) ?? "").matchAll(/\(([^)]*)\)/g), ([, inside = ""]) =>
      inside.replaceAll(" ", "").split(","),
    );
  const [nextHop = "", linkLocalNextHop] = (attributes.get("next_hop") ?? "").split(" ");
  return {
    prefix,
    nextHop,
    linkLocalNextHop,
    asPath: attributes.get("as_path") ?? "",
    origin: ORIGINS[(attributes.get("origin") ?? "IGP") as keyof typeof ORIGINS],
    med: number("med"),
    localPref: number("local_pref"),
    communities: tuples("community")
      .map(parts => parts.join(":"))
      .sort(),
    largeCommunities: tuples("large_community")
      .map(parts => parts.join(":"))
      .sort(),
    routeTargets: tuples("ext_community")
      .filter(([kind]) => kind === "rt")
      .map(([, asn, value]) => `${asn}:${value}`)
      .sort(),
    originatorId: attributes.get("originator_id"),
    clusterList: (attributes.get("cluster_list") ?? "").split(" ").filter(id => id !== ""),
    stale,
    from,
  };
}
