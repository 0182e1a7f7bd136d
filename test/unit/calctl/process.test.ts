import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const PROGRAM = join(import.meta.dirname, "..", "..", "..", "calctl", "main.ts");

/** Two thousand policies, half a megabyte: no pipe holds that. */
const MANY = JSON.stringify(
  Array.from({ length: 2_000 }, (_, i) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkPolicy",
    metadata: { name: `p${i}` },
    spec: { selector: `app == 'app${i}'`, ingress: [{ action: "Allow" }] },
  })),
);

function convert() {
  const child = spawn(process.execPath, [PROGRAM, "convert", "-f", "-", "-o", "json"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {});
  child.stdin.end(MANY);
  return child;
}

describe("calctl as a process", function () {
  this.timeout(30_000);

  it("ends only when whoever reads it has taken everything", async () => {
    const child = convert();
    const ended = once(child, "close");
    // By now the pipe is full and the command has nothing left to do.
    await once(child.stdout, "readable");
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
    });
    assert.deepEqual(await ended, [0, null]);
    assert.equal(JSON.parse(text).items.length, 2_000);
  });

  it("ends well when nobody reads on", async () => {
    const child = convert();
    const ended = once(child, "close");
    child.stdout.once("data", () => child.stdout.destroy());
    assert.deepEqual(await ended, [0, null]);
  });
});
