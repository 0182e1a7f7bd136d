/** Whether two states say the same, as far as it spares asking. */

import type { PolicyState } from "../evaluate.ts";
import type { Policy } from "../model.ts";
import { Selector } from "../selector/index.ts";

/** Whether nothing but policies differs: who is there, under which labels, in which sets, behind which services. */
export function sameApart(a: PolicyState, b: PolicyState): boolean {
  const { policies: _a, ...restA } = a;
  const { policies: _b, ...restB } = b;
  return text(restA) === text(restB);
}

/** Whether it is the same policies with the same content in the same order. */
export function samePolicies(a: readonly Policy[], b: readonly Policy[]): boolean {
  return a.length === b.length && a.every((policy, i) => policyText(policy) === policyText(b[i]!));
}

const texts = new WeakMap<Policy, string>();

function policyText(policy: Policy): string {
  const known = texts.get(policy) ?? text(policy);
  texts.set(policy, known);
  return known;
}

/** Selectors and maps do not show in JSON by themselves. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, field: unknown) => {
    if (field instanceof Selector) return field.text;
    return field instanceof Map ? [...field] : field;
  });
}
