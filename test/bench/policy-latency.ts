/**
 * `node test/bench/policy-latency.ts [--dataplane iptables|nftables] [--remote N] [--share N] [LOCAL...]`: from a change in the
 * datastore's stream to the kernel having it: the calculation, rendering and commit, with 10, 100 and 1,000 endpoints on
 * this host and 100,000 on others. Both iptables variants and nftables, for both IP versions, in a network namespace that
 * the benchmark enters as a whole.
 *
 * Changes, each the one thing that happened: `rule`, another port in the policy of one endpoint; `member`, an endpoint
 * of another host comes into a set that every local policy uses; `endpoint`, a workload starts here. Ten endpoints share
 * a policy of ten rules (`--share`; 1: each has one of its own), and all share one. Milliseconds; budget in DESIGN.md:
 * iptables p50 20, p99 50; nftables p50 3, p99 10.
 *
 * What it shows, on Linux 6.18: `calc` is flat in everything. Committing a rule is the kernel's time and grows with the
 * local rules: nf_tables validates the table by walking every path of jumps there is (perf: nft_chain_validate, 80 %,
 * 0.3 us for each rule on each path), once for each IP version; legacy copies the table.
 */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import type { Rule } from "../../crd-schemas/index.ts";
import { key } from "../../datastore/key.ts";
import type { Update } from "../../datastore/reflector.ts";
import { resolveConfig } from "../../felix/calc/config.ts";
import { CalcGraph } from "../../felix/calc/graph.ts";
import { createIptablesFilter } from "../../felix/dataplane/iptables/iptables-filter.ts";
import { createNftablesFilter, removeNftables } from "../../felix/dataplane/nftables/nftables-filter.ts";
import type { PacketFilter } from "../../felix/dataplane/packet-filter.ts";

const INSIDE = "CALYX_BENCH_NETNS";
const ROUNDS = 40;
/** Between changes: else each waits for the grace period in which the kernel frees what the one before replaced. */
const PAUSE_MS = 40;
const NODE = "bench";

/** iptables by variant. */
const DATAPLANES = { iptables: ["nft", "legacy"], nftables: ["nftables"] } as const;
type Dataplane = (typeof DATAPLANES)[keyof typeof DATAPLANES][number];

interface Load {
  readonly remote: number;
  /** Endpoints here that one policy is about. */
  readonly share: number;
}

interface Result {
  dataplane: Dataplane;
  local: number;
  remote: number;
  share: number;
  startMs: number;
  change: string;
  calcP50Ms: number;
  p50Ms: number;
  p99Ms: number;
}

const at = (list: readonly number[], part: number) =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))]!;

function put(
  kind: "WorkloadEndpoint" | "GlobalNetworkPolicy",
  name: string,
  rest: object,
  namespace?: string,
): Update {
  const metadata = {
    name,
    ...(namespace && { namespace }),
    ...("labels" in rest && { labels: rest.labels }),
  };
  const spec = (rest as { spec: object }).spec;
  const value = { apiVersion: "projectcalico.org/v3", kind, metadata, spec };
  return { type: "put", key: key(kind, name, namespace), value, revision: "1" } as unknown as Update;
}

function workload(node: string, pod: string, number: number, labels: object): Update {
  const address = `10.${100 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`;
  const v6 = `fd00::${(number >> 16).toString(16)}:${(number & 0xffff).toString(16)}`;
  const spec = {
    node,
    orchestrator: "k8s",
    pod,
    endpoint: "eth0",
    // Spread over the dispatch groups as hashed names are.
    interfaceName: `cali${(number % 16).toString(16)}${pod}`,
    ipNetworks: [`${address}/32`, `${v6}/128`],
    profiles: ["kns.default"],
  };
  return put("WorkloadEndpoint", `${node}-k8s-${pod}-eth0`, { labels, spec }, "default");
}

/** What the endpoints of one application are judged by; `generation` makes every round's text new. */
function policy(i: number, generation = 0): Update {
  const ingress: Rule[] = Array.from({ length: 10 }, (_, rule) => ({
    action: "Allow",
    protocol: "TCP",
    source: { selector: "role == 'peer'" },
    destination: { ports: [80, 1000 + 10 * rule + (rule === 5 ? generation + 100 : 0)] },
  }));
  return put("GlobalNetworkPolicy", `policy-${i}`, {
    spec: { selector: `app == 'app${i}'`, order: 1, ingress },
  });
}

const local = (i: number, app: number) => workload(NODE, `w${i}`, i, { app: `app${app}`, role: "here" });
const remote = (i: number) =>
  workload(`node${i % 100}`, `r${i}`, 65_536 + i, { app: `r${i}`, role: i % 10 === 0 ? "peer" : "other" });

async function createFilter(dataplane: Dataplane): Promise<PacketFilter> {
  const values = dataplane === "nftables" ? {} : { iptablesBackend: dataplane };
  const { config } = resolveConfig([{ source: "bench", values }]);
  return dataplane === "nftables" ? createNftablesFilter(config) : createIptablesFilter(config);
}

async function measure(
  dataplane: Dataplane,
  locals: number,
  { remote: remotes, share }: Load,
): Promise<Result[]> {
  const filter = await createFilter(dataplane);
  const graph = new CalcGraph({
    nodeName: NODE,
    onProblem: ({ message }) => {
      throw new Error(message);
    },
  });
  const all = put("GlobalNetworkPolicy", "all", {
    spec: {
      selector: "has(app)",
      types: ["Ingress", "Egress"],
      egress: [{ action: "Allow" }],
      ingress: [{ action: "Allow", protocol: "ICMP" }],
    },
  });
  const apps = Math.ceil(locals / share);
  const state = [
    all,
    ...range(apps).map(app => policy(app)),
    ...range(locals).map(i => local(i, i % apps)),
    ...range(remotes).map(remote),
  ];
  let begin = performance.now();
  graph.apply(state);
  filter.update(graph.drain());
  await filter.commit();
  const startMs = performance.now() - begin;

  const kinds: Record<string, (round: number) => Update> = {
    rule: round => policy((round * 7) % apps, round),
    member: round => workload("node1", `m${round}`, 131_072 + round, { role: "peer" }),
    endpoint: round => local(locals + round, round % apps),
  };
  const results: Result[] = [];
  for (const [change, make] of Object.entries(kinds)) {
    const total: number[] = [];
    const calc: number[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const update = make(round);
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
      begin = performance.now();
      graph.apply([update]);
      const changes = graph.drain();
      calc.push(performance.now() - begin);
      filter.update(changes);
      await filter.commit();
      total.push(performance.now() - begin);
    }
    const [p50Ms, p99Ms, calcP50Ms] = [at(total, 0.5), at(total, 0.99), at(calc, 0.5)];
    results.push({
      dataplane,
      local: locals,
      remote: remotes,
      share,
      startMs,
      change,
      calcP50Ms,
      p50Ms,
      p99Ms,
    });
  }
  filter.close?.();
  return results;
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Everything of ours, by the programs that made it. */
function wipe(dataplane: Dataplane): void {
  if (dataplane === "nftables") {
    removeNftables();
    return;
  }
  for (const version of ["iptables", "ip6tables"]) {
    for (const table of ["raw", "mangle", "nat", "filter"]) {
      execFileSync(`${version}-${dataplane}`, ["-t", table, "-F"]);
      execFileSync(`${version}-${dataplane}`, ["-t", table, "-X"]);
    }
  }
  // nf_tables lets go of sets a moment later.
  for (let i = 0; spawnSync("ipset", ["destroy"]).status !== 0; i++)
    if (i > 100) throw new Error("sets are left");
}

async function inside(
  dataplanes: readonly Dataplane[],
  locals: readonly number[],
  load: Load,
): Promise<void> {
  const row = (cells: (string | number)[]) =>
    cells.map((cell, i) => (i === 0 ? String(cell).padEnd(10) : String(cell).padStart(10))).join("");
  const results: Result[] = [];
  const print = (text: string) => process.stdout.write(`${text}\n`);
  print(row(["", "local", "remote", "share", "start", "change", "calc p50", "p50", "p99"]));
  for (const dataplane of dataplanes) {
    for (const count of locals) {
      for (const one of await measure(dataplane, count, load)) {
        results.push(one);
        const numbers = [one.calcP50Ms.toFixed(2), one.p50Ms.toFixed(2), one.p99Ms.toFixed(2)];
        print(
          row([dataplane, one.local, one.remote, one.share, one.startMs.toFixed(0), one.change, ...numbers]),
        );
      }
      wipe(dataplane);
    }
  }
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Math.round(value * 100) / 100 : value;
  print(JSON.stringify({ benchmark: "policy-latency", rounds: ROUNDS, results }, rounded));
}

/** Makes the namespace, runs this file in it, and removes it again, whatever happens. */
async function outside(args: readonly string[]): Promise<number> {
  const name = `cx${process.pid}-latency`;
  execFileSync("ip", ["netns", "add", name]);
  try {
    const command = [
      "netns",
      "exec",
      name,
      process.execPath,
      ...process.execArgv,
      import.meta.filename,
      ...args,
    ];
    const child = spawn("ip", command, { stdio: "inherit", env: { ...process.env, [INSIDE]: name } });
    return await new Promise(resolve => child.on("close", code => resolve(code ?? 1)));
  } finally {
    spawnSync("ip", ["netns", "del", name]);
  }
}

const args = process.argv.slice(2);
const own = process.env[INSIDE];
if (own === undefined) {
  process.exitCode = await outside(args);
} else {
  const actual = execFileSync("ip", ["netns", "identify", String(process.pid)], { encoding: "utf8" }).trim();
  if (actual !== own) throw new Error("not in the namespace of the benchmark: refusing to touch tables");
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      dataplane: { type: "string" },
      remote: { type: "string", default: "100000" },
      share: { type: "string", default: "10" },
    },
  });
  const asked = Object.entries(DATAPLANES).filter(([name]) => name === (values.dataplane ?? name));
  if (asked.length === 0) throw new Error(`--dataplane ${values.dataplane}: expected iptables or nftables`);
  const locals = positionals.length > 0 ? positionals.map(Number) : [10, 100, 1_000];
  await inside(
    asked.flatMap(([, dataplanes]) => dataplanes),
    locals,
    { remote: Number(values.remote), share: Number(values.share) },
  );
}
