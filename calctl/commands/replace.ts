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

export function replaceCommand(context: Context): Command {
  const command = withDatastore(
    withFiles(
      newCommand(
        "replace",
        "Replace existing resources by those of files.\n\n" +
          "A document with metadata.resourceVersion replaces that version only: if someone changed the resource " +
          "since, nothing is written.",
      ),
    ),
  ).action((options: Options) =>
    write(context, options, { action: "replace", past: "replaced" }, async ({ client }, resource) => {
      await client.replace(resource);
      return "done";
    }),
  );
  return examples(command, [
    ["Replace a policy.", "calctl replace -f policy.yaml"],
    [
      "Edit safely: fails if someone else was faster.",
      "calctl get gnp web -o yaml > web.yaml; vi web.yaml; calctl replace -f web.yaml",
    ],
  ]);
}
