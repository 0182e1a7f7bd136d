import type { Command } from "commander";
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

type Options = FileOptions & NamespaceOptions & DatastoreOptions;

export function applyCommand(context: Context): Command {
  const command = withDatastore(
    withFiles(
      newCommand(
        "apply",
        "Create the resources of files, or bring those that exist to what the files say.\n\n" +
          "Takes YAML and JSON, several documents and lists, projectcalico.org/v3 and the old v1 format. Everything is " +
          "checked before anything is written.",
      ),
    ),
  ).action((options: Options) =>
    write(context, options, { action: "apply", past: "applied" }, async ({ client }, resource) => {
      await client.apply(resource);
      return "done";
    }),
  );
  return examples(command, [
    ["Apply the policies of a file.", "calctl apply -f policy.yaml"],
    ["Apply all files of a folder, and of the folders in it.", "calctl apply -R -f ./policies"],
    ["Apply what another program writes.", "cat policy.json | calctl apply -f -"],
  ]);
}
