/** JSON patch (RFC 6902) over JSON pointers (RFC 6901). All operations or none: the target is not changed. */

import { isDeepStrictEqual } from "node:util";
import { PatchError } from "./error.ts";

type Container = Record<string, unknown> | unknown[];

/** @throws PatchError */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new PatchError("a JSON patch is a list of operations");
  // A root above the document, so that the pointer "" is a place like any other.
  const root: Container = { "": structuredClone(target) };
  for (const [i, operation] of patch.entries()) {
    try {
      apply(root, operation);
    } catch (error) {
      if (error instanceof RangeError) throw new PatchError(`operation ${i}: ${error.message}`);
      throw error;
    }
  }
  return root[""];
}

function apply(root: Container, operation: unknown): void {
  const { op, path, from, value } = (operation ?? {}) as Record<string, unknown>;
  const to = pointer(path, "path");
  switch (op) {
    case "add":
      add(root, to, required(operation, value));
      return;
    case "remove":
      remove(root, to);
      return;
    case "replace":
      required(operation, value);
      // The whole document is replaced in place; elsewhere the field must exist.
      remove(root, to);
      add(root, to, value);
      return;
    case "move":
    case "copy": {
      const source = pointer(from, "from");
      if (op === "move" && to.length > source.length && source.every((part, i) => part === to[i]))
        throw new RangeError(`cannot move ${from} into itself`);
      const moved = op === "move" ? remove(root, source) : structuredClone(get(root, source));
      add(root, to, moved);
      return;
    }
    case "test":
      if (!isDeepStrictEqual(get(root, to), required(operation, value)))
        throw new RangeError(`test failed: ${path} is ${JSON.stringify(get(root, to))}`);
      return;
    default:
      throw new RangeError(
        `unknown op ${JSON.stringify(op)}; expected add, remove, replace, move, copy or test`,
      );
  }
}

function required(operation: unknown, value: unknown): unknown {
  if (!Object.hasOwn(operation as object, "value")) throw new RangeError("value is missing");
  return value;
}

function pointer(text: unknown, field: string): string[] {
  if (typeof text !== "string") throw new RangeError(`${field} is missing`);
  if (text !== "" && !text.startsWith("/"))
    throw new RangeError(`${field} ${JSON.stringify(text)} must begin with /`);
  return [
    "",
    ...text
      .split("/")
      .slice(1)
      .map(part => part.replaceAll("~1", "/").replaceAll("~0", "~")),
  ];
}

function pathText(path: readonly string[]): string {
  return (
    path
      .slice(1)
      .map(part => `/${part}`)
      .join("") || "the document"
  );
}

/** The container of the last step. */
function parent(root: Container, path: readonly string[]): Container {
  const container = path.length === 1 ? root : get(root, path.slice(0, -1));
  if (typeof container !== "object" || container === null)
    throw new RangeError(`${pathText(path.slice(0, -1))} holds no fields`);
  return container as Container;
}

function get(root: Container, path: readonly string[]): unknown {
  const container = parent(root, path);
  const step = path.at(-1)!;
  if (Array.isArray(container)) return container[position(container, step, path, container.length - 1)];
  if (!Object.hasOwn(container, step)) throw new RangeError(`${pathText(path)} does not exist`);
  return container[step];
}

function add(root: Container, path: readonly string[], value: unknown): void {
  const container = parent(root, path);
  const step = path.at(-1)!;
  if (Array.isArray(container))
    container.splice(
      step === "-" ? container.length : position(container, step, path, container.length),
      0,
      value,
    );
  else container[step] = value;
}

function remove(root: Container, path: readonly string[]): unknown {
  const value = get(root, path);
  const container = parent(root, path);
  const step = path.at(-1)!;
  if (Array.isArray(container)) container.splice(Number(step), 1);
  else delete container[step];
  return value;
}

function position(list: readonly unknown[], step: string, path: readonly string[], most: number): number {
  if (!/^(0|[1-9]\d*)$/.test(step) || Number(step) > most)
    throw new RangeError(`${pathText(path)} is not in a list of ${list.length} elements`);
  return Number(step);
}
