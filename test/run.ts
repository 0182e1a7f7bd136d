/**
 * Runs the suites, cheap ones first. Ends with every failed test once more, since of a long output the end is what one sees, and
 * with the line CI reads: `N passed, N failed, N skipped`.
 *
 *   node test/run.ts             format, lint, types, unit, interop, system, fault, conformance (fast subsets of these)
 *   node test/run.ts interop     one suite; further arguments go to mocha (`-g PATTERN`)
 */

import { spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import type { Failure, Report } from "./reporter.ts";

interface Suite {
  readonly name: string;
  /** A check is one test: it passes or fails as a whole. A mocha suite counts its own. */
  readonly command?: readonly string[];
  readonly specs?: readonly string[];
  /** Milliseconds for one test, unless it says otherwise. */
  readonly timeout?: number;
}

const SUITES: readonly Suite[] = [
  { name: "format and lint", command: ["biome", "check", "--error-on-warnings", "."] },
  { name: "types", command: ["tsc", "--noEmit"] },
  { name: "unit", specs: [] },
  {
    name: "interop",
    specs: [
      "test/interop/**/*.test.ts",
      "bgp/node-bgp/test/**/*.interop.test.ts",
      "felix/iptables-ts/test/**/*.interop.test.ts",
    ],
    timeout: 60_000,
  },
  { name: "system", specs: ["test/system/**/*.test.ts"], timeout: 120_000 },
  { name: "fault", specs: ["test/fault/**/*.test.ts"], timeout: 120_000 },
  {
    name: "conformance",
    specs: [
      "test/conformance/**/*.test.ts",
      // DSCP, bandwidth, floating addresses and tunnels need other surroundings; `make test` has them in these suites.
      ...(process.env["CALYX_CONFORMANCE"] === "all"
        ? ["test/interop/felix/{workload-extras,bandwidth}.test.ts", "test/system/overlay.test.ts"]
        : []),
    ],
    timeout: 60_000,
  },
];

const NOTHING: Report = { passed: 0, skipped: 0, failures: [] };

/** Of an assertion's message, which may be a difference of hundreds. */
const MESSAGE_LINES = 12;

function run(command: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] as string, command.slice(1), { stdio: ["ignore", "inherit", "inherit"] });
    child.on("error", reject);
    child.on("close", code => resolve(code ?? 1));
  });
}

async function runSuite(suite: Suite, extra: readonly string[]): Promise<Report> {
  if (suite.command) {
    const code = await run(suite.command);
    if (code === 0) return { ...NOTHING, passed: 1 };
    return { ...NOTHING, failures: [crash(suite.command, code)] };
  }
  // The unit suite is what .mocharc.json says; the others bring their own specs and ignore that file's.
  const files = suite.specs?.flatMap(spec => globSync(spec)) ?? [];
  if (suite.specs?.length && files.length === 0) return NOTHING;
  const own = suite.specs?.length
    ? ["--no-config", "--forbid-only", "--timeout", String(suite.timeout), ...files.sort()]
    : [];
  const folder = mkdtempSync(join(tmpdir(), "calyx-test-"));
  try {
    const path = join(folder, "report.json");
    const reporter = ["--reporter", "./test/reporter.ts", "--reporter-option", `report=${path}`];
    const code = await run(["mocha", ...own, ...reporter, ...extra]);
    const report = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Report) : NOTHING;
    // A crash outside any test must not look like a pass.
    if (report !== NOTHING && (code === 0 || report.failures.length > 0)) return report;
    return { ...report, failures: [crash(["mocha"], code)] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function crash(command: readonly string[], code: number): Failure {
  return { title: command.join(" "), message: `ended with code ${code}, see above` };
}

function failureText(suite: string, { title, message, at }: Failure): string {
  const lines = message.split("\n").slice(0, MESSAGE_LINES);
  if (at !== undefined) lines.push(`at ${at}`);
  return `\n${suite}: ${title}\n${lines.map(line => `    ${line}`.trimEnd()).join("\n")}\n`;
}

const [only, ...extra] = process.argv.slice(2);
const chosen = only === undefined ? SUITES : SUITES.filter(suite => suite.name === only);
if (chosen.length === 0)
  throw new Error(`no suite "${only}"; there are: ${SUITES.map(s => s.name).join(", ")}`);

process.env["PATH"] = `${dirname(process.execPath)}:node_modules/.bin:${process.env["PATH"]}`;
process.env["NO_COLOR"] = "1";
const total = { passed: 0, failed: 0, skipped: 0 };
const failed: string[] = [];
for (const suite of chosen) {
  process.stdout.write(`\n=== ${suite.name}\n`);
  const started = Date.now();
  const { passed, skipped, failures } = await runSuite(suite, extra);
  total.passed += passed;
  total.failed += failures.length;
  total.skipped += skipped;
  failed.push(...failures.map(failure => failureText(suite.name, failure)));
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `=== ${suite.name}: ${passed} passed, ${failures.length} failed, ${skipped} skipped in ${seconds} s\n`,
  );
}
if (failed.length > 0) process.stdout.write(`\n=== failed\n${failed.join("")}`);
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);
