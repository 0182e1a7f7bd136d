/**
 * The verdict of a selector on a set of labels. Labels are asked for one by one, so whoever inherits labels
 * (endpoints from their profiles) need not merge them first. A missing label fails every test except the two
 * negative ones, `!=` and `not in`, which it passes.
 */

import type { SelectorNode } from "./ast.ts";

/** A label set; a Map is one. */
export interface Labels {
  get(label: string): string | undefined;
}

export function evaluate(node: SelectorNode, labels: Labels): boolean {
  switch (node.op) {
    case "all":
    case "global":
      return true;
    case "has":
      return labels.get(node.label) !== undefined;
    case "==":
      return labels.get(node.label) === node.value;
    case "!=":
      return labels.get(node.label) !== node.value;
    case "contains":
      return labels.get(node.label)?.includes(node.value) ?? false;
    case "starts with":
      return labels.get(node.label)?.startsWith(node.value) ?? false;
    case "ends with":
      return labels.get(node.label)?.endsWith(node.value) ?? false;
    case "in":
      return isOneOf(labels.get(node.label), node.values);
    case "not in":
      return !isOneOf(labels.get(node.label), node.values);
    case "!":
      return !evaluate(node.operand, labels);
    case "&&":
      return node.operands.every(operand => evaluate(operand, labels));
    case "||":
      return node.operands.some(operand => evaluate(operand, labels));
  }
}

function isOneOf(value: string | undefined, values: readonly string[]): boolean {
  return value !== undefined && values.includes(value);
}
