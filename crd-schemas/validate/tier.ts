/** Tiers: those every cluster has keep their order and their end. */

import type { Tier } from "../generated/types.ts";
import { DEFAULT_TIER_ORDER, PROTECTED_TIERS } from "../kinds.ts";
import type { Report } from "../problem.ts";

export function isProtectedTier(name: string): name is keyof typeof PROTECTED_TIERS {
  return Object.hasOwn(PROTECTED_TIERS, name);
}

export function checkTier({ metadata: { name }, spec }: Tier, report: Report): void {
  if (!isProtectedTier(name)) return;
  const { order, defaultAction } = PROTECTED_TIERS[name];
  if ((spec.order ?? DEFAULT_TIER_ORDER) !== order) {
    report(["spec", "order"], `the order of tier ${name} cannot be changed`, String(order));
  }
  if ((spec.defaultAction ?? "Deny") !== defaultAction) {
    report(["spec", "defaultAction"], `the default action of tier ${name} cannot be changed`, defaultAction);
  }
}
