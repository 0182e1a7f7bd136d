/**
 * `node setup/bundle.ts`: the programs as one CommonJS file each in dist/, which is what users run: it starts in half
 * the time that Node takes to strip and resolve the sources. Dynamic imports stay lazy (esbuild wraps such
 * modules into functions), so a command pays for what it uses.
 *
 * Native and dynamically loading packages stay outside, in node_modules. Does nothing when nothing changed since;
 * files appear whole or not at all, so that a program started meanwhile sees the old ones or the new ones.
 */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Plugin } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
/** What went into the bundles, so that the next run can tell whether they are up to date. */
const RECORD = join(DIST, "inputs.json");

/** Programs, and the files that programs start as threads: `dist/<name>.cjs` out of which source. */
const ENTRIES: Readonly<Record<string, string>> = {
  calctl: "calctl/main.ts",
  felix: "felix/main.ts",
  bgp: "bgp/main.ts",
  "events-worker": "linux/events-worker.ts",
};

const EXTERNAL = ["koffi", "etcd3"];

interface BuildRecord {
  readonly commit: string;
  readonly inputs: readonly string[];
}

function commit(): string {
  try {
    return execFileSync("git", ["-C", ROOT, "rev-parse", "--short=12", "HEAD"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

function entries(): Record<string, string> {
  return Object.fromEntries(Object.entries(ENTRIES).filter(([, source]) => existsSync(join(ROOT, source))));
}

function isUpToDate(revision: string): boolean {
  const outputs = [RECORD, ...Object.keys(entries()).map(name => join(DIST, `${name}.cjs`))];
  if (!outputs.every(output => existsSync(output))) return false;
  const record = JSON.parse(readFileSync(RECORD, "utf8")) as BuildRecord;
  const built = Math.min(...outputs.map(output => statSync(output).mtimeMs));
  return (
    record.commit === revision &&
    record.inputs.every(
      input =>
        (statSync(join(ROOT, input), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY) <=
        built,
    )
  );
}

/** `import.meta.main` is true in the program's own file alone, as it is when Node runs the sources. */
const mainModule: Plugin = {
  name: "import.meta.main",
  setup(build) {
    const programs = new Set(Object.values(entries()).map(source => join(ROOT, source)));
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      return { contents: source.replaceAll("import.meta.main", String(programs.has(path))), loader: "ts" };
    });
  },
};

async function bundle(revision: string): Promise<void> {
  const { build } = await import("esbuild");
  const { outputFiles, metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: entries(),
    outdir: DIST,
    outExtension: { ".js": ".cjs" },
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    sourcemap: "linked",
    sourcesContent: false,
    minifySyntax: true,
    minifyWhitespace: true,
    external: EXTERNAL,
    define: {
      CALYX_COMMIT: JSON.stringify(revision),
      "import.meta.url": "importMetaUrl",
      "import.meta.dirname": "__dirname",
      "import.meta.filename": "__filename",
    },
    banner: { js: 'const importMetaUrl=require("node:url").pathToFileURL(__filename).href;' },
    plugins: [mainModule],
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  mkdirSync(DIST, { recursive: true });
  for (const { path, contents } of outputFiles) writeWhole(path, contents);
  const inputs = [...Object.keys(metafile.inputs), relative(ROOT, import.meta.filename), "package-lock.json"];
  writeWhole(RECORD, JSON.stringify({ commit: revision, inputs } satisfies BuildRecord));
}

function writeWhole(path: string, contents: Uint8Array | string): void {
  writeFileSync(`${path}.${process.pid}.tmp`, contents);
  renameSync(`${path}.${process.pid}.tmp`, path);
}

const revision = commit();
if (!isUpToDate(revision)) {
  const started = performance.now();
  await bundle(revision);
  process.stdout.write(
    `bundled ${Object.keys(entries()).join(", ")} into dist/ in ${Math.round(performance.now() - started)} ms\n`,
  );
}
