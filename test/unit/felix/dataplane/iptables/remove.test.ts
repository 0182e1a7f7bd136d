import assert from "node:assert/strict";
import { removeIptables } from "../../../../../felix/dataplane/iptables/remove.ts";
import { FakeKernel } from "../../../../../felix/iptables-ts/test/fake-kernel.ts";
import { Calculation, pool, workload } from "../../calc/resources.ts";
import { FilteringKernel } from "./kernel.ts";

describe("felix/dataplane/iptables/remove", () => {
  async function used(...backends: ("NFT" | "Legacy")[]): Promise<FakeKernel> {
    const kernel = new FakeKernel();
    for (const iptablesBackend of backends) {
      const filtering = await FilteringKernel.restart(kernel, { iptablesBackend });
      await filtering.commit(new Calculation().apply(workload("a"), pool("p", "10.0.0.0/16", true)));
    }
    kernel.edit("filter", ":DOCKER - -", "-A FORWARD -j DOCKER", ":felix-old - -", "-A INPUT -j felix-old");
    kernel.sets.set("theirs", { type: "hash:ip", family: "inet", maxelem: 1, members: new Set() });
    return kernel;
  }
  const ours = (kernel: FakeKernel, program: string) =>
    ["raw", "mangle", "nat", "filter"].flatMap(table =>
      [...kernel.table(table, program)].flatMap(([chain, rules]) =>
        [chain, ...rules].filter(text => /cali|felix/.test(text)),
      ),
    );

  it("takes rules and sets of both variants and versions away, and others' stay", async () => {
    // In this order: each sweeps what it finds of the other.
    const kernel = await used("Legacy");
    kernel.installed.legacy = false;
    await (await FilteringKernel.restart(kernel)).commit(new Calculation().apply(workload("a")));
    kernel.installed.legacy = true;
    const removed = await removeIptables({ run: kernel.run });
    for (const program of ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]) {
      assert.deepEqual(ours(kernel, program), []);
      assert.ok(removed.includes(`${program}/filter/cali-FORWARD`), program);
    }
    assert.ok(removed.includes("ipset/cali40masq-ipam-pools"));
    assert.deepEqual([...kernel.sets.keys()], ["theirs"]);
    assert.deepEqual(kernel.rules("filter", "FORWARD"), ["-j DOCKER"]);
    assert.deepEqual(await removeIptables({ run: kernel.run }), []);
  });

  it("does what it can where a variant is not installed", async () => {
    const kernel = await used("NFT");
    kernel.installed.legacy = false;
    await removeIptables({ run: kernel.run });
    assert.deepEqual(ours(kernel, "iptables-nft"), []);
  });

  it("is what happens to the other variant where the host has changed from one to the other", async () => {
    const kernel = await used("Legacy");
    assert.ok(ours(kernel, "iptables-legacy").length > 0);
    const filtering = await FilteringKernel.restart(kernel, { iptablesBackend: "NFT" });
    await filtering.commit(new Calculation().apply(workload("a"), pool("p", "10.0.0.0/16", true)));
    assert.deepEqual(ours(kernel, "iptables-legacy"), []);
    assert.ok(ours(kernel, "iptables-nft").length > 0);
    assert.equal(filtering.filter.pending, false);
  });
});
