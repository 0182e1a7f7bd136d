/** Probes and what policy answers. */

import { type Protocol, protocolHasPorts } from "../../../crd-schemas/index.ts";
import type { Problem } from "../../../input/problem.ts";
import type { Packet } from "../../../policy/evaluate.ts";
import type { Reach } from "../../../policy/flows/reach.ts";
import { canonicalProtocol } from "../../../policy/model.ts";
import type { Probe } from "../../documents/probes.ts";
import { InvalidDocuments } from "../../documents/problem.ts";
import { didYouMean } from "../../nearest.ts";
import { type Decisions, decisionsOf } from "./decision.ts";
import { commonAddresses, type EndNames, type NamedEnd } from "./names.ts";
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
  const answers: Answer[] = [];
  for (const probe of probes) {
    const found = packetOf(probe, names);
    if (Array.isArray(found)) {
      problems.push(...found);
      continue;
    }
    const { from, to, packet } = found as Question;
    const decisions = decisionsOf(reach.evaluator.verdict(packet), sources);
    const unmet = probe.expect !== undefined && probe.expect !== decisions.verdict && { unmet: probe.expect };
    answers.push({
      probe: probe.written,
      from: from.name,
      to: to.name,
      traffic: packetText(packet),
      decisions,
      ...unmet,
    });
  }
  if (problems.length > 0) throw new InvalidDocuments(problems);
  return answers;
}

interface Question {
  readonly from: NamedEnd;
  readonly to: NamedEnd;
  readonly packet: Packet;
}

function packetOf(probe: Probe, names: EndNames): Question | Problem[] {
  const problems: Problem[] = [];
  const problem = (field: string, message: string, expected?: string): undefined => {
    problems.push({ place: probe.locate([field]), path: [field], message, expected });
  };
  const end = (field: "from" | "to"): NamedEnd | undefined => {
    const found = names.find(probe[field]);
    return "problem" in found ? problem(field, `"${probe[field]}" ${found.problem}`) : found;
  };
  const from = end("from");
  const to = end("to");
  if (from === undefined || to === undefined) return problems;
  const protocol = canonicalProtocol(probe.protocol)!;
  const version = protocol === "ICMP" ? [4 as const] : protocol === "ICMPv6" ? [6 as const] : undefined;
  const addresses = commonAddresses(from, to, version);
  if (addresses === undefined) {
    problem(
      "to",
      `${to.name} and ${from.name} have no address of the same IP version${version ? ` for ${protocol}` : ""}`,
    );
    return problems;
  }
  const port = typeof probe.port === "string" ? numberOf(probe.port, protocol, to) : probe.port;
  if (typeof port === "string") problem("port", port);
  if (problems.length > 0) return problems;
  const [source, destination] = addresses;
  return {
    from,
    to,
    packet: {
      source,
      destination,
      protocol,
      ...(protocolHasPorts(protocol) && { sourcePort: probe.sourcePort ?? EPHEMERAL }),
      ...(typeof port === "number" && { destinationPort: port }),
      ...(version && { icmp: { code: 0, ...(probe.icmp ?? { type: protocol === "ICMP" ? 8 : 128 }) } }),
    },
  };
}

const EPHEMERAL = 32768;

/** The port of that name, or what is wrong with it. */
function numberOf(name: string, protocol: Protocol, { name: owner, ports }: NamedEnd): number | string {
  const ofProtocol = ports.filter(port => canonicalProtocol(port.protocol) === protocol);
  const found = ofProtocol.find(port => port.name === name);
  if (found) return found.port;
  const known = ofProtocol.flatMap(port => port.name ?? []);
  const has = known.length === 0 ? "no named ports" : `of ${protocol} ${known.join(", ")}`;
  return `${owner} has no port "${name}"${didYouMean(name, known)}; it has ${has}`;
}

export function packetText({
  protocol,
  destinationPort,
  icmp,
}: Omit<Packet, "source" | "destination">): string {
  if (destinationPort !== undefined) return `${destinationPort}/${protocol}`;
  if (icmp !== undefined && icmp.type !== 8 && icmp.type !== 128) return `${protocol} type ${icmp.type}`;
  return typeof protocol === "number" ? `protocol ${protocol}` : protocol;
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
