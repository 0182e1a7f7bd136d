/** The bundled daemon, as users run it, finds its BFD thread beside it, and brings its sessions and BFD up with bird. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BfdLab, whatIsMissing } from "../../../bgp/node-bgp/test/kit/bfd-lab.ts";
import { exited, until } from "../../../bgp/node-bgp/test/kit/namespaces.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const SESSION = { ours: "10.99.0.1", theirs: "10.99.0.2" };

describe("bin/bgp with BFD", function () {
  this.timeout(60_000);
  let lab: BfdLab;
  let daemon: ChildProcess | undefined;

  before(function () {
    const missing = whatIsMissing("bird");
    if (missing === undefined) {
      lab = new BfdLab("bird");
      return;
    }
    process.stdout.write(`    skipped: needs ${missing}\n`);
    this.skip();
  });
  after(async () => {
    daemon?.kill("SIGKILL");
    if (daemon !== undefined) await exited(daemon);
    await lab?.close();
  });

  it("is up with bird, and down within the detection time of its end", async () => {
    await lab.peer.start({ sessions: [SESSION], bgp: true });
    const config = join(lab.cable.folder, "bgp.json");
    const peer = { address: SESSION.theirs, as: 64512, localAddress: SESSION.ours, bfd: { multihop: false } };
    writeFileSync(
      config,
      JSON.stringify({ as: 64512, routerId: SESSION.ours, listen: SESSION.ours, peers: [peer] }),
    );
    // In the namespace that this thread is in.
    daemon = spawn(process.execPath, [join(ROOT, "dist", "bgp.cjs"), "--config", config], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    const state = (wanted: string) =>
      until(
        `BFD ${wanted}`,
        async () => ((await lab.peer.state(SESSION)) === wanted ? Date.now() : undefined),
        20,
      );
    await state("Up");
    const killedAt = Date.now();
    daemon.kill("SIGKILL");
    assert.ok((await state("Down")) - killedAt < 900 + 250);
  });
});
