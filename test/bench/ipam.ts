/**
 * `node test/bench/ipam.ts [HOSTS...]`: addresses allocated per second by 1, 8 and 64 hosts racing on one etcd (a real
 * one, on loopback, its data on this machine's disk, fsync on). Every host has its own allocator and its own
 * connection and asks for one address after the other, each with a handle of its own, as a CNI plugin does; blocks
 * are claimed within the measured time.
 *
 * What that is worth depends on the machine and on who else uses it, so the same processes and as many connections
 * also do nothing but the two writes that an allocation is made of, before and after: `floor` through our own
 * connection to etcd, `etcd3` through the library of that name. `ofFloor` is what the allocator makes of it.
 *
 * The hosts are spread over two processes, one per core of the machine the budgets are for: with one, its single
 * thread is the limit; with more they and etcd take turns.
 *
 * After each round every address must have been given once, the records must agree with what the hosts were told,
 * and after releasing all handles nothing may be left.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { Etcd3 } from "etcd3";
import type { Datastore, Revision } from "../../datastore/datastore.ts";
import { openEtcd } from "../../datastore/etcd/open.ts";
import { EtcdStore } from "../../datastore/etcd/store.ts";
import { key } from "../../datastore/key.ts";
import { IpAllocator } from "../../ipam/allocator.ts";
import { newBlock } from "../../ipam/block.ts";
import { check } from "../../ipam/check.ts";
import { blockToJson, hostAffinity } from "../../ipam/records.ts";
import { takeSnapshot } from "../../ipam/snapshot.ts";
import { parseCidr } from "../../net/cidr.ts";
import { EtcdServer } from "../interop/datastore/etcd-server.ts";

const SECONDS = 3;
const FLOOR_SECONDS = 1;
const PROCESSES = 2;
/** On a machine that is too busy for the first number, the second counts. */
const BUDGET = { hosts: 64, perSecond: 500, ofFloor: 0.6 };

interface Share {
  readonly endpoint: string;
  readonly hosts: readonly string[];
}

/** What the processes are told to do, each answered with its result. */
type Phase = "floor" | "etcd3" | "race" | "release";

interface Measured {
  readonly count: number;
  readonly cpuMs: number;
}

interface Raced extends Measured {
  readonly addresses: [ip: string, handle: string][];
  /** Milliseconds. */
  readonly latencies: number[];
}

// --- a process with its share of the hosts

interface Host {
  readonly node: string;
  readonly datastore: Datastore;
  readonly ipam: IpAllocator;
}

async function work({ endpoint, hosts: names }: Share): Promise<void> {
  const hosts: Host[] = await Promise.all(
    names.map(async node => {
      const datastore = await openEtcd({ endpoints: [endpoint] });
      await datastore.list({ kind: "IPPool" });
      return { node, datastore, ipam: new IpAllocator(datastore) };
    }),
  );
  let raced: Raced | undefined;
  const phases: Record<Phase, () => Promise<Measured>> = {
    floor: async () => writeOnly(await Promise.all(hosts.map(({ node }) => ourWriter(endpoint, node)))),
    etcd3: () => writeOnly(hosts.map(({ node }) => etcd3Writer(endpoint, node))),
    race: async () => {
      raced = await race(hosts);
      return raced;
    },
    release: () => release(hosts, raced?.addresses ?? []),
  };
  process.on("message", async (phase: Phase) => process.send!(await phases[phase]()));
  process.send!("ready");
  await once(process, "disconnect");
  for (const { datastore } of hosts) await datastore.close();
}

async function race(hosts: readonly Host[]): Promise<Raced> {
  const addresses: [string, string][] = [];
  const latencies: number[] = [];
  const cpuMs = await cpuTimeOf(() =>
    untilTimeIsUp(SECONDS, hosts, async ({ node, ipam }, i) => {
      const begin = performance.now();
      const handle = `bench.${node}-${i}`;
      const { ipv4 } = await ipam.autoAssign({ node, handle, num4: 1, use: "Workload", maxBlocks: 1000 });
      latencies.push(performance.now() - begin);
      addresses.push([ipv4[0]!.ip, handle]);
    }),
  );
  return { count: addresses.length, cpuMs, addresses, latencies };
}

async function release(hosts: readonly Host[], addresses: Raced["addresses"]): Promise<Measured> {
  const cpuMs = await cpuTimeOf(() =>
    Promise.all(
      hosts.map(async ({ node, ipam }) => {
        const prefix = `bench.${node}-`;
        for (const [, handle] of addresses) if (handle.startsWith(prefix)) await ipam.releaseByHandle(handle);
      }),
    ),
  );
  return { count: addresses.length, cpuMs };
}

/** Creates a small key, writes a large one over what it wrote last: what an allocation does to etcd. */
interface Writer {
  readonly folder: string;
  create(path: string, value: string): Promise<Revision>;
  update(path: string, value: string, revision: Revision): Promise<Revision>;
  close(): void;
}

const HANDLE = '{"block":{"10.0.0.0/26":1},"deleted":false}';
const BLOCK = JSON.stringify({
  ...blockToJson(newBlock(parseCidr("10.0.0.0/26")!, hostAffinity("host0"), Date.now())),
  attributes: Array.from({ length: 10 }, (_, i) => ({
    handle_id: `bench.host0-${i}`,
    secondary: { node: "host0", timestamp: new Date().toISOString() },
  })),
});

async function writeOnly(writers: readonly Writer[]): Promise<Measured> {
  let count = 0;
  const blocks = await Promise.all(writers.map(writer => writer.create(`${writer.folder}block`, BLOCK)));
  const cpuMs = await cpuTimeOf(() =>
    untilTimeIsUp(FLOOR_SECONDS, writers, async (writer, i, index) => {
      await writer.create(`${writer.folder}handle-${i}`, HANDLE);
      blocks[index] = await writer.update(`${writer.folder}block`, BLOCK, blocks[index]!);
      count++;
    }),
  );
  for (const writer of writers) writer.close();
  return { count, cpuMs };
}

/** Outside of what the allocator looks at. */
function folderOf(node: string): string {
  return `/bench/${node}/${performance.now()}/`;
}

async function ourWriter(endpoint: string, node: string): Promise<Writer> {
  const store = await EtcdStore.open({ endpoints: [endpoint] });
  const written = async (result: ReturnType<typeof store.create>) => {
    const { written, ...rest } = await result;
    if (!written) throw new Error("somebody else writes here");
    return (rest as { revision: Revision }).revision;
  };
  return {
    folder: folderOf(node),
    create: (path, value) => written(store.create(path, value)),
    update: (path, value, revision) => written(store.update(path, value, revision)),
    close: () => void store.close(),
  };
}

function etcd3Writer(endpoint: string, node: string): Writer {
  const client = new Etcd3({ hosts: [endpoint] });
  const put = async (path: string, value: string, revision: Revision | undefined) => {
    const name = Buffer.from(path);
    const { succeeded, header } = await client.kv.txn({
      compare: [
        revision === undefined
          ? { key: name, target: "Version", result: "Equal", version: "0" }
          : { key: name, target: "Mod", result: "Equal", mod_revision: revision },
      ],
      success: [{ request_put: { key: name, value: Buffer.from(value) } }],
      failure: [{ request_range: { key: name } }],
    });
    if (!succeeded) throw new Error("somebody else writes here");
    return header.revision as Revision;
  };
  return {
    folder: folderOf(node),
    create: (path, value) => put(path, value, undefined),
    update: put,
    close: () => client.close(),
  };
}

async function untilTimeIsUp<T>(
  seconds: number,
  all: readonly T[],
  turn: (one: T, i: number, index: number) => Promise<void>,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  await Promise.all(
    all.map(async (one, index) => {
      for (let i = 0; performance.now() < end; i++) await turn(one, i, index);
    }),
  );
}

async function cpuTimeOf(operation: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await operation();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

// --- the process that measures

interface Outcome<T extends Measured> {
  readonly results: readonly T[];
  readonly perSecond: number;
  /** What the hosts themselves spend on one, etcd not counted: depends little on who else uses the machine. */
  readonly cpuMs: number;
}

async function run<T extends Measured>(children: readonly ChildProcess[], phase: Phase): Promise<Outcome<T>> {
  const begin = performance.now();
  const results = await Promise.all(
    children.map(async child => {
      const answer = once(child, "message");
      child.send(phase);
      return (await answer)[0] as T;
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  const count = results.reduce((sum, each) => sum + each.count, 0);
  const cpuMs = results.reduce((sum, each) => sum + each.cpuMs, 0) / count;
  return { results, perSecond: count / seconds, cpuMs };
}

/** Of before and after: other users of the machine come and go. */
function mean(outcomes: readonly Outcome<Measured>[]): { perSecond: number; cpuMs: number } {
  const sum = (of: (outcome: Outcome<Measured>) => number) =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0) / outcomes.length;
  return { perSecond: sum(each => each.perSecond), cpuMs: sum(each => each.cpuMs) };
}

async function round(hosts: number) {
  const server = await EtcdServer.start();
  const children: ChildProcess[] = [];
  try {
    const datastore = await openEtcd({ endpoints: [server.endpoint] });
    await datastore.create(key("IPPool", "bench"), {
      metadata: { name: "bench" },
      spec: { cidr: "10.0.0.0/12" },
    });
    const names = Array.from({ length: hosts }, (_, i) => `host${i}`);
    const processes = Math.min(PROCESSES, hosts);
    for (let i = 0; i < processes; i++) {
      const share: Share = {
        endpoint: server.endpoint,
        hosts: names.filter((_, host) => host % processes === i),
      };
      children.push(fork(import.meta.filename, [JSON.stringify(share)], { stdio: "inherit" }));
    }
    await Promise.all(children.map(child => once(child, "message")));

    const floors = [await run(children, "floor")];
    const etcd3s = [await run(children, "etcd3")];
    const raced = await run<Raced>(children, "race");
    etcd3s.push(await run(children, "etcd3"));
    floors.push(await run(children, "floor"));
    const { problems, allocations } = check(await takeSnapshot(datastore));
    const released = await run(children, "release");
    const left = await takeSnapshot(datastore);
    await datastore.close();

    const given = raced.results.flatMap(({ addresses }) => addresses.map(([ip]) => ip));
    const latencies = raced.results.flatMap(each => each.latencies).sort((a, b) => a - b);
    const wrong = problems.filter(({ kind }) => kind !== "leaked").map(({ message }) => message);
    if (wrong.length > 0) throw new Error(`the records are wrong: ${wrong.slice(0, 5).join("; ")}`);
    const unused = left.blocks.every(block => block.allocations.every(index => index === null));
    const floor = mean(floors);
    const etcd3 = mean(etcd3s);
    return {
      hosts,
      allocations: given.length,
      perSecond: raced.perSecond,
      floor: floor.perSecond,
      etcd3: etcd3.perSecond,
      ofFloor: raced.perSecond / floor.perSecond,
      cpuMs: raced.cpuMs,
      floorCpuMs: floor.cpuMs,
      etcd3CpuMs: etcd3.cpuMs,
      p50Ms: latencies[Math.floor(latencies.length * 0.5)]!,
      p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
      releasesPerSecond: released.perSecond,
      doubled: given.length - new Set(given).size,
      lost: Math.abs(allocations.length - given.length),
      leftOver: left.handles.length + (unused ? 0 : 1),
    };
  } finally {
    for (const child of children) child.kill();
    await server.dispose();
  }
}

async function main(hostCounts: readonly number[]): Promise<void> {
  const results = [];
  for (const hosts of hostCounts) results.push(await round(hosts));
  const columns = Object.keys(results[0]!) as (keyof (typeof results)[0])[];
  const rows = results.map(result => columns.map(column => rounded(result[column])));
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map(row => row[i]!.length)));
  const lines = [columns, ...rows].map(row => row.map((cell, i) => cell.padStart(widths[i]!)).join("  "));
  lines.push(JSON.stringify({ benchmark: "ipam", seconds: SECONDS, processes: PROCESSES, results }));
  process.stdout.write(`${lines.join("\n")}\n`);
  for (const { hosts, perSecond, ofFloor, doubled, lost, leftOver } of results) {
    const slow = hosts === BUDGET.hosts && perSecond < BUDGET.perSecond && ofFloor < BUDGET.ofFloor;
    if (doubled > 0 || lost > 0 || leftOver > 0 || slow) process.exitCode = 1;
  }
}

function rounded(value: number): string {
  return String(value >= 100 ? Math.round(value) : Math.round(value * 100) / 100);
}

const args = process.argv.slice(2);
if (process.send && args[0]?.startsWith("{")) await work(JSON.parse(args[0]));
else await main(args.length > 0 ? args.map(Number) : [1, 8, 64]);
