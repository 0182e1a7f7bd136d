/**
 * `node setup/bundle.ts`: the programs as one CommonJS file each in dist/, which is what users run: it starts in half
 * the time that Node takes to strip and resolve the sources. Dynamic imports stay lazy (esbuild wraps such
 * modules into functions), so a command pays for what it uses.
 *
 * A program's file is two lines that switch on Node's compile cache and load the bundle proper, because compiling a
 * megabyte is a third of what `calctl version` would take.
 *
 * Native and dynamically loading packages stay outside, in node_modules. Does nothing when nothing changed since;
 * files appear whole or not at all, so that a program started meanwhile sees the old ones or the new ones.
 */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Plugin } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
const DIST = join(ROOT, "dist");
/** What went into the bundles, so that the next run can tell whether they are up to date. */
const RECORD = join(DIST, "inputs.json");

/** `dist/<name>.cjs`, and out of which source. */
const PROGRAMS: Readonly<Record<string, string>> = {
  calctl: "calctl/main.ts",
  felix: "felix/main.ts",
  bgp: "bgp/main.ts",
};

/** What programs start as threads: beside them under this name. */
const WORKERS: Readonly<Record<string, string>> = {
  "events-worker": "linux/events-worker.ts",
  "nflog-worker": "linux/nflog-worker.ts",
  "bfd-worker": "bgp/node-bgp/bfd/worker.ts",
};

/** What a program loads when it turns out to be needed, and is large to be without: files of their own beside it. */
const PARTS: Readonly<Record<string, string>> = {
  "bgp-datastore": "bgp/datastore-mode.ts",
  "bgp-standalone": "bgp/standalone/run.ts",
  "bgp-install": "bgp/standalone/install.ts",
  "bgp-metrics": "bgp/metrics.ts",
  "yaml-files": "input/parse.ts",
};

const COMPILE_CACHE = join(DIST, "compile-cache");

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

/** Those that exist, by the name of their output. */
function entries(): Record<string, string> {
  const programs = Object.entries(PROGRAMS).map(([name, source]) => [`${name}.bundle`, source] as const);
  const all = [...programs, ...Object.entries(WORKERS), ...Object.entries(PARTS)];
  return Object.fromEntries(all.filter(([, source]) => existsSync(join(ROOT, source))));
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

/** `import()` of a part loads its file. */
const separateParts: Plugin = {
  name: "separate parts",
  setup(build) {
    const names = new Map(Object.entries(PARTS).map(([name, source]) => [join(ROOT, source), name]));
    build.onResolve({ filter: /^\./ }, ({ kind, path, resolveDir }) => {
      const name = kind === "dynamic-import" ? names.get(join(resolveDir, path)) : undefined;
      return name === undefined ? undefined : { path: `./${name}.cjs`, external: true };
    });
  },
};

/**
 * bgp's configuration schema as the code that ajv makes of it: compiling it in the daemon would cost 15 MB for as long as
 * it runs.
 */
const compiledValidator: Plugin = {
  name: "compiled validator",
  setup(build) {
    build.onLoad({ filter: /bgp\/standalone\/validator\.ts$/ }, async () => {
      const [{ Ajv }, { default: standaloneCode }, { AJV_OPTIONS }, { SCHEMA }] = await Promise.all([
        import("ajv"),
        import("ajv/dist/standalone/index.js"),
        import("../bgp/standalone/validator.ts"),
        import("../bgp/standalone/schema.ts"),
      ]);
      const ajv = new Ajv({ ...AJV_OPTIONS, code: { source: true, esm: true } });
      const code = standaloneCode.default(ajv, ajv.compile(SCHEMA));
      if (code.includes("require("))
        throw new Error("the validator would need a module of ajv's at run time");
      return { contents: `${code}\nexport const validator = () => validate;\n`, loader: "js" };
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
    plugins: [separateParts, compiledValidator, mainModule],
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  rmSync(COMPILE_CACHE, { recursive: true, force: true });
  mkdirSync(COMPILE_CACHE, { recursive: true });
  for (const { path, contents } of outputFiles) writeWhole(path, contents);
  for (const name of Object.keys(PROGRAMS)) writeWhole(join(DIST, `${name}.cjs`), launcher(name));
  // The first run fills the cache: let it not be the user's, who may not be allowed to write it.
  execFileSync(process.execPath, [join(DIST, "calctl.cjs"), "version", "--client"], { stdio: "ignore" });
  const inputs = [...Object.keys(metafile.inputs), relative(ROOT, import.meta.filename), "package-lock.json"];
  writeWhole(RECORD, JSON.stringify({ commit: revision, inputs } satisfies BuildRecord));
}

function launcher(name: string): string {
  return [
    `require("node:module").enableCompileCache(require("node:path").join(__dirname, "compile-cache"));`,
    `require("./${name}.bundle.cjs");`,
    "",
  ].join("\n");
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
    `bundled ${Object.keys(PROGRAMS).join(", ")} into dist/ in ${Math.round(performance.now() - started)} ms\n`,
  );
}
