/**
 * What the datastore costs: writes, reading 100,000 resources, being told of a change.
 * `node test/bench/datastore.ts [embedded|etcd URL]`. Prints a table and a JSON line. Some 30 s.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type DatastoreConfig } from "../../datastore/config.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { key } from "../../datastore/key.ts";
import { Reflector } from "../../datastore/reflector.ts";

const ENDPOINTS = 100_000;
const CHANGES = 500;

const [kind = "embedded", endpoint] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "calyx-bench-"));
const config: DatastoreConfig =
  kind === "etcd"
    ? { type: "etcdv3", endpoints: [endpoint ?? "http://127.0.0.1:2379"] }
    : { type: "embedded", path: join(folder, "datastore.db") };

const endpointValue = (i: number) => ({
  spec: {
    orchestrator: "k8s",
    workload: `pod-${i}`,
    node: `node-${i % 500}`,
    endpoint: "eth0",
    ipNetworks: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`],
    profiles: ["kns.default"],
    interfaceName: `cali${i.toString(16).padStart(11, "0")}`,
  },
  metadata: { labels: { app: `app-${i % 100}`, tier: "web" } },
});

const results: Record<string, number> = {};
const round = (n: number) => Math.round(n * 100) / 100;
const quantile = (sorted: number[], q: number) => round(sorted[Math.floor(sorted.length * q)]!);

const opening = performance.now();
const datastore = await connect(config);
results["open ms"] = round(performance.now() - opening);
const other = await connect(config);

await fill(datastore);
await follow(datastore, other);
await datastore.close();
await other.close();
rmSync(folder, { recursive: true });

for (const [name, value] of Object.entries(results)) process.stdout.write(`${name.padEnd(44)} ${value}\n`);
process.stdout.write(`${JSON.stringify({ benchmark: "datastore", store: kind, ...results })}\n`);

async function fill(store: Datastore): Promise<void> {
  const started = performance.now();
  const sequential = 2000;
  for (let i = 0; i < sequential; i++) await put(store, i);
  results["creates/s, one after another"] = Math.round((sequential * 1000) / (performance.now() - started));
  const next = { i: sequential };
  const worker = async () => {
    while (next.i < ENDPOINTS) await put(store, next.i++);
  };
  const concurrent = performance.now();
  await Promise.all(Array.from({ length: 64 }, worker));
  const created = ENDPOINTS - sequential;
  results["creates/s, 64 at once"] = Math.round((created * 1000) / (performance.now() - concurrent));
}

async function put(store: Datastore, i: number): Promise<void> {
  await store.create(
    key("WorkloadEndpoint", `node--${i % 500}-k8s-pod--${i}-eth0`, "default"),
    endpointValue(i),
  );
}

/** Another connection changes, this one's reflector is told: the time from before the write to being told. */
async function follow(store: Datastore, writer: Datastore): Promise<void> {
  const abort = new AbortController();
  const before = process.memoryUsage().rss;
  let told: (name: string) => void = () => {};
  let inSync = () => {};
  const synced = new Promise<void>(resolve => {
    inSync = resolve;
  });
  const started = performance.now();
  const reflector = new Reflector({
    datastore: store,
    queries: [{ kind: "WorkloadEndpoint" }, { kind: "NetworkSet" }],
    onUpdates: updates => {
      for (const update of updates) told(update.key.name);
    },
    onStatus: status => {
      if (status === "in-sync") inSync();
    },
  });
  const running = reflector.run(abort.signal);
  await synced;
  results[`reflector in sync with ${ENDPOINTS}, ms`] = Math.round(performance.now() - started);
  results["RSS it took, MB"] = Math.round((process.memoryUsage().rss - before) / 1e6);
  const latencies: number[] = [];
  for (let i = 0; i < CHANGES; i++) {
    const name = `change-${i}`;
    const arrived = new Promise<void>(resolve => {
      told = changed => {
        if (changed === name) resolve();
      };
    });
    const wrote = performance.now();
    await writer.create(key("NetworkSet", name, "default"), { spec: { nets: ["10.0.0.0/8"] } });
    await arrived;
    latencies.push(performance.now() - wrote);
  }
  latencies.sort((a, b) => a - b);
  results["write to being told, p50 ms"] = quantile(latencies, 0.5);
  results["write to being told, p99 ms"] = quantile(latencies, 0.99);
  abort.abort();
  await running;
}
