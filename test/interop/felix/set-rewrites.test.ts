/**
 * Sets while packets look into them: whatever becomes of a set, a member that stays is in it at every moment. The reader is a rule that
 * counts packets for which it was not.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { netlinkSets } from "../../../felix/dataplane/iptables/netlink-sets.ts";
import {
  createIpSetBackend,
  createRunner,
  type IpSetBackend,
  IpSets,
} from "../../../felix/iptables-ts/index.ts";
import { Ipset } from "../../../linux/ipset/ipset.ts";
import { run, ScratchNamespaces } from "../linux/scratch-namespace.ts";

/** On demand a million: `CALYX_SET_MEMBERS=1000000`. */
const MANY = Number(process.env["CALYX_SET_MEMBERS"] ?? 50_000);
const SET = "cali40reader";
const MEMBER = "10.0.0.5";

for (const by of ["netlink", "the ipset program"] as const) {
  describe(`sets while packets look into them, by ${by}`, function () {
    this.timeout(120_000);
    const scratch = new ScratchNamespaces();
    let namespace: string;
    let sets: IpSets;
    let ipset: Ipset;
    let reader: ChildProcess | undefined;

    before(() => {
      namespace = scratch.create();
      ipset = Ipset.open({ namespace });
      const programs = (): IpSetBackend =>
        createIpSetBackend({ run: createRunner({ prefix: ["ip", "netns", "exec", namespace] }) });
      const backend = by === "netlink" ? netlinkSets(ipset) : programs();
      sets = new IpSets({ backend, ipVersion: 4, prefix: "cali40", tempPrefix: "cali4t" });
      run(namespace, "ip", "link", "set", "lo", "up");
      run(namespace, "ip", "addr", "add", `${MEMBER}/32`, "dev", "lo");
    });
    after(() => {
      reader?.kill();
      ipset?.close();
    });

    const maxElements = 2 * MANY + 10;
    const others = (count: number, first = 0) =>
      Array.from({ length: count }, (_, i) => {
        const n = first + i;
        return `11.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
      });
    /** Packets that a rule counted. */
    const count = (rule: string) => {
      const line = run(namespace, "iptables-nft-save", "-c")
        .split("\n")
        .find(text => text.includes(rule));
      return Number(line?.slice(1, line.indexOf(":")));
    };

    it("are never without a member that stays: not when members come and go, not when the set is made anew", async () => {
      sets.setMembers(SET, { type: "hash:net", maxElements }, [MEMBER]);
      await sets.applyUpdates();
      for (const not of [["!"], []])
        run(
          namespace,
          "iptables-nft",
          "-A",
          "OUTPUT",
          "-p",
          "udp",
          "-m",
          "set",
          ...not,
          "--match-set",
          SET,
          "dst",
        );
      const flood = `import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nwhile True: s.sendto(b"x",("${MEMBER}",9))`;
      reader = spawn("ip", ["netns", "exec", namespace, "python3", "-c", flood], { stdio: "ignore" });
      while (count("-m set --match-set") < 1_000) await setTimeout(10);
      for (let round = 0; round < 20; round++) {
        // By differences; by another parameter; by more changes than members.
        sets.addMembers(SET, others(20, 20 * round));
        await sets.applyUpdates();
        sets.setMembers(SET, { type: "hash:net", maxElements: maxElements + 1 + round }, [
          MEMBER,
          ...others(50),
        ]);
        await sets.applyUpdates();
        sets.setMembers(SET, { type: "hash:net", maxElements: maxElements + 1 + round }, [
          MEMBER,
          ...others(3, 90_000),
        ]);
        await sets.applyUpdates();
        // The member's network in place of the member, its halves in place of the network.
        for (const nets of [["10.0.0.0/24"], ["10.0.0.0/25", "10.0.0.128/25"], [MEMBER]]) {
          sets.setMembers(SET, { type: "hash:net", maxElements: maxElements + 1 + round }, nets);
          await sets.applyUpdates();
        }
        // By somebody else's hand: what he added goes, what he made wrong is made anew.
        run(namespace, "ipset", "add", SET, "12.0.0.0/8");
        assert.deepEqual(await sets.check(), [SET]);
        await sets.applyUpdates();
      }
      assert.ok(count("-m set --match-set") > 2_000, "packets that were looked up");
      assert.equal(count("-m set ! --match-set"), 0);
    });

    it(`hold ${MANY.toLocaleString("en")} members, and change by one at the cost of one`, async () => {
      const members = [MEMBER, ...others(MANY)];
      const begun = performance.now();
      sets.setMembers(SET, { type: "hash:net", maxElements }, members);
      await sets.applyUpdates();
      const filled = performance.now();
      sets.addMembers(SET, ["13.0.0.1"]);
      await sets.applyUpdates();
      const changed = performance.now();
      assert.deepEqual(await sets.check(), []);
      const checked = performance.now();
      const header = ipset.headers().find(({ name }) => name === SET);
      assert.deepEqual([header?.elements, header?.maxElements], [MANY + 2, maxElements]);
      assert.equal(count("-m set ! --match-set"), 0);
      const ms = (from: number, to: number) => `${(to - from).toFixed(1)} ms`;
      this.tests.at(-1)!.title +=
        ` (${ms(begun, filled)}; one more ${ms(filled, changed)}; read ${ms(changed, checked)})`;
    });
  });
}
