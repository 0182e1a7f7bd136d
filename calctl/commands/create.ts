import type { Command } from "commander";
import { isDatastoreError } from "../../datastore/errors.ts";
import type { Context } from "../context.ts";
import {
  type DatastoreOptions,
  examples,
  type FileOptions,
  type NamespaceOptions,
  newCommand,
  withDatastore,
  withFiles,
} from "../options.ts";
import { write } from "../write.ts";

type Options = FileOptions & NamespaceOptions & DatastoreOptions & { skipExists?: true };

export function createCommand(context: Context): Command {
  const command = withDatastore(
    withFiles(
      newCommand(
        "create",
        "Create the resources of files. One that exists is an error and is left as it is.",
      ),
    ),
  )
    .option("--skip-exists", "resources that exist are no error and are left as they are")
    .action((options: Options) =>
      write(context, options, { action: "create", past: "created" }, async ({ client }, resource) => {
        try {
          await client.create(resource);
          return "done";
        } catch (error) {
          if (options.skipExists && isDatastoreError(error, "ALREADY_EXISTS")) return "skipped";
          throw error;
        }
      }),
    );
  return examples(command, [
    ["Create an IP pool.", "calctl create -f pool.yaml"],
    ["The same, from stdin.", "cat pool.yaml | calctl create -f -"],
    ["Create what is missing of many.", "calctl create --skip-exists -f ./all"],
  ]);
}
