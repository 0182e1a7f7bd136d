/** Kubernetes' label selectors as Calico's. */

import type { LabelSelector, LabelSelectorRequirement } from "../../crd-schemas/index.ts";
import { and, canonicalText, equals, has, membership, not, type SelectorNode } from "../selector/ast.ts";
import type { Fields } from "./fields.ts";

export const ORCHESTRATOR_LABEL = "projectcalico.org/orchestrator";

/** Only pods are meant, whatever else may carry the same labels. */
export function podSelectorText(selector: LabelSelector | undefined): string {
  return selectorText([equals(ORCHESTRATOR_LABEL, "k8s"), ...requirements(selector)]);
}

export function namespaceSelectorText(selector: LabelSelector): string {
  const parts = requirements(selector);
  return parts.length === 0 ? "all()" : selectorText(parts);
}

/** `first` holds, and the selector does on labels that have this prefix. */
export function prefixedSelectorText(first: SelectorNode, selector: LabelSelector, prefix: string): string {
  return selectorText([first, ...requirements(selector, prefix)]);
}

function selectorText(parts: readonly SelectorNode[]): string {
  const text = canonicalText(and(...parts));
  return parts.length > 1 ? text.slice(1, -1) : text;
}

function requirements(selector: LabelSelector | undefined, prefix = ""): SelectorNode[] {
  const labels = Object.entries(selector?.matchLabels ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [
    ...labels.map(([key, value]) => equals(prefix + key, value)),
    ...(selector?.matchExpressions ?? []).map(one => requirement(one, prefix)),
  ];
}

function requirement({ key, operator, values }: LabelSelectorRequirement, prefix: string): SelectorNode {
  switch (operator) {
    case "In":
      return membership(prefix + key, "in", values ?? []);
    case "NotIn":
      return membership(prefix + key, "not in", values ?? []);
    case "Exists":
      return has(prefix + key);
    case "DoesNotExist":
      return not(has(prefix + key));
  }
}

const OPERATORS: readonly LabelSelectorRequirement["operator"][] = ["In", "NotIn", "Exists", "DoesNotExist"];

/** A selector of a document, with a problem for whatever the API server would refuse. */
export function readLabelSelector(fields: Fields): LabelSelector {
  const matchLabels = fields.texts("matchLabels");
  const matchExpressions = fields.objects("matchExpressions").map(one => {
    const key = one.requiredString("key") ?? "";
    const operator = one.oneOf("operator", OPERATORS);
    if (one.value("operator") === undefined) one.problem(["operator"], "is missing", OPERATORS.join(", "));
    const values = one.strings("values");
    const needed = operator === "In" || operator === "NotIn";
    if (operator !== undefined && needed !== values.length > 0)
      one.problem(
        ["values"],
        needed ? `${operator} has no values` : `${operator} takes no values`,
        needed ? "at least one value" : "no values",
      );
    one.end();
    return { key, operator: operator ?? "Exists", ...(values.length > 0 && { values }) };
  });
  fields.end();
  return { ...(matchLabels && { matchLabels }), ...(matchExpressions.length > 0 && { matchExpressions }) };
}
