/**
 * Doing one thing to many resources: each is tried, and what happened is told as calicoctl tells it. Only when the
 * datastore is gone (or has no room, or refuses the user) does the first failure end the rest, which would all fail.
 */

import type { Path } from "../crd-schemas/index.ts";
import { type DatastoreErrorCode, isDatastoreError } from "../datastore/errors.ts";
import { ValidationError } from "../datastore/validation-error.ts";
import { type Place, placeText, problemText } from "../input/problem.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error-text.ts";
import { CommandError } from "./errors.ts";

/** Something to be done to one resource. */
export interface Task {
  readonly kind: string;
  /** Where the resource's fields were written, if in a file. */
  readonly locate?: (path: Path) => Place;
  readonly run: () => Promise<"done" | "skipped">;
}

/** `applied`, and the verb itself for failures. */
export interface Wording {
  readonly verb: string;
  readonly past: string;
}

const FATAL: readonly DatastoreErrorCode[] = ["UNAVAILABLE", "UNAUTHORIZED", "FULL"];

/** Runs all tasks and says what came of them. @throws CommandError if any failed */
export async function runTasks(
  context: Context,
  tasks: readonly Task[],
  { verb, past }: Wording,
): Promise<void> {
  const failures: string[] = [];
  let done = 0;
  let skipped = 0;
  let fatal: CommandError | undefined;
  for (const task of tasks) {
    try {
      if ((await task.run()) === "done") done++;
      else skipped++;
    } catch (error) {
      if (isDatastoreError(error) && FATAL.includes(error.code)) {
        fatal = new CommandError("DATASTORE", errorText(error), { cause: error });
        break;
      }
      if (!isRefusal(error)) throw error;
      failures.push(...failureTexts(error, task.locate));
    }
  }

  const kinds = new Set(tasks.map(task => task.kind));
  const single = kinds.size === 1 ? [...kinds][0] : undefined;
  const total = tasks.length;
  const quoted = single === undefined ? "" : `'${single}' `;
  if (failures.length === 0 && fatal === undefined) {
    context.stdout.write(`Successfully ${past} ${done} ${quoted}resource(s)\n`);
    if (skipped > 0) context.stdout.write(`Skipped ${skipped} resource(s)\n`);
    return;
  }
  if (done + skipped > 0)
    context.stdout.write(
      `Partial success: ${past} the first ${done + skipped} out of ${total} ${quoted}resources:\n`,
    );
  if (fatal) throw fatal;
  const errors = `[${failures.join(", ")}]`;
  if (done + skipped > 0) throw new CommandError("FAILED", `hit error: ${errors}`);
  const what = total === 1 ? `${quoted}resource` : `any ${quoted}resources`;
  throw new CommandError("FAILED", `failed to ${verb} ${what}: ${errors}`);
}

/** Something is wrong with this resource, rather than with us or the world. */
function isRefusal(error: unknown): error is Error {
  return error instanceof CommandError || error instanceof ValidationError || isDatastoreError(error);
}

function failureTexts(error: Error, locate: Task["locate"]): string[] {
  if (!locate) return [errorText(error)];
  if (error instanceof ValidationError)
    return error.problems.map(problem => problemText({ ...problem, place: locate(problem.path) }));
  return [`${placeText(locate([]))}: ${errorText(error)}`];
}

/** For input that may be empty and is. */
export function noResources(context: Context): void {
  context.stdout.write("No resources specified\n");
}
