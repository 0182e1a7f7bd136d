/** The program as users run it (bin/calctl, a configuration file or the environment) on a real etcd. */

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Etcd3 } from "etcd3";
import { EtcdServer, freePort } from "../datastore/etcd-server.ts";

const CALCTL = join(import.meta.dirname, "../../../bin/calctl");

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const POOL = "apiVersion: v1\nkind: ipPool\nmetadata:\n  cidr: 17.2.0.0/16\n";

describe("calctl on etcd", function () {
  this.timeout(30_000);
  let server: EtcdServer;
  let folder: string;
  before(async function () {
    if (!EtcdServer.installed()) {
      process.stderr.write("skipped: etcd is not installed\n");
      this.skip();
    }
    server = await EtcdServer.start();
    folder = mkdtempSync(join(tmpdir(), "calctl-etcd-"));
  });
  after(async () => {
    await server?.dispose();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  function calctl(
    argv: string[],
    { stdin = "", env = { ETCD_ENDPOINTS: server.endpoint } as Record<string, string> } = {},
  ): Promise<Ran> {
    return new Promise(resolve => {
      const child = execFile(
        CALCTL,
        argv,
        { cwd: folder, env: { PATH: process.env["PATH"] ?? "", ...env } },
        (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
      );
      child.stdin?.end(stdin);
    });
  }

  async function stored(path: string): Promise<string | null> {
    const etcd = new Etcd3({ hosts: server.endpoint });
    try {
      return await etcd.get(path).string();
    } finally {
      etcd.close();
    }
  }

  it("creates a v1 pool from stdin, under Calico's key", async () => {
    assert.deepEqual(await calctl(["create", "-f", "-"], { stdin: POOL }), {
      code: 0,
      stdout: "Successfully created 1 'IPPool' resource(s)\n",
      stderr: "",
    });
    const value = JSON.parse(
      String(await stored("/calico/resources/v3/projectcalico.org/ippools/17-2-0-0-16")),
    );
    assert.equal(value.spec.cidr, "17.2.0.0/16");
  });
  for (const [what, settings] of [
    ["with the prefix CALICO_", { datastore: "CALICO_DATASTORE_TYPE", endpoints: "CALICO_ETCD_ENDPOINTS" }],
    ["plain", { datastore: "DATASTORE_TYPE", endpoints: "ETCD_ENDPOINTS" }],
  ] as const)
    it(`finds etcd by the environment, ${what}`, async () => {
      const { stdout } = await calctl(["get", "ippool"], {
        env: { [settings.datastore]: "etcdv3", [settings.endpoints]: server.endpoint },
      });
      assert.equal(stdout, "NAME          CIDR          SELECTOR\n17-2-0-0-16   17.2.0.0/16   all()\n\n");
    });
  it("finds etcd by calicoctl's configuration file", async () => {
    writeFileSync(
      join(folder, "calicoctl.cfg"),
      `apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  datastoreType: etcdv3\n  etcdEndpoints: ${server.endpoint}\n`,
    );
    const { stdout } = await calctl(["get", "ippool", "-c", "calicoctl.cfg", "-o", "custom-columns=NAME"], {
      env: {},
    });
    assert.equal(stdout, "NAME\n17-2-0-0-16\n\n");
  });
  it("refuses to replace a version that someone has changed", async () => {
    const { stdout: old } = await calctl(["get", "ippool", "17-2-0-0-16", "-o", "yaml"]);
    assert.equal(
      (await calctl(["patch", "ippool", "17-2-0-0-16", "-p", '{"spec":{"natOutgoing":true}}'])).code,
      0,
    );
    const { code, stderr } = await calctl(["replace", "-f", "-"], { stdin: old });
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^failed to replace 'IPPool' resource: \[<stdin>:1:1: update conflict: IPPool\(17-2-0-0-16\)/,
    );
  });
  it("lets no label be lost that many set at once", async () => {
    const labels = ["a", "b", "c", "d"];
    await calctl(["create", "-f", "-"], {
      stdin: "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: host1}, spec: {}}",
    });
    const ran = await Promise.all(labels.map(label => calctl(["label", "node", "host1", `${label}=1`])));
    assert.deepEqual(
      ran.map(({ code, stderr }) => [code, stderr]),
      labels.map(() => [0, ""]),
    );
    const { metadata } = JSON.parse((await calctl(["get", "node", "host1", "-o", "json"])).stdout);
    assert.deepEqual(metadata.labels, { a: "1", b: "1", c: "1", d: "1" });
  });
  it("ends quietly when nobody reads on", async () => {
    const script = `"${CALCTL}" get ippool -o json | head -c 1`;
    const env = { ...process.env, ETCD_ENDPOINTS: server.endpoint };
    assert.equal(
      execFileSync("sh", ["-c", script], { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] }),
      "{",
    );
  });
  it("says in one sentence that etcd is away, soon", async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const started = performance.now();
    const { code, stdout, stderr } = await calctl(["get", "node"], { env: { ETCD_ENDPOINTS: endpoint } });
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^[^\n]*127\.0\.0\.1[^\n]*cannot be reached[^\n]*\n$/);
    assert.ok(performance.now() - started < 15_000);
  });
  it("prints both versions", async () => {
    const { code, stdout } = await calctl(["version"]);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^Client Version: {4}v\S+\nGit commit: .*\nCluster Version: .*\nCluster Type: .*\n$/,
    );
  });
});
