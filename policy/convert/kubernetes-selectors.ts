/** Kubernetes' label selectors as Calico's. */

import {
  isLabelKey,
  isLabelValue,
  type LabelSelector,
  type LabelSelectorRequirement,
} from "../../crd-schemas/index.ts";
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
  const matchLabels = readLabels(fields);
  const matchExpressions = fields.objects("matchExpressions").flatMap(readRequirement);
  fields.end();
  return { ...(matchLabels && { matchLabels }), ...(matchExpressions.length > 0 && { matchExpressions }) };
}

function readLabels(fields: Fields): Record<string, string> | undefined {
  const labels = fields.texts("matchLabels");
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!isLabelKey(key)) fields.problem(["matchLabels", key], `"${key}" is wrong`, KEY);
    if (!isLabelValue(value)) fields.problem(["matchLabels", key], `"${value}" is wrong`, VALUE);
  }
  const isRight = ([key, value]: [string, string]): boolean => isLabelKey(key) && isLabelValue(value);
  return labels && Object.fromEntries(Object.entries(labels).filter(isRight));
}

function readRequirement(fields: Fields): LabelSelectorRequirement[] {
  const text = fields.requiredString("key");
  const key = text !== undefined && isLabelKey(text) ? text : undefined;
  if (text !== undefined && key === undefined) fields.problem(["key"], `"${text}" is wrong`, KEY);
  const operator = fields.oneOf("operator", OPERATORS);
  if (fields.value("operator") === undefined)
    fields.problem(["operator"], "is missing", OPERATORS.join(", "));
  const values = fields.parsedList(
    "values",
    value => (typeof value === "string" && isLabelValue(value) ? value : undefined),
    VALUE,
  );
  const needed = operator === "In" || operator === "NotIn";
  if (operator !== undefined && needed !== values.length > 0)
    fields.problem(
      ["values"],
      needed ? `${operator} has no values` : `${operator} takes no values`,
      needed ? "at least one value" : "no values",
    );
  fields.end();
  if (key === undefined || operator === undefined) return [];
  return [{ key, operator, ...(values.length > 0 && { values }) }];
}

const KEY = 'a label, "name" or "prefix/name"';
const VALUE = "a label's value";
