/**
 * `node test/bench/netfilter.ts`: one change of a large ruleset or set, over netlink and by the program that does the
 * same, in one run and in a network namespace of its own. Medians and 99th percentiles, in milliseconds.
 *
 * The ruleset: 1,000 endpoint chains reached by a verdict map, each with its own rules (`distinct`) or jumping to three
 * of 100 shared chains of 20 rules (`shared`). On each commit that adds a rule the kernel checks all chains that a base
 * chain reaches, hence the difference.
 */

import { execFileSync } from "node:child_process";
import { Ipset } from "../../linux/ipset/ipset.ts";
import { createNamespace, deleteNamespace, inNamespace } from "../../linux/namespace.ts";
import { Batch } from "../../linux/nf-tables/batch.ts";
import { interfaceData, u8, u16 } from "../../linux/nf-tables/data.ts";
import { cmp, lookup, meta, payload, verdict, verdictMap } from "../../linux/nf-tables/expression.ts";
import type { NftSet, Rule } from "../../linux/nf-tables/model.ts";
import { NfTables } from "../../linux/nf-tables/nf-tables.ts";

const ENDPOINTS = 1000;
const TABLE = { family: "ip", name: "bench" } as const;
const DISPATCH: NftSet = { name: "dispatch", key: ["ifname"], data: "verdict" };
const PEERS: NftSet = { name: "peers", key: ["ipv4_addr"] };

const rule = (port: number): Rule => ({
  expressions: [
    ...[meta("l4proto"), cmp("eq", u8(6))],
    ...[payload("network", 12, 4), lookup(PEERS.name)],
    ...[payload("transport", 2, 2), cmp("eq", u16(port)), verdict("accept")],
  ],
});

function timed(rounds: number, work: (i: number) => void): string {
  const times = Array.from({ length: rounds }, (_, i) => {
    const begun = performance.now();
    work(i);
    return performance.now() - begun;
  }).sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!.toFixed(2);
  return `${at(0.5)} / ${at(0.99)}`;
}

function load(tables: NfTables, layout: "distinct" | "shared"): string {
  const batch = new Batch();
  batch.addTable({ ...TABLE, flags: 0 });
  for (const set of [PEERS, DISPATCH]) batch.addSet(TABLE, set);
  if (layout === "shared") {
    for (let policy = 0; policy < 100; policy++) {
      batch.addChain(TABLE, { name: `policy${policy}` });
      for (let i = 0; i < 20; i++) batch.addRule(TABLE, `policy${policy}`, rule(i + 1));
    }
  }
  for (let endpoint = 0; endpoint < ENDPOINTS; endpoint++) {
    batch.addChain(TABLE, { name: `endpoint${endpoint}` });
    for (let i = 0; i < (layout === "shared" ? 3 : 20); i++) {
      const jump = { expressions: [verdict({ jump: `policy${(endpoint + i) % 100}` })] };
      batch.addRule(TABLE, `endpoint${endpoint}`, layout === "shared" ? jump : rule(i + 1));
    }
  }
  const elements = Array.from({ length: ENDPOINTS }, (_, i) => ({
    key: interfaceData(`cali${i}`),
    verdict: { goto: `endpoint${i}` },
  }));
  batch.addElements(TABLE, DISPATCH, elements);
  const base = { type: "filter", hook: "forward", priority: 0, policy: "accept" } as const;
  batch.addChain(TABLE, { name: "base", base });
  batch.addRule(TABLE, "base", { expressions: [meta("oifname"), verdictMap(DISPATCH.name)] });
  return timed(1, () => tables.commit(batch)).split(" ")[0]!;
}

function measureTables(namespace: string, layout: "distinct" | "shared"): Record<string, string> {
  using tables = NfTables.open({ namespace });
  const loaded = load(tables, layout);
  const chain = layout === "shared" ? "policy0" : "endpoint0";
  const replace = (i: number) => {
    const batch = new Batch();
    batch.flushChain(TABLE, chain);
    for (let port = 1; port <= 20; port++) batch.addRule(TABLE, chain, rule(port + i));
    tables.commit(batch);
  };
  const viaNft = (i: number) => {
    const rules = Array.from(
      { length: 20 },
      (_, port) => `add rule ip bench ${chain} ip saddr @peers tcp dport ${port + 1 + i} accept`,
    );
    const input = [`flush chain ip bench ${chain}`, ...rules].join("\n");
    inNamespace(namespace, () => execFileSync("nft", ["-f", "-"], { input }));
  };
  const element = (i: number) => {
    const batch = new Batch();
    batch.addElements(TABLE, PEERS, [{ key: (0x0a000000 + i).toString(16).padStart(8, "0") }]);
    tables.commit(batch);
  };
  const result = {
    [`${layout}: load`]: loaded,
    [`${layout}: replace a chain of 20 rules`]: timed(100, replace),
    [`${layout}: the same by nft -f`]: timed(10, viaNft),
    [`${layout}: add a set element`]: timed(200, element),
    [`${layout}: read all rules`]: timed(3, () => tables.rules(TABLE)),
  };
  const end = new Batch();
  end.deleteTable(TABLE);
  tables.commit(end);
  return result;
}

function measureIpset(namespace: string): Record<string, string> {
  using ipset = Ipset.open({ namespace });
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
  const all = Array.from({ length: 100_000 }, (_, i) => address(i));
  ipset.create({ name: "s", type: "hash:net", family: 4, maxElements: 1 << 20 });
  const filled = timed(1, () => ipset.add("s", "hash:net", all)).split(" ")[0]!;
  const one = (i: number) => {
    ipset.delete("s", "hash:net", [address(i)]);
    ipset.add("s", "hash:net", [address(i)]);
  };
  const viaProgram = (i: number) => {
    const input = `del s ${address(i)}\nadd s ${address(i)}\n`;
    inNamespace(namespace, () => execFileSync("ipset", ["restore", "-exist"], { input }));
  };
  return {
    "ipset: fill with 100,000": filled,
    "ipset: one out, one in": timed(500, one),
    "ipset: the same by ipset restore": timed(20, viaProgram),
    "ipset: headers": timed(50, () => ipset.headers()),
    "ipset: list": timed(3, () => ipset.elements("s", "hash:net")),
  };
}

const namespace = `cx-bench-${process.pid}`;
createNamespace(namespace);
try {
  const results = {
    ...measureTables(namespace, "distinct"),
    ...measureTables(namespace, "shared"),
    ...measureIpset(namespace),
  };
  const lines = Object.entries(results).map(([what, times]) => `${what.padEnd(40)} ${times}`);
  process.stdout.write(`${["ms: p50 / p99", ...lines].join("\n")}\n${JSON.stringify(results)}\n`);
} finally {
  deleteNamespace(namespace);
}
