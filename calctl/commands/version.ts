import { type Command, Option } from "commander";
import type { Context } from "../context.ts";
import { CommandError } from "../errors.ts";
import { config, type DatastoreOptions, examples, newCommand } from "../options.ts";
import { clusterInformation } from "../session.ts";
import { COMMIT, VERSION } from "../version.ts";

interface Options extends DatastoreOptions {
  readonly client?: true;
  readonly poll: string;
}

export function versionCommand(context: Context): Command {
  const command = newCommand("version", "Print the version of calctl, and what the cluster says of itself.")
    .option("--client", "print the version of calctl only, without asking the cluster")
    .addOption(
      new Option("--poll <duration>", "ask again after each duration, such as 10s; 0 asks once").default("0"),
    )
    .addOption(config())
    .action(async (options: Options) => {
      const period = durationMs(options.poll);
      context.stdout.write(`Client Version:    ${VERSION}\nGit commit:        ${COMMIT}\n`);
      if (options.client) return;
      let said = "";
      for (;;) {
        const cluster = await clusterLines(context, options);
        if (cluster !== said) context.stdout.write(cluster);
        said = cluster;
        if (period === 0) return;
        await context.clock.sleep(period);
      }
    });
  return examples(command, [
    ["Both versions.", "calctl version"],
    ["Tell when the cluster is upgraded.", "calctl version --poll 10s"],
  ]);
}

async function clusterLines(context: Context, options: Options): Promise<string> {
  try {
    const datastore = await context.openDatastore(context, options.config);
    try {
      const cluster = await clusterInformation(datastore);
      return `Cluster Version:   ${cluster?.calicoVersion || "unknown"}\nCluster Type:      ${cluster?.clusterType || "unknown"}\n`;
    } finally {
      await datastore.close();
    }
  } catch (error) {
    throw new CommandError(
      "DATASTORE",
      `Unable to retrieve Cluster Version or Type: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Go's durations: `90s`, `1m30s`, `0`. */
function durationMs(text: string): number {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text))
    throw new CommandError("USAGE", `invalid duration '${text}'; expected one such as 10s or 1m30s`);
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    total += Number(amount) * UNITS[unit!]!;
  return total;
}
