/** `calctl why`: the question as a packet, the live state's verdict on it, and its path; or an overview of all packets. */

import { type Protocol, protocolHasPorts } from "../../../crd-schemas/index.ts";
import type { RuleCounter } from "../../../felix/dataplane/packet-filter.ts";
import { Reach } from "../../../policy/flows/reach.ts";
import type { DocumentState } from "../../../policy/state.ts";
import type { Context } from "../../context.ts";
import { DaemonSocket, type SocketOptions } from "../../daemon-socket.ts";
import { readPort, readProtocol } from "../../documents/probes.ts";
import { CommandError } from "../../errors.ts";
import type { DatastoreOptions } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { withConnection } from "../../session.ts";
import { stateIn } from "../simulate/live.ts";
import { EndNames, type NamedEnd } from "../simulate/names.ts";
import { packetOf } from "../simulate/packets.ts";
import { RuleSources } from "../simulate/rule-sources.ts";
import { explain } from "./explanation.ts";
import { type KernelCounters, kernelView } from "./kernel.ts";
import { overview } from "./overview.ts";
import { type AskedEnd, pathOf } from "./path.ts";
import { explanationText, overviewText } from "./text.ts";

export interface WhyOptions extends DatastoreOptions, SocketOptions {
  readonly port?: string;
  readonly protocol?: string;
  readonly sourcePort?: string;
  readonly output: string;
}

/** @throws CommandError, DatastoreError */
export async function why(
  context: Context,
  fromName: string,
  toName: string,
  options: WhyOptions,
): Promise<void> {
  const question = questionOf(options);
  const state = await withConnection(context, options, ({ datastore }) => stateIn(context, datastore));
  const names = new EndNames(state);
  const from = named(names, fromName);
  const to = named(names, toName);
  const reach = new Reach(state.state);
  const sources = new RuleSources(state, { live: true });
  if (question === undefined) {
    const found = overview(reach, from, to, sources);
    context.stdout.write(options.output === "json" ? jsonText(found) : overviewText(found));
    return;
  }
  const packet = packetOf(question, from, to);
  if ("problem" in packet) throw new CommandError("USAGE", packet.problem);
  const verdict = reach.evaluator.verdict(packet);
  const path = pathOf(verdict, reach);
  const kernel = kernelView(path, end => nodeOf(end, state), await askFelix(context, options));
  const explanation = await explain({ from, to, packet, verdict: verdict.verdict, path, kernel, sources });
  context.stdout.write(options.output === "json" ? jsonText(explanation) : explanationText(explanation));
}

interface Question {
  readonly protocol: Protocol;
  readonly port?: number | string;
  readonly sourcePort?: number;
}

/** Undefined where everything is asked about. @throws CommandError USAGE */
function questionOf({
  port: portText,
  protocol: protocolText,
  sourcePort: sourceText,
}: WhyOptions): Question | undefined {
  if (portText === undefined && protocolText === undefined && sourceText === undefined) return undefined;
  const refuse = (message: string): never => {
    throw new CommandError("USAGE", message);
  };
  const protocol =
    readProtocol(protocolText ?? "TCP") ?? refuse(`--protocol: "${protocolText}" is no protocol`);
  const port =
    portText === undefined ? undefined : (readPort(portText) ?? refuse(`--port: "${portText}" is no port`));
  const sourcePort = sourceText === undefined ? undefined : readPort(sourceText);
  if (sourceText !== undefined && typeof sourcePort !== "number")
    refuse(`--source-port: "${sourceText}" is no port`);
  if (protocolHasPorts(protocol) && port === undefined) refuse(`${protocol} needs a --port`);
  if (!protocolHasPorts(protocol) && port !== undefined) refuse(`${protocol} has no ports`);
  return {
    protocol,
    ...(port !== undefined && { port }),
    ...(typeof sourcePort === "number" && { sourcePort }),
  };
}

function named(names: EndNames, text: string): NamedEnd {
  const found = names.find(text);
  if ("problem" in found) throw new CommandError("USAGE", `"${text}" ${found.problem}`);
  return found;
}

/** Whose kernel enforces what is asked at this end. */
function nodeOf({ endpoint, kind }: AskedEnd, { state }: DocumentState): string | undefined {
  if (kind === "host") return endpoint;
  const all = kind === "workload" ? state.endpoints : (state.hostEndpoints ?? []);
  return all.find(({ id }) => id === endpoint)?.node;
}

/** What felix of this host has counted; or why it cannot be asked, which is no reason to say nothing else. */
async function askFelix(context: Context, options: SocketOptions): Promise<KernelCounters | string> {
  const felix = new DaemonSocket(context, "felix", options);
  try {
    const { node, packetFilter } = await felix.ask<{ node: string; packetFilter?: string }>("/status");
    const counters = await felix.ask<RuleCounter[]>("/felix/counters");
    return { node, counters, ...(packetFilter !== undefined && { packetFilter }) };
  } catch (error) {
    if (error instanceof CommandError) return `not asked: ${error.message}`;
    throw error;
  }
}
