/**
 * `make bench-bgp [ARGS=--quick]`: our route reflector beside those found on this machine (bird, frr's bgpd, gobgpd) and beside a device
 * that does nothing, in network namespaces of its own. Needs root. The whole takes about a quarter of an hour, gobgpd most of it.
 *
 *   table-100k, table-1M   one client announces a table, another receives it
 *   mesh-200               200 clients announce 10 blocks each, until all have all
 *   churn-200              then one of them announces 1,000 more, and withdraws them: until all have seen it
 *   setup-200              200 sessions dialled at the same instant
 *   clients-1000           the mesh with 1,000 clients
 *   timers                 hold time 3 s: 1,000,000 prefixes to 4 clients; how long was anybody not heard from
 *
 * `wrong`: UPDATEs with a next hop that is no client's, or without an originator; `own back`: UPDATEs with routes of the client they were sent to.
 * Medians of 3 runs. `x bird` is the ratio to bird in this run. CPU and memory are the device's. The longest turn of the event loop is measured in one more
 * run of its own, since measuring it costs. The row `floor` is what the generator and Node's sockets take by themselves.
 */

import process from "node:process";
import { parseArgs } from "node:util";
import { DEVICES, type Device } from "./bgp/devices.ts";
import type { Job } from "./bgp/generator.ts";
import { type Outcome, runOnce, versionOf } from "./bgp/run.ts";

interface BenchCase {
  readonly name: string;
  readonly title: string;
  readonly job: Pick<Job, "case" | "clients" | "prefixes"> & Partial<Job>;
  /** What is shown, each a time in ms. */
  readonly times: readonly (readonly [
    name: string,
    of: (outcome: Outcome) => number | readonly number[] | undefined,
  ])[];
}

const ANNOUNCE = ["announce", (outcome: Outcome) => outcome.announceMs] as const;
const CHURN = [
  ["announce 1,000", (outcome: Outcome) => outcome.churnAnnounceMs],
  ["withdraw 1,000", (outcome: Outcome) => outcome.churnWithdrawMs],
] as const;
const SESSIONS = ["sessions", (outcome: Outcome) => outcome.setupMs] as const;

const table = (prefixes: number): BenchCase["job"] => ({ case: "table", clients: 2, prefixes });
const mesh = (clients: number): BenchCase["job"] => ({
  case: "mesh",
  clients,
  prefixes: 10,
  churn: 1000,
  pace: 4,
});

const CASES: readonly BenchCase[] = [
  {
    name: "table-100k",
    title: "100,000 prefixes, 1 sender, 1 receiver",
    job: table(100_000),
    times: [ANNOUNCE],
  },
  {
    name: "table-1M",
    title: "1,000,000 prefixes, 1 sender, 1 receiver",
    job: table(1_000_000),
    times: [ANNOUNCE],
  },
  {
    name: "mesh-200",
    title: "200 clients x 10 prefixes, then 1,000 of one",
    job: mesh(200),
    times: [ANNOUNCE, ...CHURN],
  },
  {
    name: "setup-200",
    title: "200 sessions at the same instant",
    job: { case: "setup", clients: 200, prefixes: 0, pace: 0 },
    times: [SESSIONS],
  },
  {
    name: "clients-1000",
    title: "1,000 clients x 10 prefixes, then 1,000 of one",
    job: mesh(1000),
    times: [SESSIONS, ANNOUNCE, ...CHURN],
  },
  {
    name: "timers",
    title: "hold time 3 s, 1,000,000 prefixes, 1 sender, 4 receivers",
    job: { case: "timers", clients: 5, prefixes: 1_000_000, holdTime: 3 },
    times: [
      ANNOUNCE,
      ["longest silence", outcome => outcome.silenceMs],
      ["generator late", outcome => outcome.generatorLateMs],
    ],
  },
];

/** Smaller, for a look in a minute or two. */
const QUICK: readonly BenchCase[] = [
  CASES[0]!,
  {
    name: "mesh-50",
    title: "50 clients x 10 prefixes, then 1,000 of one",
    job: mesh(50),
    times: [ANNOUNCE, ...CHURN],
  },
  {
    ...CASES[3]!,
    name: "setup-50",
    title: "50 sessions at the same instant",
    job: { ...CASES[3]!.job, clients: 50 },
  },
];

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    runs: { type: "string" },
    cases: { type: "string" },
    devices: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

if (options.help) {
  const names = (list: readonly { name: string }[]) => list.map(({ name }) => name).join(",");
  process.stdout.write(
    `node test/bench/bgp.ts [--quick] [--runs N] [--cases ${names(CASES)}] [--devices ${names(DEVICES)}]\n`,
  );
  process.exit(0);
}

const pick = <T extends { name: string }>(
  what: string,
  list: readonly T[],
  wanted: string | undefined,
): readonly T[] => {
  if (wanted === undefined) return list;
  return wanted.split(",").map(name => {
    const found = list.find(item => item.name === name);
    if (found === undefined)
      throw new Error(`no ${what} "${name}"; there are ${list.map(({ name }) => name).join(", ")}`);
    return found;
  });
};

const runs = Number(options.runs ?? (options.quick ? 1 : 3));
const cases = pick("case", options.quick ? [...QUICK, ...CASES] : CASES, options.cases).slice(
  0,
  options.quick && options.cases === undefined ? QUICK.length : undefined,
);
const devices = pick("device", DEVICES, options.devices).filter(({ program }) => program !== undefined);

const median = (list: readonly number[]) => list.toSorted((a, b) => a - b)[list.length >> 1];
const number = (value: number | undefined) =>
  value === undefined
    ? "-"
    : value >= 100
      ? value.toFixed(0)
      : value >= 10
        ? value.toFixed(1)
        : value.toFixed(2);

interface Row {
  readonly device: string;
  readonly error: string | undefined;
  readonly good: readonly Outcome[];
  readonly maxTurnMs: number | undefined;
}

async function measure(device: Device, { job }: BenchCase): Promise<Row> {
  const defaults = { churn: 0, churnRounds: 3, pace: 0, timeoutMs: 300_000, holdTime: 240 };
  const good: Outcome[] = [];
  let error: string | undefined;
  for (let run = 0; run < runs; run++) {
    try {
      const outcome = await runOnce(device, { ...defaults, ...job }, false);
      if (outcome.ok) good.push(outcome);
      else error ??= outcome.error;
    } catch (failure) {
      error ??= (failure as Error).message;
    }
  }
  const isNode = device.name === "calyx";
  const turns =
    isNode && good.length > 0 ? (await runOnce(device, { ...defaults, ...job }, true)).turns : undefined;
  return { device: device.name, error, good, maxTurnMs: turns?.maxMs };
}

function samples(row: Row, [, of]: BenchCase["times"][number]): number[] {
  return row.good.flatMap(outcome => of(outcome) ?? []);
}

function print({ title, times }: BenchCase, rows: readonly Row[]): void {
  const bird = rows.find(({ device }) => device === "bird");
  const headings = [
    "device",
    ...times.flatMap(([name]) => [`${name} ms`, "min-max", "x bird"]),
    "CPU ms",
    "idle MB",
    "peak MB",
    "messages",
    "max turn ms",
    "wrong",
    "own back",
  ];
  const lines = rows.map(row => {
    const of = (get: (outcome: Outcome) => number) => median(row.good.map(get));
    const cells = times.flatMap(time => {
      const own = samples(row, time);
      const [mine, theirs] = [median(own), bird && median(samples(bird, time))];
      const range = own.length < 2 ? "" : `${number(Math.min(...own))}-${number(Math.max(...own))}`;
      return [number(mine), range, mine !== undefined && theirs ? (mine / theirs).toFixed(2) : "-"];
    });
    // The floor adds no originator, as it is no reflector.
    const wrong = of(o => o.badNextHop + (row.device === "floor" ? 0 : o.noOriginator));
    const megabytes = (kilobytes: number | undefined) =>
      kilobytes === undefined ? "-" : (kilobytes / 1024).toFixed(0);
    return [
      row.device,
      ...cells,
      number(of(o => o.cpuMs)),
      megabytes(of(o => o.idleRssKb)),
      megabytes(of(o => o.peakRssKb)),
      String(of(o => o.messages) ?? "-"),
      number(row.maxTurnMs),
      String(wrong ?? "-"),
      String(of(o => o.ownRoutes) ?? "-"),
    ];
  });
  const widths = headings.map((heading, i) =>
    Math.max(heading.length, ...lines.map(line => line[i]!.length)),
  );
  const text = (cells: readonly string[]) =>
    `${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ")}\n`;
  process.stdout.write(`\n${title}\n${text(headings)}${lines.map(text).join("")}`);
  for (const { device, error, good } of rows)
    if (error !== undefined)
      process.stdout.write(`${device}: ${runs - good.length} of ${runs} runs failed: ${error}\n`);
}

const json: Record<string, unknown>[] = [];
const versions = Object.fromEntries(devices.map(device => [device.name, versionOf(device)]));
process.stdout.write(
  `${Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ")}; median of ${runs}\n`,
);
for (const bench of cases) {
  const rows: Row[] = [];
  for (const device of devices) {
    if (device.leavesOut?.includes(bench.name)) continue;
    rows.push(await measure(device, bench));
  }
  print(bench, rows);
  for (const row of rows) {
    const times = Object.fromEntries(
      bench.times.map(time => [time[0].replaceAll(/[ ,]+/g, "_"), median(samples(row, time))]),
    );
    const peakRssKb = median(row.good.map(outcome => outcome.peakRssKb));
    json.push({
      case: bench.name,
      device: row.device,
      ok: row.good.length,
      ...times,
      peakRssKb,
      maxTurnMs: row.maxTurnMs,
    });
  }
}
process.stdout.write(`\n${JSON.stringify({ benchmark: "bgp", runs, versions, results: json })}\n`);
