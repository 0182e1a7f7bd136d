/**
 * What a policy means, evaluated straight from its data with no thought of speed: the model that `compilePolicy` is held to. It
 * shares no code with it and knows the forms that the generators of the test make, which are all valid.
 */

import type { PolicyNeighbor } from "../../neighbor.ts";
import type { AsPathMatch, Edits, Match, OneOrMore, Policy, PolicyAction } from "../../policy/policy.ts";
import type { AsPathSegment, Route } from "../../route.ts";

type Verdict = { readonly action: PolicyAction; readonly route: Route };

export function naivePolicy(policy: Policy, route: Route, neighbor: PolicyNeighbor): Route | null {
  const { action, route: result } = decide(policy, route, neighbor);
  return action === "accept" ? result : null;
}

function decide(policy: Policy, route: Route, neighbor: PolicyNeighbor): Verdict {
  let current = route;
  if ("chain" in policy) {
    for (const part of policy.chain) {
      const verdict = decide(part, current, neighbor);
      if (verdict.action !== "next") return verdict;
      current = verdict.route;
    }
  } else {
    for (const { match, set, action } of policy.rules) {
      if (match !== undefined && !matches(match, current, neighbor)) continue;
      if (set !== undefined) current = edit(set, current, neighbor);
      if (action !== "next") return { action, route: current };
    }
  }
  return { action: policy.otherwise ?? "next", route: current };
}

function list<T>(value: OneOrMore<T>): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

function matches(match: Match, route: Route, neighbor: PolicyNeighbor): boolean {
  const holds: Record<keyof Match, () => boolean> = {
    prefixes: () => list(match.prefixes!).some(entry => inEntry(entry, route.prefix)),
    family: () => list(match.family!).includes(route.family),
    communities: () => list(match.communities!).some(pattern => carries(route, pattern)),
    asPath: () => asPathMatches(match.asPath!, route.asPath),
    nextHop: () => list(match.nextHop!).some(prefix => isInside(prefix, route.nextHop)),
    source: () => list(match.source!).includes(route.sourceType),
    neighborType: () => list(match.neighborType!).includes(neighbor.type),
    neighborAsn: () => list(match.neighborAsn!).some(range => inRange(range, neighbor.asn)),
    neighborAddress: () => list(match.neighborAddress!).some(prefix => isInside(prefix, neighbor.address)),
    localPref: () => list(match.localPref!).some(range => inRange(range, route.localPref)),
    med: () => list(match.med!).some(range => inRange(range, route.med)),
    origin: () => list(match.origin!).includes(route.origin),
    custom: () => (match.custom!["sourceIs"] as string) === route.source,
    all: () => match.all!.every(inner => matches(inner, route, neighbor)),
    any: () => match.any!.some(inner => matches(inner, route, neighbor)),
    not: () => !matches(match.not!, route, neighbor),
  };
  return (Object.keys(match) as (keyof Match)[]).every(field => holds[field]());
}

function inRange(range: number | string, value: number | undefined): boolean {
  if (range === "absent") return value === undefined;
  const [low, high = low] = String(range).split("-").map(Number);
  return value !== undefined && value >= low! && value <= high!;
}

function bits(prefix: string): { text: string; length: number; longest: number } {
  const [address = "", length] = prefix.split("/");
  const isV6 = address.includes(":");
  const groups = isV6 ? expand(address) : address.split(".").map(Number);
  const text = groups.map(group => group.toString(2).padStart(isV6 ? 16 : 8, "0")).join("");
  return { text: (isV6 ? "6" : "4") + text, length: Number(length ?? text.length), longest: text.length };
}

function expand(address: string): number[] {
  const [head = "", tail = ""] = address.split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === "" ? [] : tail.split(":");
  const zeros = Array<string>(8 - front.length - back.length).fill("0");
  return [...front, ...zeros, ...back].map(group => Number.parseInt(group, 16));
}

function inEntry(entry: string, prefix: string): boolean {
  const [listed = ""] = entry.split(" ");
  const outer = bits(listed);
  const inner = bits(prefix);
  const ge = / ge (\d+)/.exec(entry)?.[1];
  const le = / le (\d+)/.exec(entry)?.[1];
  const shortest = Number(ge ?? outer.length);
  const longest = Number(le ?? (ge === undefined ? outer.length : outer.longest));
  const same = inner.text.slice(0, outer.length + 1) === outer.text.slice(0, outer.length + 1);
  return same && inner.length >= shortest && inner.length <= longest;
}

function isInside(prefix: string, address: string | undefined): boolean {
  if (address === undefined) return false;
  const outer = bits(prefix);
  return bits(address).text.slice(0, outer.length + 1) === outer.text.slice(0, outer.length + 1);
}

function carries(route: Route, pattern: string): boolean {
  const parts = pattern.split(":");
  if (parts.length === 1) {
    const digits = new RegExp(`^${pattern.replaceAll("*", ".")}$`);
    return (route.extendedCommunities ?? []).some(value => digits.test(value));
  }
  const values = (parts.length === 2 ? route.communities : route.largeCommunities) ?? [];
  return values.some(value =>
    value.split(":").every((part, i) => parts[i] === "*" || inRange(parts[i]!, Number(part))),
  );
}

function asPathMatches(match: AsPathMatch, path: readonly AsPathSegment[]): boolean {
  const flat = path.flatMap(({ asns }) => asns);
  const counted = path.map(({ type, asns }) => (type === "sequence" ? asns.length : type === "set" ? 1 : 0));
  const length = counted.reduce<number>((sum, count) => sum + count, 0);
  const first = path[0];
  const last = path.at(-1);
  const ok = (ranges: OneOrMore<number | string> | undefined, value: number | undefined) =>
    ranges === undefined || list(ranges).some(range => inRange(range, value));
  return (
    (match.contains === undefined || flat.some(asn => ok(match.contains, asn))) &&
    ok(match.neighbor, first?.type === "sequence" ? first.asns[0] : undefined) &&
    ok(match.origin, last?.type === "sequence" ? last.asns.at(-1) : undefined) &&
    ok(match.length, length) &&
    (match.startsWith ?? []).every((asn, i) => flat[i] === asn)
  );
}

function edit(set: Edits, route: Route, neighbor: PolicyNeighbor): Route {
  let edited = { ...route };
  if (set.localPref !== undefined) edited = { ...edited, localPref: set.localPref ?? undefined };
  if (set.med !== undefined) edited = { ...edited, med: set.med ?? undefined };
  if (set.origin !== undefined) edited = { ...edited, origin: set.origin };
  if (set.nextHop === "self" || set.nextHop === "keep") edited = { ...edited, nextHopMode: set.nextHop };
  else if (set.nextHop !== undefined)
    edited = { ...edited, nextHop: set.nextHop, nextHopMode: undefined, linkLocalNextHop: undefined };
  if (set.prepend !== undefined) {
    const { prepend } = set;
    const asns = typeof prepend === "number" ? Array<number>(prepend).fill(neighbor.localAsn) : prepend;
    const [first, ...rest] = edited.asPath;
    if (asns.length > 0)
      edited = {
        ...edited,
        asPath:
          first?.type === "sequence"
            ? [{ type: "sequence", asns: [...asns, ...first.asns] }, ...rest]
            : [{ type: "sequence", asns }, ...edited.asPath],
      };
  }
  const { replace, remove, add } = set.communities ?? {};
  for (const pattern of replace === undefined ? [] : list(replace)) edited = removing(edited, anyOf(pattern));
  for (const value of replace === undefined ? [] : list(replace)) edited = adding(edited, value);
  for (const pattern of remove === undefined ? [] : list(remove)) edited = removing(edited, pattern);
  for (const value of add === undefined ? [] : list(add)) edited = adding(edited, value);
  return edited;
}

function anyOf(community: string): string {
  return ["*".repeat(16), "*:*", "*:*:*"][community.split(":").length - 1]!;
}

function fieldOf(community: string): "communities" | "largeCommunities" | "extendedCommunities" {
  const fields = ["extendedCommunities", "communities", "largeCommunities"] as const;
  return fields[community.split(":").length - 1]!;
}

function removing(route: Route, pattern: string): Route {
  const field = fieldOf(pattern);
  const left = (route[field] ?? []).filter(value => !carries({ ...route, [field]: [value] }, pattern));
  return { ...route, [field]: left.length === 0 ? undefined : left };
}

function adding(route: Route, value: string): Route {
  const field = fieldOf(value);
  const present = route[field] ?? [];
  return present.includes(value) ? route : { ...route, [field]: [...present, value] };
}
