/**
 * `node crd-schemas/generate/main.ts`: writes generated/ from the CRDs.
 *
 * Does nothing when every output is newer than every input. Files appear whole or not at all (written beside
 * and renamed), so a program started meanwhile sees the old ones or the new ones.
 */

import { mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const OUTPUTS = ["types.ts", "tables.ts", "validators.js", "validators.d.ts"] as const;

export interface Folders {
  readonly schemas: string;
  readonly output: string;
}

export function isUpToDate({ schemas, output }: Folders): boolean {
  const here = import.meta.dirname;
  const inputs = [
    ...readdirSync(schemas)
      .filter(name => name.endsWith(".yaml"))
      .map(name => join(schemas, name)),
    ...readdirSync(here).map(name => join(here, name)),
    join(here, "..", "scalars.ts"),
  ];
  const written = OUTPUTS.map(name => statSync(join(output, name), { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const oldest = Math.min(...written);
  // The folder's own time tells of a CRD that was taken away.
  return [schemas, ...inputs].every(input => input === output || statSync(input).mtimeMs <= oldest);
}

export async function generate({ schemas, output }: Folders): Promise<void> {
  // Loaded only when needed: they take longer than finding out that there is nothing to do.
  const { buildModel, loadCrds, readYaml } = await import("./crd.ts");
  const { tablesSource } = await import("./tables.ts");
  const { typesSource } = await import("./types.ts");
  const { validatorsSource } = await import("./validators.ts");
  const objectMeta = readYaml(join(import.meta.dirname, "object-meta.yaml"));
  const model = buildModel(loadCrds(schemas), objectMeta as import("./crd.ts").Schema);
  const validators = validatorsSource(model);
  mkdirSync(output, { recursive: true });
  const contents = [await typesSource(model), tablesSource(model), validators.code, validators.types];
  for (const [i, name] of OUTPUTS.entries()) {
    const file = join(output, name);
    const beside = `${file}.${process.pid}`;
    writeFileSync(beside, contents[i]!);
    renameSync(beside, file);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const schemas = join(import.meta.dirname, "..");
  const folders = { schemas, output: join(schemas, "generated") };
  if (!isUpToDate(folders)) await generate(folders);
}
