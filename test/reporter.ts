/** mocha's spec reporter, which at the end also writes down for run.ts how many tests there were, and which failed. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import Mocha from "mocha";

export interface Failure {
  /** As `-g` takes it. */
  readonly title: string;
  readonly message: string;
  /** Where in this repository: `test/unit/net/ip.test.ts:12:5`. */
  readonly at?: string;
}

export interface Report {
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
}

const ROOT = join(import.meta.dirname, "..", "/");

export default class Reporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const { report } = options.reporterOptions as { report: string };
    const failures: Failure[] = [];
    runner.on("fail", (test, { message, stack }: Error) => {
      const at = placeIn(stack);
      failures.push({ title: test.fullTitle(), message, ...(at !== undefined && { at }) });
    });
    runner.once("end", () => {
      const { passes: passed, pending: skipped } = this.stats;
      writeFileSync(report, JSON.stringify({ passed, skipped, failures } satisfies Report));
    });
  }
}

/** The first line of a stack that is neither Node's nor a package's. */
function placeIn(stack = ""): string | undefined {
  for (const line of stack.split("\n")) {
    const [, place] = /^\s+at .*?((?:file:\/\/)?\/[^()]*:\d+:\d+)\)?$/.exec(line) ?? [];
    for (const root of [ROOT, pathToFileURL(ROOT).href])
      if (place?.startsWith(root) && !place.includes("/node_modules/")) return place.slice(root.length);
  }
  return undefined;
}
