/** A small cluster for the allocator's tests: a memory store, a clock that only moves when told, pools. */

import type { Clock } from "../../../daemon/clock.ts";
import { key } from "../../../datastore/key.ts";
import { memoryDatastore } from "../../../datastore/memory.ts";
import { IpAllocator } from "../../../ipam/allocator.ts";
import { check, type ProblemKind } from "../../../ipam/check.ts";
import { takeSnapshot } from "../../../ipam/snapshot.ts";
import { IpamStore } from "../../../ipam/store.ts";
import { type Ip, ip } from "../../../net/ip.ts";

export class ManualClock implements Clock {
  #now = Date.parse("2026-01-01T00:00:00Z");
  now(): number {
    return this.#now;
  }
  /** Passes at once: nothing in the allocator depends on how long a wait really is. */
  async sleep(): Promise<void> {
    await new Promise<void>(resolve => setImmediate(resolve));
  }
  advance(ms: number): void {
    this.#now += ms;
  }
}

export type PoolSpec = { readonly cidr: string } & Readonly<Record<string, unknown>>;

export async function cluster(
  pools: Readonly<Record<string, PoolSpec>> = { pool: { cidr: "10.65.0.0/16" } },
) {
  const datastore = memoryDatastore();
  const store = new IpamStore(datastore);
  const clock = new ManualClock();
  const addPool = (name: string, spec: PoolSpec) =>
    datastore.create(key("IPPool", name), { metadata: { name }, spec });
  for (const [name, spec] of Object.entries(pools)) await addPool(name, spec);
  return {
    datastore,
    store,
    clock,
    addPool,
    /** Each has its own memory, as processes do. */
    allocator: () => new IpAllocator(datastore, { clock, random: () => 0.5 }),
    addNode: (name: string, labels: Record<string, string>) =>
      datastore.create(key("Node", name), { metadata: { name, labels }, spec: {} }),
    reserve: (...reservedCIDRs: string[]) =>
      datastore.create(key("IPReservation", "reserved"), {
        metadata: { name: "reserved" },
        spec: { reservedCIDRs },
      }),
    async records() {
      const [blocks, affinities, handles] = await Promise.all([
        store.blocks(),
        store.affinities(),
        store.handles(),
      ]);
      return { blocks: blocks.map(block => block.value), affinities, handles };
    },
    /** What is wrong with the records, in words; empty when all is well. No endpoint uses the tests' addresses. */
    async problems(except: ProblemKind[] = []): Promise<string[]> {
      const { problems } = check(await takeSnapshot(datastore, clock.now()));
      return problems
        .filter(({ kind }) => kind !== "leaked" && !except.includes(kind))
        .map(problem => problem.message);
    },
  };
}

export function ips(...addresses: string[]): Ip[] {
  return addresses.map(ip);
}
