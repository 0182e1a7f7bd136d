/**
 * The syntax tree of a selector, and the one text form ("canonical") every spelling of it shares.
 *
 * Canonical text is what ids are hashed from, and Calico nodes in the same cluster hash the same text, so its
 * exact shape matters: one blank around operators, values in double quotes, set values sorted and unique, and
 * one pair of parentheses for each `&&`/`||` group as it was nested by the author (groups are not flattened).
 */

import { SelectorError } from "./error.ts";

/** Operators that compare a label with one string. */
export type Comparison = "==" | "!=" | "contains" | "starts with" | "ends with";

export type SelectorNode =
  | { readonly op: "all" }
  | { readonly op: "global" }
  | { readonly op: "has"; readonly label: string }
  | { readonly op: Comparison; readonly label: string; readonly value: string }
  | { readonly op: "in" | "not in"; readonly label: string; readonly values: readonly string[] }
  | { readonly op: "!"; readonly operand: SelectorNode }
  | { readonly op: "&&" | "||"; readonly operands: readonly SelectorNode[] };

export const all: SelectorNode = { op: "all" };

export function has(label: string): SelectorNode {
  return { op: "has", label };
}

export function compare(label: string, op: Comparison, value: string): SelectorNode {
  return { op, label, value };
}

export function equals(label: string, value: string): SelectorNode {
  return { op: "==", label, value };
}

/** `label in {…}` or `label not in {…}`; the values are sorted by code point and made unique. */
export function membership(label: string, op: "in" | "not in", values: Iterable<string>): SelectorNode {
  return { op, label, values: [...new Set(values)].sort(compareCodePoints) };
}

export function not(operand: SelectorNode): SelectorNode {
  return { op: "!", operand };
}

/** A group of one is the operand itself; a group of none is no selector and a programming error. */
export function and(...operands: readonly SelectorNode[]): SelectorNode {
  return group("&&", operands);
}

export function or(...operands: readonly SelectorNode[]): SelectorNode {
  return group("||", operands);
}

function group(op: "&&" | "||", operands: readonly SelectorNode[]): SelectorNode {
  if (operands.length === 0) throw new TypeError(`empty ${op} group`);
  return operands.length === 1 ? operands[0]! : { op, operands };
}

/** The same tree with every leaf that names labels replaced; groups and negations stay as they are. */
export function mapLeaves(node: SelectorNode, change: (leaf: SelectorNode) => SelectorNode): SelectorNode {
  switch (node.op) {
    case "!":
      return not(mapLeaves(node.operand, change));
    case "&&":
    case "||":
      return { op: node.op, operands: node.operands.map(operand => mapLeaves(operand, change)) };
    default:
      return change(node);
  }
}

export function canonicalText(node: SelectorNode): string {
  switch (node.op) {
    case "all":
    case "global":
      return `${node.op}()`;
    case "has":
      return `has(${node.label})`;
    case "in":
    case "not in":
      return `${node.label} ${node.op} {${node.values.map(quote).join(", ")}}`;
    case "!":
      return `!${canonicalText(node.operand)}`;
    case "&&":
    case "||":
      return `(${node.operands.map(canonicalText).join(` ${node.op} `)})`;
    default:
      return `${node.label} ${node.op} ${quote(node.value)}`;
  }
}

/** The language has no escapes, so a value with both kinds of quotes cannot be written at all. */
function quote(value: string): string {
  if (!value.includes('"')) return `"${value}"`;
  if (!value.includes("'")) return `'${value}'`;
  throw new SelectorError(value, 0, "a value without both kinds of quotes");
}

/** Code point order, which is also the byte order of UTF-8 that other implementations sort by. */
function compareCodePoints(a: string, b: string): number {
  let i = 0;
  while (i < a.length && i < b.length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  // A low surrogate at the point of difference belongs to the pair that began one unit earlier.
  if (i > 0 && isLowSurrogate(a.charCodeAt(i)) && isLowSurrogate(b.charCodeAt(i))) i--;
  return (a.codePointAt(i) ?? -1) - (b.codePointAt(i) ?? -1);
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
