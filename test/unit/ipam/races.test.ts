/**
 * Hosts that race, over a store whose every operation takes a random number of turns and fails now and then. The
 * schedule is a function of the seed, so a failing run can be repeated.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { DatastoreError, isDatastoreError } from "../../../datastore/errors.ts";
import { IpAllocator } from "../../../ipam/allocator.ts";
import { isIpamError } from "../../../ipam/errors.ts";
import type { Ip } from "../../../net/ip.ts";
import { cluster } from "./cluster.ts";

/** Numbers from 0 to 1 that depend on the seed alone (mulberry32). */
function sequence(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Cluster = Awaited<ReturnType<typeof cluster>>;

/** Operations wait up to four turns, and a share of them fails before or after it took effect. */
function disturb({ datastore }: Cluster, random: () => number, failureShare: number): void {
  datastore.store.onOperation = async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--) await Promise.resolve();
    if (random() < failureShare) throw new DatastoreError("UNAVAILABLE");
  };
  const update = datastore.store.update.bind(datastore.store);
  datastore.store.update = async (...write) => {
    const result = await update(...write);
    if (random() < failureShare / 2) throw new DatastoreError("UNAVAILABLE");
    return result;
  };
}

function calm({ datastore }: Cluster): void {
  datastore.store.onOperation = undefined;
  datastore.store.update = Object.getPrototypeOf(datastore.store).update;
}

interface Run {
  readonly world: Cluster;
  /** Who was told what, and has not given it back. */
  readonly held: Map<Ip, string>;
}

/** Each host creates and deletes containers, as an orchestrator would: what failed is deleted, and deleted until that works. */
async function race(seed: number, hosts: number, containers: number, failureShare: number): Promise<Run> {
  const world = await cluster({ p: { cidr: "10.0.0.0/26", blockSize: 29 } });
  const random = sequence(seed);
  const held = new Map<Ip, string>();
  disturb(world, random, failureShare);

  const host = async (name: string) => {
    const ipam = new IpAllocator(world.datastore, { clock: world.clock, random });
    const remove = async (handle: string) => {
      for (const [address, owner] of held) if (owner === handle) held.delete(address);
      for (;;) {
        try {
          return await ipam.releaseByHandle(handle);
        } catch (error) {
          if (!isDatastoreError(error) && !isIpamError(error, "TOO_MANY_CONFLICTS")) throw error;
        }
      }
    };
    const container = async (handle: string) => {
      try {
        const count = 1 + Math.floor(random() * 2);
        const request = { node: name, handle, num4: count, use: "Workload" as const };
        for (const { ip } of (await ipam.autoAssign(request)).ipv4) {
          assert.ok(!held.has(ip), `${ip} given to ${handle} although ${held.get(ip)} has it`);
          held.set(ip, handle);
        }
        if (random() < 0.5) await remove(handle);
      } catch (error) {
        if (!isDatastoreError(error) && !isIpamError(error)) throw error;
        if (isIpamError(error)) assert.match(error.code, /EXHAUSTED|TOO_MANY_CONFLICTS/);
        await remove(handle);
      }
    };
    const all = Array.from({ length: containers }, (_, i) => `${name}-${i}`);
    // Two at a time: an orchestrator does not wait for one container before it starts the next.
    for (let i = 0; i < all.length; i += 2) await Promise.all(all.slice(i, i + 2).map(container));
  };
  await Promise.all(Array.from({ length: hosts }, (_, i) => host(`host${i}`)));
  calm(world);
  return { world, held };
}

describe("racing hosts", () => {
  const seeds = fc.integer();

  it("never give an address twice, and the records say who has which", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async seed => {
        const { world, held } = await race(seed, 5, 8, 0);
        assert.deepEqual(await world.problems(), []);
        for (const handle of new Set(held.values())) {
          const mine = [...held].filter(([, owner]) => owner === handle).map(([address]) => address);
          assert.deepEqual((await world.allocator().ipsByHandle(handle)).sort(), mine.sort());
        }
      }),
      { numRuns: 30 },
    );
  });

  it("lose nothing although the store fails in the middle of everything", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async seed => {
        const { world, held } = await race(seed, 5, 8, 0.05);
        const { blocks } = await world.records();
        const assigned = blocks.flatMap(block => block.allocations.filter(index => index !== null));
        assert.equal(assigned.length, held.size, "assigned and held differ");
        assert.deepEqual(await world.problems(["affinityBroken"]), []);
        const ipam = world.allocator();
        for (const handle of new Set(held.values())) await ipam.releaseByHandle(handle);
        for (let i = 0; i < 5; i++) await ipam.removeHost(`host${i}`);
        assert.deepEqual(await world.records(), { blocks: [], affinities: [], handles: [] });
      }),
      { numRuns: 30 },
    );
  });

  it("of one handle, creating and deleting at once, end with all or nothing", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async seed => {
        const world = await cluster({ p: { cidr: "10.0.0.0/28", blockSize: 30 } });
        const random = sequence(seed);
        disturb(world, random, 0);
        const allocator = () => new IpAllocator(world.datastore, { clock: world.clock, random });
        let creating = 2;
        const remover = allocator();
        await Promise.all([
          ...["host1", "host2"].map(async node => {
            await allocator().autoAssign({ node, handle: "c", num4: 2, use: "Workload" });
            creating--;
          }),
          (async () => {
            while (creating > 0) await remover.releaseByHandle("c");
          })(),
        ]);
        assert.deepEqual(await world.problems(["handleTooHigh"]), [], "no address without a way back");
        await allocator().releaseByHandle("c");
        const { blocks, handles } = await world.records();
        assert.deepEqual(handles, []);
        assert.ok(blocks.every(block => block.allocations.every(index => index === null)));
      }),
      { numRuns: 100 },
    );
  });

  it("for one block: one gets it, the others go on to the next", async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async seed => {
        const world = await cluster({ p: { cidr: "10.0.0.0/28", blockSize: 30 } });
        const random = sequence(seed);
        disturb(world, random, 0);
        const results = await Promise.all(
          ["a", "b", "c", "d"].map(node =>
            new IpAllocator(world.datastore, { clock: world.clock, random }).autoAssign({
              node,
              handle: node,
              num4: 1,
              use: "Workload",
            }),
          ),
        );
        assert.equal(new Set(results.map(result => result.ipv4[0]!.block)).size, 4);
        assert.deepEqual(await world.problems(), []);
      }),
      { numRuns: 50 },
    );
  });
});
