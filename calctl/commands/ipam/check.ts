import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { type CheckedAllocation, type CheckReport, check } from "../../../ipam/check.ts";
import { type Snapshot, takeSnapshot } from "../../../ipam/snapshot.ts";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { config, type DatastoreOptions, examples, newCommand } from "../../options.ts";
import { jsonText } from "../../output/json.ts";
import { withConnection } from "../../session.ts";

interface Options extends DatastoreOptions {
  readonly showAllIps?: true;
  readonly showProblemIps?: true;
  readonly output?: string;
}

export function checkCommand(context: Context): Command {
  const command = newCommand(
    "check",
    "Compare what is assigned with what uses addresses, and say what is wrong. Changes nothing.",
  )
    .option("--show-all-ips", "every assigned address and who uses it")
    .option("--show-problem-ips", "every address with a problem")
    .option(
      "-o, --output <file>",
      "write the report to a file, for 'ipam release --from-report'; json prints it",
    )
    .addOption(new Option("--kubeconfig <file>", "for Kubernetes services").hideHelp())
    .addOption(config())
    .action(async (options: Options) => {
      const snapshot = await withConnection(context, options, ({ datastore }) =>
        takeSnapshot(datastore, context.clock.now()),
      );
      const report = check(snapshot);
      if (options.output === "json") {
        context.stdout.write(jsonText(report));
        return;
      }
      context.stdout.write(reportText(snapshot, report, options));
      if (options.output !== undefined) await writeReport(context, options.output, report);
    });
  return examples(command, [
    ["Look for leaks.", "calctl ipam check --show-problem-ips"],
    [
      "Release what two looks find leaked.",
      "calctl ipam check -o a.json; sleep 600; calctl ipam check -o b.json\ncalctl ipam release --from-report a.json --from-report b.json",
    ],
  ]);
}

function reportText(snapshot: Snapshot, { allocations, problems }: CheckReport, options: Options): string {
  const lines = [
    "Checking IPAM for inconsistencies...",
    "",
    `Found ${snapshot.blocks.length} IPAM blocks, with ${allocations.length} addresses assigned.`,
    `Found ${snapshot.pools.length} IP pools, ${snapshot.handles.length} handles, ${snapshot.users.length} addresses in use.`,
    "",
  ];
  if (options.showAllIps) lines.push(...allocations.map(allocationText), "");
  const counts = new Map<string, number>();
  for (const { kind } of problems) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  for (const [kind, count] of counts) lines.push(`${WORDS[kind as keyof typeof WORDS]}: ${count}`);
  for (const problem of problems)
    if (options.showProblemIps || !("ip" in problem)) lines.push(`  ${problem.message}`);
  lines.push(`Check complete; found ${problems.length} problems.`);
  return `${lines.join("\n")}\n`;
}

const WORDS = {
  leaked: "Assigned, but not in use (leaked)",
  notAssigned: "In use, but not assigned",
  outsidePools: "In no pool",
  severalUsers: "Used more than once",
  handleMissing: "Handles that miss addresses",
  handleTooHigh: "Handles that count too much",
  blockBroken: "Blocks that contradict themselves",
  blocksOverlap: "Blocks that overlap",
  affinityBroken: "Affinities without their block, or blocks without their affinity",
} as const satisfies Record<CheckReport["problems"][number]["kind"], string>;

function allocationText({ ip, handle, users, leaked, type, allocatedTo }: CheckedAllocation): string {
  const who =
    users.length > 0 ? `in use by ${users.join(", ")}` : leaked ? "leaked" : `${type} ${allocatedTo}`.trim();
  return `  ${ip} ${who}${handle === undefined ? "" : `; handle ${handle}`}`;
}

async function writeReport(context: Context, file: string, report: CheckReport): Promise<void> {
  try {
    await writeFile(resolve(context.cwd, file), jsonText(report));
  } catch (error) {
    throw new CommandError("FAILED", `cannot write the report: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
