/** What ajv finds wrong, in words: a problem with its path and what was expected there. */

import type { ErrorObject } from "ajv";
import { type Path, type Problem, pathText, shown } from "./problem.ts";

/** @param expectedFields what to say where a field is not known */
export function problemOf(
  root: unknown,
  error: ErrorObject,
  expectedFields: (path: Path, field: string) => string,
): Problem {
  const { path, value } = resolve(root, error.instancePath);
  const { params } = error;
  switch (error.keyword) {
    case "additionalProperties": {
      const field = String(params["additionalProperty"]);
      return {
        path: [...path, field],
        message: `field in document is not recognized or is in the wrong location: ${field}`,
        expected: expectedFields(path, field),
      };
    }
    case "required": {
      const field = String(params["missingProperty"]);
      return { path: [...path, field], message: `${field} is missing`, expected: "a value" };
    }
    default: {
      const expected = expectation(error);
      return { path, message: `${shown(value)} is not ${expected}`, expected };
    }
  }
}

/** A value of the wrong type is also none of those enumerated: the first thing said of it is enough. */
export function firstOfEach(problems: readonly Problem[]): Problem[] {
  const first = new Map(problems.toReversed().map(problem => [pathText(problem.path), problem]));
  return problems.filter(problem => first.get(pathText(problem.path)) === problem);
}

const TYPE_WORDS: Record<string, string> = {
  array: "a list",
  boolean: "true or false",
  integer: "an integer",
  number: "a number",
  object: "a mapping",
  string: "text",
};

const PATTERN_WORDS: Record<string, string> = {
  "^\\d+:\\d+(:\\d+)?$": 'a community, "high:low" or "global:local1:local2"',
};

function expectation({ keyword, params }: ErrorObject): string {
  switch (keyword) {
    case "type": {
      const types: string[] = Array.isArray(params["type"]) ? params["type"] : [params["type"]];
      return types.map(type => TYPE_WORDS[type] ?? type).join(" or ");
    }
    case "enum":
      return `one of ${params["allowedValues"].map((value: unknown) => value || '""').join(", ")}`;
    case "const":
      return String(params["allowedValue"]);
    case "minimum":
      return `${params["limit"]} or more`;
    case "maximum":
      return `${params["limit"]} or less`;
    case "minLength":
      return params["limit"] === 1 ? "non-empty text" : `${params["limit"]} characters or more`;
    case "maxLength":
      return `text of ${params["limit"]} characters or less`;
    case "minItems":
      return params["limit"] === 1 ? "a non-empty list" : `a list of ${params["limit"]} elements or more`;
    case "maxItems":
      return `a list of ${params["limit"]} elements or less`;
    case "minProperties":
      return params["limit"] === 1 ? "a non-empty mapping" : `a mapping of ${params["limit"]} fields or more`;
    case "maxProperties":
      return params["limit"] === 1
        ? "a mapping of one field"
        : `a mapping of ${params["limit"]} fields or less`;
    case "pattern":
      return PATTERN_WORDS[params["pattern"]] ?? `text that matches ${params["pattern"]}`;
    default:
      return `what the schema asks (${keyword})`;
  }
}

/** Follows a JSON pointer (RFC 6901). */
export function resolve(root: unknown, pointer: string): { path: Path; value: unknown } {
  const path: (string | number)[] = [];
  let value = root;
  for (const step of pointer.split("/").slice(1)) {
    const name = step.replaceAll("~1", "/").replaceAll("~0", "~");
    path.push(Array.isArray(value) ? Number(name) : name);
    value = (value as Record<string, unknown>)[name];
  }
  return { path, value };
}

/** What to say instead of a field that does not exist: the one that was probably meant, or those there are. */
export function insteadOf(field: string, names: readonly string[]): string {
  const near = nearFields(field, names);
  if (near.length > 0) return near.join(" or ");
  return names.length <= 20
    ? `one of ${names.join(", ")}`
    : `one of the ${names.length} fields of the schema`;
}

/** Those that were probably meant: two letters wrong, fewer in a short word. */
export function nearFields(field: string, names: readonly string[]): string[] {
  const limit = Math.min(2, Math.ceil(field.length / 3));
  return names.filter(name => name.toLowerCase() === field.toLowerCase() || distance(name, field) <= limit);
}

/** Levenshtein's distance: how many letters to insert, drop or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
