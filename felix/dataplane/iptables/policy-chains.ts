/**
 * Policies and profiles as chains of one IP version and table. Pure.
 *
 * A chain is entered with the marks for accept and pass clear, and returns with one of them set where a rule allowed or
 * passed the packet (actions.ts), with neither where no rule decided.
 */

import { type Rule as IptablesRule, rule } from "iptables-ts";
import {
  type Direction,
  type Policy,
  type Profile,
  policyKey,
  type Rule,
  ruleForVersion,
} from "../../../policy/model.ts";
import type { RuleOwner } from "../log-prefix.ts";
import { actionRules, type RenderContext } from "./actions.ts";
import { ruleMatches } from "./rule-matches.ts";

export interface RenderedRules {
  readonly rules: readonly IptablesRule[];
  /** For each rule of the model, which of {@link rules} counts the packets it matches; undefined: it can match none. */
  readonly counting: readonly (number | undefined)[];
}

/** The rules of one direction of a policy. */
export function policyRules(
  policy: Pick<Policy, "id" | "tier" | Direction>,
  direction: Direction,
  context: RenderContext,
): RenderedRules {
  const { id, tier } = policy;
  const name = policyKey(id);
  const slash = name.indexOf("/");
  const owner: RuleOwner = {
    kind: "policy",
    name,
    shortKind: name.slice(0, slash),
    fullName: name.slice(slash + 1),
    tier,
  };
  return renderRules([], policy[direction], owner, direction, context);
}

/**
 * The rules of one direction of a profile. Where one of them passes, that ends this profile only, and not because of a
 * mark that the tier or profile before has left.
 */
export function profileRules(
  profile: Pick<Profile, "name" | Direction>,
  direction: Direction,
  context: RenderContext,
): RenderedRules {
  const { name } = profile;
  const owner: RuleOwner = { kind: "profile", name, shortKind: "prf", fullName: name, tier: "" };
  const passes = profile[direction].some(({ action }) => action === "pass");
  const first = passes ? [rule().clearMark(context.marks.pass)] : [];
  return renderRules(first, profile[direction], owner, direction, context);
}

function renderRules(
  first: readonly IptablesRule[],
  models: readonly Rule[],
  owner: RuleOwner,
  direction: Direction,
  context: RenderContext,
): RenderedRules {
  const { version, marks } = context;
  const rules = [...first];
  const counting = models.map((each, index) => {
    const model = ruleForVersion(each, version);
    const matches = model && ruleMatches(model, version, marks);
    if (!matches) return undefined;
    rules.push(...matches.before);
    const at = rules.length;
    rules.push(...actionRules(matches.match, each, index, owner, direction, context));
    return at;
  });
  return { rules, counting };
}
