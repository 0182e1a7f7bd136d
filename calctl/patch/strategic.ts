/**
 * Kubernetes' strategic merge patch, as far as Calico's kinds have strategies: lists are replaced, except that
 * metadata.finalizers are added to and metadata.ownerReferences merge by uid (ObjectMeta's tags; the specs have
 * none). Directives: `$patch: replace|delete|merge`, `$retainKeys`, `$deleteFromPrimitiveList/<field>`.
 */

import { PatchError } from "./error.ts";
import { isMap } from "./merge.ts";

type JsonMap = Record<string, unknown>;

/** Paths of the lists that merge; the value is the field that tells their elements apart, "" for plain values. */
const MERGING_LISTS: Readonly<Record<string, string>> = {
  "metadata.finalizers": "",
  "metadata.ownerReferences": "uid",
};

const DELETE_FROM = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER = "$setElementOrder/";

/** @throws PatchError */
export function strategicMergePatch(target: unknown, patch: unknown, path = ""): unknown {
  if (!isMap(patch)) return patch;
  const { $patch: directive, $retainKeys: retain, ...fields } = patch;
  if (directive === "delete") return undefined;
  if (directive === "replace") return fields;
  if (directive !== undefined && directive !== "merge")
    throw new PatchError(
      `unknown $patch directive ${JSON.stringify(directive)}; expected replace, delete or merge`,
    );

  const result: JsonMap = isMap(target) ? { ...target } : {};
  if (Array.isArray(retain))
    for (const key of Object.keys(result)) if (!retain.includes(key)) delete result[key];
  for (const [key, value] of Object.entries(fields)) {
    if (key.startsWith(ELEMENT_ORDER)) continue;
    if (key.startsWith(DELETE_FROM)) {
      const list = key.slice(DELETE_FROM.length);
      const doomed = Array.isArray(value) ? value : [];
      if (Array.isArray(result[list])) result[list] = result[list].filter(item => !doomed.includes(item));
      continue;
    }
    const below = path === "" ? key : `${path}.${key}`;
    const mergeKey = MERGING_LISTS[below];
    const merged =
      mergeKey !== undefined && Array.isArray(value) && Array.isArray(result[key])
        ? mergeLists(result[key], value, mergeKey, below)
        : value === null
          ? undefined
          : strategicMergePatch(result[key], value, below);
    if (merged === undefined) delete result[key];
    else result[key] = merged;
  }
  return result;
}

function mergeLists(
  target: readonly unknown[],
  patch: readonly unknown[],
  mergeKey: string,
  path: string,
): unknown[] {
  if (mergeKey === "") return [...new Set([...target, ...patch])];
  const result = [...target];
  for (const element of patch) {
    if (!isMap(element) || element[mergeKey] === undefined)
      throw new PatchError(`${path}: each element of the patch needs ${mergeKey}`);
    const at = result.findIndex(item => isMap(item) && item[mergeKey] === element[mergeKey]);
    const merged = strategicMergePatch(result[at], element, path);
    if (merged === undefined) {
      if (at >= 0) result.splice(at, 1);
    } else if (at >= 0) result[at] = merged;
    else result.push(merged);
  }
  return result;
}
