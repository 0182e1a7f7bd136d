/**
 * From the text of a configuration file to what it means, or to everything that is wrong with it, with line and field.
 *
 * JSON is parsed as JSON: the YAML parser takes tens of milliseconds and megabytes for a thousand peers, and is asked only for the
 * places when there is something to say. The three passes: the text, the schema, what the schema cannot say (plan.ts).
 */

import type { ErrorObject } from "ajv";
import type { Path, Problem as PathProblem } from "../../crd-schemas/problem.ts";
import { firstOfEach, nearFields, problemOf } from "../../crd-schemas/schema-words.ts";
import type { Located, Source } from "../../input/parse.ts";
import { type Problem, problemText } from "../../input/problem.ts";
import type { Configuration } from "./configuration.ts";
import { type Plan, type PlanTools, planOf } from "./plan.ts";
import { SCHEMA } from "./schema.ts";
import type { SchemaNode } from "./schema-node.ts";
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
export async function readConfiguration(source: Source, tools: PlanTools): Promise<Reading> {
  const quick = parseJson(source.text);
  const located = quick === undefined ? await parseLocated(source) : undefined;
  const value = quick ?? located!.value;
  const validate = validator();
  const found = validate(value) ? [] : schemaProblems(value, validate.errors ?? []);
  // What is wrong with the fields must not hide what is wrong between those that are right.
  const { plan, problems } = planOf(
    found.length === 0 ? (value as Configuration) : without(value, found),
    tools,
  );
  const all = [...found, ...problems.filter(({ path }) => !isKnown(path, found))];
  if (all.length === 0) return { configuration: value as Configuration, plan };
  const { locate } = located ?? (await parseLocated(source));
  throw new ConfigurationError(all.map(problem => ({ ...problem, place: locate(problem.path) })));
}

function schemaProblems(value: unknown, errors: readonly ErrorObject[]): PathProblem[] {
  return firstOfEach(errors.map(error => hideSecret(fieldProblem(value, error))));
}

function fieldProblem(value: unknown, error: ErrorObject): PathProblem {
  const problem = problemOf(value, error, () => "");
  if (error.keyword !== "additionalProperties") return problem;
  const field = String(problem.path.at(-1));
  const names = fieldsAt(problem.path.slice(0, -1));
  const [near] = nearFields(field, names);
  if (near !== undefined)
    return { ...problem, message: `unknown field ${field}, did you mean ${near}?`, expected: near };
  return { ...problem, message: `unknown field ${field}`, expected: `one of ${names.join(", ")}` };
}

/**
 * A copy without what is wrong, for the passes after the schema's: peers and networks that cannot even be named are missing in their lists; of
 * other lists with a wrong element nothing is left; what must be there and is not is there.
 */
function without(value: unknown, problems: readonly PathProblem[]): Configuration {
  const copy: Record<string, unknown> =
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? (structuredClone(value as object) as never)
      : {};
  for (const { path } of problems) remove(copy, path);
  return { as: 1, routerId: "0.0.0.1", ...copy } as Configuration;
}

function remove(root: unknown, path: Path): void {
  const isElement = typeof path.at(-1) === "number" && path.length > 2;
  const isName = path.length === 3 && (path[2] === "address" || path[2] === "prefix");
  const end = isElement || isName ? path.length - 2 : path.length - 1;
  // biome-ignore lint/suspicious/noExplicitAny: whatever somebody has written
  let parent: any = root;
  for (const step of path.slice(0, end)) parent = parent?.[step];
  if (typeof parent === "object" && parent !== null) delete parent[path[end]!];
}

/** Something at or above this place has been said already. */
function isKnown(path: Path, problems: readonly PathProblem[]): boolean {
  return problems.some(known => known.path.every((step, i) => step === path[i]));
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

/** The names of the fields there may be. */
function fieldsAt(path: Path): string[] {
  let node: SchemaNode | undefined = SCHEMA;
  for (const step of path) {
    if (typeof step === "number") node = node?.items;
    else {
      const { properties, additionalProperties }: SchemaNode = node ?? {};
      node =
        properties?.[step] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    }
  }
  return Object.keys(node?.properties ?? {});
}

/** Messages go to logs. */
function hideSecret(problem: PathProblem): PathProblem {
  if (problem.path.at(-1) !== "password") return problem;
  return { ...problem, message: `*** is not ${problem.expected}` };
}
