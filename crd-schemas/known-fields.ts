/** What to say instead of a field of a kind that does not exist there: a field inside of it, or near it. */

import { FIELDS, type Fields } from "./generated/tables.ts";
import type { Path } from "./problem.ts";
import { insteadOf } from "./schema-words.ts";

/** `path` leads to the mapping that holds `field`. */
export function expectedFields(kind: string, path: Path, field: string): string {
  const fields = fieldsAt(kind, path);
  if (fields === undefined) return "a field of the schema";
  const names = Object.keys(fields);
  const inside = names.filter(name => Object.hasOwn(deref(fields[name]) ?? {}, field));
  if (inside.length > 0) return inside.map(name => `${name}.${field}`).join(" or ");
  return insteadOf(field, names);
}

function fieldsAt(kind: string, path: Path): Fields | undefined {
  let fields = deref(kind);
  for (const step of path) {
    if (typeof step !== "number") fields = deref(fields?.[step]);
  }
  return fields;
}

function deref(fields: Fields | string | 0 | undefined): Fields | undefined {
  if (typeof fields === "string") return deref(FIELDS[fields]);
  return fields === 0 ? undefined : fields;
}
