/** Lists to their members: a top-level list, `kind: List`, `kind: <Kind>List`, and these within each other. */

import { type Located, part } from "../../input/parse.ts";

const LIST_SUFFIX = "List";

/** Members of a `<Kind>List` get the list's kind and apiVersion where they have none of their own. */
export function* flatten(document: Located): Generator<Located> {
  const { value } = document;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) yield* flatten(part(document, [i], item));
    return;
  }
  if (typeof value !== "object" || value === null) {
    yield document;
    return;
  }
  const { kind, apiVersion, items } = value as Record<string, unknown>;
  if (typeof kind !== "string" || !kind.endsWith(LIST_SUFFIX) || !Array.isArray(items)) {
    yield document;
    return;
  }
  const itemKind = kind.slice(0, -LIST_SUFFIX.length);
  for (const [i, item] of items.entries()) {
    const isMap = typeof item === "object" && item !== null && !Array.isArray(item);
    const whole = isMap && itemKind !== "" ? { apiVersion, kind: itemKind, ...item } : item;
    yield* flatten(part(document, ["items", i], whole));
  }
}
