/**
 * The path of a decision: at every endpoint that is asked, tier by tier and policy by policy, what was looked at,
 * which rule matched, and what decided. The evaluator tells what matched; here it is put among what did not.
 */

import type { Reach } from "../../../policy/flows/reach.ts";
import type { Direction, Policy } from "../../../policy/model.ts";
import { policyKey } from "../../../policy/model.ts";
import type { Category, DirectionVerdict, Step, Verdict } from "../../../policy/verdict.ts";

export interface MatchedRule {
  readonly rule: number;
  readonly action: Step["action"];
}

/** A policy or profile that was asked. */
export interface AskedRules {
  readonly kind: "policy" | "profile";
  /** A policy's key, a profile's name. */
  readonly name: string;
  readonly order?: number;
  /** How many rules it has in this direction. */
  readonly rules: number;
  readonly matched: readonly MatchedRule[];
}

export interface AskedTier {
  readonly tier: string;
  /** At host endpoints. */
  readonly category?: Category;
  readonly policies: readonly AskedRules[];
  /** What the tier did with what none of its rules decided. */
  readonly defaulted?: "allow" | "deny" | "pass" | "log";
}

/** One endpoint, asked in one direction. */
export interface AskedEnd {
  readonly endpoint: string;
  readonly kind: DirectionVerdict["kind"];
  readonly direction: Direction;
  readonly verdict: "allow" | "deny";
  readonly tiers: readonly AskedTier[];
  readonly profiles: readonly AskedRules[];
  /** Where no rule decided: the evaluator's reason. */
  readonly otherwise?: string;
}

export function pathOf({ directions }: Verdict, reach: Reach): AskedEnd[] {
  return directions.map(one => askedEnd(one, reach));
}

function askedEnd(found: DirectionVerdict, reach: Reach): AskedEnd {
  const { endpoint, kind, direction, verdict, trace } = found;
  const tiers = categoriesOf(found).flatMap(category => askedTiers(found, category, reach));
  const last = trace.at(-1)?.reason.kind;
  const isRule = last === "policy" || last === "profile" || last === "tier-default";
  return {
    endpoint,
    kind,
    direction,
    verdict,
    tiers,
    profiles: askedProfiles(found, reach),
    ...(last !== undefined && !isRule && { otherwise: last }),
  };
}

/** Those that were asked before something decided, in their order (calico.md, Appendix C). */
function categoriesOf({ kind, direction, trace }: DirectionVerdict): (Category | undefined)[] {
  if (kind === "workload") return [undefined];
  if (kind === "host") return [];
  const decidedIn = trace.at(-1)?.category;
  if (decidedIn === "forward" && direction === "egress") return ["forward"];
  const all: Category[] = direction === "ingress" ? ["untracked", "preDNAT"] : ["untracked"];
  const last = decidedIn === "forward" ? "forward" : "normal";
  return [...all, last].slice(0, [...all, last].indexOf(decidedIn ?? last) + 1) as Category[];
}

function askedTiers(
  { endpoint, direction, trace }: DirectionVerdict,
  category: Category | undefined,
  reach: Reach,
): AskedTier[] {
  const steps = trace.filter(step => step.category === category);
  const asked: AskedTier[] = [];
  for (const { name: tier, policies } of reach.evaluator.tiersOf(endpoint, direction, category ?? "normal")) {
    const own = steps.filter(({ reason }) => "tier" in reason && reason.tier === tier);
    const members: AskedRules[] = [];
    let decided = false;
    for (const policy of policies) {
      const rules = askedPolicy(policy, direction, own);
      members.push(rules);
      decided = rules.matched.some(({ action }) => action !== "log");
      if (decided) break;
    }
    const defaulted = own.find(({ reason }) => reason.kind === "tier-default")?.action;
    asked.push({ tier, ...(category && { category }), policies: members, ...(defaulted && { defaulted }) });
    const ended = [...members.flatMap(({ matched }) => matched.map(({ action }) => action)), defaulted];
    if (ended.includes("allow") || ended.includes("deny")) break;
  }
  return asked;
}

function askedPolicy(policy: Policy, direction: Direction, steps: readonly Step[]): AskedRules {
  const name = policyKey(policy.id);
  return {
    kind: "policy",
    name,
    ...(policy.order !== undefined && { order: policy.order }),
    rules: policy[direction].length,
    matched: steps.flatMap(({ action, reason }) =>
      reason.kind === "policy" && reason.policy === name ? [{ rule: reason.rule, action }] : [],
    ),
  };
}

/** In the endpoint's order, up to the one that decided; none where a tier did. */
function askedProfiles({ endpoint, direction, trace }: DirectionVerdict, reach: Reach): AskedRules[] {
  const reasons = trace.map(({ reason }) => reason.kind);
  if (!reasons.includes("profile") && !reasons.includes("no-profile")) return [];
  const { endpoints, hostEndpoints = [], profiles } = reach.state;
  const names = [...endpoints, ...hostEndpoints].find(({ id }) => id === endpoint)?.profiles ?? [];
  const asked: AskedRules[] = [];
  for (const name of names) {
    const matched = trace.flatMap(({ action, reason }) =>
      reason.kind === "profile" && reason.profile === name ? [{ rule: reason.rule, action }] : [],
    );
    const rules = profiles.find(profile => profile.name === name)?.[direction].length ?? 0;
    asked.push({ kind: "profile", name, rules, matched });
    if (matched.some(({ action }) => action === "allow" || action === "deny")) break;
  }
  return asked;
}
