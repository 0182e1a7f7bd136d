import type { Command } from "commander";
import { isDatastoreError } from "../../datastore/errors.ts";
import type { Context } from "../context.ts";
import type { Identity } from "../documents/identities.ts";
import { CommandError } from "../errors.ts";
import { isNamespaced, refusal, resolveKind, resolveName } from "../kinds.ts";
import {
  type DatastoreOptions,
  examples,
  type FileOptions,
  type NamespaceOptions,
  newCommand,
  withDatastore,
  withFiles,
} from "../options.ts";
import { noResources, runTasks, type Task } from "../outcome.ts";
import { withConnection } from "../session.ts";

type Options = FileOptions & NamespaceOptions & DatastoreOptions & { readonly skipNotExists?: true };
type Target = Omit<Identity, "locate"> & Partial<Pick<Identity, "locate">>;

export function deleteCommand(context: Context): Command {
  const command = withDatastore(
    withFiles(
      newCommand(
        "delete",
        "Delete resources, by name or those that files name.\n\n" +
          "What belongs to a resource goes with it: a node's endpoints and addresses, a pool's blocks. A tier must be empty.",
      )
        .usage("[options] (KIND NAME... | -f FILE)")
        .argument("[kind]", "a kind, its plural or an alias")
        .argument("[name...]", "names"),
      false,
    ),
  )
    .option("-s, --skip-not-exists", "resources that do not exist are no error")
    .action(async (kind: string | undefined, names: string[], options: Options) => {
      const targets = await targetsOf(context, kind, names, options);
      if (targets.length === 0) return noResources(context);
      return withConnection(context, options, connection => {
        const tasks = targets.map(
          (target): Task => ({
            kind: target.kind,
            ...(target.locate ? { locate: target.locate } : {}),
            run: async () => {
              const refused = refusal("delete", target.kind, target.name);
              if (refused !== undefined) throw new CommandError("NOT_ALLOWED", refused);
              try {
                await connection.client.delete(
                  target.kind,
                  target.name,
                  target.namespace,
                  target.resourceVersion,
                );
                return "done";
              } catch (error) {
                if (options.skipNotExists && isDatastoreError(error, "NOT_FOUND")) return "skipped";
                throw error;
              }
            },
          }),
        );
        return runTasks(context, tasks, { verb: "delete", past: "deleted" });
      });
    });
  return examples(command, [
    ["Delete two policies.", "calctl delete policy web db -n production"],
    ["Delete what a file created.", "calctl delete -f policy.yaml"],
    ["Delete it if it is there.", "calctl delete --skip-not-exists gnp old-policy"],
  ]);
}

async function targetsOf(
  context: Context,
  kindWord: string | undefined,
  names: readonly string[],
  options: Options,
): Promise<readonly Target[]> {
  if (options.filename) {
    if (kindWord !== undefined) throw new CommandError("USAGE", "give a kind and names or a file, not both");
    const { loadIdentities } = await import("../documents/identities.ts");
    return loadIdentities(context, options);
  }
  if (kindWord === undefined || names.length === 0)
    throw new CommandError(
      "USAGE",
      "give a kind and names, such as 'calctl delete policy web', or a file with -f",
    );
  const kind = resolveKind(kindWord);
  const namespace = isNamespaced(kind) ? { namespace: options.namespace ?? "default" } : {};
  return names.map(name => ({ kind, name: resolveName(kind, name), ...namespace }));
}
