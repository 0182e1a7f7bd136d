/** Two agents where one should be: the second is refused in clear words, the first does not notice. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { collect, ROOT, TestLab } from "../system/test-lab.ts";

describe("a second agent", () => {
  let lab: TestLab;

  before(async () => {
    lab = await TestLab.up();
    await lab.createNetwork("net");
    await lab.run("a", { host: "host1", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    await lab.run("b", { host: "host2", network: "net" });
  });

  after(() => lab?.end());

  /** Starts a program of ours on a host, with some of its environment changed. */
  const start = (host: string, program: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) =>
    collect(
      lab.exec(host, [join(ROOT, "bin", program), ...args], { stdio: ["ignore", "pipe", "pipe"], env }),
    );

  for (const daemon of ["felix", "bgp"] as const) {
    it(`${daemon} on the same host says that one is running, and ends`, async () => {
      const ref = lab.state.process(`host1-${daemon}`);
      const { code, stdout } = await start("host1", daemon);
      assert.equal(code, 1);
      assert.match(stdout, new RegExp(`${daemon} is already running on this host`));
      assert.equal(stdout.trim().split("\n").length, 1, stdout);
      assert.deepEqual(lab.state.process(`host1-${daemon}`), ref);
      await lab.expects({ "b -> a tcp:80": "allow" });
    });
  }

  it("another host under a name that is taken is refused", async () => {
    const lib = join(lab.state.directory, "another-machine");
    const before = (await lab.calctl(["get", "node", "host1", "-o", "yaml"])).stdout;
    const { code, stdout, stderr } = await start("host2", "calctl", ["node", "register"], {
      NODENAME: "host1",
      CALICO_NODENAME_FILE: join(lib, "nodename"),
      CALYX_RUN_DIR: join(lib, "run"),
    });
    assert.equal(code, 1, stdout);
    assert.match(stderr, /another machine is running as node host1.*NODENAME/);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
    const address = /ipv4Address: \S+/;
    const after = (await lab.calctl(["get", "node", "host1", "-o", "yaml"])).stdout;
    assert.equal(address.exec(after)?.[0], address.exec(before)?.[0]);
    await lab.run("c", { host: "host1", network: "net" });
    await lab.expects({ "b -> a tcp:80": "allow", "b -> c icmp": "allow" });
  });
});
