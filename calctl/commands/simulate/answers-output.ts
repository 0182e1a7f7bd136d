/** Answers as JSON, one in a line, and as a table; written as they come, since there may be millions. */

import type { Output } from "../../context.ts";
import { tableLines } from "../../output/table.ts";
import type { Answer } from "./answers.ts";
import { type Decision, type Decisions, decisionText } from "./decision.ts";
import type { FlowAnswer, PairAnswers } from "./flow-answers.ts";

export type Format = "json" | "table";

/** Fewer system calls, without holding much. */
const CHUNK = 1 << 16;

const HEADINGS = ["FROM", "TO", "PORT", "VERDICT", "EGRESS", "INGRESS"];

export function writeAnswers(output: Output, answers: readonly Answer[], format: Format): void {
  if (format === "json") {
    const items = answers.map(({ probe, decisions }) => JSON.stringify({ ...probe, ...decisions }));
    write(output, jsonLines(items));
    return;
  }
  const rows = answers.map(({ from, to, traffic, decisions, unmet }) => [
    from,
    to,
    ...cells(traffic, decisions, unmet === undefined ? "" : " !"),
  ]);
  write(output, tableLines(HEADINGS, rows));
}

export function writeFlows(output: Output, pairs: Iterable<PairAnswers>, format: Format): void {
  write(output, format === "json" ? jsonLines(pairItems(pairs)) : tableLines(HEADINGS, pairRows(pairs)));
}

function* pairItems(pairs: Iterable<PairAnswers>): Generator<string> {
  const known = new WeakMap<readonly FlowAnswer[], readonly string[]>();
  for (const { from, to, answers } of pairs) {
    let texts = known.get(answers);
    if (texts === undefined) {
      // Without its opening bracket: the two ends come before.
      texts = answers.map(({ fields, decisions }) => JSON.stringify({ ...fields, ...decisions }).slice(1));
      known.set(answers, texts);
    }
    const ends = `{"from":${JSON.stringify(from)},"to":${JSON.stringify(to)},`;
    for (const text of texts) yield ends + text;
  }
}

function* pairRows(pairs: Iterable<PairAnswers>): Generator<string[]> {
  const known = new WeakMap<readonly FlowAnswer[], readonly string[][]>();
  for (const { from, to, answers } of pairs) {
    let rows = known.get(answers);
    if (rows === undefined) {
      rows = answers.map(({ traffic, decisions }) => cells(traffic, decisions));
      known.set(answers, rows);
    }
    for (const row of rows) yield [from, to, ...row];
  }
}

const decisionTexts = new WeakMap<Decision, string>();

function cells(traffic: string, { verdict, egress, ingress }: Decisions, mark = ""): string[] {
  const text = (decision: Decision | null): string => {
    if (decision === null) return decisionText(null);
    const known = decisionTexts.get(decision) ?? decisionText(decision);
    decisionTexts.set(decision, known);
    return known;
  };
  return [traffic, `${verdict}${mark}`, text(egress), text(ingress)];
}

function* jsonLines(items: Iterable<string>): Generator<string> {
  let separator = "[\n";
  for (const item of items) {
    yield separator + item;
    separator = ",\n";
  }
  yield separator === "[\n" ? "[\n]\n" : "\n]\n";
}

function write(output: Output, texts: Iterable<string>): void {
  let pending = "";
  for (const text of texts) {
    pending += text;
    if (pending.length <= CHUNK) continue;
    output.write(pending);
    pending = "";
  }
  output.write(pending);
}
