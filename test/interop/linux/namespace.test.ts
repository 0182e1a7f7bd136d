import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import {
  createNamespace,
  deleteNamespace,
  inNamespace,
  listNamespaces,
  namespaceExists,
  namespaceIdentity,
  openNamespace,
} from "../../../linux/namespace.ts";
import { readSysctl, writeSysctl } from "../../../linux/sysctl.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/namespace", () => {
  const scratch = new ScratchNamespaces();

  it("creates namespaces that `ip netns` sees, and stays outside", () => {
    const before = namespaceIdentity();
    const name = scratch.create();
    assert.equal(namespaceIdentity(), before);
    assert.notEqual(namespaceIdentity(name), before);
    assert.ok(namespaceExists(name));
    assert.ok(listNamespaces().includes(name));
    assert.match(execFileSync("ip", ["netns", "list"], { encoding: "utf8" }), new RegExp(`^${name}\\b`, "m"));
    // `ip netns exec` enters it, so it is a real one.
    execFileSync("ip", ["netns", "exec", name, "true"]);
  });

  it("sees and deletes namespaces made by `ip netns`", () => {
    const name = `cx${process.pid}-byip`;
    execFileSync("ip", ["netns", "add", name]);
    assert.ok(namespaceExists(name));
    assert.equal(deleteNamespace(name), true);
    assert.equal(namespaceExists(name), false);
    assert.equal(deleteNamespace(name), false);
    assert.doesNotMatch(execFileSync("ip", ["netns", "list"], { encoding: "utf8" }), new RegExp(name));
  });

  it("cleans up after a creator that was killed half-way", () => {
    const path = `/run/netns/cx${process.pid}-half`;
    writeFileSync(path, "");
    assert.equal(deleteNamespace(`cx${process.pid}-half`), true);
    assert.ok(!existsSync(path));
  });

  it("answers bad names and absent namespaces with typed errors", () => {
    const name = scratch.create();
    assert.throws(() => createNamespace(name), { code: "ALREADY_EXISTS" });
    assert.throws(() => createNamespace("a/b"), { code: "INVALID_NAME" });
    assert.throws(() => createNamespace(".."), { code: "INVALID_NAME" });
    assert.throws(() => inNamespace(`${name}-not`, () => 1), { code: "NOT_FOUND" });
    assert.throws(() => inNamespace("/etc/hostname", () => 1), { code: "NOT_FOUND" });
  });

  it("returns to the namespace before, not to the first one", () => {
    const [outer, inner] = [scratch.create(), scratch.create()];
    const machine = namespaceIdentity();
    const [outerId, innerId] = [namespaceIdentity(outer), namespaceIdentity(inner)];
    inNamespace(outer, () => {
      inNamespace(inner, () => assert.equal(namespaceIdentity(), innerId));
      assert.equal(namespaceIdentity(), outerId);
    });
    assert.equal(namespaceIdentity(), machine);
  });

  it("returns also when the function throws", () => {
    const name = scratch.create();
    const machine = namespaceIdentity();
    assert.throws(
      () =>
        inNamespace(name, () => {
          throw new RangeError("from inside");
        }),
      RangeError,
    );
    assert.equal(namespaceIdentity(), machine);
  });

  it("refuses an asynchronous function, most of which would run outside", () => {
    const name = scratch.create();
    assert.throws(() => inNamespace(name, async () => {}), { code: "ASYNCHRONOUS" });
  });

  it("takes a path and a descriptor for a namespace", () => {
    const name = scratch.create();
    const fd = openNamespace(name);
    try {
      assert.equal(namespaceIdentity(fd), namespaceIdentity(name));
      assert.equal(namespaceIdentity(`/run/netns/${name}`), namespaceIdentity(name));
    } finally {
      closeSync(fd);
    }
  });

  it("gives a child process the namespace", () => {
    const name = scratch.create();
    assert.equal(run(name, "readlink", "/proc/self/ns/net").trim(), namespaceIdentity(name));
  });

  it("is per thread: the main thread stays while a worker is inside", async () => {
    const name = scratch.create();
    const machine = namespaceIdentity();
    const signal = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(
      `import(process.argv[2]).then(({ inNamespace, namespaceIdentity }) => {
        const { workerData, parentPort } = require("node:worker_threads");
        inNamespace(workerData.name, () => {
          parentPort.postMessage(namespaceIdentity());
          Atomics.wait(workerData.signal, 0, 0, 4000);
        });
      });`,
      {
        eval: true,
        argv: [new URL("../../../linux/namespace.ts", import.meta.url).href],
        workerData: { name, signal },
      },
    );
    const inside = await new Promise(resolve => worker.once("message", resolve));
    assert.equal(inside, namespaceIdentity(name));
    assert.equal(namespaceIdentity(), machine);
    const exited = new Promise(resolve => worker.once("exit", resolve));
    Atomics.store(signal, 0, 1);
    Atomics.notify(signal, 0);
    await exited;
  });
});

describe("linux/sysctl", () => {
  const scratch = new ScratchNamespaces();

  it("reads and writes the namespace's own values, and only where they differ", () => {
    const [one, other] = [scratch.create(), scratch.create()];
    assert.equal(readSysctl("net/ipv4/ip_forward", { namespace: one }), "0");
    assert.equal(writeSysctl("net/ipv4/ip_forward", 1, { namespace: one }), true);
    assert.equal(writeSysctl("net/ipv4/ip_forward", 1, { namespace: one }), false);
    assert.equal(run(one, "cat", "/proc/sys/net/ipv4/ip_forward"), "1\n");
    assert.equal(readSysctl("net/ipv4/ip_forward", { namespace: other }), "0");
    assert.equal(writeSysctl("net/ipv4/ip_local_port_range", "20000 30000", { namespace: one }), true);
    assert.equal(writeSysctl("net/ipv4/ip_local_port_range", "20000 30000", { namespace: one }), false);
  });

  it("says what is wrong with a parameter", () => {
    const namespace = scratch.create();
    assert.throws(() => readSysctl("net/ipv4/conf/nolink/rp_filter", { namespace }), { code: "NOT_FOUND" });
    assert.throws(() => writeSysctl("net/ipv4/ip_forward", "maybe", { namespace }), {
      code: "INVALID_VALUE",
    });
    for (const bad of [
      "kernel/hostname",
      "net/../kernel/hostname",
      "/net/ipv4/ip_forward",
      "net",
      "net//x",
    ]) {
      assert.throws(() => readSysctl(bad, { namespace }), { code: "INVALID_NAME" }, bad);
    }
  });
});
