/** Whether what the kernel has is what we want. */

import type { Expression } from "../../../linux/nf-tables/expression.ts";
import type { BaseChain, Element, NftSet } from "../../../linux/nf-tables/model.ts";
import { sameElement, sameVerdict } from "./kept-set.ts";
import type { TableRule } from "./rule.ts";

type Comparable = Pick<TableRule, "expressions" | "comment">;

/** The same questions and verdicts and comments, whatever was counted. */
export function sameRules(a: readonly Comparable[], b: readonly Comparable[]): boolean {
  return a.length === b.length && a.every((rule, i) => sameRule(rule, b[i] as Comparable));
}

function sameRule(a: Comparable, b: Comparable): boolean {
  return (
    a.comment === b.comment &&
    a.expressions.length === b.expressions.length &&
    a.expressions.every((expression, i) => sameExpression(expression, b.expressions[i] as Expression))
  );
}

function sameExpression(a: Expression, b: Expression): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === "counter") return true;
  if (a.kind === "verdict" && b.kind === "verdict") return sameVerdict(a.verdict, b.verdict);
  const other = b as unknown as Readonly<Record<string, unknown>>;
  const entries = Object.entries(a);
  return (
    entries.length === Object.keys(other).length && entries.every(([name, value]) => other[name] === value)
  );
}

export function sameBase(a: BaseChain | undefined, b: BaseChain | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.type === b.type && a.hook === b.hook && a.priority === b.priority && a.policy === b.policy;
}

/** Of one kind: the same elements fit in. */
export const sameKind = (a: NftSet, b: NftSet): boolean =>
  a.key.join() === b.key.join() && (a.interval ?? false) === (b.interval ?? false) && a.data === b.data;

export interface ElementDifference {
  readonly added: readonly Element[];
  readonly removed: readonly Element[];
}

/** From what there is to what is wanted; one that means something else now is in both. */
export function elementDifference(there: readonly Element[], wanted: readonly Element[]): ElementDifference {
  const gone = new Map(there.map(element => [element.key, element]));
  const added: Element[] = [];
  for (const element of wanted) {
    if (sameElement(element, gone.get(element.key))) gone.delete(element.key);
    else added.push(element);
  }
  return { added, removed: [...gone.values()] };
}
