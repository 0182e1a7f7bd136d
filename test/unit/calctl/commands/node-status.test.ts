/** `calctl node status` over real sockets, in the layout that scripts parse (calico.md appendix F). */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BirdView } from "../../../../bgp/bird/commands.ts";
import { type BirdSockets, serveBirdSockets } from "../../../../bgp/bird/socket.ts";
import { Cluster } from "../harness.ts";

const SINCE = new Date(2026, 10, 21, 12, 0, 0).getTime();

function view(ipVersion: 4 | 6): BirdView {
  const neighbors = [
    { address: "10.0.0.2", name: "Mesh_10_0_0_2", state: "Established", since: SINCE },
    { address: "10.0.0.99", name: "Global_10_0_0_99", state: "Connect", since: SINCE },
  ];
  return {
    version: "calyx",
    ipVersion,
    now: SINCE + 1000,
    startedAt: SINCE,
    configuredAt: SINCE,
    routerId: "10.0.0.1",
    neighbors: neighbors as unknown as BirdView["neighbors"],
    routes: () => [],
    paths: () => [],
  };
}

describe("calctl node status", () => {
  const folder = mkdtempSync(join(tmpdir(), "calctl-node-"));
  const problems: string[] = [];
  const status = (...argv: string[]) =>
    new Cluster().calctl(["node", "status", "--bird-socket", folder, ...argv]);
  const serve = () =>
    serveBirdSockets(folder, "calyx", view, (path, reason) => problems.push(`${path} ${reason}`));
  let sockets: BirdSockets | undefined;

  beforeEach(() => {
    problems.length = 0;
  });
  afterEach(async () => {
    await sockets?.close();
    sockets = undefined;
  });
  after(() => rmSync(folder, { recursive: true }));

  it("prints calicoctl's tables", async () => {
    sockets = await serve();
    assert.equal(
      (await status()).stdout,
      `Calico process is running.

IPv4 BGP status
+--------------+-------------------+-------+----------+-------------+
| PEER ADDRESS |     PEER TYPE     | STATE |  SINCE   |    INFO     |
+--------------+-------------------+-------+----------+-------------+
| 10.0.0.2     | node-to-node mesh | up    | 12:00:00 | Established |
| 10.0.0.99    | global            | start | 12:00:00 | Connect     |
+--------------+-------------------+-------+----------+-------------+

IPv6 BGP status
No IPv6 peers found.

`,
    );
  });

  it("is JSON where asked", async () => {
    sockets = await serve();
    const { ipv4, ...rest } = JSON.parse((await status("-o", "json")).stdout);
    assert.deepEqual(rest, { running: true, ipv6: [] });
    assert.deepEqual(ipv4[0], {
      peerAddress: "10.0.0.2",
      peerType: "node-to-node mesh",
      state: "up",
      since: "12:00:00",
      info: "Established",
    });
  });

  it("says so where nothing runs", async () => {
    const { code, stderr } = await status();
    assert.equal(code, 1);
    assert.match(stderr, /^Calico process is not running/);
    assert.equal(JSON.parse((await status("-o", "json")).stdout).running, false);
  });

  it("does not take the place of a bird that is alive, and takes that of a dead one", async () => {
    sockets = await serve();
    const second = await serve();
    assert.deepEqual(second.paths, []);
    assert.match(problems.join(), /bird.ctl .*EADDRINUSE/);
    await second.close();
    assert.equal((await status()).code, 0);

    // A server that closes removes its file: one that was killed leaves it, as `listen` without `close` does here.
    await sockets.close();
    const { spawnSync } = await import("node:child_process");
    const path = JSON.stringify(join(folder, "bird.ctl"));
    const script = `require("net").createServer().listen(${path}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    sockets = await serve();
    assert.equal(sockets.paths.length, 2);
    assert.equal((await status()).code, 0);
  });

  it("leaves a file alone that is no socket", async () => {
    const file = join(folder, "bird.ctl");
    writeFileSync(file, "mine");
    sockets = await serve();
    assert.deepEqual(sockets.paths, [join(folder, "bird6.ctl")]);
    rmSync(file);
  });

  it("does not wait for ever for who does not answer", async function () {
    this.timeout(10_000);
    const silent = createServer(() => {}).listen(join(folder, "bird.ctl"));
    try {
      assert.equal((await status()).code, 1);
    } finally {
      silent.close();
    }
  });
});
