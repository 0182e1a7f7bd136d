/** Answers as JSON, one in a line and written as they come, since there may be millions; and as a table. */

import type { Output } from "../../context.ts";
import { table } from "../../output/table.ts";
import type { Answer } from "./answers.ts";
import { type Decisions, decisionText } from "./decision.ts";

/** Fewer system calls, without holding much. */
const CHUNK = 1 << 16;

export function writeAnswers(output: Output, answers: Iterable<Answer>): void {
  const texts = new WeakMap<Decisions, string>();
  let pending = "[";
  let separator = "\n";
  for (const { probe, decisions } of answers) {
    let tail = texts.get(decisions);
    if (tail === undefined) {
      // Without its opening bracket: the probe's fields come before.
      tail = JSON.stringify(decisions).slice(1);
      texts.set(decisions, tail);
    }
    pending += `${separator}${JSON.stringify(probe).slice(0, -1)},${tail}`;
    separator = ",\n";
    if (pending.length > CHUNK) {
      output.write(pending);
      pending = "";
    }
  }
  output.write(`${pending}\n]\n`);
}

export function answersTable(answers: readonly Answer[]): string {
  const rows = answers.map(({ from, to, traffic, decisions, unmet }) => [
    from,
    to,
    traffic,
    unmet === undefined ? decisions.verdict : `${decisions.verdict} !`,
    decisionText(decisions.egress),
    decisionText(decisions.ingress),
  ]);
  return table(["FROM", "TO", "PORT", "VERDICT", "EGRESS", "INGRESS"], rows);
}
