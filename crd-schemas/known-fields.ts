/** What to say instead of a field that does not exist: the one that was probably meant, or those there are. */

import { FIELDS, type Fields } from "./generated/tables.ts";
import type { Path } from "./problem.ts";

/** `path` leads to the mapping that holds `field`. */
export function expectedFields(kind: string, path: Path, field: string): string {
  const fields = fieldsAt(kind, path);
  if (fields === undefined) return "a field of the schema";
  const names = Object.keys(fields);
  const inside = names.filter(name => Object.hasOwn(deref(fields[name]) ?? {}, field));
  if (inside.length > 0) return inside.map(name => `${name}.${field}`).join(" or ");
  const near = names.filter(name => name.toLowerCase() === field.toLowerCase() || distance(name, field) <= 2);
  if (near.length > 0) return near.join(" or ");
  return names.length <= 20
    ? `one of ${names.join(", ")}`
    : `one of the ${names.length} fields of the schema`;
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
