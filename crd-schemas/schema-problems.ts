/** The schema's verdict in words: what ajv's generated code found, as problems with a path and an expectation. */

import type { ErrorObject } from "ajv";
import type { Resource } from "./generated/types.ts";
import { validators } from "./generated/validators.js";
import { expectedFields } from "./known-fields.ts";
import type { Problem } from "./problem.ts";
import { firstOfEach, problemOf, resolve } from "./schema-words.ts";

/** Also fills in the schema's defaults and the case of enumerated values where any case is allowed. */
export function schemaProblems(resource: Resource, unknownFields: "error" | "keep"): Problem[] {
  const { kind } = resource;
  const validate = validators[kind];
  if (validate(resource)) return [];
  const problems = (validate.errors ?? [])
    .filter(error => unknownFields === "error" || error.keyword !== "additionalProperties")
    .filter(error => !(ANY_CASE.has(kind) && error.keyword === "enum" && fixCase(resource, error)))
    .map(error => problemOf(resource, error, (path, field) => expectedFields(kind, path, field)));
  return firstOfEach(problems);
}

/** Configuration is also written as environment variables, in capitals, and copied from there. */
const ANY_CASE = new Set<string>(["BGPConfiguration", "FelixConfiguration", "KubeControllersConfiguration"]);

function fixCase(resource: Resource, error: ErrorObject): boolean {
  const { path, value } = resolve(resource, error.instancePath);
  const allowed: unknown[] = error.params["allowedValues"];
  const right = allowed.find(text => String(text).toLowerCase() === String(value).toLowerCase());
  if (right === undefined) return false;
  // biome-ignore lint/suspicious/noExplicitAny: a path that was just found to exist
  const parent = path.slice(0, -1).reduce<any>((node, step) => node[step], resource);
  parent[path.at(-1)!] = right;
  return true;
}
