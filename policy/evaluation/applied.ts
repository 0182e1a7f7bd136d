/** Which policies apply to an endpoint, tier by tier in the order they are asked, for each place they are asked at. */

import type { Direction, Policy, Tier } from "../model.ts";
import { comparePolicies, compareTiers } from "../order.ts";
import type { EvaluatedEndpoint, EvaluatedHostEndpoint, PolicyState } from "../policy-state.ts";
import { isStaged } from "../staged.ts";
import type { Category } from "../verdict.ts";
import type { Members } from "./members.ts";

/** `policies` govern the direction asked about, and there is at least one. */
export interface AppliedTier {
  readonly name: string;
  readonly defaultAction: "deny" | "pass";
  readonly policies: readonly Policy[];
}

/** Workloads are judged like the host itself: by all that is not for the time before connection tracking or DNAT. */
const ASKED: Readonly<Record<Category, (policy: Policy) => boolean>> = {
  untracked: policy => policy.doNotTrack,
  preDNAT: policy => policy.preDNAT,
  normal: policy => !policy.doNotTrack && !policy.preDNAT,
  forward: policy => !policy.doNotTrack && !policy.preDNAT && policy.applyOnForward,
};

export class AppliedPolicies {
  readonly #tiers: ReadonlyMap<string, Tier>;
  readonly #ordered: readonly Policy[];
  readonly #policiesOf = new Map<unknown, Policy[]>();
  readonly #memo = new Map<unknown, Map<string, readonly AppliedTier[]>>();

  /** Staged policies are in force nowhere, so a tier of nothing else is not there. */
  constructor(state: PolicyState, members: Members) {
    this.#tiers = new Map((state.tiers ?? []).map(tier => [tier.name, tier]));
    // In their order from the beginning, so that nobody has to sort his own.
    this.#ordered = state.policies.filter(({ id }) => !isStaged(id.kind)).toSorted(comparePolicies);
    for (const policy of this.#ordered) {
      for (const member of members.matching(policy.selector)) {
        const own = this.#policiesOf.get(member);
        if (own) own.push(policy);
        else this.#policiesOf.set(member, [policy]);
      }
    }
  }

  tiers(
    endpoint: EvaluatedEndpoint | EvaluatedHostEndpoint,
    category: Category,
    direction: Direction,
  ): readonly AppliedTier[] {
    const place = `${category} ${direction}`;
    const places = this.#memo.get(endpoint) ?? new Map<string, readonly AppliedTier[]>();
    this.#memo.set(endpoint, places);
    let tiers = places.get(place);
    if (tiers === undefined) {
      tiers = this.#tiersOf(this.#policiesOf.get(endpoint) ?? [], category, direction);
      places.set(place, tiers);
    }
    return tiers;
  }

  /** All tiers there are at this place, with all that is asked in them, of whomever. */
  all(category: Category, direction: Direction): readonly AppliedTier[] {
    return this.#tiersOf(this.#ordered, category, direction);
  }

  #tiersOf(policies: readonly Policy[], category: Category, direction: Direction): readonly AppliedTier[] {
    const asked = policies.filter(policy => ASKED[category](policy) && policy.types.includes(direction));
    return groupByTier(asked, this.#tiers);
  }
}

/** Tier by tier in the order they are asked; `policies` are in theirs. A tier that does not exist denies in the end. */
export function groupByTier(
  policies: readonly Policy[],
  tiers: ReadonlyMap<string, Tier>,
): readonly AppliedTier[] {
  return [...Map.groupBy(policies, policy => policy.tier)]
    .map(([name, own]) => {
      const tier = tiers.get(name);
      return {
        name,
        order: tier?.order,
        exists: tier !== undefined,
        defaultAction: tier?.defaultAction ?? ("deny" as const),
        policies: own,
      };
    })
    .toSorted(compareTiers);
}
