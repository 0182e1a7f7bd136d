/**
 * `node setup/pack-library.ts`: the two libraries as npm packages in dist/packages/. Inside the repository they are TypeScript that Node
 * runs as it is; Node does not do that for files in node_modules, so what is published is JavaScript with declarations.
 */

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "dist", "packages");
const LIBRARIES = ["bgp/node-bgp", "felix/iptables-ts"];

/** The path of the tarball. */
export function packLibrary(library: string): string {
  const source = join(ROOT, library);
  const manifest = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  const target = join(OUT, manifest.name);
  rmSync(target, { recursive: true, force: true });
  mkdirSync(target, { recursive: true });
  compile(source, target);
  for (const file of ["README.md", "API.md", "CHANGELOG.md"]) {
    if (existsSync(join(source, file))) copyFileSync(join(source, file), join(target, file));
  }
  copyFileSync(join(ROOT, "LICENSE"), join(target, "LICENSE"));
  const published = {
    ...manifest,
    exports: compiledExports(manifest.exports),
    types: "./index.d.ts",
  };
  delete published.private;
  delete published.scripts;
  delete published.files;
  writeFileSync(join(target, "package.json"), `${JSON.stringify(published, undefined, 2)}\n`);
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", OUT], {
    cwd: target,
    encoding: "utf8",
  });
  return join(OUT, packed.trim().split("\n").at(-1) as string);
}

/** `./index.ts` in the repository is `./index.js` with declarations in the package. */
function compiledExports(
  exports: Record<string, string>,
): Record<string, { types: string; default: string }> {
  const compiled = (file: string, extension: string) => file.replace(/\.ts$/, extension);
  return Object.fromEntries(
    Object.entries(exports).map(([name, file]) => [
      name,
      { types: compiled(file, ".d.ts"), default: compiled(file, ".js") },
    ]),
  );
}

function compile(source: string, target: string): void {
  const config = join(OUT, "tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    rootDir: source,
    outDir: target,
    typeRoots: [join(ROOT, "node_modules", "@types")],
    types: ["node"],
  };
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(ROOT, "tsconfig.json"),
      compilerOptions,
      include: [join(source, "**/*.ts")],
      exclude: [join(source, "test"), join(source, "examples")],
    }),
  );
  execFileSync(join(ROOT, "node_modules", ".bin", "tsc"), ["--project", config], { stdio: "inherit" });
}

if (import.meta.main) for (const library of LIBRARIES) process.stdout.write(`${packLibrary(library)}\n`);
