import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { IpAllocator } from "../../../ipam/allocator.ts";
import { type CheckReport, leakedInAll } from "../../../ipam/check.ts";
import type { Connection } from "../../connection.ts";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { config, type DatastoreOptions, examples, newCommand } from "../../options.ts";
import { clusterInformation, withConnection } from "../../session.ts";
import { parseAddress } from "./address.ts";

interface Options extends DatastoreOptions {
  readonly ip?: string;
  readonly fromReport?: string[];
  readonly force?: true;
}

export function releaseCommand(context: Context): Command {
  const command = newCommand(
    "release",
    "Release addresses that nothing uses. Whoever still uses one loses nothing but the promise that nobody else will get it.",
  )
    .option("--ip <address>", "this address")
    .addOption(
      new Option(
        "--from-report <file>",
        "what a report of 'ipam check' found leaked; of several, what all found",
      ).argParser((value: string, previous: string[] | undefined) => [...(previous ?? []), value]),
    )
    .option("--force", "although the datastore is not locked, or the report is another cluster's")
    .addOption(config())
    .action(async (options: Options) => {
      if ((options.ip === undefined) === (options.fromReport === undefined))
        throw new CommandError("USAGE", "give either --ip or --from-report");
      if (options.ip !== undefined) return releaseOne(context, options, options.ip);
      return releaseReported(
        context,
        options,
        await Promise.all(options.fromReport!.map(file => readReport(context, file))),
      );
    });
  return examples(command, [
    ["Release one address.", "calctl ipam release --ip 192.168.9.1"],
    ["Release what a check found leaked.", "calctl ipam release --from-report report.json"],
  ]);
}

async function releaseOne(context: Context, options: Options, text: string): Promise<void> {
  const ip = parseAddress(text);
  const { released } = await withConnection(context, options, ({ datastore }) =>
    new IpAllocator(datastore, { clock: context.clock }).release([{ ip }]),
  );
  if (released.length === 0) throw new CommandError("FAILED", `IP address ${ip} is not assigned`);
  context.stdout.write("Successfully released IP address\n");
}

async function releaseReported(context: Context, options: Options, reports: CheckReport[]): Promise<void> {
  const released = await withConnection(context, options, async connection => {
    if (!options.force) await refuseUnlessSafe(connection, reports);
    const requests = leakedInAll(reports);
    return (await new IpAllocator(connection.datastore, { clock: context.clock }).release(requests)).released;
  });
  context.stdout.write(`Successfully released ${released.length} IP address(es)\n`);
}

async function refuseUnlessSafe(connection: Connection, reports: readonly CheckReport[]): Promise<void> {
  const cluster = await clusterInformation(connection.datastore);
  for (const { clusterGUID } of reports)
    if (clusterGUID !== (cluster?.clusterGUID ?? ""))
      throw new CommandError(
        "NOT_ALLOWED",
        `the report is of cluster ${clusterGUID}, this is ${cluster?.clusterGUID}; --force releases all the same`,
      );
  // Without a lock an address may have come into use since the report; its sequence number then saves it, unless
  // its owner is what the report could not see.
  if (cluster?.datastoreReady !== false)
    throw new CommandError(
      "NOT_ALLOWED",
      "the datastore is not locked ('calctl datastore migrate lock'); --force releases all the same",
    );
}

async function readReport(context: Context, file: string): Promise<CheckReport> {
  try {
    const report = JSON.parse(await readFile(resolve(context.cwd, file), "utf8"));
    if (report?.version !== 1 || !Array.isArray(report.allocations))
      throw new Error("it is no report of 'ipam check'");
    return report;
  } catch (error) {
    throw new CommandError("INVALID_INPUT", `cannot read ${file}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
