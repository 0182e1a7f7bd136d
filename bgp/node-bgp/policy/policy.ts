/**
 * A policy as a value: rules in order, the first that matches and decides has the last word. It is plain data, so it can stand in a JSON or
 * YAML file, be compared and be kept; {@link compilePolicy} makes the function of it that a neighbor's `importPolicy` or
 * `exportPolicy` takes.
 *
 *     {
 *       name: "from the fabric",
 *       rules: [
 *         { match: { prefixes: "0.0.0.0/0" }, action: "accept", set: { localPref: 50 } },
 *         { match: { prefixes: "10.0.0.0/8 ge 16 le 24", not: { communities: "65000:666" } }, action: "accept" },
 *       ],
 *     }
 *
 * Matches compose by `all`, `any` and `not`, policies by `chain`. Wherever a list is taken, a single value is too.
 */

import type { Family, Origin, SourceType } from "../route.ts";

export type OneOrMore<T> = T | readonly T[];

/** What happens to a route: it is taken, it is refused, or the next rule is asked. */
export type PolicyAction = "accept" | "reject" | "next";

export type Policy = PolicyRules | PolicyChain;

export interface PolicyRules {
  readonly name?: string;
  readonly rules: readonly PolicyRule[];
  /** For a route that no rule has accepted or rejected. Default `next`: the following policy of a chain; after the last one it is rejected. */
  readonly otherwise?: PolicyAction;
}

/** Policies one after the other; what one leaves undecided goes, with its changes so far, to the next. */
export interface PolicyChain {
  readonly name?: string;
  readonly chain: readonly Policy[];
  readonly otherwise?: PolicyAction;
}

export interface PolicyRule {
  /** For {@link CompiledPolicy.explain}. */
  readonly name?: string;
  /** Absent: every route. */
  readonly match?: Match;
  /** `next` keeps what `set` has changed and goes on. */
  readonly action: PolicyAction;
  /** Not with `reject`. */
  readonly set?: Edits;
}

/** A whole number, `"100-199"`, or `"absent"`: the attribute is not there (which no number matches). */
export type NumberMatch = OneOrMore<number | string>;

/** An AS number or a range of them: `64512`, `"64512-65534"`. */
export type AsnMatch = OneOrMore<number | string>;

/** All fields given must hold; one value of a list is enough. `{}` matches every route. */
export interface Match {
  /**
   * `"10.0.0.0/8"`: exactly this one. `"10.0.0.0/8 ge 16 le 24"`: inside it, with a length in the range; `ge` alone goes up to the longest,
   * `le` alone starts at the prefix itself. Or the name of one of {@link PolicyOptions.prefixLists}.
   */
  readonly prefixes?: OneOrMore<string>;
  readonly family?: OneOrMore<Family>;
  /**
   * One of them is on the route. `"64512:100"`, `"64512:1:2"` (large), `"rt:64512:100"` and `"soo:192.0.2.1:7"` (extended), each number also a
   * range or `*`; 16 hexadecimal digits or `*` (extended); the names of {@link WELL_KNOWN_COMMUNITIES}.
   */
  readonly communities?: OneOrMore<string>;
  readonly asPath?: AsPathMatch;
  /** The next hop is inside one of these prefixes. */
  readonly nextHop?: OneOrMore<string>;
  /** Who the route is from: ours, or learned from an internal or external neighbor. */
  readonly source?: OneOrMore<SourceType>;
  /** The session it is received on or sent to. */
  readonly neighborType?: OneOrMore<"internal" | "external">;
  readonly neighborAsn?: AsnMatch;
  /** The address of that neighbor is inside one of these prefixes. */
  readonly neighborAddress?: OneOrMore<string>;
  readonly localPref?: NumberMatch;
  readonly med?: NumberMatch;
  readonly origin?: OneOrMore<Origin>;
  /** Conditions of your own, by name: {@link PolicyOptions.conditions}. The value is handed to them. */
  readonly custom?: Readonly<Record<string, unknown>>;
  readonly all?: readonly Match[];
  readonly any?: readonly Match[];
  readonly not?: Match;
}

export interface AsPathMatch {
  /** Anywhere, also in sets. */
  readonly contains?: AsnMatch;
  /** The AS the route came in from. */
  readonly neighbor?: AsnMatch;
  /** The AS it began in: the last of the path, where that is not a set. */
  readonly origin?: AsnMatch;
  /** As the decision process counts: a set is one, confederation segments nothing. */
  readonly length?: NumberMatch;
  /** The path begins with these, nearest first. */
  readonly startsWith?: readonly number[];
  /** See {@link compileAsPathPattern}: `"^64512 .* [65000-65010]$"`. */
  readonly pattern?: OneOrMore<string>;
}

export interface Edits {
  /** Null takes it away. */
  readonly localPref?: number | null;
  readonly med?: number | null;
  readonly origin?: Origin;
  /**
   * An address, sent as it is; `self`: ours on each session; `keep`: unchanged also where the neighbor's settings say otherwise. The
   * words are for export policies. An IPv4 address cannot be the next hop of an IPv6 route: such a route is rejected.
   */
  readonly nextHop?: string;
  /** Our own AS so many times, or these ASes, the first of them in front. */
  readonly prepend?: number | readonly number[];
  /** In this order. Values as in {@link Match.communities}; patterns only where communities are removed. */
  readonly communities?: {
    /** These, and no others of the kinds (standard, large, extended) that are among them. */
    readonly replace?: OneOrMore<string>;
    readonly remove?: OneOrMore<string>;
    readonly add?: OneOrMore<string>;
  };
  /** Changes of your own, by name: {@link PolicyOptions.changes}. */
  readonly custom?: Readonly<Record<string, unknown>>;
}
