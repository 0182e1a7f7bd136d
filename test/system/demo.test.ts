/** The experiment as a user starts it: one program, on either datastore, that cleans up or leaves the lab up. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { calctl, collect, eventually, ROOT, TestLab } from "./test-lab.ts";

describe("the demo", () => {
  const demo = (lab: TestLab, ...args: string[]) =>
    collect(
      spawn(process.execPath, [join(ROOT, "lab", "demo", "main.ts"), "--name", lab.name, ...args], {
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
  let lab: TestLab;

  beforeEach(() => {
    lab = new TestLab();
  });

  afterEach(() => lab.end());

  it("passes on etcd, and leaves nothing", async () => {
    const { code, stdout } = await demo(lab, "--datastore", "etcd");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /(\d+) of \1 checks ok/);
    assert.deepEqual(lab.leftBehind(), []);
  });

  it("passes on the embedded datastore, and leaves the lab up where asked to", async () => {
    const { code, stdout } = await demo(lab, "--keep");
    assert.equal(code, 0, stdout);
    assert.match(stdout, /(\d+) of \1 checks ok/);
    const listed = await calctl(["lab", "list"]);
    assert.ok(listed.stdout.split("\n").includes(lab.name), listed.stdout);
    // What it tells its user to try.
    assert.match((await lab.calctl(["get", "profiles"])).stdout, /^cal-net1-/m);
    const ping = ["exec", "bbox1", "--", "ping", "-c", "1", lab.addressOf("bbox2")];
    assert.match((await calctl(["lab", "--name", lab.name, ...ping])).stdout, /ttl=62/);
    assert.deepEqual(await calctl(["lab", "--name", lab.name, "down"]), { code: 0, stdout: "", stderr: "" });
    await eventually(() => lab.leftBehind(), []);
  });
});
