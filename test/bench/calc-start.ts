/**
 * `node --expose-gc test/bench/calc-start.ts [REMOTExPOLICIES...]`: from nothing to in sync, with 100,000 endpoints on other hosts,
 * 100 here and 1,000 policies, and with 10,000: the calculation alone, fed from memory, and through the embedded datastore in a temporary
 * directory, as the agent is. Each in a process of its own, so that memory is its own. Budget in DESIGN.md: 5 s, 400 MB.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../daemon/clock.ts";
import type { Datastore } from "../../datastore/datastore.ts";
import { openEmbedded } from "../../datastore/embedded/open.ts";
import { type Kind, key } from "../../datastore/key.ts";
import { Reflector, type Update } from "../../datastore/reflector.ts";
import type { Changes } from "../../felix/calc/changes.ts";
import { CalcGraph } from "../../felix/calc/graph.ts";

/** As `bin/felix` has it. */
const FLAGS = ["--expose-gc", "--max-semi-space-size=4"];
const NODE = "here";
const LOCAL = 100;
const APPS = 200;

interface Size {
  readonly remote: number;
  readonly policies: number;
}

function* resources({
  remote,
  policies,
}: Size): Generator<{ kind: Kind; name: string; namespace?: string; value: unknown }> {
  const resource = (kind: Kind, name: string, spec: object, namespace?: string, labels?: object) => {
    const metadata = { name, ...(namespace && { namespace }), ...(labels && { labels }) };
    const value = { apiVersion: "projectcalico.org/v3", kind, metadata, spec };
    return { kind, name, value, ...(namespace && { namespace }) };
  };
  for (let i = 0; i < 50; i++) {
    yield resource("Profile", `kns.ns${i}`, {
      labelsToApply: { "pcns.team": `t${i % 7}`, "pcns.projectcalico.org/name": `ns${i}` },
      ingress: [{ action: "Allow" }],
      egress: [{ action: "Allow" }],
    });
  }
  for (let i = 0; i < policies; i++) {
    const namespace = `ns${i % 50}`;
    const app = (n: number) => `app == 'app${(i + n) % APPS}'`;
    yield resource(
      "NetworkPolicy",
      `policy-${i}`,
      {
        selector: app(0),
        types: ["Ingress", "Egress"],
        ingress: [
          {
            action: "Allow",
            protocol: "TCP",
            source: { selector: app(1) },
            destination: { ports: [80, 443] },
          },
          { action: "Allow", source: { namespaceSelector: `team == 't${i % 7}'`, selector: app(2) } },
        ],
        egress: [{ action: "Allow", protocol: "TCP", destination: { selector: app(3), ports: ["http"] } }],
      },
      namespace,
    );
  }
  for (let i = 0; i < LOCAL + remote; i++) {
    const node = i < LOCAL ? NODE : `node${i % 1_000}`;
    const namespace = `ns${i % 50}`;
    yield resource(
      "WorkloadEndpoint",
      `${node}-k8s-pod${i}-eth0`,
      {
        node,
        orchestrator: "k8s",
        pod: `pod${i}`,
        endpoint: "eth0",
        interfaceName: `cali${i.toString(16).padStart(11, "0")}`,
        ipNetworks: [`10.${(i >> 16) + 1}.${(i >> 8) & 255}.${i & 255}/32`],
        profiles: [`kns.${namespace}`],
        ports: [{ name: "http", protocol: "TCP", port: 8080 }],
      },
      namespace,
      {
        app: `app${i % APPS}`,
        tier: `tier${i % 5}`,
        "pod-template-hash": `h${i % 2_000}`,
        "projectcalico.org/namespace": namespace,
        "projectcalico.org/orchestrator": "k8s",
      },
    );
  }
}

interface Result {
  what: string;
  remote: number;
  policies: number;
  inSyncMs: number;
  drainMs: number;
  rssMb: number;
  heapMb: number;
  sets: number;
  members: number;
  activePolicies: number;
}

const graphOf = () =>
  new CalcGraph({
    nodeName: NODE,
    onProblem: ({ message }) => {
      throw new Error(message);
    },
  });

function finish(what: string, size: Size, begin: number, graph: CalcGraph): Result {
  const inSyncMs = performance.now() - begin;
  const changes: Changes = graph.drain();
  const drainMs = performance.now() - begin - inSyncMs;
  const { rss } = process.memoryUsage();
  globalThis.gc?.();
  let members = 0;
  for (const change of changes.sets.values()) if (change?.kind === "whole") members += change.members.size;
  const { sets, activePolicies } = graph.sizes;
  const megabytes = (bytes: number) => bytes / 1e6;
  const heapMb = megabytes(process.memoryUsage().heapUsed);
  return { what, ...size, inSyncMs, drainMs, rssMb: megabytes(rss), heapMb, sets, members, activePolicies };
}

/** As a stream that nobody keeps. */
function fromMemory(size: Size): Result {
  const graph = graphOf();
  const begin = performance.now();
  let batch: Update[] = [];
  for (const { kind, name, namespace, value } of resources(size)) {
    batch.push({ type: "put", key: key(kind, name, namespace), value, revision: "1" } as unknown as Update);
    if (batch.length < 1_000) continue;
    graph.apply(batch);
    batch = [];
  }
  graph.apply(batch);
  return finish("memory", size, begin, graph);
}

async function fromStore(store: Datastore, size: Size): Promise<Result> {
  const stop = new AbortController();
  const begin = performance.now();
  const graph = graphOf();
  const result = Promise.withResolvers<Result>();
  const reflector = new Reflector({
    datastore: store,
    queries: graph.queries,
    onUpdates: updates => graph.apply(updates),
    onStatus: status => {
      if (status === "in-sync") result.resolve(finish("embedded", size, begin, graph));
    },
    clock: systemClock,
  });
  const running = reflector.run(stop.signal);
  const finished = await result.promise;
  stop.abort();
  await running;
  return finished;
}

async function inside(what: string, size: Size, directory: string): Promise<void> {
  let result: Result | undefined;
  if (what === "memory") result = fromMemory(size);
  else {
    const store = await openEmbedded({ path: join(directory, "store.db") });
    if (what === "fill") {
      for (const { kind, name, namespace, value } of resources(size))
        await store.create(key(kind, name, namespace), value as never);
    } else result = await fromStore(store, size);
    await store.close();
  }
  if (result) process.stdout.write(`${JSON.stringify(result)}\n`);
}

function child(...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [...FLAGS, import.meta.filename, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    started.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    started.on("close", code =>
      code === 0 ? resolve(output) : reject(new Error(`${args.join(" ")}: ${code}`)),
    );
  });
}

async function outside(sizes: readonly string[]): Promise<void> {
  const columns = [
    "what",
    "remote",
    "policies",
    "inSyncMs",
    "drainMs",
    "rssMb",
    "heapMb",
    "sets",
    "members",
    "activePolicies",
  ] as const;
  process.stdout.write(`${columns.map(name => name.padStart(15)).join("")}\n`);
  const results: Result[] = [];
  for (const size of sizes) {
    const directory = mkdtempSync(join(tmpdir(), "calyx-bench-"));
    try {
      await child("fill", size, directory);
      for (const what of ["memory", "embedded"]) {
        const result = JSON.parse(await child(what, size, directory)) as Result;
        results.push(result);
        const cell = (value: string | number) =>
          String(typeof value === "number" ? Math.round(value) : value);
        process.stdout.write(`${columns.map(name => cell(result[name]).padStart(15)).join("")}\n`);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
  const rounded = (_: string, value: unknown) => (typeof value === "number" ? Math.round(value) : value);
  process.stdout.write(`${JSON.stringify({ benchmark: "calc-start", results }, rounded)}\n`);
}

/** `100000x10000`: so many endpoints elsewhere, and so many policies. */
function sizeOf(text: string): Size {
  const [remote = 0, policies = 1_000] = text.split("x").map(Number);
  return { remote, policies };
}

const [first, ...rest] = process.argv.slice(2);
if (first !== undefined && !/^\d/.test(first))
  await inside(first, sizeOf(rest[0] as string), rest[1] as string);
else await outside(first === undefined ? ["100000x1000", "100000x10000"] : [first, ...rest]);
