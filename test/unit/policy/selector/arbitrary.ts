/** Random selectors and label sets over a small alphabet, so that they meet. */

import fc from "fast-check";
import {
  all,
  and,
  compare,
  has,
  membership,
  not,
  or,
  type SelectorNode,
} from "../../../../policy/selector/ast.ts";

export const label = fc.constantFrom("a", "b", "c", "in", "has", "x.y/z");
export const value = fc.constantFrom("", "x", "y", "xy", "yx", 'q"', "it's");

const leaf: fc.Arbitrary<SelectorNode> = fc.oneof(
  fc.constant(all),
  label.map(has),
  fc
    .tuple(label, fc.constantFrom("==", "!=", "contains", "starts with", "ends with"), value)
    .map(([l, op, v]) => compare(l, op, v)),
  fc
    .tuple(label, fc.constantFrom("in", "not in"), fc.array(value, { maxLength: 3 }))
    .map(([l, op, vs]) => membership(l, op, vs)),
);

export const selectorNode: fc.Arbitrary<SelectorNode> = fc.letrec<{ node: SelectorNode }>(tie => ({
  node: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    tie("node").map(not),
    fc.array(tie("node"), { minLength: 2, maxLength: 3 }).map(nodes => and(...nodes)),
    fc.array(tie("node"), { minLength: 2, maxLength: 3 }).map(nodes => or(...nodes)),
  ),
})).node;

export const labelSet: fc.Arbitrary<Record<string, string>> = fc.dictionary(label, value, { maxKeys: 4 });

export function labelsOf(record: Readonly<Record<string, string>>): Map<string, string> {
  return new Map(Object.entries(record));
}
