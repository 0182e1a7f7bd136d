import { type Command, Option } from "commander";
import { formatAsPath } from "node-bgp";
import type { PathAnswer } from "../../../bgp/queries.ts";
import type { Context, Output } from "../../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../../daemon-socket.ts";
import { examples, newCommand, output } from "../../options.ts";
import { yamlText } from "../../output/render.ts";
import { FORMATS } from "./peers.ts";

interface Options extends SocketOptions {
  readonly output: string;
  readonly family?: string;
  readonly received?: string;
  readonly advertised?: string;
}

export function routesCommand(context: Context): Command {
  const command = newCommand(
    "routes",
    "Show the best paths, all paths of one prefix, or what went to or came from a neighbor.",
  )
    .argument("[prefix]", "a prefix; or an address, for the longest prefix that holds it")
    .addOption(output("table", "table, wide, json or yaml").choices(FORMATS))
    .addOption(
      new Option("--family <family>", "of one family").choices([
        "ipv4-unicast",
        "ipv6-unicast",
        "ipv4",
        "ipv6",
      ]),
    )
    .addOption(
      new Option("--received <address>", "what this neighbor told us, as far as it was accepted").conflicts(
        "advertised",
      ),
    )
    .option("--advertised <address>", "what we tell this neighbor")
    .addOption(socket("bgp"))
    .action((prefix: string | undefined, options: Options) => routes(context, prefix, options));
  return examples(command, [
    ["The best path of every prefix.", "calctl bgp routes"],
    ["Every path of a prefix; > is the one chosen.", "calctl bgp routes 10.65.1.0/26"],
    ["Where packets to an address go.", "calctl bgp routes 10.65.1.7"],
    ["What a neighbor is told.", "calctl bgp routes --advertised 192.0.2.1 -o json"],
  ]);
}

async function routes(context: Context, prefix: string | undefined, options: Options): Promise<void> {
  const { received, advertised, family } = options;
  const daemon = new DaemonSocket(context, "bgp", options);
  const paths = daemon.lines<PathAnswer>("/bgp/routes", {
    prefix,
    received,
    advertised,
    family: family?.replace(/^(ipv[46])$/, "$1-unicast"),
  });
  switch (options.output) {
    case "json":
      return writeJson(paths, context.stdout);
    case "yaml":
      return writeYaml(paths, context.stdout);
    default:
      return writeTable(paths, context.stdout, options.output === "wide");
  }
}

/** An array, written as its elements come: a full table does not have to fit anywhere. */
async function writeJson(paths: AsyncIterable<PathAnswer>, stdout: Output): Promise<void> {
  let separator = "[\n";
  for await (const path of paths) {
    stdout.write(separator + JSON.stringify(path, undefined, 2).replace(/^/gm, "  "));
    separator = ",\n";
  }
  stdout.write(separator === "[\n" ? "[]\n" : "\n]\n");
}

async function writeYaml(paths: AsyncIterable<PathAnswer>, stdout: Output): Promise<void> {
  let isEmpty = true;
  for await (const path of paths) {
    stdout.write(await yamlText([path]));
    isEmpty = false;
  }
  if (isEmpty) stdout.write("[]\n");
}

type Column = readonly [
  heading: string,
  width: number,
  value: (path: PathAnswer) => string | number | undefined,
];

/** `>` the path that was chosen, `S` kept for a neighbor that is restarting. */
const COLUMNS: readonly Column[] = [
  ["", 2, ({ best, stale }) => `${best ? ">" : " "}${stale ? "S" : " "}`],
  ["PREFIX", 20, ({ prefix }) => prefix],
  ["NEXT HOP", 16, ({ nextHop, nextHops }) => nextHop ?? nextHops[0] ?? "self"],
  ["FROM", 16, ({ source }) => source],
  ["LOCPREF", 8, ({ localPref }) => localPref],
  ["MED", 6, ({ med }) => med],
  ["AS PATH", 20, ({ asPath }) => formatAsPath(asPath)],
  ["ORIGIN", 7, ({ origin }) => origin],
];

const WIDE: readonly Column[] = [
  [
    "COMMUNITIES",
    20,
    ({ communities, largeCommunities }) => [...(communities ?? []), ...(largeCommunities ?? [])].join(" "),
  ],
  ["ORIGINATOR", 16, ({ originatorId }) => originatorId],
  ["CLUSTERS", 16, ({ clusterList }) => clusterList?.join(" ")],
  ["ECMP", 4, ({ best, nextHops }) => (best && nextHops.length > 1 ? nextHops.length : undefined)],
];

/** Rows looked at before the widths of the columns are chosen: what comes later may be wider, and then sticks out. */
const SAMPLE = 1000;

async function writeTable(paths: AsyncIterable<PathAnswer>, stdout: Output, wide: boolean): Promise<void> {
  const columns = wide ? [...COLUMNS, ...WIDE] : COLUMNS;
  const widths = columns.map(([heading, width]) => Math.max(heading.length, width));
  const write = (cells: readonly string[]) =>
    stdout.write(
      `${cells
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join(" ")
        .trimEnd()}\n`,
    );
  let sample: string[][] | undefined = [columns.map(([heading]) => heading)];
  const flush = () => {
    for (const row of sample ?? [])
      for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i]!, cell.length);
    for (const row of sample ?? []) write(row);
    sample = undefined;
  };
  for await (const path of paths) {
    const row = columns.map(([, , value]) => String(value(path) ?? ""));
    if (sample === undefined) write(row);
    else if (sample.push(row) > SAMPLE) flush();
  }
  flush();
}
