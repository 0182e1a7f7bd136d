/**
 * Policies and profiles as chains of one IP version and layer. Pure.
 *
 * A chain is entered with the marks for accept and pass clear, and returns with one of them set where a rule allowed or
 * passed the packet (actions.ts), with neither where no rule decided.
 */

import { type Direction, type Policy, type Profile, policyKey, type Rule } from "../../../policy/model.ts";
import type { RuleOwner } from "../log-prefix.ts";
import { actionRules } from "./actions.ts";
import type { RenderContext } from "./context.ts";
import { clearMark } from "./match.ts";
import { doing, type TableRule } from "./rule.ts";
import { ruleMatches } from "./rule-matches.ts";

/** The rules of one direction of a policy. */
export function policyRules(
  policy: Pick<Policy, "id" | "tier" | Direction>,
  direction: Direction,
  context: RenderContext,
): TableRule[] {
  const { id, tier } = policy;
  const name = policyKey(id);
  const slash = name.indexOf("/");
  const owner = {
    kind: "policy",
    name,
    shortKind: name.slice(0, slash),
    fullName: name.slice(slash + 1),
    tier,
  } as const;
  return rulesOf(policy[direction], owner, direction, context);
}

/**
 * The rules of one direction of a profile. Where one of them passes, that ends this profile only, and not because of a
 * mark that the tier or profile before has left.
 */
export function profileRules(
  profile: Pick<Profile, "name" | Direction>,
  direction: Direction,
  context: RenderContext,
): TableRule[] {
  const { name } = profile;
  const owner = { kind: "profile", name, shortKind: "prf", fullName: name, tier: "" } as const;
  const rules = rulesOf(profile[direction], owner, direction, context);
  const passes = profile[direction].some(({ action }) => action === "pass");
  return passes ? [doing(clearMark(context.marks.pass)), ...rules] : rules;
}

function rulesOf(
  models: readonly Rule[],
  owner: RuleOwner,
  direction: Direction,
  context: RenderContext,
): TableRule[] {
  return models.flatMap((model, index) => {
    const origin = { kind: owner.kind, name: owner.name, direction, rule: index };
    const comment = describe(owner, direction, index, model);
    return ruleMatches(model, context.version, model.action === "log").flatMap(({ match, lists }) =>
      actionRules(match, model.action, index, owner, direction, comment, context).map(rule => ({
        ...rule,
        origin,
        ...(lists.length > 0 && { lists }),
      })),
    );
  });
}

function describe(owner: RuleOwner, direction: Direction, index: number, { annotations }: Rule): string {
  const what = `${owner.kind === "policy" ? "Policy" : "Profile"} ${owner.name} ${direction} ${index}`;
  return [what, ...Object.entries(annotations).map(([key, value]) => `${key}=${value}`)].join("; ");
}
