/**
 * Runs the suites, cheap ones first, and ends with the line CI reads: `N passed, N failed`.
 *
 *   node test/run.ts             format, lint, types, unit, interop, system, fault, conformance (fast subsets of these)
 *   node test/run.ts interop     one suite; further arguments go to mocha (`-g PATTERN`)
 */

import { spawn } from "node:child_process";
import { globSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";

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
  { name: "conformance", specs: ["test/conformance/**/*.test.ts"], timeout: 60_000 },
];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function run(command: readonly string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] as string, command.slice(1), { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      process.stdout.write(chunk);
      output += chunk.toString();
    });
    child.on("error", reject);
    child.on("close", code => resolve({ code: code ?? 1, output }));
  });
}

async function runSuite(suite: Suite, extra: readonly string[]): Promise<Counts> {
  if (suite.command) {
    const { code } = await run(suite.command);
    return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  }
  // The unit suite is what .mocharc.json says; the others bring their own specs and ignore that file's.
  const files = suite.specs?.flatMap(spec => globSync(spec)) ?? [];
  if (suite.specs?.length && files.length === 0) return { passed: 0, failed: 0, skipped: 0 };
  const own = suite.specs?.length
    ? ["--no-config", "--forbid-only", "--timeout", String(suite.timeout), ...files.sort()]
    : [];
  const { code, output } = await run(["mocha", ...own, ...extra]);
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}`, "m").exec(output)?.[1] ?? 0);
  const counts = { passed: count("passing"), failed: count("failing"), skipped: count("pending") };
  // A crash outside any test must not look like a pass.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

const [only, ...extra] = process.argv.slice(2);
const chosen = only === undefined ? SUITES : SUITES.filter(suite => suite.name === only);
if (chosen.length === 0)
  throw new Error(`no suite "${only}"; there are: ${SUITES.map(s => s.name).join(", ")}`);

process.env["PATH"] = `${dirname(process.execPath)}:node_modules/.bin:${process.env["PATH"]}`;
process.env["NO_COLOR"] = "1";
const total: Counts = { passed: 0, failed: 0, skipped: 0 };
for (const suite of chosen) {
  process.stdout.write(`\n=== ${suite.name}\n`);
  const started = Date.now();
  const counts = await runSuite(suite, extra);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  process.stdout.write(
    `=== ${suite.name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s\n`,
  );
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 ? 0 : 1);
