/**
 * Which rule decided, as data and in words. The data is what scripts build on, so its shape stays:
 *
 *   { verdict, tier, policy, rule, source }      a rule of a policy, by its place in the policy's list
 *   { verdict, tier, default: "tier-default" }   no rule of the tier matched: its default action
 *   { verdict, profile, rule, source }           a rule of a profile
 *   { verdict, default: … }                      something else: "no-profile", "failsafe", …
 *
 * `source` is the rule as it was written: `{kind, name, path, at}`. Null stands for a direction in which nobody is
 * asked, because there is no endpoint at that end.
 */

import type { Reason, Step } from "../../../policy/evaluate.ts";
import type { DecidingSteps } from "../../../policy/flows/deciding-steps.ts";
import type { Direction } from "../../../policy/model.ts";
import type { RuleSource, RuleSources } from "./rule-sources.ts";

export interface Decision {
  readonly verdict: "allow" | "deny";
  readonly tier?: string;
  readonly policy?: string;
  readonly profile?: string;
  readonly rule?: number;
  readonly default?: string;
  readonly source?: RuleSource;
}

export interface Decisions {
  readonly verdict: "allow" | "deny";
  readonly egress: Decision | null;
  readonly ingress: Decision | null;
}

export function decisionsOf({ verdict, egress, ingress }: DecidingSteps, sources: RuleSources): Decisions {
  return {
    verdict,
    egress: egress ? decisionOf(egress, "egress", sources) : null,
    ingress: ingress ? decisionOf(ingress, "ingress", sources) : null,
  };
}

/** Many flows are decided by the same two steps, which are then one and the same object. */
export class Descriptions {
  readonly #sources: RuleSources;
  readonly #known = new WeakMap<object, WeakMap<object, Decisions>>();

  constructor(sources: RuleSources) {
    this.#sources = sources;
  }

  of(steps: DecidingSteps): Decisions {
    const { egress = NOBODY, ingress = NOBODY } = steps;
    let own = this.#known.get(egress);
    if (own === undefined) {
      own = new WeakMap();
      this.#known.set(egress, own);
    }
    let found = own.get(ingress);
    if (found === undefined) {
      found = decisionsOf(steps, this.#sources);
      own.set(ingress, found);
    }
    return found;
  }
}

const NOBODY = {};

function decisionOf({ action, reason }: Step, direction: Direction, sources: RuleSources): Decision {
  return { verdict: action === "deny" ? "deny" : "allow", ...reasonFields(reason, direction, sources) };
}

function reasonFields(reason: Reason, direction: Direction, sources: RuleSources): Omit<Decision, "verdict"> {
  const source = sources.ofReason(reason, direction);
  const written = source && { source };
  switch (reason.kind) {
    case "policy":
      return { tier: reason.tier, policy: reason.policy, rule: reason.rule, ...written };
    case "tier-default":
      return { tier: reason.tier, default: reason.kind };
    case "profile":
      return { profile: reason.profile, rule: reason.rule, ...written };
    default:
      return { default: reason.kind };
  }
}

const DEFAULTS: Readonly<Record<string, string>> = {
  "no-profile": "no profile allows it",
};

/** `NetworkPolicy default/web spec.ingress[0] (web.yml:12:5)`. */
export function decisionText(decision: Decision | null): string {
  if (decision === null) return "-";
  const { tier, policy, profile, rule, source } = decision;
  if (source) {
    const at = source.at === undefined ? "" : ` (${source.at})`;
    return `${source.kind} ${source.name} ${source.path.replace(/^spec\./, "")}${at}`;
  }
  if (policy !== undefined) return `${policy} rule ${rule}`;
  if (profile !== undefined) return `profile ${profile}`;
  if (tier !== undefined) return `tier ${tier}: no rule matches`;
  const { default: kind = "" } = decision;
  return DEFAULTS[kind] ?? kind.replaceAll("-", " ");
}
