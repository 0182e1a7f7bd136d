/** Where documents come from: stdin, a file, the files of a folder. */

import { readdir, readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Source } from "../../input/parse.ts";
import type { Context } from "../context.ts";
import { CommandError } from "../errors.ts";

const EXTENSIONS = /\.(ya?ml|json)$/;

/**
 * `-` is stdin. Of a folder, every .yaml, .yml and .json in the order of their names; `recursive` goes into its
 * folders too (symbolic links to folders are not followed, so there are no loops).
 * @throws CommandError INVALID_INPUT
 */
export async function readSources(
  context: Context,
  names: readonly string[],
  options: { recursive?: boolean } = {},
): Promise<Source[]> {
  const sources: Source[] = [];
  for (const name of names) {
    if (name === "-") sources.push({ name: "<stdin>", text: await readAll(context.stdin) });
    else await readPath(context.cwd, name, options.recursive ?? false, sources);
  }
  return sources;
}

async function readPath(cwd: string, name: string, recursive: boolean, sources: Source[]): Promise<void> {
  try {
    const path = resolve(cwd, name);
    if (!(await stat(path)).isDirectory()) {
      sources.push({ name, text: await readFile(path, "utf8") });
      return;
    }
    const entries = await readdir(path, { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const child = join(name, entry.name);
      if (entry.isDirectory() ? recursive : EXTENSIONS.test(entry.name))
        await readPath(cwd, child, recursive, sources);
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const reasons: Record<string, string> = { ENOENT: "no such file or folder", EACCES: "permission denied" };
    const code = (error as NodeJS.ErrnoException).code ?? "";
    throw new CommandError("INVALID_INPUT", `${name}: ${reasons[code] ?? (error as Error).message}`, {
      cause: error,
    });
  }
}

async function readAll(stream: AsyncIterable<string | Uint8Array>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream)
    chunks.push(typeof chunk === "string" ? Buffer.from(chunk) : Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}
