/**
 * The middle of every endpoint's chain: tiers in their order, then profiles. Pure.
 *
 * Entered with the marks for accept and pass clear. Where something allowed the packet, every later jump finds the
 * accept mark and is skipped; where a policy passed it, the rest of its tier is. So one rule a policy is enough, and for
 * long lists a way out now and then spares allowed packets the walk.
 */

import { type Rule as IptablesRule, rule } from "iptables-ts";
import type { Direction } from "../../../policy/model.ts";
import type { EndpointTier } from "../../calc/changes.ts";
import { denyRule, denyRules, type RenderContext } from "./actions.ts";
import { ALLOW_CHAIN, policyChain, profileChain } from "./names.ts";

/** Policies of a tier after which an allowed packet leaves the chain at once. */
const POLICIES_BETWEEN_EXITS = 8;

export interface TierRules {
  readonly rules: readonly IptablesRule[];
  /** How many of the rules it takes to ask the last policy. 0: none applies in this direction. */
  readonly asking: number;
}

/** `atEnd`: whether what no policy of a tier decided meets the tier's default action, or goes on. */
export function tierRules(
  tiers: readonly EndpointTier[],
  direction: Direction,
  atEnd: "default-action" | "continue",
  context: RenderContext,
): TierRules {
  const { marks } = context;
  const undecided = () => rule().markClear(marks.accept + marks.pass);
  const rules: IptablesRule[] = [];
  let asking = 0;
  for (const { name, defaultAction, ...tier } of tiers) {
    const policies = tier[direction];
    if (policies.length === 0) continue;
    const isFirst = rules.length === 0;
    if (!isFirst) rules.push(rule().comment(`Start of tier ${name}`).clearMark(marks.pass));
    for (const [i, policy] of policies.entries()) {
      // Whoever continues has something to do with what was allowed.
      const exit = atEnd === "default-action" && i > 0 && i % POLICIES_BETWEEN_EXITS === 0;
      if (exit) rules.push(rule().markSet(marks.accept).return());
      const jump = isFirst && i === 0 ? rule() : undecided();
      rules.push(jump.jump(policyChain(direction, policy)));
    }
    asking = rules.length;
    if (atEnd === "continue" || defaultAction === "pass") continue;
    const reason = { kind: "tier-default", tier: name } as const;
    rules.push(...denyRules(undecided().comment(`End of tier ${name}`), { direction, reason }, context));
  }
  return { rules, asking };
}

/** The end of the chain: what no profile allows is denied. */
export function profilesOrDeny(
  profiles: readonly string[],
  direction: Direction,
  context: RenderContext,
): IptablesRule[] {
  const unallowed = () => rule().markClear(context.marks.accept);
  return [
    ...profiles.map(profile => unallowed().jump(profileChain(direction, profile))),
    ...denyRules(
      unallowed().comment("Drop if no profiles matched"),
      { direction, reason: { kind: "no-profile" } },
      context,
    ),
  ];
}

/**
 * What belongs to connections: those that were allowed go on, what belongs to none is denied. `Accept` ends the table at once;
 * `Return` marks it as allowed, so that whoever comes after this endpoint is asked too.
 */
export function connectionRules(allow: "Accept" | "Return", context: RenderContext): IptablesRule[] {
  const known = rule().conntrackState("RELATED", "ESTABLISHED");
  const rules = [allow === "Accept" ? known.accept() : known.goto(ALLOW_CHAIN)];
  if (!context.config.disableConntrackInvalidCheck)
    rules.push(denyRule(rule().conntrackState("INVALID"), context));
  return rules;
}
