/**
 * `node test/bench/felix-load.ts [REMOTE]`: what the agent costs as a process, at rest and while endpoints change a hundred
 * times a second, on both dataplanes. The real daemon in a network namespace of its own, on the embedded datastore, with
 * 100 endpoints here, REMOTE (20,000) on other hosts and 1,000 policies. Changes: `remote`, an endpoint elsewhere
 * comes into sets of rules or leaves them; `local`, the same to one here.
 *
 * CPU is of one core, over ten seconds each; the writer is this process and not counted.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fetchStatus } from "../../daemon/status-server.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { openEmbedded } from "../../datastore/embedded/open.ts";
import { ensureInitialized } from "../../datastore/init.ts";
import { key } from "../../datastore/key.ts";
import { createNamespace, deleteNamespace } from "../../linux/namespace.ts";

const NODE = "bench";
const LOCAL = 100;
const POLICIES = 1_000;
const APPS = 200;
const SECONDS = 10;
const CHANGES_PER_SECOND = 100;
/** Of /proc: the kernel's USER_HZ is 100 on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;
const ROOT = join(import.meta.dirname, "..", "..");

interface Result {
  dataplane: string;
  remote: number;
  what: string;
  cpuPercent: number;
  rssMb: number;
}

function endpoint(i: number, app: number) {
  const node = i < LOCAL ? NODE : `node${i % 100}`;
  const name = `${node}-k8s-pod${i}-eth0`;
  const spec = {
    node,
    orchestrator: "k8s",
    pod: `pod${i}`,
    endpoint: "eth0",
    interfaceName: `cali${i.toString(16).padStart(11, "0")}`,
    ipNetworks: [`10.${(i >> 16) + 1}.${(i >> 8) & 255}.${i & 255}/32`],
    profiles: ["kns.default"],
  };
  const metadata = { name, namespace: "default", labels: { app: `app${app % APPS}` } };
  return { at: key("WorkloadEndpoint", name, "default"), value: { metadata, spec } };
}

function policy(i: number) {
  const app = (n: number) => `app == 'app${(i + n) % APPS}'`;
  const spec = {
    selector: app(0),
    types: ["Ingress", "Egress"],
    ingress: [
      { action: "Allow", protocol: "TCP", source: { selector: app(1) }, destination: { ports: [80] } },
    ],
    egress: [{ action: "Allow", destination: { selector: app(2) } }],
  };
  const name = `policy-${i}`;
  return {
    at: key("NetworkPolicy", name, "default"),
    value: { metadata: { name, namespace: "default" }, spec },
  };
}

async function fill(store: Datastore, remote: number): Promise<void> {
  await ensureInitialized(store);
  await store.create(key("Profile", "kns.default"), {
    metadata: { name: "kns.default" },
    spec: { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }], labelsToApply: {} },
  });
  for (let i = 0; i < POLICIES; i++) {
    const { at, value } = policy(i);
    await store.create(at, value);
  }
  for (let i = 0; i < LOCAL + remote; i++) {
    const { at, value } = endpoint(i, i);
    await store.create(at, value);
  }
}

function startFelix(namespace: string, directory: string, dataplane: string): ChildProcess {
  const env = {
    ...process.env,
    DATASTORE_TYPE: "embedded",
    CALYX_DATASTORE_PATH: join(directory, "store.db"),
    NODENAME: NODE,
    CALICO_NODENAME_FILE: join(directory, "nodename"),
    CALYX_RUN_DIR: join(directory, dataplane),
    CALICO_MTU_FILE: join(directory, "mtu"),
    FELIX_ENDPOINTSTATUSPATHPREFIX: join(directory, dataplane),
    FELIX_NFTABLESMODE: dataplane === "nftables" ? "Enabled" : "Disabled",
    FELIX_LOGSEVERITYSCREEN: "Error",
  };
  const command = ["netns", "exec", namespace, process.execPath, join(ROOT, "dist", "felix.cjs")];
  return spawn("ip", command, { env, stdio: ["ignore", "inherit", "inherit"] });
}

async function ready(directory: string, dataplane: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const answer = await fetchStatus(join(directory, dataplane, "felix.sock"), "/readiness");
    if (answer && answer.code < 300) return;
    if (performance.now() > deadline) throw new Error(`felix does not become ready: ${answer?.body}`);
    await sleep(100);
  }
}

/** Seconds of CPU that the process has used, and bytes it has in memory. */
function usage(pid: number): { cpu: number; rss: number } {
  // The name, which may hold anything, ends at the last parenthesis.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rss: Number(kilobytes) * 1024 };
}

/** Every change moves one endpoint to the next application, so that it leaves some sets and comes into others. */
async function change(store: Datastore, from: number, count: number): Promise<void> {
  const begun = performance.now();
  for (let n = 0; n < SECONDS * CHANGES_PER_SECOND; n++) {
    const i = from + (n % count);
    const { at, value } = endpoint(i, i + 1 + Math.floor(n / count));
    const { revision } = await store.get(at);
    await store.update(at, value, revision);
    const pause = begun + ((n + 1) * 1000) / CHANGES_PER_SECOND - performance.now();
    if (pause > 0) await sleep(pause);
  }
}

async function measure(
  store: Datastore,
  directory: string,
  dataplane: string,
  remote: number,
): Promise<Result[]> {
  const namespace = `cxload${process.pid}`;
  createNamespace(namespace);
  const felix = startFelix(namespace, directory, dataplane);
  const results: Result[] = [];
  try {
    await ready(directory, dataplane);
    const pid = felix.pid!;
    const phase = async (what: string, work: () => Promise<unknown>) => {
      const before = usage(pid);
      const begun = performance.now();
      await work();
      const after = usage(pid);
      const cpuPercent = (100_000 * (after.cpu - before.cpu)) / (performance.now() - begun);
      results.push({ dataplane, remote, what, cpuPercent, rssMb: after.rss / 1e6 });
    };
    // What starting has left behind is cleaned up first.
    await sleep(3_000);
    await phase("rest", () => sleep(SECONDS * 1000));
    await phase("remote", () => change(store, LOCAL, remote));
    await phase("local", () => change(store, 0, LOCAL));
  } finally {
    const ended = once(felix, "exit");
    felix.kill("SIGTERM");
    await ended;
    deleteNamespace(namespace);
  }
  return results;
}

const remote = Number(process.argv[2] ?? 20_000);
const directory = mkdtempSync(join(tmpdir(), "calyx-bench-"));
const store = await openEmbedded({ path: join(directory, "store.db") });
try {
  await fill(store, remote);
  const columns = ["dataplane", "remote", "what", "cpuPercent", "rssMb"] as const;
  process.stdout.write(`${columns.map(name => name.padStart(12)).join("")}\n`);
  const results: Result[] = [];
  for (const dataplane of ["nftables", "iptables"]) {
    for (const result of await measure(store, directory, dataplane, remote)) {
      results.push(result);
      const cell = (value: string | number) =>
        typeof value === "number" ? value.toFixed(value < 100 ? 1 : 0) : value;
      process.stdout.write(`${columns.map(name => cell(result[name]).padStart(12)).join("")}\n`);
    }
  }
  const rounded = (_: string, value: unknown) =>
    typeof value === "number" ? Math.round(value * 10) / 10 : value;
  process.stdout.write(`${JSON.stringify({ benchmark: "felix-load", results }, rounded)}\n`);
} finally {
  await store.close();
  rmSync(directory, { recursive: true, force: true });
}
