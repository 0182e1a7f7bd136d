import type { Command } from "commander";
import { type DecisionStep, formatAsPath } from "node-bgp";
import type { ExplainedAnswer } from "../../../bgp/queries.ts";
import type { Context } from "../../context.ts";
import { DaemonSocket, type SocketOptions, socket } from "../../daemon-socket.ts";
import { CommandError } from "../../errors.ts";
import { examples, newCommand, output } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { yamlText } from "../../output/render.ts";

interface Options extends SocketOptions {
  readonly output: string;
}

export function explainCommand(context: Context): Command {
  const command = newCommand("explain", "Say of every path to a prefix why it was chosen or not.")
    .argument("<prefix>", "a prefix; or an address, for the longest prefix that holds it")
    .addOption(output("table", "table, json or yaml").choices(["table", "json", "yaml"]))
    .addOption(socket("bgp"))
    .action(async (prefix: string, options: Options) => {
      const daemon = new DaemonSocket(context, "bgp", options);
      const paths = await daemon.ask<ExplainedAnswer[]>("/bgp/explain", { prefix });
      if (options.output === "json") context.stdout.write(jsonText(paths));
      else if (options.output === "yaml") context.stdout.write(await yamlText(paths));
      else if (paths.length === 0) throw new CommandError("FAILED", `there is no path to ${prefix}`);
      else context.stdout.write(explanation(paths));
    });
  return examples(command, [
    ["Why this neighbor's path.", "calctl bgp explain 10.65.1.0/26"],
    ["For an address.", "calctl bgp explain 10.65.1.7"],
  ]);
}

/** A line for each path, in the order in which they would win. */
export function explanation(paths: readonly ExplainedAnswer[]): string {
  const [best] = paths;
  if (best === undefined) return "";
  const lines = paths.map(
    path => `  ${nameOf(path)}: ${path === best ? verdictOnBest(paths) : reason(path, best)}`,
  );
  return `${best.prefix}\n${lines.join("\n")}\n`;
}

function nameOf({ source, nextHop, pathId, stale }: ExplainedAnswer): string {
  const via = nextHop === undefined || nextHop === source ? "" : ` via ${nextHop}`;
  const id = pathId === 0 ? "" : ` path ${pathId}`;
  return `${source === "local" ? "local" : `from ${source}`}${via}${id}${stale ? " (stale)" : ""}`;
}

function verdictOnBest(paths: readonly ExplainedAnswer[]): string {
  const sharing = paths.filter(({ equal }) => equal).length;
  if (paths.length === 1) return "best, as it is the only path";
  return sharing > 1 ? `best; shares the traffic with ${sharing - 1} equally good` : "best";
}

function reason(path: ExplainedAnswer, best: ExplainedAnswer): string {
  const { lostAt, equal } = path;
  if (lostAt === undefined) return "as good as the best";
  const text = REASONS[lostAt](path, best);
  return equal ? `carries traffic too, but is not announced: ${text}` : text;
}

type Reason = (path: ExplainedAnswer, best: ExplainedAnswer) => string;

const REASONS: Readonly<Record<DecisionStep, Reason>> = {
  "long-lived-stale": () => "kept only for want of a better one (LLGR_STALE)",
  "local-pref": (path, best) => `LOCAL_PREF ${path.localPref ?? 100} is below ${best.localPref ?? 100}`,
  "local-origin": () => "learned, where the best one is our own",
  "as-path-length": (path, best) =>
    `AS path [${formatAsPath(path.asPath)}] is longer than [${formatAsPath(best.asPath)}]`,
  origin: (path, best) => `origin ${path.origin} is worse than ${best.origin}`,
  med: (path, best) => `MED ${path.med ?? 0} is above ${best.med ?? 0} from the same neighboring AS`,
  external: () => "from an internal neighbor, where the best one is from an external one",
  "interior-cost": () => "its next hop is farther away",
  "router-id": (path, best) =>
    `router id of its originator is higher${path.originatorId ? ` (${path.originatorId} above ${best.originatorId ?? "the best one's"})` : ""}`,
  "cluster-list-length": (path, best) =>
    `passed ${path.clusterList?.length ?? 0} reflectors, the best one ${best.clusterList?.length ?? 0}`,
  "neighbor-address": (path, best) => `neighbor address ${path.source} is above ${best.source}`,
  "path-id": (path, best) => `path identifier ${path.pathId} is above ${best.pathId}`,
};
