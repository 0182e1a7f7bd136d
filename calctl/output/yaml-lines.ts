/** The lines of one field in a resource's YAML, numbered as they are in what `get -o yaml` prints. */

import type { Path } from "../../crd-schemas/index.ts";
import { yamlText } from "./render.ts";

export interface YamlLines {
  /** 1-based. */
  readonly first: number;
  readonly lines: readonly string[];
}

/** Undefined where the resource has no such field. */
export async function yamlLines(resource: object, path: Path): Promise<YamlLines | undefined> {
  const { isNode, LineCounter, parseDocument } = await import("yaml");
  const text = await yamlText(resource);
  const lineCounter = new LineCounter();
  const node = parseDocument(text, { lineCounter }).getIn(path, true);
  if (!isNode(node) || !node.range) return undefined;
  const [start, end] = node.range;
  const first = lineCounter.linePos(start).line;
  // The value's end is the beginning of the line after it.
  const last = lineCounter.linePos(Math.max(start, end - 1)).line;
  return { first, lines: text.split("\n").slice(first - 1, last) };
}
