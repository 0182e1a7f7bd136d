import type { Command } from "commander";
import { key } from "../../../datastore/key.ts";
import { planSplit } from "../../../ipam/split.ts";
import { parseCidr } from "../../../net/cidr.ts";
import type { Connection } from "../../connection.ts";
import type { Context } from "../../context.ts";
import { CommandError } from "../../errors.ts";
import { config, count, type DatastoreOptions, examples, newCommand } from "../../options.ts";
import { clusterInformation, withConnection } from "../../session.ts";

interface Options extends DatastoreOptions {
  readonly cidr?: string;
  readonly name?: string;
}

export function splitCommand(context: Context): Command {
  const command = newCommand(
    "split",
    "Split a pool into equal parts. Addresses in use stay; the datastore must be locked meanwhile.",
  )
    .argument("<parts>", "how many: a power of two", count)
    .option("--cidr <cidr>", "the pool of this CIDR")
    .option("--name <name>", "the pool of this name")
    .addOption(config())
    .action((parts: number, options: Options) =>
      withConnection(context, options, async connection => {
        if ((await clusterInformation(connection.datastore))?.datastoreReady !== false)
          throw new CommandError(
            "NOT_ALLOWED",
            "the datastore is not locked; lock it first with 'calctl datastore migrate lock'",
          );
        const created = await split(connection, parts, options);
        context.stdout.write(`Successfully split the pool into ${created.join(", ")}\n`);
      }),
    );
  return examples(command, [
    [
      "Two halves.",
      "calctl datastore migrate lock\ncalctl ipam split 2 --name default-ipv4-ippool\ncalctl datastore migrate unlock",
    ],
  ]);
}

/**
 * The datastore is spoken to directly: for a moment the parts and the whole both exist, which the client
 * (rightly) does not let anyone write. Dying half-way leaves the pool disabled; doing it again goes on from there.
 */
async function split({ datastore }: Connection, parts: number, { cidr, name }: Options): Promise<string[]> {
  if ((cidr === undefined) === (name === undefined))
    throw new CommandError("USAGE", "give either --cidr or --name");
  const { entries } = await datastore.list({ kind: "IPPool" });
  const wanted = cidr === undefined ? undefined : parseCidr(cidr);
  const entry = entries.find(({ key: { name: own }, value }) =>
    name === undefined ? wanted !== undefined && parseCidr(value.spec.cidr) === wanted : own === name,
  );
  if (!entry) throw new CommandError("FAILED", `there is no pool ${name ?? cidr}`);

  const plan = planSplit(entry.value, parts);
  const disabled = { ...entry.value, spec: { ...entry.value.spec, disabled: true } };
  const { revision } = await datastore.update(entry.key, disabled, entry.revision);
  const existing = new Set(entries.map(other => other.key.name));
  for (const pool of plan.create)
    if (!existing.has(pool.metadata.name)) await datastore.create(key("IPPool", pool.metadata.name), pool);
  await datastore.delete(entry.key, revision);
  return plan.create.map(pool => pool.metadata.name);
}
