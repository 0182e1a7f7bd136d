/**
 * `node test/bench/ipam.ts [HOSTS...]`: addresses allocated per second by 1, 8 and 64 hosts racing on one etcd (a real
 * one, on loopback, its data on this machine's disk, fsync on). Every host has its own allocator and its own
 * connection and asks for one address after the other, each with a handle of its own, as a CNI plugin does; blocks
 * are claimed within the measured time. The hosts are spread over two processes (one for a single host).
 *
 * After each round every address must have been given once, the records must agree with what the hosts were told,
 * and after releasing all handles nothing may be left.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { openEtcd } from "../../datastore/etcd/open.ts";
import { key } from "../../datastore/key.ts";
import { IpAllocator } from "../../ipam/allocator.ts";
import { check } from "../../ipam/check.ts";
import { takeSnapshot } from "../../ipam/snapshot.ts";
import { EtcdServer } from "../interop/datastore/etcd-server.ts";

const SECONDS = 3;
const PROCESSES = 2;
const BUDGET = { hosts: 64, perSecond: 500 };

interface Share {
  readonly endpoint: string;
  readonly hosts: readonly string[];
}

interface ShareResult {
  readonly addresses: [ip: string, handle: string][];
  /** Milliseconds. */
  readonly latencies: number[];
  readonly cpuMs: number;
  readonly releaseMs: number;
}

async function race({ endpoint, hosts }: Share): Promise<void> {
  const allocators = await Promise.all(
    hosts.map(async node => {
      const datastore = await openEtcd({ endpoints: [endpoint] });
      await datastore.list({ kind: "IPPool" });
      return { node, datastore, ipam: new IpAllocator(datastore) };
    }),
  );
  process.send!("ready");
  await once(process, "message");
  const addresses: [string, string][] = [];
  const latencies: number[] = [];
  const cpuBefore = process.cpuUsage();
  const end = performance.now() + SECONDS * 1000;
  await Promise.all(
    allocators.map(async ({ node, ipam }) => {
      for (let i = 0; performance.now() < end; i++) {
        const begin = performance.now();
        const handle = `bench.${node}-${i}`;
        const { ipv4 } = await ipam.autoAssign({ node, handle, num4: 1, use: "Workload", maxBlocks: 1000 });
        latencies.push(performance.now() - begin);
        addresses.push([ipv4[0]!.ip, handle]);
      }
    }),
  );
  const cpu = process.cpuUsage(cpuBefore);
  process.send!("assigned");
  await once(process, "message");
  const begin = performance.now();
  await Promise.all(
    allocators.map(async ({ node, ipam }) => {
      const prefix = `bench.${node}-`;
      for (const [, handle] of addresses) if (handle.startsWith(prefix)) await ipam.releaseByHandle(handle);
    }),
  );
  const result: ShareResult = {
    addresses,
    latencies,
    cpuMs: (cpu.user + cpu.system) / 1000,
    releaseMs: performance.now() - begin,
  };
  process.send!(result);
  for (const { datastore } of allocators) await datastore.close();
  process.disconnect();
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
    const all = () => Promise.all(children.map(async child => (await once(child, "message"))[0]));
    const tell = () => {
      for (const child of children) child.send("go");
    };
    await all();
    const begin = performance.now();
    let next = all();
    tell();
    await next;
    const seconds = (performance.now() - begin) / 1000;
    const { problems, allocations } = check(await takeSnapshot(datastore));
    next = all();
    tell();
    const results = (await next) as ShareResult[];
    const left = await takeSnapshot(datastore);
    await datastore.close();

    const given = results.flatMap(({ addresses }) => addresses.map(([ip]) => ip));
    const latencies = results.flatMap(each => each.latencies).sort((a, b) => a - b);
    const wrong = problems.filter(({ kind }) => kind !== "leaked").map(({ message }) => message);
    if (wrong.length > 0) throw new Error(`the records are wrong: ${wrong.slice(0, 5).join("; ")}`);
    const unused = left.blocks.every(block => block.allocations.every(index => index === null));
    return {
      hosts,
      allocations: given.length,
      perSecond: given.length / seconds,
      /** What the hosts themselves spend, etcd not counted: does not depend on who else uses the machine. */
      cpuMs: results.reduce((sum, each) => sum + each.cpuMs, 0) / given.length,
      p50Ms: latencies[Math.floor(latencies.length * 0.5)]!,
      p99Ms: latencies[Math.floor(latencies.length * 0.99)]!,
      releasesPerSecond: (given.length / Math.max(...results.map(each => each.releaseMs))) * 1000,
      doubled: given.length - new Set(given).size,
      lost: Math.abs(allocations.length - given.length),
      leftOver: left.handles.length + (unused ? 0 : 1),
    };
  } finally {
    for (const child of children) child.kill();
    await server.kill();
  }
}

async function main(hostCounts: readonly number[]): Promise<void> {
  const results = [];
  for (const hosts of hostCounts) results.push(await round(hosts));
  const columns = Object.keys(results[0]!) as (keyof (typeof results)[0])[];
  const rows = results.map(result => columns.map(column => String(Math.round(result[column] * 10) / 10)));
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map(row => row[i]!.length)));
  const lines = [columns, ...rows].map(row => row.map((cell, i) => cell.padStart(widths[i]!)).join("  "));
  lines.push(JSON.stringify({ benchmark: "ipam", seconds: SECONDS, processes: PROCESSES, results }));
  process.stdout.write(`${lines.join("\n")}\n`);
  for (const { hosts, perSecond, doubled, lost, leftOver } of results) {
    const slow = hosts === BUDGET.hosts && perSecond < BUDGET.perSecond;
    if (doubled > 0 || lost > 0 || leftOver > 0 || slow) process.exitCode = 1;
  }
}

const args = process.argv.slice(2);
if (process.send && args[0]?.startsWith("{")) await race(JSON.parse(args[0]));
else await main(args.length > 0 ? args.map(Number) : [1, 8, 64]);
