/** A datastore that is not there, is no datastore, or is full: one sentence for the user, no harm to the network. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fetchStatus } from "../../daemon/status-server.ts";
import { RunningPing } from "../../lab/demo/ping.ts";
import { isAlive } from "../../lab/process.ts";
import { calctl, eventually, type Result, ROOT, TestLab } from "../system/test-lab.ts";

const POLICY =
  "{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: p }, spec: { selector: has(none) } }";

/** One sentence on standard error, and exit code 1. */
function assertRefused({ code, stderr, stdout }: Result, sentence: RegExp): void {
  assert.equal(code, 1, stdout + stderr);
  assert.match(stderr, sentence);
  assert.equal(stderr.trim().split("\n").length, 1, stderr);
}

describe("a datastore that cannot be used", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "calyx-fault-"));
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Reading and writing alike say the same. */
  const refuses = async (env: Record<string, string>, sentence: RegExp) => {
    assertRefused(await calctl(["get", "nodes"], { env }), sentence);
    const applied = await calctl(["apply", "-f", "-"], { env, stdin: POLICY });
    assert.equal(applied.code, 1);
    assert.match(applied.stderr + applied.stdout, sentence);
    assert.doesNotMatch(applied.stderr, /\n {4}at /);
  };

  it("no etcd at the endpoint", () =>
    refuses(
      { ETCD_ENDPOINTS: "http://127.0.0.1:1" },
      /etcd at http:\/\/127\.0\.0\.1:1 cannot be reached: connection refused/,
    ));

  it("an endpoint whose name nobody knows", () =>
    refuses(
      { ETCD_ENDPOINTS: "http://etcd.invalid:2379" },
      /etcd at http:\/\/etcd\.invalid:2379 cannot be reached/,
    ));

  it("something else at the endpoint", async () => {
    const server = createServer(socket => void socket.end("220 mail.example.org ESMTP\r\n"));
    await new Promise<void>(resolve => void server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    await refuses(
      { ETCD_ENDPOINTS: `http://127.0.0.1:${port}` },
      /etcd at http:\/\/127\.0\.0\.1:\d+ cannot be/,
    );
    server.close();
  });

  it("an endpoint that is none", () =>
    refuses({ ETCD_ENDPOINTS: "not an endpoint" }, /ETCD_ENDPOINTS: "not an endpoint" is not an endpoint/));

  it("a type that does not exist", () =>
    refuses(
      { DATASTORE_TYPE: "paper" },
      /unknown datastore type "paper", expected embedded, etcdv3 or kubernetes/,
    ));

  it("a file that is something else", () => {
    const path = join(folder, "text");
    writeFileSync(path, "This is not a database. ".repeat(200));
    return refuses({ CALYX_DATASTORE_PATH: path }, /text/);
  });

  it("a path that is a folder", () => refuses({ CALYX_DATASTORE_PATH: folder }, /calyx-fault-/));

  it("a path below a file", () => {
    writeFileSync(join(folder, "file"), "");
    return refuses({ CALYX_DATASTORE_PATH: join(folder, "file", "datastore.db") }, /file/);
  });
});

describe("the embedded datastore on a full disk", () => {
  let folder: string;
  let lab: TestLab;
  let formerFolder: string | undefined;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "calyx-fault-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "calyx-fault", folder]);
    formerFolder = process.env["CALYX_LAB_DIR"];
    process.env["CALYX_LAB_DIR"] = join(folder, "labs");
    mkdirSync(join(folder, "labs"));
    lab = await TestLab.up();
    await lab.createNetwork("net");
    await lab.run("a", { host: "host1", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    await lab.run("b", { host: "host2", network: "net" });
    await lab.expects({ "b -> a tcp:80": "allow" });
  });

  after(async () => {
    await lab?.end();
    if (formerFolder === undefined) delete process.env["CALYX_LAB_DIR"];
    else process.env["CALYX_LAB_DIR"] = formerFolder;
    if (existsSync(folder)) {
      execFileSync("umount", [folder]);
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("is said in one sentence; the agents go on, take deletions, and follow once there is room", async () => {
    const ping = new RunningPing(lab, "b", lab.addressOf("a"), 0.01);
    const ballast = join(folder, "ballast");
    const agents = ["host1-felix", "host1-bgp", "host2-felix", "host2-bgp"].map(
      name => lab.state.process(name)!,
    );
    await lab.apply(POLICY.replace("name: p ", "name: old "));
    for (let free = 1; free > 0; ) {
      free = statfsSync(folder).bavail * statfsSync(folder).bsize;
      try {
        writeFileSync(ballast, Buffer.alloc(Math.max(4096, free)), { flag: "a" });
      } catch {
        break;
      }
    }
    // What the write-ahead log still has room for is taken; then there is none.
    let refused: Result | undefined;
    for (let i = 0; i < 300 && refused === undefined; i++) {
      const rules = "{ action: Deny, source: { nets: [203.0.113.0/24] } }, ".repeat(200);
      const yaml = POLICY.replace("name: p ", `name: p${i} `).replace(
        "spec: {}",
        `spec: { selector: has(none), ingress: [${rules}] }`,
      );
      const result = await lab.calctl(["apply", "-f", "-"], { stdin: yaml });
      if (result.code !== 0) refused = result;
    }
    assert.ok(refused, "never full");
    assert.match(refused.stderr + refused.stdout, /disk is full|no space|full/i);
    assert.doesNotMatch(refused.stderr, /\n {4}at /);
    assertRefused(
      await lab.calctl(["lab", "--name", lab.name, "run", "c", "--host", "host1"]),
      /full|no space/i,
    );
    await lab.expects({ "b -> a tcp:80": "allow" });
    await lab.delete("GlobalNetworkPolicy", "old");
    assert.ok(
      agents.every(ref => isAlive(ref)),
      "an agent ended",
    );
    // One that has to start now, and has nowhere to write its log, starts all the same.
    await lab.kill("host1", "felix");
    const log = openSync(lab.state.hostPath("host1", "felix.log"), "a");
    const felix = lab.exec("host1", [join(ROOT, "bin", "felix")], { stdio: ["ignore", log, log] });
    closeSync(log);
    const socket = lab.state.hostPath("host1", "run", "felix.sock");
    await eventually(async () => (await fetchStatus(socket, "/readiness"))?.code, 204);
    await lab.expects({ "b -> a tcp:80": "allow" });
    const ended = once(felix, "exit");
    felix.kill("SIGKILL");
    await ended;
    unlinkSync(ballast);
    await lab.start("host1", "felix");
    await lab.run("c", { host: "host2", network: "net" });
    await lab.expects({ "c -> a tcp:80": "allow" });
    const { sent, received } = await ping.stop();
    assert.ok(sent - received <= 1, `${sent - received} of ${sent} pings lost`);
    assert.ok(
      agents.slice(1).every(ref => isAlive(ref)),
      "an agent ended",
    );
  });
});
