/** Policies may come from a file, so their shape is looked at as well as their values: a misspelt field must not silently match every route. */

import { OptionError } from "../errors.ts";

/** The fields of an object that may have these and no others. Throws {@link OptionError}, naming `path`. */
export function readFields(
  value: unknown,
  path: string,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new OptionError(path, value, `an object with ${known.join(", ")}`);
  const unknown = Object.keys(value).find(name => !known.includes(name));
  if (unknown === undefined) return value as Record<string, unknown>;
  throw new OptionError(`${path}.${unknown}`, (value as Record<string, unknown>)[unknown], fieldsOf(known));
}

function fieldsOf(known: readonly string[]): string {
  return known.length === 0 ? "known: there are no such fields" : `one of the fields ${known.join(", ")}`;
}
