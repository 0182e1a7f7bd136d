/**
 * What a label set must carry for a selector to have any chance of matching it.
 *
 * This is what makes an inverted index possible: a selector that cannot match without `app` being `web` or
 * `api` need only be looked at for items that have one of those two. The answer may be too generous, never
 * too strict. Negations are pushed down to the leaves (De Morgan), so `!(a != "x" || has(b))` is understood.
 */

import type { SelectorNode } from "./ast.ts";

/** label -> the values it must have one of, or ANY where it must only be present. */
export type LabelRestrictions = ReadonlyMap<string, ReadonlySet<string> | typeof ANY>;

export const ANY = "any";

/** Nothing can match: `a == "x" && a == "y"`. */
export const NEVER = "never";

const NONE: LabelRestrictions = new Map();

export function restrictionsOf(node: SelectorNode): LabelRestrictions | typeof NEVER {
  return restrict(node, true);
}

/** Restrictions for `node` to come out as `wanted`. */
function restrict(node: SelectorNode, wanted: boolean): LabelRestrictions | typeof NEVER {
  switch (node.op) {
    case "all":
    case "global":
      return wanted ? NONE : NEVER;
    case "has":
    case "contains":
    case "starts with":
    case "ends with":
      return wanted ? new Map([[node.label, ANY]]) : NONE;
    case "==":
      return wanted ? oneOf(node.label, [node.value]) : NONE;
    case "!=":
      return wanted ? NONE : oneOf(node.label, [node.value]);
    case "in":
      return wanted ? oneOf(node.label, node.values) : NONE;
    case "not in":
      return wanted ? NONE : oneOf(node.label, node.values);
    case "!":
      return restrict(node.operand, !wanted);
    case "&&":
    case "||": {
      const branches = node.operands.map(operand => restrict(operand, wanted));
      return (node.op === "&&") === wanted ? every(branches) : some(branches);
    }
  }
}

function oneOf(label: string, values: readonly string[]): LabelRestrictions | typeof NEVER {
  return values.length === 0 ? NEVER : new Map([[label, new Set(values)]]);
}

/** All branches must hold: restrictions add up, values intersect. */
function every(branches: readonly (LabelRestrictions | typeof NEVER)[]): LabelRestrictions | typeof NEVER {
  const result = new Map<string, ReadonlySet<string> | typeof ANY>();
  for (const branch of branches) {
    if (branch === NEVER) return NEVER;
    for (const [label, values] of branch) {
      const before = result.get(label) ?? ANY;
      const both =
        before === ANY
          ? values
          : values === ANY
            ? before
            : new Set([...before].filter(value => values.has(value)));
      if (both !== ANY && both.size === 0) return NEVER;
      result.set(label, both);
    }
  }
  return result;
}

/** One branch must hold: only what every possible branch demands is left, values unite. */
function some(branches: readonly (LabelRestrictions | typeof NEVER)[]): LabelRestrictions | typeof NEVER {
  const possible = branches.filter(branch => branch !== NEVER);
  const [first, ...rest] = possible;
  if (first === undefined) return NEVER;
  const result = new Map(first);
  for (const branch of rest) {
    for (const [label, values] of result) {
      const other = branch.get(label);
      if (other === undefined) result.delete(label);
      else result.set(label, values === ANY || other === ANY ? ANY : new Set([...values, ...other]));
    }
  }
  return result;
}
