import type { Command } from "commander";
import type { Context } from "../context.ts";
import {
  config,
  examples,
  type FileOptions,
  type NamespaceOptions,
  namespace,
  newCommand,
  withFiles,
} from "../options.ts";

export function validateCommand(context: Context): Command {
  const command = withFiles(
    newCommand(
      "validate",
      "Say what is wrong with files: all of it, with file, line and column. Needs no datastore.",
    ),
  )
    .addOption(namespace())
    .addOption(config().hideHelp())
    .action(async (options: FileOptions & NamespaceOptions) => {
      const { loadResources } = await import("../documents/resources.ts");
      const resources = await loadResources(context, options);
      const { noResources, runTasks } = await import("../outcome.ts");
      if (resources.length === 0) return noResources(context);
      const tasks = resources.map(({ resource, locate }) => ({
        kind: resource.kind,
        locate,
        run: async () => "done" as const,
      }));
      return runTasks(context, tasks, { verb: "validate", past: "validated" });
    });
  return examples(command, [
    ["Check a file before it is applied, as in a CI job.", "calctl validate -f policy.yaml"],
    ["Check a whole tree.", "calctl validate -R -f ./policies"],
  ]);
}
