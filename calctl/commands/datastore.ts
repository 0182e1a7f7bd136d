import { Command } from "commander";
import { key } from "../../datastore/key.ts";
import type { Context } from "../context.ts";
import { config, type DatastoreOptions, examples, newCommand } from "../options.ts";
import { withConnection } from "../session.ts";

export function datastoreCommand(context: Context): Command {
  const migrate = new Command("migrate").description(
    "Lock the datastore while what must not change is moved.",
  );
  const lock = newCommand("lock", "Say to all programs that nothing is to be changed now.")
    .addOption(config())
    .action(async (options: DatastoreOptions) => {
      await setReady(context, options, false);
      context.stdout.write("Datastore locked.\n");
    });
  const unlock = newCommand("unlock", "Say that changes are welcome again.")
    .addOption(config())
    .action(async (options: DatastoreOptions) => {
      await setReady(context, options, true);
      context.stdout.write("Datastore unlocked.\n");
    });
  migrate.addCommand(examples(lock, [["Before a pool is split.", "calctl datastore migrate lock"]]));
  migrate.addCommand(unlock);
  return new Command("datastore").description("Work on the datastore as a whole.").addCommand(migrate);
}

/** Users may not write ClusterInformation; this is the one field that is theirs, through this command. */
async function setReady(context: Context, options: DatastoreOptions, ready: boolean): Promise<void> {
  await withConnection(context, options, async ({ datastore }) => {
    const { key: own, value, revision } = await datastore.get(key("ClusterInformation", "default"));
    await datastore.update(own, { ...value, spec: { ...value.spec, datastoreReady: ready } }, revision);
  });
}
