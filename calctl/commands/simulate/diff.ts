/** `calctl simulate --diff`: the live state, the state after a change, and what lies between. */

import type { Path } from "../../../crd-schemas/index.ts";
import { isDatastoreError } from "../../../datastore/errors.ts";
import { ValidationError } from "../../../datastore/validation-error.ts";
import type { Problem } from "../../../input/problem.ts";
import { compareStates } from "../../../policy/flows/compare.ts";
import type { Context } from "../../context.ts";
import { loadPolicyDocuments } from "../../documents/policy-documents.ts";
import { InvalidDocuments } from "../../documents/problem.ts";
import { errorText } from "../../error-text.ts";
import { CommandError } from "../../errors.ts";
import type { DatastoreOptions, FileOptions } from "../../options.ts";
import { withConnection } from "../../session.ts";
import { describeChanges } from "./changes.ts";
import { changesJson, changesText } from "./changes-output.ts";
import { changeCopy, copyOf, isPolicyKind, resourceText, stateIn } from "./live.ts";
import { RuleSources } from "./rule-sources.ts";

export interface DiffOptions extends FileOptions, DatastoreOptions {
  readonly output?: string;
  readonly delete?: true;
  readonly staged?: true;
  readonly failOnClose?: true;
}

/** What CI pipelines ask for, apart from all other failures. */
const WOULD_CLOSE = 3;

/** @throws CommandError, InvalidDocuments; FAILED with exit code 3 where a flow closes that must not */
export async function diff(context: Context, options: DiffOptions): Promise<void> {
  const { output = "table", staged = false } = options;
  if (!options.filename && !staged)
    throw new CommandError(
      "USAGE",
      "give the change as a file with -f, or ask about staged policies with --staged",
    );
  const { resources, documents } = options.filename
    ? await loadPolicyDocuments(context, options)
    : { resources: [], documents: [] };
  const relevant = resources.filter(({ resource }) => isPolicyKind(resource.kind));
  const { before, after } = await withConnection(context, options, async ({ datastore }) => {
    const copy = await copyOf(datastore);
    const before = await stateIn(context, copy);
    const problems: Problem[] = [];
    for (const one of relevant) {
      const locate = one.document === undefined ? undefined : documents[one.document]?.locate;
      await changeCopy(copy, one, options.delete ?? false).catch(error => {
        if (locate === undefined) throw error;
        problems.push(...problemsOf(error, locate));
      });
    }
    if (problems.length > 0) throw new InvalidDocuments(problems);
    const origins = new Map(relevant.map(one => [resourceText(one.resource), one]));
    return { before, after: await stateIn({ ...context, stderr: NOWHERE }, copy, origins) };
  });
  const comparison = compareStates(before.state, after.state, { staged });
  const changes = describeChanges(
    comparison,
    new RuleSources(before, { live: true }),
    new RuleSources(after, { documents, live: true }),
  );
  context.stdout.write(output === "json" ? changesJson(changes) : changesText(changes));
  if (options.failOnClose && changes.closes.length > 0)
    throw new CommandError("FAILED", "flows would close, which --fail-on-close forbids", {
      exitCode: WOULD_CLOSE,
    });
}

/** What the first reading has complained about need not be said again. */
const NOWHERE = { write: () => undefined };

/** Whatever would refuse the change refuses it here, in the place where it was written. */
function problemsOf(error: unknown, locate: (path: Path) => Problem["place"]): Problem[] {
  if (error instanceof ValidationError)
    return error.problems.map(problem => ({ ...problem, place: locate(problem.path) }));
  if (!isDatastoreError(error)) throw error;
  return [{ place: locate([]), path: [], message: errorText(error) }];
}
