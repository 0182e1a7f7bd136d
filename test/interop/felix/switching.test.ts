/** From one dataplane to the other while packets flow: no gap, nothing lost, nothing left. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { choosePacketFilter } from "../../../felix/dataplane/choose.ts";
import { createRunner } from "../../../felix/iptables-ts/index.ts";
import { eventually } from "../../system/test-lab.ts";
import { profile, workload } from "../../unit/felix/calc/resources.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";
import { type DataplaneKind, FelixHost, Pod } from "./host.ts";

describe("felix on a real kernel: from one dataplane to the other", function () {
  this.timeout(60_000);
  const scratch = new ScratchNamespaces();
  let host: FelixHost | undefined;
  afterEach(async () => {
    await host?.stop();
    host = undefined;
  });

  it("is without a gap, and leaves nothing", async () => {
    const namespace = scratch.create();
    const pods = {
      a: new Pod(scratch, namespace, "a", ["10.65.0.1"]),
      b: new Pod(scratch, namespace, "b", ["10.65.0.2"]),
      c: new Pod(scratch, namespace, "c", ["10.65.0.3"]),
    };
    const start = async (kind: DataplaneKind) => {
      await host?.stop();
      host = await FelixHost.create(namespace, kind, { takesOver: true });
      await host.start(
        profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }),
        profile("closed", { ingress: [{ action: "Allow" }], egress: [{ action: "Deny" }] }),
        workload("a", { address: "10.65.0.1", profiles: ["open"] }),
        workload("b", { address: "10.65.0.2", profiles: ["open"] }),
        workload("c", { address: "10.65.0.3", profiles: ["closed"] }),
      );
    };
    await start("nft");
    const never = pinging(pods.c.namespace, "10.65.0.1");
    const always = pinging(pods.b.namespace, "10.65.0.1");

    const nothingOfIptables = () => eventually(() => leftOfIptables(namespace), [] as string[]);
    const hasTables = () => /calico/.test(run(namespace, "nft", "list", "tables"));
    await start("nftables");
    await nothingOfIptables();
    assert.equal(hasTables(), true);
    await start("legacy");
    await eventually(hasTables, false);
    const whole = leftOfIptables(namespace);
    assert.notDeepEqual(whole, []);
    // And back while iptables' rules are still being removed.
    await start("nftables");
    await start("legacy");
    await eventually(hasTables, false);
    assert.deepEqual(leftOfIptables(namespace), whole);
    await start("nftables");
    await nothingOfIptables();

    const [forbidden, allowed] = [await never.stop(), await always.stop()];
    assert.ok(forbidden.sent > 10 && allowed.sent > 10, "else it says nothing");
    assert.equal(forbidden.received, 0);
    // The last one may have been on its way.
    assert.ok(allowed.sent - allowed.received <= 1, JSON.stringify(allowed));
  });

  it("is decided by configuration, by what is installed, and by where kube-proxy has its rules", async () => {
    const namespace = scratch.create();
    const run = createRunner({ prefix: ["ip", "netns", "exec", namespace] });
    const choose = (nftablesMode: "Auto" | "Enabled" | "Disabled", programs = run) =>
      choosePacketFilter({ nftablesMode }, { namespace, run: programs });
    const nothingInstalled = () => Promise.reject(new Error("spawn iptables ENOENT"));
    assert.equal(await choose("Enabled"), "nftables");
    assert.equal(await choose("Disabled", nothingInstalled), "iptables");
    assert.equal(await choose("Auto"), "iptables");
    assert.equal(await choose("Auto", nothingInstalled), "nftables");
    await run("nft", ["add", "table", "ip", "kube-proxy"]);
    assert.equal(await choose("Auto"), "nftables");
  });
});

function leftOfIptables(namespace: string): string[] {
  const programs = [
    "iptables-nft-save",
    "ip6tables-nft-save",
    "iptables-legacy-save",
    "ip6tables-legacy-save",
  ];
  const lines = programs.flatMap(program => run(namespace, program).split("\n"));
  lines.push(...run(namespace, "ipset", "list", "-n").split("\n"));
  return lines.filter(line => line.includes("cali")).sort();
}

/** Every 20 ms, until told to stop. */
function pinging(namespace: string, address: string) {
  const child = spawn("ip", ["netns", "exec", namespace, "ping", "-i", "0.02", "-n", address], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  child.stdout.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise(resolve => child.on("close", resolve));
  return {
    async stop(): Promise<{ sent: number; received: number }> {
      child.kill("SIGINT");
      await ended;
      const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(text) ?? [];
      return { sent: Number(sent), received: Number(received) };
    },
  };
}
