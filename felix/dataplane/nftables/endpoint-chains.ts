/**
 * The chains that judge endpoints, of one IP version, layer and direction. Pure.
 *
 * Order in a chain (calico.md 3.3): connections that are known; for hosts, the ports that stay open whatever policy says;
 * the tiers, each ending in its default action; the profiles; the end. The dispatch chains (dispatch.ts) have cleared the
 * marks for accept and pass. Where something allowed the packet, every later jump finds the accept mark and is skipped;
 * where a policy passed it, the rest of its tier is. So one rule a policy is enough, and for long lists a way out now and
 * then spares allowed packets the walk.
 */

import { ct, notrack, verdictMap } from "../../../linux/nf-tables/expression.ts";
import type { Direction } from "../../../policy/model.ts";
import type { EndpointTier, LocalHostEndpoint } from "../../calc/changes.ts";
import { denyRules } from "./actions.ts";
import type { RenderContext } from "./context.ts";
import { clearMark, connectionState, markClear, markSet, setMark } from "./match.ts";
import {
  CONNECTION_STATES,
  failsafeChain,
  policyChain,
  profileChain,
  SENT_CONNECTION_STATES,
} from "./names.ts";
import { doing, jump, plain, type TableRule } from "./rule.ts";

/** Policies of a tier after which an allowed packet leaves the chain at once. */
const POLICIES_BETWEEN_EXITS = 8;

/** Allowed connections go on, what belongs to none ends: one question to one map. */
const knownConnections: TableRule = doing([ct("state"), verdictMap(CONNECTION_STATES)]);

/** Of what a workload sends: the workload it goes to, with its limits, or the host has a say yet. */
const sentConnections: TableRule = doing([ct("state"), verdictMap(SENT_CONNECTION_STATES)]);

/** What goes to a workload, or comes from it. */
export function workloadRules(
  endpoint: { readonly tiers: readonly EndpointTier[]; readonly profiles: readonly string[] },
  direction: Direction,
  context: RenderContext,
): TableRule[] {
  return [
    direction === "ingress" ? knownConnections : sentConnections,
    ...tierRules(endpoint.tiers, direction, true, context),
    ...profileRules(endpoint.profiles, direction, context),
  ];
}

/** Which of a host endpoint's four lists is asked. */
export type HostCategory = "normal" | "forward" | "untracked" | "preDNAT";

/**
 * What comes in by a host's interface, or leaves by it; undefined where nothing of the category applies. `normal` is also
 * asked in `mangle`, of what the host itself sends to a translated destination.
 */
export function hostRules(
  endpoint: LocalHostEndpoint,
  category: HostCategory,
  direction: Direction,
  context: RenderContext,
): TableRule[] | undefined {
  const failsafe = jump([], failsafeChain(context.layer, direction));
  const { accept } = context.marks;
  if (category === "normal") {
    return [
      knownConnections,
      failsafe,
      ...tierRules(endpoint.tiers, direction, true, context),
      ...profileRules(endpoint.profiles, direction, context),
    ];
  }
  if (category === "forward") {
    const tiers = tierRules(endpoint.forwardTiers, direction, true, context);
    if (tiers.length === 0) return undefined;
    // What comes in has a workload's own chain before it yet, or another interface's: known, it goes there.
    const known =
      direction === "ingress" ? plain(connectionState("ESTABLISHED", "RELATED"), "return") : undefined;
    // What all tiers pass is allowed: there are no profiles here.
    return [...(known ? [known] : []), knownConnections, ...tiers, doing(setMark(accept))];
  }
  if (category === "untracked") {
    const tiers = tierRules(endpoint.untrackedTiers, direction, false, context);
    if (tiers.length === 0) return undefined;
    return [failsafe, ...tiers, doing([...markSet(accept), notrack()])];
  }
  const tiers = tierRules(endpoint.preDnatTiers, direction, false, context);
  return tiers.length === 0 ? undefined : [failsafe, ...tiers];
}

/** `ends`: what no policy of a tier decided meets the tier's default action; else it goes on. */
function tierRules(
  tiers: readonly EndpointTier[],
  direction: Direction,
  ends: boolean,
  context: RenderContext,
): TableRule[] {
  const { accept, pass } = context.marks;
  const undecided = markClear(accept | pass);
  const rules: TableRule[] = [];
  for (const { name, defaultAction, ...tier } of tiers) {
    const policies = tier[direction];
    if (policies.length === 0) continue;
    const isFirst = rules.length === 0;
    if (!isFirst) rules.push(doing(clearMark(pass), `Start of tier ${name}`));
    for (const [i, policy] of policies.entries()) {
      if (i > 0 && i % POLICIES_BETWEEN_EXITS === 0) rules.push(plain(markSet(accept), "return"));
      rules.push(jump(isFirst && i === 0 ? [] : undecided, policyChain(context.layer, direction, policy)));
    }
    if (!ends || defaultAction === "pass") continue;
    const reason = { kind: "tier-default", tier: name } as const;
    const comment = `End of tier ${name}. Drop if no policies passed packet`;
    rules.push(...denyRules(undecided, comment, context, { direction, reason }));
  }
  return rules;
}

/** The end of the chain: what no profile allows is denied. */
function profileRules(
  profiles: readonly string[],
  direction: Direction,
  context: RenderContext,
): TableRule[] {
  const unallowed = markClear(context.marks.accept);
  return [
    ...profiles.map(profile => jump(unallowed, profileChain(context.layer, direction, profile))),
    ...denyRules(unallowed, "Drop if no profiles matched", context, {
      direction,
      reason: { kind: "no-profile" },
    }),
  ];
}
