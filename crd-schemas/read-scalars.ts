/** Reads every scalar of a resource where the CRD says it stands, and puts its canonical form in its place. */

import { SCALAR_PATHS } from "./generated/tables.ts";
import type { Resource } from "./generated/types.ts";
import { type Report, shown } from "./problem.ts";
import { SCALARS, type ScalarName } from "./scalars.ts";

type Node = Record<string | number, unknown>;
type Read = (value: string | number, path: (string | number)[]) => string | number;

export function readScalars(
  resource: Resource,
  report?: Report,
  parseSelector?: (text: string) => string | undefined,
): void {
  for (const [scalar, ...path] of SCALAR_PATHS[resource.kind] ?? []) {
    const read: Read =
      scalar === "Selector"
        ? (value, at) => {
            const wrong = parseSelector?.(String(value));
            if (wrong !== undefined)
              report?.(at, `invalid selector ${shown(value)}: ${wrong}`, "a selector such as role == 'web'");
            return value;
          }
        : (value, at) => {
            const { parse, expected } = SCALARS[scalar as ScalarName];
            const canonical = parse(value);
            if (canonical === undefined) report?.(at, `${shown(value)} is not ${expected}`, expected);
            return canonical ?? value;
          };
    visit(resource as unknown as Node, path, 0, [], read);
  }
}

/** Values of other types are the schema pass's to complain about. */
function visit(
  node: Node,
  path: readonly string[],
  depth: number,
  at: (string | number)[],
  read: Read,
): void {
  const step = path[depth]!;
  const keys: (string | number)[] =
    step !== "*" ? [step] : Array.isArray(node) ? [...node.keys()] : Object.keys(node);
  for (const key of keys) {
    const value = node[key];
    if (depth < path.length - 1) {
      if (typeof value === "object" && value !== null)
        visit(value as Node, path, depth + 1, [...at, key], read);
    } else if (typeof value === "string" || typeof value === "number") {
      node[key] = read(value, [...at, key]);
    }
  }
}
