/**
 * Keep forwarding: pings and a TCP connection run through everything that can happen to the agents and to the datastore,
 * and lose nothing. The agents say once that the datastore is gone and once that it is back, and follow it again.
 *
 * CALYX_FAULT_ROUNDS=500 makes a campaign of the kills (default 6).
 */

import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { RunningPing } from "../../lab/demo/ping.ts";
import { signal } from "../../lab/process.ts";
import type { Daemon } from "../../lab/state.ts";
import { eventually, TestLab } from "../system/test-lab.ts";
import { EchoStream } from "./traffic.ts";

const ROUNDS = Number(process.env["CALYX_FAULT_ROUNDS"] ?? 6);
const HOSTS = ["host1", "host2"] as const;
const DAEMONS: readonly Daemon[] = ["felix", "bgp"];

for (const [datastore, dataplane] of [
  ["embedded", "nftables"],
  ["etcd", "iptables"],
] as const) {
  describe(`keeping packets moving, on the ${datastore} datastore, with ${dataplane}`, function () {
    this.timeout(60_000 + ROUNDS * 5_000);
    let lab: TestLab;
    let port = 1000;

    before(async () => {
      lab = await TestLab.up({ hosts: 2, datastore, dataplane });
      await lab.createNetwork("net");
      const serve = [{ protocol: "tcp" as const, port: 7 }];
      await lab.run("a", { host: "host1", network: "net", serve });
      await lab.run("b", { host: "host2", network: "net", serve });
      await lab.run("c", { host: "host1", network: "net", serve });
      await lab.expects({ "a -> b tcp:7": "allow", "c -> a icmp": "allow" });
    });

    after(() => lab?.end());

    /** Holds that established traffic, near and far, did not notice what `work` does. */
    const unnoticed = async (work: () => Promise<unknown>) => {
      const pings = [
        new RunningPing(lab, "a", lab.addressOf("b"), 0.01),
        new RunningPing(lab, "c", lab.addressOf("a"), 0.01),
      ];
      const streams = [new EchoStream(lab, "a", "b", 7), new EchoStream(lab, "b", "c", 7)];
      await sleep(100);
      let problem: unknown;
      await work().catch(error => {
        problem = error;
      });
      await sleep(300);
      const lost: string[] = [];
      for (const ping of pings) {
        const { sent, received } = await ping.stop();
        // The last one may still be under way.
        if (sent === 0 || sent - received > 1) lost.push(`${sent - received} of ${sent} pings lost`);
      }
      for (const stream of streams) lost.push((await stream.stop()) ?? "");
      assert.deepEqual(
        lost.filter(text => text !== ""),
        [],
      );
      if (problem !== undefined) throw problem;
    };

    /** A change made now takes effect. */
    const followsAgain = async () => {
      const target = `b -> a tcp:${++port}`;
      await lab.run(`n${port}`, { host: "host2", network: "net" });
      await lab.expects({ [`n${port} -> a tcp:7`]: "allow", [target]: "deny" });
      await lab.apply(
        `{ apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: { name: closed },
           spec: { selector: has(net), ingress: [{ action: Deny, protocol: UDP }, { action: Deny, source: { nets: [${lab.addressOf(`n${port}`)}/32] } }, { action: Pass }] } }`,
      );
      await lab.expects({ [`n${port} -> a tcp:7`]: "deny", "b -> a tcp:7": "allow" });
      await lab.delete("GlobalNetworkPolicy", "closed");
      await lab.expects({ [`n${port} -> a tcp:7`]: "allow" });
      await lab.remove(`n${port}`);
    };

    const said = (pattern: RegExp) =>
      Object.fromEntries(
        HOSTS.flatMap(host =>
          DAEMONS.map(daemon => [
            `${daemon} on ${host}`,
            lab.log(host, daemon).filter(({ msg }) => pattern.test(msg)).length,
          ]),
        ),
      );
    const LOST = /^lost the datastore/;
    const BACK = /^the datastore is back/;

    /** Takes the datastore away for a while; the agents must say so once, and once that it is back. */
    const outage = (away: () => Promise<unknown>, back: () => Promise<unknown>) =>
      unnoticed(async () => {
        const [lost, returned] = [said(LOST), said(BACK)];
        const once = (counts: Record<string, number>) =>
          Object.fromEntries(Object.entries(counts).map(([who, count]) => [who, count + 1]));
        await away();
        try {
          await eventually(() => said(LOST), once(lost), 5000);
          await sleep(1000);
        } finally {
          await back();
        }
        await eventually(() => said(BACK), once(returned));
        await followsAgain();
        assert.deepEqual([said(LOST), said(BACK)], [once(lost), once(returned)]);
      });

    /** Agents that start while there is no datastore wait for it, and leave in the kernel what is there. */
    const restartsWithout = async (away: () => Promise<unknown>, back: () => Promise<unknown>) => {
      await away();
      try {
        await Promise.all(HOSTS.flatMap(host => DAEMONS.map(daemon => lab.kill(host, daemon))));
      } finally {
        const started = Promise.all(HOSTS.flatMap(host => DAEMONS.map(daemon => lab.start(host, daemon))));
        started.catch(() => {});
        await sleep(2000);
        await back();
        await started;
      }
      await followsAgain();
    };

    it("while felix and bgp are killed and started, singly and together", () =>
      unnoticed(async () => {
        const orders: readonly (readonly Daemon[])[] = [["felix"], ["bgp"], ["felix", "bgp"]];
        for (let round = 0; round < ROUNDS; round++) {
          const daemons = orders[round % orders.length]!;
          const hosts = round % 4 === 3 ? HOSTS : [HOSTS[round % 2]!];
          const all = hosts.flatMap(host => daemons.map(daemon => [host, daemon] as const));
          await Promise.all(all.map(([host, daemon]) => lab.kill(host, daemon)));
          await sleep(Math.random() * 300);
          await Promise.all(all.map(([host, daemon]) => lab.start(host, daemon)));
          await sleep(Math.random() * 300);
        }
        await followsAgain();
      }));

    it("while they are told to stop, and started", () =>
      unnoticed(async () => {
        for (const host of HOSTS) {
          for (const daemon of DAEMONS) {
            const ref = lab.state.process(`${host}-${daemon}`)!;
            signal(ref, "SIGTERM");
            await eventually(() => signal(ref, "SIGCONT"), false);
            await lab.start(host, daemon);
          }
        }
        await followsAgain();
      }));

    it("while felix changes its configuration", () =>
      unnoticed(async () => {
        for (const seconds of [31, 32, 33, 34])
          await lab.apply(
            `{ apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: { name: default },
               spec: { iptablesRefreshInterval: ${seconds}s } }`,
          );
        await followsAgain();
      }));

    if (datastore === "embedded") {
      it("while another process keeps the datastore's file locked", () =>
        unnoticed(async () => {
          const database = new DatabaseSync(lab.datastoreEnvironment()["CALYX_DATASTORE_PATH"]!);
          try {
            database.exec("BEGIN EXCLUSIVE");
            const waiting = lab.createNetwork("waits");
            await Promise.all(DAEMONS.map(daemon => lab.kill("host1", daemon)));
            await Promise.all(DAEMONS.map(daemon => lab.start("host1", daemon)));
            await sleep(1500);
            database.exec("ROLLBACK");
            await waiting;
          } finally {
            database.close();
          }
          await followsAgain();
        }));

      const files = () => {
        const path = lab.datastoreEnvironment()["CALYX_DATASTORE_PATH"]!;
        return ["", "-wal", "-shm"].map(suffix => path + suffix);
      };
      const away = async () => files().forEach(file => void renameSync(file, `${file}.away`));
      const back = async () => files().forEach(file => void renameSync(`${file}.away`, file));

      it("while the datastore's file is away", () => outage(away, back));

      it("while the datastore's file is away and the agents are killed and started", () =>
        unnoticed(() => restartsWithout(away, back)));
    } else {
      it("while etcd is killed and started", () =>
        outage(
          () => lab.killEtcd(),
          () => lab.startEtcd(),
        ));

      it("while etcd answers nothing for some seconds", () =>
        unnoticed(async () => {
          const etcd = lab.state.process("etcd")!;
          signal(etcd, "SIGSTOP");
          await sleep(4000);
          signal(etcd, "SIGCONT");
          await followsAgain();
        }));

      it("while etcd is away and the agents are killed and started", () =>
        unnoticed(() =>
          restartsWithout(
            () => lab.killEtcd(),
            () => lab.startEtcd(),
          ),
        ));
    }
  });
}
