/** One run: a network, a device in it, the generator against it, and everything gone afterwards. */

import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import type { Device } from "./devices.ts";
import type { Job, Result } from "./generator.ts";
import { ASN, addressText, clientAddress } from "./load.ts";
import { BenchNetwork } from "./network.ts";

export interface Turns {
  readonly maxMs: number;
  readonly p99Ms: number;
}

export type Outcome = Result & { readonly turns?: Turns | undefined };

const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
/** What a device does right after its start is not measured. */
const WARM_MS = 1500;

let runs = 0;

/** @param measureTurns load turns.ts into the device, which has to be a Node program */
export async function runOnce(
  device: Device,
  job: Omit<Job, "asn" | "pids" | "settleMs">,
  measureTurns: boolean,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), "bench-bgp-"));
  const network = new BenchNetwork(`cxb${process.pid}-${runs++}`, job.clients);
  let started: ChildProcess | undefined;
  // Ctrl-C must not leave namespaces, nor a device in them.
  const onSignal = () => {
    started?.kill("SIGKILL");
    network.remove();
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  };
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    const peers = Array.from({ length: job.clients }, (_, i) => addressText(clientAddress(i)));
    const turns = join(folder, "turns.json");
    const env = measureTurns
      ? {
          BENCH_TURNS: turns,
          NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, "turns.ts"))}`,
        }
      : {};
    const command = device.prepare({ folder, peers, holdTime: job.holdTime });
    const child = network.spawn("device", command, env);
    started = child;
    let said = "";
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding("utf8").on("data", text => (said = (said + text).slice(-2000)));
    await listening(child, () => said);
    await pause(WARM_MS);
    const whole: Job = { ...job, asn: ASN, pids: family(child.pid!), settleMs: device.settleMs(job.clients) };
    const result = await generate(network, whole);
    if (!result.ok) return { ...result, error: `${result.error}${said === "" ? "" : `; it said: ${said}`}` };
    return { ...result, turns: measureTurns ? JSON.parse(readFileSync(turns, "utf8")) : undefined };
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    if (started !== undefined) await end(started);
    network.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

async function generate(network: BenchNetwork, job: Job): Promise<Result> {
  const script = join(import.meta.dirname, "generator.ts");
  const generator = network.spawn("clients", [process.execPath, script, JSON.stringify(job)]);
  let [answer, errors] = ["", ""];
  generator.stdout!.setEncoding("utf8").on("data", text => (answer += text));
  generator.stderr!.setEncoding("utf8").on("data", text => (errors += text));
  try {
    await once(generator, "close");
  } finally {
    generator.kill("SIGKILL");
  }
  if (answer === "") throw new Error(`the generator failed: ${errors}`);
  return JSON.parse(answer);
}

/** There is no event for it: asks the kernel whether somebody in its namespace listens on port 179. */
async function listening(child: ChildProcess, said: () => string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  const isListening = () =>
    ["tcp", "tcp6"].some(file =>
      /^ *\d+: [0-9A-F]+:00B3 [0-9A-F:]+ 0A /m.test(readFileSync(`/proc/${child.pid}/net/${file}`, "utf8")),
    );
  while (true) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the device ended: ${said()}`);
    if (performance.now() > deadline) throw new Error(`the device does not listen: ${said()}`);
    if (isListening()) return;
    await pause(20);
  }
}

/** The process and all below it. */
function family(pid: number): number[] {
  const pids = [pid];
  for (const parent of pids) {
    const children = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8")
      .split(" ")
      .filter(Boolean);
    pids.push(...children.map(Number));
  }
  return pids;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

/** `bird --version` and the like: the first line that names a version. */
export function versionOf(device: Device): string {
  if (device.name === "calyx" || device.name === "floor") return `node ${process.version}`;
  const { stdout, stderr } = spawnSync(device.program!, ["--version"], { encoding: "utf8" });
  return /\d+\.\d+(\.\d+)?/.exec(stdout + stderr)?.[0] ?? "";
}
