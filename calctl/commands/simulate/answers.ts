/** Probes and what policy answers. */

import type { Problem } from "../../../input/problem.ts";
import type { Packet } from "../../../policy/evaluate.ts";
import { askPackets } from "../../../policy/flows/ask-packets.ts";
import type { Reach } from "../../../policy/flows/reach.ts";
import type { Probe } from "../../documents/probes.ts";
import { InvalidDocuments } from "../../documents/problem.ts";
import { type Decisions, Descriptions } from "./decision.ts";
import type { EndNames, NamedEnd } from "./names.ts";
import { packetOf, packetText } from "./packets.ts";
import type { RuleSources } from "./rule-sources.ts";

export interface Answer {
  /** The probe as it was written, or as it would have been. */
  readonly probe: Readonly<Record<string, unknown>>;
  readonly from: string;
  readonly to: string;
  /** `80/TCP`, `ICMP`. */
  readonly traffic: string;
  readonly decisions: Decisions;
  /** What the probe expects, where that is not what it found. */
  readonly unmet?: "allow" | "deny";
}

/** @throws InvalidDocuments for names and ports that are none, all of them */
export function answerProbes(
  probes: readonly Probe[],
  names: EndNames,
  reach: Reach,
  sources: RuleSources,
): Answer[] {
  const problems: Problem[] = [];
  const questions: Question[] = [];
  for (const probe of probes) {
    const found = questionOf(probe, names);
    if (Array.isArray(found)) problems.push(...found);
    else questions.push(found as Question);
  }
  if (problems.length > 0) throw new InvalidDocuments(problems);
  const packets = questions.map(({ packet }) => packet);
  const stepsOf = askPackets(reach, packets);
  const described = new Descriptions(sources);
  return probes.map(({ written, expect }, i): Answer => {
    const { from, to, packet } = questions[i]!;
    const decisions = described.of(stepsOf(i));
    const unmet = expect !== undefined && expect !== decisions.verdict && { unmet: expect };
    return { probe: written, from: from.name, to: to.name, traffic: packetText(packet), decisions, ...unmet };
  });
}

function questionOf(probe: Probe, names: EndNames): Question | Problem[] {
  const problems: Problem[] = [];
  const problem = (field: string, message: string): undefined => {
    problems.push({ place: probe.locate([field]), path: [field], message });
  };
  const end = (field: "from" | "to"): NamedEnd | undefined => {
    const found = names.find(probe[field]);
    return "problem" in found ? problem(field, `"${probe[field]}" ${found.problem}`) : found;
  };
  const from = end("from");
  const to = end("to");
  if (from === undefined || to === undefined) return problems;
  const packet = packetOf(probe, from, to);
  if (!("problem" in packet)) return { from, to, packet };
  problem(packet.field, packet.problem);
  return problems;
}

interface Question {
  readonly from: NamedEnd;
  readonly to: NamedEnd;
  readonly packet: Packet;
}

/** Undefined where every expectation is met, or none was made. */
export function unmetText(answers: readonly Answer[]): string | undefined {
  const unmet = answers.filter(answer => answer.unmet !== undefined);
  if (unmet.length === 0) return undefined;
  const lines = unmet.map(
    ({ from, to, traffic, decisions, unmet: expected }) =>
      `  ${from} -> ${to} ${traffic}: ${decisions.verdict}, expected ${expected}`,
  );
  return `${unmet.length} of ${answers.length} probes did not find what they expect:\n${lines.join("\n")}`;
}
