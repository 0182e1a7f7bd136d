/**
 * Who comes first: the evaluation order of tiers, and of policies within a tier.
 *
 * Lower order first. A policy without one comes last; a tier without one stands at Calico's default, and a
 * tier that policies name but that does not exist comes after all that do. Ties go by name, so that the order
 * is total and the same on every host.
 */

import { DEFAULT_TIER_ORDER } from "../crd-schemas/index.ts";
import type { Policy, PolicyId, Tier } from "./model.ts";

/** `exists: false` for a tier that is only named by policies. */
export function compareTiers(
  a: Pick<Tier, "name" | "order"> & { readonly exists?: boolean },
  b: Pick<Tier, "name" | "order"> & { readonly exists?: boolean },
): number {
  return (
    Number(a.exists === false) - Number(b.exists === false) ||
    compareNumbers(a.order ?? DEFAULT_TIER_ORDER, b.order ?? DEFAULT_TIER_ORDER) ||
    compareText(a.name, b.name)
  );
}

/** For policies of the same tier. */
export function comparePolicies(a: Pick<Policy, "id" | "order">, b: Pick<Policy, "id" | "order">): number {
  return (
    compareNumbers(a.order ?? Number.POSITIVE_INFINITY, b.order ?? Number.POSITIVE_INFINITY) ||
    compareText(tieBreaker(a.id), tieBreaker(b.id))
  );
}

/** Name first, so that policies of one purpose stay together across namespaces. */
function tieBreaker(id: PolicyId): string {
  return `${id.name}/${id.namespace ?? ""}/${id.kind}`;
}

/** Not by subtraction: infinities are equal to each other. */
function compareNumbers(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
