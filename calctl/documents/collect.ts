/**
 * From the files a command was given to what each document in them means. Either all documents of all files are
 * good, or all that is wrong with any of them is thrown, so that nothing is applied of an input half right.
 */

import { type Located, parseSource } from "../../input/parse.ts";
import type { Problem } from "../../input/problem.ts";
import type { Context } from "../context.ts";
import { CommandError } from "../errors.ts";
import type { FileOptions } from "../options.ts";
import { flatten } from "./flatten.ts";
import { InvalidDocuments } from "./problem.ts";
import { readSources } from "./source.ts";

/** @throws InvalidDocuments, CommandError */
export async function collect<T extends object>(
  context: Context,
  { filename: names = [], recursive, skipEmpty }: FileOptions,
  read: (document: Located) => T | Problem[],
): Promise<T[]> {
  const sources = await readSources(context, names, { recursive: recursive ?? false });
  const results: T[] = [];
  const problems: Problem[] = [];
  for (const source of sources) {
    const parsed = parseSource(source);
    const own = [...parsed.problems];
    const documents = parsed.documents.flatMap(document => [...flatten(document)]);
    for (const document of documents) {
      const result = read(document);
      if (Array.isArray(result)) own.push(...result);
      else results.push(result);
    }
    problems.push(...own.sort(byPlace));
    if (documents.length === 0 && parsed.problems.length === 0 && !skipEmpty)
      throw new CommandError("INVALID_INPUT", `No resources specified in ${source.name}`);
  }
  if (problems.length > 0) throw new InvalidDocuments(problems);
  if (sources.length === 0 && !skipEmpty)
    throw new CommandError("INVALID_INPUT", `No resources specified in ${names.join(", ")}`);
  return results;
}

function byPlace(a: Problem, b: Problem): number {
  return a.place.line - b.place.line || a.place.column - b.place.column;
}
