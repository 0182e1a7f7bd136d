/**
 * YAML (and JSON, its subset) to values that remember where each of their fields was written. Positions are not
 * stored per field: the parsed tree is kept, and walked when there is something to say.
 */

import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseAllDocuments,
} from "yaml";
import type { Path } from "../crd-schemas/problem.ts";
import { parseJson } from "./json.ts";
import type { Place, Problem } from "./problem.ts";

export interface Source {
  /** As the user named it: what problems begin with. */
  readonly name: string;
  readonly text: string;
}

/** A value, and the place of any field in it. */
export interface Located {
  readonly value: unknown;
  /** Of the field's key, or of the list's item; of the nearest field above where the path is not in the input. */
  readonly locate: (path: Path) => Place;
}

/** Above this many nodes out of aliases it is a bomb, not a document. */
const MAX_ALIASES = 100;

/** The parser is recursive and takes quadratic time to fail on such input, so it does not get to see it. */
const DEEP_NESTING = /(?:[[{]\s*){200}/;

export interface ParsedSource {
  readonly documents: Located[];
  readonly problems: Problem[];
}

/** Empty documents are left out. All problems of the source are found, and a document with one is not a result. */
export function parseSource(source: Source): ParsedSource {
  const json = parseJson(source.text);
  if (json === undefined || DEEP_NESTING.test(source.text)) return parseYaml(source);
  // The tree that knows the places is made when somebody has something to say about one.
  let placed: ParsedSource | undefined;
  const locate = (path: Path): Place => {
    placed ??= parseYaml(source);
    return placed.documents[0]?.locate(path) ?? { file: source.name, line: 1, column: 1 };
  };
  return { documents: [{ value: json.value, locate }], problems: [] };
}

function parseYaml({ name: file, text }: Source): ParsedSource {
  const lines = new LineCounter();
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const documents: Located[] = [];
  const problems: Problem[] = [];
  const problem = (offset: number, message: string, expected?: string) =>
    problems.push({ place: place(offset), path: [], message, expected });

  const depths = DEEP_NESTING.exec(text);
  if (depths) {
    problem(depths.index, "too deeply nested");
    return { documents, problems };
  }
  let parsed: Document.Parsed[];
  try {
    const result = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true });
    parsed = "empty" in result ? [] : result;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    problem(0, "too deeply nested");
    return { documents, problems };
  }
  for (const document of parsed) {
    const faults = [...document.errors, ...document.warnings];
    // One slip makes the parser stumble many times after it: only the first says something.
    const slip = faults.find(fault => fault.code !== "DUPLICATE_KEY");
    for (const fault of faults) {
      const offset = fault.pos[0];
      if (fault.code === "DUPLICATE_KEY")
        problem(offset, `key ${keyAt(text, offset)} appears twice in one map`);
      else if (fault === slip) problem(offset, sentence(fault.message));
    }
    if (faults.length > 0 || document.contents === null) continue;
    try {
      const value = document.toJS({ maxAliasCount: MAX_ALIASES });
      if (value === null || value === undefined) continue;
      documents.push({ value, locate: path => place(offsetOf(document, path)) });
    } catch (error) {
      const offset = document.contents.range[0];
      // The library throws ReferenceErrors for both: too many aliases, and one without its anchor.
      if (error instanceof ReferenceError && error.message.startsWith("Unresolved"))
        problem(offset, sentence(error.message));
      else if (error instanceof ReferenceError)
        problem(offset, "aliases expand to too much", `at most ${MAX_ALIASES} copies`);
      else if (error instanceof RangeError) problem(offset, "too deeply nested");
      else throw error;
    }
  }
  return { documents, problems };
}

/** A part of a located value, with places relative to it. */
export function part(whole: Located, path: Path, value: unknown): Located {
  return { value, locate: rest => whole.locate([...path, ...rest]) };
}

function offsetOf(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? 0;
  for (let i = 0; i < path.length; ) {
    if (isAlias(node)) node = node.resolve(document);
    if (isSeq(node)) {
      const item = node.items[Number(path[i])] as ParsedNode | undefined;
      if (item === undefined) break;
      offset = isPair(item) ? offset : (item.range?.[0] ?? offset);
      node = item;
      i++;
    } else if (isMap(node)) {
      // Longest first: the key "a.b" of an unquoted path comes as two segments.
      let length = path.length - i;
      let pair: (typeof node.items)[number] | undefined;
      for (; length > 0 && pair === undefined; length--) {
        const key = path.slice(i, i + length).join(".");
        pair = node.items.find(candidate => isScalar(candidate.key) && String(candidate.key.value) === key);
        if (pair) break;
      }
      if (pair === undefined) break;
      offset = (pair.key as ParsedNode).range[0];
      node = pair.value;
      i += length;
    } else break;
  }
  return offset;
}

function keyAt(text: string, offset: number): string {
  return JSON.stringify(
    /^(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^:\n]*?)\s*:)/
      .exec(text.slice(offset, offset + 256))
      ?.slice(1)
      .find(group => group !== undefined) ?? "",
  );
}

/** The library's messages begin in upper case and may end in details of several lines. */
function sentence(message: string): string {
  if (/call stack/.test(message)) return "too deeply nested";
  const line = message.split("\n")[0]!.replace(/:$/, "");
  return `malformed YAML: ${line[0]!.toLowerCase()}${line.slice(1)}`;
}
