/** A rule of ours: what nftables runs, and what we know about it besides. */

import type { Expression, Verdict } from "../../../linux/nf-tables/expression.ts";
import { counter, verdict } from "../../../linux/nf-tables/expression.ts";
import type { Element, NftSet } from "../../../linux/nf-tables/model.ts";
import type { RuleCounter } from "../packet-filter.ts";
import type { Match } from "./match.ts";

/** Which rule of the model it came from; several may have come from one. */
export type RuleOrigin = Pick<RuleCounter, "kind" | "name" | "direction" | "rule">;

/** A list of ports or nets that stands in a rule: a set named by what is in it, shared by all rules that say the same. */
export interface ListSet {
  readonly set: NftSet;
  readonly elements: readonly Element[];
}

export interface TableRule {
  readonly expressions: readonly Expression[];
  readonly comment?: string;
  readonly lists?: readonly ListSet[];
  readonly origin?: RuleOrigin;
}

/** The kernel has room for 253 bytes; nft prints it between quotes. */
const MAX_COMMENT = 120;

/** Text as a comment can hold it. */
export function commentOf(text: string): string {
  const printable = text.replaceAll('"', "'").replaceAll(/[^\x20-\x7e]/g, "?");
  return printable.length <= MAX_COMMENT ? printable : `${printable.slice(0, MAX_COMMENT - 1)}~`;
}

const rule = (expressions: readonly Expression[], comment: string | undefined): TableRule =>
  comment === undefined ? { expressions } : { expressions, comment: commentOf(comment) };

/** Where it matches, the verdict, counted. */
export const counted = (match: Match, is: Verdict, comment?: string): TableRule =>
  rule([...match, counter(), verdict(is)], comment);

/** Where it matches, the verdict. */
export const plain = (match: Match, is: Verdict, comment?: string): TableRule =>
  rule([...match, verdict(is)], comment);

export const jump = (match: Match, chain: string, comment?: string): TableRule =>
  plain(match, { jump: chain }, comment);

/** No verdict: what the expressions do, and on to the next rule. */
export const doing = (expressions: readonly Expression[], comment?: string): TableRule =>
  rule(expressions, comment);
