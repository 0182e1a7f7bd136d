/**
 * `node test/bench/bgp-kernel.ts [COUNT]`: how long it takes from a neighbor's first UPDATE until all of its routes are in the
 * kernel. The neighbor is a bird with that many static routes, enabled by birdc; the one measured is the bgp daemon in
 * datastore mode, and bird with a kernel protocol, in the same run by turns, each in a fresh namespace of its own.
 *
 * Counted from outside, by /proc/PID/net/fib_triestat, every 10 ms. CPU seconds are the measured process's own, from birdc's
 * answer until all routes are in. "withdrawn": until the last one is out again.
 */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openEmbedded } from "../../datastore/embedded/open.ts";
import { key } from "../../datastore/key.ts";
import { createNamespace, deleteNamespace, inNamespace } from "../../linux/namespace.ts";

const ROUNDS = 3;
const COUNT = Number(process.argv[2] ?? 100_000);
const REPOSITORY = join(import.meta.dirname, "../..");
const TICKS_PER_SECOND = 100;

interface Outcome {
  readonly seconds: number;
  readonly cpu: number;
  readonly withdrawn: number;
  readonly megabytes: number;
}

const [generatorNamespace, measuredNamespace] = [`cxbk${process.pid}g`, `cxbk${process.pid}m`];
const running: ChildProcess[] = [];

function ip(namespace: string, ...args: string[]): void {
  inNamespace(namespace, () => execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] }));
}

function launch(
  namespace: string,
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = {},
): ChildProcess {
  const child = inNamespace(namespace, () =>
    spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] }),
  );
  running.push(child);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  running.splice(running.indexOf(child), 1);
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** Prefixes in the main table, the kernel's count. */
function routesSeenBy(child: ChildProcess): number {
  const text = readFileSync(`/proc/${child.pid}/net/fib_triestat`, "utf8");
  return Number(/Prefixes:\s+(\d+)/.exec(text.slice(text.indexOf("Main:")))?.[1] ?? 0);
}

function cpuSeconds(child: ChildProcess): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function peakMegabytes(child: ChildProcess): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1]) / 1024;
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 60_000; !isTrue(); ) {
    if (performance.now() > deadline) throw new Error(`${what}: not in 60 s`);
    await sleep(10);
  }
}

const folder = mkdtempSync(join(tmpdir(), "calyx-bench-"));

function birdc(name: string, ...command: string[]): string {
  return execFileSync("birdc", ["-s", join(folder, `${name}.ctl`), ...command], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
}

function bird(namespace: string, name: string, config: string): ChildProcess {
  writeFileSync(join(folder, `${name}.conf`), config);
  return launch(namespace, "bird", [
    "-f",
    "-c",
    join(folder, `${name}.conf`),
    "-s",
    join(folder, `${name}.ctl`),
  ]);
}

const session = (own: number, asn: number, other: number, otherAsn: number, channel: string) => `
  router id 10.0.0.${own};
  protocol device {}
  protocol direct { ipv4; }
  protocol bgp peer {
    local 10.0.0.${own} as ${asn}; neighbor 10.0.0.${other} as ${otherAsn};
    connect delay time 1; connect retry time 1; ipv4 { ${channel} };
  }`;

/** Prefixes of several lengths in 10.64.0.0/10, as blocks and workloads are. */
function prefix(i: number): string {
  const length = [26, 28, 30, 32][i & 3]!;
  const n = 0x0a400000 + i * 64;
  return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}/${length}`;
}

async function startDaemon(round: number): Promise<ChildProcess> {
  const path = join(folder, `datastore-${round}.db`);
  const datastore = await openEmbedded({ path });
  const put = (kind: "Node" | "BGPPeer", name: string, spec: object) =>
    datastore.create(key(kind, name), { apiVersion: "projectcalico.org/v3", kind, metadata: { name }, spec });
  await put("Node", "m", { bgp: { ipv4Address: "10.0.0.1/24" } });
  await put("BGPPeer", "g", { peerIP: "10.0.0.2", asNumber: 64513 });
  await datastore.close();
  return launch(measuredNamespace, process.execPath, [join(REPOSITORY, "bgp/main.ts")], {
    DATASTORE_TYPE: "embedded",
    CALYX_DATASTORE_PATH: path,
    CALYX_RUN_DIR: join(folder, `run-${round}`),
    NODENAME: "m",
  });
}

async function measure(who: "calyx" | "bird", round: number): Promise<Outcome> {
  const name = `generator-${who}-${round}`;
  createNamespace(generatorNamespace);
  createNamespace(measuredNamespace);
  try {
    const [near, far] = [measuredNamespace, generatorNamespace];
    ip(near, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", far);
    for (const [i, namespace] of [near, far].entries()) {
      ip(namespace, "addr", "add", `10.0.0.${i + 1}/24`, "dev", "eth0");
      ip(namespace, "link", "set", "eth0", "up");
      ip(namespace, "link", "set", "lo", "up");
    }
    const statics = Array.from({ length: COUNT }, (_, i) => `route ${prefix(i)} blackhole;`).join("\n");
    const generator = bird(
      generatorNamespace,
      name,
      `${session(2, 64513, 1, 64512, "import none; export where source = RTS_STATIC;")}
       protocol static many { disabled; ipv4; ${statics} }`,
    );
    const measured =
      who === "calyx"
        ? await startDaemon(round)
        : bird(
            measuredNamespace,
            `measured-${round}`,
            `${session(1, 64512, 2, 64513, "import all; export none;")}
             protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; merge paths on; }`,
          );
    await until("the session", () => {
      try {
        return birdc(name, "show", "protocols", "peer").includes("Established");
      } catch {
        return false; // Its control socket is not there yet.
      }
    });
    await sleep(1000);
    const before = routesSeenBy(measured);
    const cpu = cpuSeconds(measured);
    const begin = performance.now();
    birdc(name, "enable", "many");
    await until("all routes", () => routesSeenBy(measured) === before + COUNT);
    const seconds = (performance.now() - begin) / 1000;
    const used = cpuSeconds(measured) - cpu;
    await sleep(500);
    const again = performance.now();
    birdc(name, "disable", "many");
    await until("no routes", () => routesSeenBy(measured) === before);
    const withdrawn = (performance.now() - again) / 1000;
    const megabytes = peakMegabytes(measured);
    await end(measured);
    await end(generator);
    return { seconds, cpu: used, withdrawn, megabytes };
  } finally {
    for (const child of [...running]) await end(child);
    deleteNamespace(generatorNamespace);
    deleteNamespace(measuredNamespace);
  }
}

const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;

try {
  const outcomes = { calyx: [] as Outcome[], bird: [] as Outcome[] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const who of ["calyx", "bird"] as const) outcomes[who].push(await measure(who, round));
  }
  const of = (who: "calyx" | "bird", what: keyof Outcome) =>
    median(outcomes[who].map(outcome => outcome[what]));
  const cell = (value: number, digits: number) => value.toFixed(digits).padStart(12);
  const lines = [
    `${COUNT} routes learned over BGP until they are in the kernel, median of ${ROUNDS}`,
    `${"".padEnd(8)}${["in s", "CPU s", "out s", "peak MB"].map(text => text.padStart(12)).join("")}`,
  ];
  for (const who of ["calyx", "bird"] as const) {
    const row = [of(who, "seconds"), of(who, "cpu"), of(who, "withdrawn")].map(value => cell(value, 2));
    lines.push(`${who.padEnd(8)}${row.join("")}${cell(of(who, "megabytes"), 0)}`);
  }
  const rounded = (value: number) => Math.round(value * 1000) / 1000;
  const numbers = {
    seconds: rounded(of("calyx", "seconds")),
    bird_seconds: rounded(of("bird", "seconds")),
    ratio: rounded(of("calyx", "seconds") / of("bird", "seconds")),
    withdrawn: rounded(of("calyx", "withdrawn")),
    bird_withdrawn: rounded(of("bird", "withdrawn")),
  };
  lines.push(JSON.stringify({ benchmark: "bgp-kernel", count: COUNT, ...numbers }));
  process.stdout.write(`${lines.join("\n")}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
