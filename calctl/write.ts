/** What apply, create and replace share: read everything, check everything, then write one by one. */

import type { Connection } from "./connection.ts";
import type { Context } from "./context.ts";
import type { LoadedResource } from "./documents/resources.ts";
import { CommandError } from "./errors.ts";
import { type Action, refusal } from "./kinds.ts";
import type { DatastoreOptions, FileOptions, NamespaceOptions } from "./options.ts";
import { noResources, runTasks, type Task } from "./outcome.ts";
import { withConnection } from "./session.ts";

type Write = (connection: Connection, resource: LoadedResource["resource"]) => Promise<"done" | "skipped">;

export async function write(
  context: Context,
  options: FileOptions & NamespaceOptions & DatastoreOptions,
  { action, past }: { action: Action; past: string },
  perform: Write,
): Promise<void> {
  const { loadResources } = await import("./documents/resources.ts");
  const resources = await loadResources(context, options);
  if (resources.length === 0) {
    noResources(context);
    return;
  }
  await withConnection(context, options, async connection => {
    const tasks = resources.map(
      ({ resource, locate }): Task => ({
        kind: resource.kind,
        locate,
        run: async () => {
          const refused = refusal(action, resource.kind, resource.metadata.name);
          if (refused !== undefined) throw new CommandError("NOT_ALLOWED", refused);
          return perform(connection, resource);
        },
      }),
    );
    await runTasks(context, tasks, { verb: action, past });
  });
}
