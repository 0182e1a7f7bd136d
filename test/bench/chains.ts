/**
 * `node test/bench/chains.ts [CHAINS...]`: a chain of 10 rules replaced among 200 and 2,000, all reachable from FORWARD, by
 * felix/iptables-ts and, as the floor of anything that starts a program per change, by a bare `iptables-restore
 * --noflush` that is handed the same text ready-made. Both variants, in a network namespace of its own, which the
 * benchmark enters as a whole so that no `ip netns exec` is measured.
 *
 * Each round waits a moment before each commit, as changes come in life: p50, p99. "sustained": one right after the other.
 * "plan" is the library's own work, with nothing behind it. The two take turns, so that a slow moment of the machine
 * hits both. Times in milliseconds.
 */

import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  createRunner,
  detectBackend,
  Iptables,
  parseSave,
  type Rule,
  rule,
  type Variant,
} from "../../felix/iptables-ts/index.ts";

const INSIDE = "CALYX_BENCH_NETNS";
const ROUNDS = 25;
const SUSTAINED = 25;
const PAUSE_MS = 30;
const RULES = 10;

interface Result {
  variant: Variant;
  chains: number;
  loadMs: number;
  checkMs: number;
  planMs: number;
  p50Ms: number;
  p99Ms: number;
  floorP50Ms: number;
  floorP99Ms: number;
  ratio: number;
  sustainedPerSecond: number;
  floorSustainedPerSecond: number;
}

const at = (list: readonly number[], part: number) =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))]!;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}

/** Rules as a policy renders them; `generation` makes every round's text new. */
function policy(chain: number, generation: number): Rule[] {
  return Array.from({ length: RULES }, (_, i) =>
    rule()
      .protocol("tcp")
      .source(`10.${chain >> 8}.${chain & 255}.${i}`)
      .destinationPorts([80, [8000 + generation, 9000 + generation]])
      .setMark(0x10000),
  );
}

function define(iptables: Iptables, chains: number): void {
  const filter = iptables.table("filter");
  const jumps: Rule[] = [];
  for (let i = 0; i < chains; i++) {
    filter.setChain(`bench-${i}`, policy(i, 0));
    jumps.push(rule().mark(i).jump(`bench-${i}`));
  }
  filter.setChain("bench-all", jumps);
  filter.setInsertions("FORWARD", [rule().jump("bench-all")]);
}

async function measure(variant: Variant, chains: number): Promise<Result> {
  const run = createRunner();
  const backend = await detectBackend({ ipVersion: 4, variant, run });
  let sent = "";
  const spy = {
    ...backend,
    restore: (text: string) => {
      sent = text;
      return backend.restore(text);
    },
  };
  const options = { tables: ["filter"], chainPrefix: "bench-", hashPrefix: "bench:" } as const;
  const iptables = new Iptables({ backend: spy, ...options });
  define(iptables, chains);
  const loadMs = await timed(() => iptables.apply());

  // The same work with nothing behind it: what this library itself costs.
  const dry = new Iptables({
    backend: { ...backend, save: async () => "", restore: async () => {} },
    ...options,
  });
  define(dry, chains);
  await dry.apply();

  const ours: number[] = [];
  const floor: number[] = [];
  const plan: number[] = [];
  const changed = chains >> 1;
  const bare = async (text: string) => {
    const { code, stderr } = await run(`iptables-${variant}-restore`, ["--noflush"], text);
    if (code !== 0) throw new Error(stderr);
  };
  const pause = () => new Promise(resolve => setTimeout(resolve, PAUSE_MS));
  for (let round = 1; round <= ROUNDS; round++) {
    await pause();
    iptables.table("filter").setChain(`bench-${changed}`, policy(changed, round));
    ours.push(await timed(() => iptables.apply()));
    const text = sent;
    await pause();
    floor.push(await timed(() => bare(text)));
    dry.table("filter").setChain(`bench-${changed}`, policy(changed, round));
    plan.push(await timed(() => dry.apply()));
  }
  const perSecond = async (commit: (i: number) => Promise<unknown>) => {
    const total = await timed(async () => {
      for (let i = 1; i <= SUSTAINED; i++) await commit(i);
    });
    return (SUSTAINED * 1000) / total;
  };
  const sustainedPerSecond = await perSecond(i => {
    iptables.table("filter").setChain(`bench-${changed}`, policy(changed, ROUNDS + i));
    return iptables.apply();
  });
  const last = sent;
  const floorSustainedPerSecond = await perSecond(() => bare(last));
  const checkMs = await timed(async () => {
    const differing = await iptables.check();
    if (differing.length > 0) throw new Error(`the kernel differs: ${differing}`);
  });
  await wipe(backend);
  const p50 = at(ours, 0.5);
  return {
    variant,
    chains,
    loadMs,
    checkMs,
    planMs: at(plan, 0.5),
    p50Ms: p50,
    p99Ms: at(ours, 0.99),
    floorP50Ms: at(floor, 0.5),
    floorP99Ms: at(floor, 0.99),
    ratio: p50 / at(floor, 0.5),
    sustainedPerSecond,
    floorSustainedPerSecond,
  };
}

/** Deletes what the benchmark made, in its own words: an instance that wants nothing. */
async function wipe(backend: Awaited<ReturnType<typeof detectBackend>>): Promise<void> {
  await new Iptables({
    backend,
    tables: ["filter"],
    chainPrefix: "bench-",
    hashPrefix: "bench:",
  }).apply();
  const left = parseSave(await backend.save("filter")).get("filter");
  const count = [...(left?.keys() ?? [])].filter(name => name.startsWith("bench-")).length;
  if (count > 0) throw new Error(`${count} chains were left behind`);
}

async function inside(sizes: readonly number[]): Promise<void> {
  const results: Result[] = [];
  for (const variant of ["nft", "legacy"] as const)
    for (const chains of sizes) results.push(await measure(variant, chains));
  const row = (cells: (string | number)[]) =>
    cells.map((c, i) => (i === 0 ? String(c).padEnd(8) : String(c).padStart(10))).join("");
  const lines = [
    row([
      "",
      "chains",
      "load",
      "check",
      "plan",
      "p50",
      "p99",
      "floor p50",
      "floor p99",
      "ratio",
      "sust./s",
      "floor/s",
    ]),
    ...results.map(r =>
      row([
        r.variant,
        r.chains,
        r.loadMs.toFixed(0),
        r.checkMs.toFixed(0),
        r.planMs.toFixed(2),
        r.p50Ms.toFixed(1),
        r.p99Ms.toFixed(1),
        r.floorP50Ms.toFixed(1),
        r.floorP99Ms.toFixed(1),
        r.ratio.toFixed(2),
        r.sustainedPerSecond.toFixed(0),
        r.floorSustainedPerSecond.toFixed(0),
      ]),
    ),
    JSON.stringify({ benchmark: "chains", rounds: ROUNDS, rules: RULES, results }, (_, value) =>
      typeof value === "number" ? Math.round(value * 100) / 100 : value,
    ),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Makes the namespace, runs this file in it, and removes it again, whatever happens. */
async function outside(args: readonly string[]): Promise<number> {
  const name = `cx${process.pid}-bench`;
  execFileSync("ip", ["netns", "add", name]);
  try {
    const command = ["netns", "exec", name, process.execPath, import.meta.filename, ...args];
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
  await inside(args.length > 0 ? args.map(Number) : [200, 2000]);
}
