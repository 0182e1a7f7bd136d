/** What the README has a stranger type, on our side and on bird's, peers. Needs root and bird 2. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Cable, exited, until } from "./kit/namespaces.ts";

const README = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");

/** The first block of a language, on the addresses of the cable. */
function block(language: string): string {
  const text = README.split(`\`\`\`${language}\n`)[1]?.split("```")[0];
  assert(text !== undefined, `a block of ${language}`);
  return text.replaceAll("192.0.2.", "10.99.0.");
}

describe("the README", function () {
  this.timeout(30_000);

  it("lets a stranger peer with bird", async function () {
    try {
      execFileSync("bird", ["--version"], { stdio: "ignore" });
    } catch {
      process.stdout.write("    skipped: needs bird\n");
      this.skip();
    }
    if (process.getuid?.() !== 0) this.skip();
    const cable = new Cable();
    try {
      const config = join(cable.folder, "bird.conf");
      writeFileSync(config, block("bird"));
      const folder = join(cable.folder, "run");
      mkdirSync(folder);
      cable.spawn(cable.right, "bird", [
        "-f",
        "-c",
        config,
        "-s",
        join(folder, "ctl"),
        "-P",
        join(folder, "pid"),
      ]);
      const us = cable.spawn(
        cable.left,
        process.execPath,
        ["--input-type=module-typescript", "--eval", block("ts")],
        "inherit",
      );
      const seen: string[] = [];
      createInterface({ input: us.stdout! }).on("line", line => seen.push(line.trimEnd()));
      // Who dials is chance, and so are the states on the way.
      const shown = block("text")
        .trim()
        .split("\n")
        .filter(line => /Established|via/.test(line));
      assert.equal(shown.length, 3);
      await until(
        "what the README shows",
        () => (shown.every(line => seen.includes(line)) ? true : undefined),
        15,
      );
      us.kill("SIGKILL");
      await exited(us);
    } finally {
      cable.remove();
    }
  });
});
