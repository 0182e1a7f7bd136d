/**
 * Commands that are killed half-way, at any moment: whatever they leave can be removed by the next one, and no address is
 * lost or given twice.
 *
 * CALYX_FAULT_ROUNDS=100 makes a campaign of it (default 12).
 */

import assert from "node:assert/strict";
import process from "node:process";
import { listNamespaces } from "../../linux/namespace.ts";
import { eventually, TestLab } from "../system/test-lab.ts";

const ROUNDS = Number(process.env["CALYX_FAULT_ROUNDS"] ?? 12);

describe("commands killed half-way", function () {
  this.timeout(60_000 + ROUNDS * 10_000);
  let lab: TestLab;

  const run = (killAfterMs: number | undefined, ...args: string[]) =>
    lab.calctl(["lab", "--name", lab.name, ...args], killAfterMs === undefined ? {} : { killAfterMs });

  const succeeds = async (...args: string[]) => {
    const { code, stderr } = await run(undefined, ...args);
    assert.equal(code, 0, `calctl lab ${args.join(" ")}: ${stderr}`);
  };

  /** How long a whole command takes decides when to kill it: evenly over that time, and a little beyond. */
  const moments = (wholeMs: number) =>
    Array.from({ length: ROUNDS }, (_, i) => Math.round(((i + Math.random()) / ROUNDS) * wholeMs * 1.1));

  beforeEach(() => {
    lab = new TestLab();
  });

  afterEach(() => lab.end());

  it("calctl lab up: down removes what there is", async () => {
    for (const [i, ms] of moments(2500).entries()) {
      await run(ms, "up", "--hosts", "2", "--datastore", i % 3 === 2 ? "etcd" : "embedded");
      await succeeds("down");
      await eventually(() => lab.leftBehind(), []);
    }
  });

  it("calctl lab down: the next one does the rest", async () => {
    for (const ms of moments(400).slice(0, Math.ceil(ROUNDS / 2))) {
      await lab.up({ hosts: 1 });
      await run(ms, "down");
      await succeeds("down");
      await eventually(() => lab.leftBehind(), []);
      await lab.close();
    }
  });

  it("calctl lab run and remove: no namespace, endpoint or address stays", async () => {
    await lab.up({ hosts: 2 });
    await lab.createNetwork("net");
    await lab.run("stays", { host: "host1", network: "net", serve: [{ protocol: "tcp", port: 80 }] });
    const addresses = async () => (await lab.calctl(["ipam", "show"])).stdout;
    const before = await addresses();
    const known = (name: string) => lab.state.workloads().some(workload => workload.name === name);
    for (const [i, ms] of moments(600).entries()) {
      const name = `w${i}`;
      const host = `host${1 + (i % 2)}`;
      const started = await run(ms, "run", name, "--host", host, "--network", "net", "--serve", "tcp:80");
      if (i % 3 === 0 && !known(name)) await succeeds("run", name, "--host", host, "--network", "net");
      assert.ok(started.code !== 0 || known(name));
      if (i % 2 === 0 && known(name)) await run(Math.random() * 250, "remove", name);
      if (known(name)) await succeeds("remove", name);
      assert.ok(!known(name));
    }
    const client = await lab.client();
    const { items } = await client.list("WorkloadEndpoint");
    assert.deepEqual(
      items.map(({ spec }) => spec?.workload),
      ["stays"],
    );
    assert.deepEqual(
      listNamespaces().filter(name => name.startsWith(`cx-${lab.name}.w-`)),
      [`cx-${lab.name}.w-stays`],
    );
    // Blocks stay with their hosts, empty; addresses do not.
    assert.match(before, /\S/);
    const { code, stdout, stderr } = await lab.calctl(["ipam", "check"]);
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /found 0 problems/i);
    await lab.run("last", { host: "host2", network: "net" });
    await lab.expects({ "last -> stays tcp:80": "allow" });
  });

  it("calctl apply: whole or not at all, and done by the next one", async () => {
    await lab.up({ hosts: 1 });
    const policy = (i: number) =>
      `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: p${i} }, spec: { order: ${i} } }`;
    const yaml = Array.from({ length: 200 }, (_, i) => policy(i)).join("\n---\n");
    const names = async () =>
      (await (await lab.client()).list("GlobalNetworkPolicy")).items.map(({ metadata }) => metadata.name);
    for (const killAfterMs of moments(400).slice(0, Math.ceil(ROUNDS / 2)))
      await lab.calctl(["apply", "-f", "-"], { stdin: yaml, killAfterMs });
    assert.ok((await names()).length <= 200);
    await lab.apply(yaml);
    assert.equal((await names()).length, 200);
  });
});
