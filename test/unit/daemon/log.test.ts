import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const LOG = join(import.meta.dirname, "..", "..", "..", "daemon", "log.ts");
const PROGRAM = `
  const { createLogger } = await import(${JSON.stringify(LOG)});
  const logger = createLogger("felix", "Warning");
  logger.info("not this");
  for (const n of [1, 2]) logger.warn({ n }, "hello");
  process.stderr.write("went on");`;

function run(stdout: number | "pipe") {
  return spawnSync(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    stdio: ["ignore", stdout, "pipe"],
    encoding: "utf8",
    timeout: 10_000,
  });
}

describe("the log", () => {
  it("is one JSON object a line", () => {
    const lines = run("pipe").stdout.trimEnd().split("\n");
    const objects = lines.map(line => JSON.parse(line));
    assert.deepEqual(
      objects.map(({ name, level, n, msg }) => ({ name, level, n, msg })),
      [1, 2].map(n => ({ name: "felix", level: 40, n, msg: "hello" })),
    );
  });

  it("is not worth ending for: on a full disk lines are lost, and nothing else", () => {
    const full = openSync("/dev/full", "w");
    try {
      const { status, stderr } = run(full);
      assert.deepEqual({ status, stderr }, { status: 0, stderr: "went on" });
    } finally {
      closeSync(full);
    }
  });
});
