/** API.md names everything that is exported, and nothing else. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const DOCUMENT = readFileSync(join(ROOT, "API.md"), "utf8");

/** The names a file exports, those it passes on included. */
function exportsOf(file: string): string[] {
  const text = readFileSync(join(ROOT, file), "utf8");
  const names: string[] = [];
  for (const [, list = ""] of text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)) {
    names.push(...list.split(",").map(name => name.trim().replace(/^type /, "")));
  }
  for (const [, from = ""] of text.matchAll(/^export (?:type )?\* from "\.\/([^"]+)"/gm)) {
    names.push(...exportsOf(from));
  }
  for (const [, name = ""] of text.matchAll(
    /^export (?:declare )?(?:async )?(?:interface|type|const|class|function\*?) (\w+)/gm,
  ))
    names.push(name);
  return [...new Set(names.filter(name => name !== ""))];
}

describe("API.md", () => {
  const named = new Set(DOCUMENT.match(/\b[A-Za-z_]\w*\b/g));

  it("names every export", () => {
    const exported = exportsOf("index.ts");
    assert(exported.length > 150, `${exported.length} found`);
    assert.deepEqual(
      exported.filter(name => !named.has(name)),
      [],
    );
  });

  it("names every method of the speaker, and no other", () => {
    const source = readFileSync(join(ROOT, "speaker.ts"), "utf8");
    const methods = [...source.matchAll(/^ {2}(?:readonly |get |async |\*)*([a-z]\w*)(?=[(:])/gm)].map(
      ([, name]) => name!,
    );
    const [, listed = ""] = /```ts\nclass Speaker([\s\S]*?)```/.exec(DOCUMENT) ?? [];
    const shown = new Set([...listed.matchAll(/(?:^ {2}|; )(\w+)(?=[(:])/gm)].map(([, name]) => name!));
    assert.deepEqual([...shown].sort(), [...new Set(methods)].sort());
  });

  it("names every code of an error and of a warning", () => {
    for (const file of ["errors.ts", "warning.ts"]) {
      const source = readFileSync(join(ROOT, file), "utf8");
      for (const [, code = ""] of source.matchAll(/readonly code: "(\w+)"/g)) assert(named.has(code), code);
    }
  });
});
