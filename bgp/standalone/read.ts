/**
 * From the text of a configuration file to what it means, or to everything that is wrong with it, with line and field.
 *
 * JSON is parsed as JSON: the YAML parser takes tens of milliseconds and megabytes for a thousand peers, and is asked only for the
 * places when there is something to say. The three passes: the text, the schema, what the schema cannot say (plan.ts).
 */

import type { Path, Problem as PathProblem } from "../../crd-schemas/problem.ts";
import { firstOfEach, insteadOf, problemOf } from "../../crd-schemas/schema-words.ts";
import type { Located, Source } from "../../input/parse.ts";
import { type Problem, problemText } from "../../input/problem.ts";
import type { Configuration } from "./configuration.ts";
import { type Plan, planOf } from "./plan.ts";
import { SCHEMA, type SchemaNode } from "./schema.ts";
import { validator } from "./validator.ts";

/** All that is wrong with a configuration file; nothing of it is in force. */
export class ConfigurationError extends Error {
  readonly code = "INVALID_CONFIGURATION";
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    super(problems.map(problemText).join("\n"));
    this.name = "ConfigurationError";
    this.problems = problems;
  }
}

/** A file that makes sense. */
export interface Reading {
  readonly configuration: Configuration;
  readonly plan: Plan;
}

/** @throws ConfigurationError */
export async function readConfiguration(
  source: Source,
  readPassword: (file: string) => string,
): Promise<Reading> {
  const quick = parseJson(source.text);
  const located = quick === undefined ? await parseLocated(source) : undefined;
  const value = quick ?? located!.value;
  const fail = async (problems: readonly PathProblem[]): Promise<never> => {
    const { locate } = located ?? (await parseLocated(source));
    throw new ConfigurationError(problems.map(problem => ({ ...problem, place: locate(problem.path) })));
  };
  const validate = validator();
  if (!validate(value)) {
    const problems = (validate.errors ?? []).map(error =>
      hideSecret(problemOf(value, error, expectedFields)),
    );
    await fail(firstOfEach(problems));
  }
  const configuration = value as Configuration;
  const { plan, problems } = planOf(configuration, readPassword);
  if (problems.length > 0) await fail(problems);
  return { configuration, plan };
}

/** Undefined where the text is no JSON mapping. */
function parseJson(text: string): object | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function parseLocated(source: Source): Promise<Located> {
  const { parseSource } = await import("../../input/parse.ts");
  const { documents, problems } = parseSource(source);
  const [document] = documents;
  const whole = { place: { file: source.name, line: 1, column: 1 }, path: [] };
  if (problems.length > 0) throw new ConfigurationError(problems);
  if (document === undefined || documents.length > 1) {
    const message = document === undefined ? "the file is empty" : "the file has several documents";
    throw new ConfigurationError([{ ...whole, message, expected: "one mapping with as, routerId, peers" }]);
  }
  return document;
}

/** What may stand where an unknown field was found. */
function expectedFields(path: Path, field: string): string {
  let node: SchemaNode | undefined = SCHEMA;
  for (const step of path) {
    if (typeof step === "number") node = node?.items;
    else {
      const { properties, additionalProperties }: SchemaNode = node ?? {};
      node =
        properties?.[step] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    }
  }
  return insteadOf(field, Object.keys(node?.properties ?? {}));
}

/** Messages go to logs. */
function hideSecret(problem: PathProblem): PathProblem {
  if (problem.path.at(-1) !== "password") return problem;
  return { ...problem, message: `*** is not ${problem.expected}` };
}
