/** `calctl flows`: the flow log of this host's felix. */

import { type Command, Option } from "commander";
import { type Flow, type FlowEnd, reasonText, type StagedReason } from "../../felix/flows/flow.ts";
import type { Context, Output } from "../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../daemon-socket.ts";
import { examples, newCommand, output } from "../options.ts";

interface Options extends SocketOptions {
  readonly output: string;
  readonly follow?: true;
  readonly namespace?: string;
  readonly policy?: string;
  readonly verdict?: string;
}

export function flowsCommand(context: Context): Command {
  const command = newCommand("flows", "Show who talked to whom on this host, and which policy decided.")
    .addOption(output("table", "table, wide or json").choices(["table", "wide", "json"]))
    .option("-f, --follow", "go on with what is seen from now on, until interrupted")
    .option("-n, --namespace <name>", "only what comes from or goes to this namespace")
    .option(
      "--policy <name>",
      "only what this policy, profile or tier decided, or would if staged policies were in force: np/default/web, or web",
    )
    .addOption(new Option("--verdict <verdict>", "only these").choices(["allow", "deny"]))
    .addOption(socket("felix"))
    .action((options: Options) => flows(context, options));
  return examples(command, [
    ["What was seen in the last five minutes.", "calctl flows"],
    ["What is denied, as it happens.", "calctl flows --follow --verdict deny"],
    ["For a program: one JSON value a line.", "calctl flows --follow -o json"],
  ]);
}

async function flows(context: Context, options: Options): Promise<void> {
  const { namespace, policy, verdict, follow } = options;
  const felix = new DaemonSocket(context, "felix", options);
  const answer = felix.lines<Flow>("/felix/flows", {
    namespace,
    policy,
    verdict,
    follow: follow && "true",
  });
  if (options.output === "json") {
    for await (const flow of answer) context.stdout.write(`${JSON.stringify(flow)}\n`);
    return;
  }
  const columns = options.output === "wide" ? [...COLUMNS, ...WIDE] : COLUMNS;
  if (follow) return await writeRows(answer, columns, context.stdout);
  // All is there: the columns can be as wide as they have to be.
  const all: Flow[] = [];
  for await (const flow of answer) all.push(flow);
  const widths = columns.map(([, width, value]) => Math.max(width, ...all.map(flow => value(flow).length)));
  await writeRows(all, columns, context.stdout, widths);
}

type Column = readonly [heading: string, width: number, value: (flow: Flow) => string];

const COLUMNS: readonly Column[] = [
  ["LAST SEEN", 10, ({ last }) => new Date(last).toISOString().slice(11, 19)],
  ["VERDICT", 8, ({ verdict }) => verdict],
  ["STAGED", 7, stagedText],
  ["SOURCE", 24, ({ source }) => endText(source)],
  ["DESTINATION", 24, ({ destination }) => endText(destination)],
  ["PROTOCOL", 9, ({ protocol }) => String(protocol)],
  ["PORT", 6, portText],
  ["DIRECTION", 10, ({ direction }) => direction],
  ["DECIDED BY", 30, decisionText],
  ["PACKETS", 8, ({ packets }) => String(packets)],
];

const WIDE: readonly Column[] = [
  ["STAGED DECIDED BY", 30, ({ staged }) => (staged ? decisionText(staged) : "")],
  ["BYTES", 8, ({ bytes }) => String(bytes)],
  ["SOURCE ADDRESS", 16, ({ source }) => source.address],
  ["DESTINATION ADDRESS", 19, ({ destination }) => destination.address],
  ["FIRST SEEN", 10, ({ first }) => new Date(first).toISOString().slice(11, 19)],
];

function endText({ address, kind, namespace, name }: FlowEnd): string {
  if (kind === undefined) return address;
  return kind === "workload" ? `${namespace}/${name}` : `${kind} ${name}`;
}

/** Of ICMP, type and code stand where others have a port. */
function portText({ port, icmp }: Flow): string {
  if (icmp !== undefined) return `${icmp.type}/${icmp.code}`;
  return port === undefined ? "" : String(port);
}

/** The verdict there would be, where it is another one. */
function stagedText({ verdict, staged }: Flow): string {
  return staged === undefined || staged.verdict === verdict ? "" : staged.verdict;
}

function decisionText({ decidedBy }: { readonly decidedBy: StagedReason }): string {
  const text = reasonText(decidedBy);
  return "rule" in decidedBy ? `${text} rule ${decidedBy.rule}` : text;
}

/** A cell that is wider than its column sticks out: what comes later cannot widen what has been written. */
async function writeRows(
  rows: AsyncIterable<Flow> | Iterable<Flow>,
  columns: readonly Column[],
  stdout: Output,
  widths: readonly number[] = columns.map(([, width]) => width),
): Promise<void> {
  const write = (cells: readonly string[]) => {
    const padded = cells.map((cell, i) => cell.padEnd(widths[i] as number));
    stdout.write(`${padded.join(" ").trimEnd()}\n`);
  };
  write(columns.map(([heading]) => heading));
  for await (const flow of rows) write(columns.map(([, , value]) => value(flow)));
}
