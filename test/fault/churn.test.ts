/**
 * Fifty endpoints and fifty policies come, change and go at random, felix is killed at random moments, and in one of the
 * labs it changes its dataplane all the time. Packets that must never pass never pass; of those that must always pass none is lost.
 *
 * CALYX_CHURN_SECONDS=600 is the long run (`make churn`; default 5 for each lab); CALYX_FAULT_SEED repeats one.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { workloadEndpointName } from "../../crd-schemas/index.ts";
import type { CalicoClient, Draft } from "../../datastore/client.ts";
import { isDatastoreError } from "../../datastore/errors.ts";
import { RunningPing } from "../../lab/demo/ping.ts";
import { Rtnetlink } from "../../linux/rtnetlink.ts";
import { eventually, TestLab } from "../system/test-lab.ts";
import { randomFrom } from "./random.ts";
import { EchoStream, FreshFlows, RunningAttack } from "./traffic.ts";

const SECONDS = Number(process.env["CALYX_CHURN_SECONDS"] ?? 5);
const SEED = Number(process.env["CALYX_FAULT_SEED"] ?? process.pid);
const ENDPOINTS = 50;
const POLICIES = 50;
const HOSTS = ["host1", "host2"];

/** What no policy here ever says: that an attacker may, or that a friend may not. */
const RULES: readonly object[] = [
  { action: "Allow", source: { selector: "role == 'friend'" } },
  { action: "Allow", protocol: "UDP", source: { selector: "role == 'friend' || has(churn)" } },
  { action: "Allow", source: { nets: ["203.0.113.0/24"], notNets: ["203.0.113.7/32"] } },
  {
    action: "Allow",
    protocol: "TCP",
    source: { selector: "has(churn)" },
    destination: { ports: ["1:1000"] },
  },
  { action: "Deny", source: { selector: "role == 'attacker'" } },
  { action: "Deny", protocol: "TCP", source: { notSelector: "role == 'friend'" } },
  { action: "Log", protocol: "SCTP" },
];
const SELECTORS = [
  "app == 'victim'",
  "all()",
  "has(app) || has(churn)",
  "churn in {'1', '2'}",
  "role != 'x'",
];

for (const mode of ["iptables", "nftables", "either"] as const) {
  describe(`churn under attack, ${mode === "either" ? "from one dataplane to the other" : mode}`, function () {
    this.timeout(120_000 + SECONDS * 2000);
    const random = randomFrom(SEED);
    const below = (n: number) => Math.floor(random() * n);
    const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T;
    let lab: TestLab;
    let client: CalicoClient;
    let isOver = false;
    let changes = 0;
    let kills = 0;
    let switches = 0;

    before(async () => {
      lab = await TestLab.up({ hosts: 2, ...(mode !== "either" && { dataplane: mode }) });
      client = await lab.client();
      await client.apply({
        kind: "Profile",
        metadata: { name: "kns.default" },
        spec: { egress: [{ action: "Allow" }], ingress: [{ action: "Allow" }] },
      });
      await client.apply({
        kind: "Tier",
        metadata: { name: "early" },
        spec: { order: 10, defaultAction: "Pass" },
      });
      await client.apply(policyOf("base", 1000, "app == 'victim'", [RULES[0] as object]));
      const serve = [
        { protocol: "tcp" as const, port: 80 },
        { protocol: "udp" as const, port: 53 },
      ];
      await Promise.all(
        HOSTS.flatMap((host, i) => {
          plug(lab.namespaceOf(host), i);
          return [
            lab.run(`victim${i + 1}`, { host, labels: { app: "victim" }, serve }),
            lab.run(`attacker${i + 1}`, { host, labels: { role: "attacker" } }),
            lab.run(`friend${i + 1}`, { host, labels: { role: "friend" } }),
          ];
        }),
      );
      await lab.expects({
        "friend1 -> victim1 tcp:80": "allow",
        "friend2 -> victim1 udp:53": "allow",
        "friend1 -> victim2 icmp": "allow",
        "attacker1 -> victim1 tcp:80": "deny",
        "attacker2 -> victim1 udp:53": "deny",
        "attacker1 -> victim2 icmp": "deny",
      });
    });

    after(() => lab?.end());

    const policyOf = (
      name: string,
      order: number,
      selector: string,
      ingress: readonly object[],
      tier = "default",
    ) =>
      ({
        kind: "GlobalNetworkPolicy",
        metadata: { name },
        spec: { tier, order, selector, types: ["Ingress"], ingress },
      }) as Draft<"GlobalNetworkPolicy">;

    const churnPolicy = async () => {
      const i = below(POLICIES);
      const tier = i % 3 === 0 ? "early" : "default";
      const name = tier === "early" ? `early.churn${i}` : `churn${i}`;
      if (random() < 0.3) return client.delete("GlobalNetworkPolicy", name);
      const rules = Array.from({ length: below(5) }, () => pick(RULES));
      return client.apply(policyOf(name, below(900), pick(SELECTORS), rules, tier));
    };

    const churnEndpoint = async () => {
      const i = below(ENDPOINTS);
      const identity = { node: pick(HOSTS), orchestrator: "lab", workload: `churn${i}`, endpoint: "eth0" };
      const name = workloadEndpointName(identity) as string;
      if (random() < 0.3) return client.delete("WorkloadEndpoint", name, "default");
      return client.apply({
        kind: "WorkloadEndpoint",
        metadata: { name, namespace: "default", labels: { churn: String(below(4)) } },
        spec: {
          ...identity,
          interfaceName: `calichurn${i}`,
          ipNetworks: [`10.200.${HOSTS.indexOf(identity.node)}.${i + 1}/32`],
          profiles: ["kns.default"],
        },
      });
    };

    const churn = async () => {
      while (!isOver) {
        try {
          await (random() < 0.5 ? churnPolicy() : churnEndpoint());
          changes++;
        } catch (error) {
          if (!isDatastoreError(error, "NOT_FOUND")) throw error;
        }
        await sleep(below(10));
      }
    };

    const kill = async () => {
      while (!isOver) {
        await sleep(below(800));
        const host = pick(HOSTS);
        await lab.kill(host, "felix");
        kills++;
        await sleep(below(300));
        await lab.start(host, "felix");
      }
    };

    let nftablesMode: "Enabled" | "Disabled" = "Disabled";
    const change = async () => {
      while (!isOver && mode === "either") {
        nftablesMode = nftablesMode === "Enabled" ? "Disabled" : "Enabled";
        await client.apply({
          kind: "FelixConfiguration",
          metadata: { name: "default" },
          spec: { nftablesMode },
        });
        switches++;
        await sleep(500 + below(1500));
      }
    };

    it(`lets nothing forbidden through and loses nothing allowed in ${SECONDS} s (seed ${SEED})`, async function () {
      const targets = ["icmp", "udp:53", "tcp:80"];
      const attacks: RunningAttack[] = [];
      for (const [from, to] of [
        ["attacker1", "victim1"],
        ["attacker2", "victim1"],
        ["attacker1", "victim2"],
      ] as const)
        attacks.push(await RunningAttack.start(lab, from, to, ...targets));
      const near = [
        new FreshFlows(lab, "friend1", "victim1", 53),
        new FreshFlows(lab, "friend2", "victim1", 53),
      ];
      const pings = [new RunningPing(lab, "friend1", lab.addressOf("victim2"), 0.01)];
      const streams = [
        new EchoStream(lab, "friend1", "victim1", 80),
        new EchoStream(lab, "friend2", "victim1", 80),
      ];
      const faults = Promise.all([churn(), kill(), change()]);
      await Promise.race([sleep(SECONDS * 1000), faults]);
      isOver = true;
      await faults;

      const troubles: string[] = [];
      let [attempts, sent] = [0, 0];
      for (const flows of near) {
        const result = await flows.stop();
        sent += result.sent;
        if (result.lost.length > 0) troubles.push(`${result.lost.length} of ${result.sent} fresh flows lost`);
      }
      for (const ping of pings) {
        const result = await ping.stop();
        sent += result.sent;
        // The last one may still be under way.
        if (result.sent - result.received > 1)
          troubles.push(`${result.sent - result.received} of ${result.sent} pings lost`);
      }
      for (const stream of streams) troubles.push((await stream.stop()) ?? "");
      for (const attack of attacks) {
        const result = await attack.stop();
        attempts += result.attempts;
        const [first] = result.successes;
        if (first)
          troubles.push(
            `${attack.name} came through ${result.successes.length} times: ${JSON.stringify(first)}`,
          );
      }
      assert.deepEqual(
        troubles.filter(trouble => trouble !== ""),
        [],
      );
      this.test!.title +=
        `: ${attempts} attempts besides pings, ${sent} allowed packets, ${changes} changes, ${kills} kills, ${switches} switches`;
    });

    it("leaves rules of one dataplane only", async () => {
      const isNft = mode === "nftables" || (mode === "either" && nftablesMode === "Enabled");
      const rules = async () => ({
        nftables: /table ip calico/.test(await lab.output("host1", "nft", "list", "tables")),
        iptables: /cali-/.test(await lab.output("host1", "iptables-nft-save")),
      });
      await eventually(rules, { nftables: isNft, iptables: !isNft });
      await lab.expects({ "friend2 -> victim1 tcp:80": "allow", "attacker2 -> victim1 tcp:80": "deny" });
    });
  });
}

/** Interfaces for the endpoints that come and go; they have their other ends beside them. */
function plug(namespace: string, host: number): void {
  using netlink = Rtnetlink.open({ namespace });
  for (let i = 0; i < ENDPOINTS; i++) {
    netlink.createVeth({ name: `calichurn${i}`, peerName: `churn${host}-${i}`, peerNamespace: namespace });
    netlink.setLink(`calichurn${i}`, { up: true });
    netlink.setLink(`churn${host}-${i}`, { up: true });
  }
}
