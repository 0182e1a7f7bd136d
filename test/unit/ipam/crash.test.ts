/**
 * The process dies after its n-th write, for every n: nothing it does after that reaches the store. What it left
 * must not stop a new process, and cleaning up as an orchestrator does (delete what failed) must leave nothing.
 */

import assert from "node:assert/strict";
import { DatastoreError } from "../../../datastore/errors.ts";
import type { IpAllocator } from "../../../ipam/allocator.ts";
import { cidr } from "../../../net/cidr.ts";
import { ip } from "../../../net/ip.ts";
import { cluster } from "./cluster.ts";

type Cluster = Awaited<ReturnType<typeof cluster>>;

const request = (handle: string, num4 = 1) => ({ node: "host1", handle, num4, use: "Workload" as const });

/** Lets `writes` writes through, then fails everything. */
function dieAfter({ datastore }: Cluster, writes: number): void {
  let left = writes;
  let dead = false;
  datastore.store.onOperation = operation => {
    const isWrite = operation === "create" || operation === "update" || operation === "delete";
    dead ||= isWrite && left-- <= 0;
    if (dead) throw new DatastoreError("UNAVAILABLE");
  };
}

interface Scenario {
  readonly name: string;
  prepare?(ipam: IpAllocator): Promise<unknown>;
  /** Dies in here, and is then done once more. */
  operation(ipam: IpAllocator): Promise<unknown>;
  /** What an orchestrator does about what failed, before it tries again. */
  cleanUp?(ipam: IpAllocator): Promise<unknown>;
  /** What has been assigned when all is over. */
  readonly addresses: number;
}

const SCENARIOS: Scenario[] = [
  {
    name: "the first assignment of a host",
    operation: ipam => ipam.autoAssign(request("c")),
    cleanUp: ipam => ipam.releaseByHandle("c"),
    addresses: 1,
  },
  {
    name: "an assignment that spans blocks",
    operation: ipam => ipam.autoAssign(request("c", 7)),
    cleanUp: ipam => ipam.releaseByHandle("c"),
    addresses: 7,
  },
  {
    name: "an assignment that must be taken back",
    operation: ipam => ipam.autoAssign(request("c", 17)).catch(() => undefined),
    cleanUp: ipam => ipam.releaseByHandle("c"),
    addresses: 0,
  },
  {
    name: "the assignment of a chosen address",
    operation: ipam => ipam.assignIp({ ...request("c"), ip: ip("10.0.0.5") }),
    cleanUp: ipam => ipam.releaseByHandle("c"),
    addresses: 1,
  },
  {
    name: "the release of a handle",
    prepare: ipam => ipam.autoAssign(request("c", 7)),
    operation: ipam => ipam.releaseByHandle("c"),
    addresses: 0,
  },
  {
    name: "the release of an address",
    prepare: ipam => ipam.assignIp({ ...request("c"), ip: ip("10.0.0.5") }),
    operation: ipam => ipam.release([{ ip: ip("10.0.0.5"), handle: "c" }]),
    addresses: 0,
  },
  {
    name: "giving up the blocks of a host",
    prepare: async ipam => {
      await ipam.autoAssign(request("gone", 7));
      await ipam.autoAssign(request("c", 3));
      await ipam.releaseByHandle("gone");
    },
    operation: ipam => ipam.removeHost("host1"),
    addresses: 3,
  },
  {
    name: "taking over another host's empty block",
    prepare: async ipam => {
      for (const last of [1, 5, 9, 13]) {
        await ipam.assignIp({ ...request("x"), node: "host2", ip: ip(`10.0.0.${last}`) });
      }
      await ipam.releaseByHandle("x");
    },
    operation: ipam => ipam.autoAssign(request("c")),
    cleanUp: ipam => ipam.releaseByHandle("c"),
    addresses: 1,
  },
];

describe("a process that dies between two writes", () => {
  for (const scenario of SCENARIOS) {
    it(`during ${scenario.name} leaves nothing that a retry does not settle`, async () => {
      let died = 0;
      for (let writes = 0; ; writes++) {
        const world = await cluster({ p: { cidr: "10.0.0.0/28", blockSize: 30 } });
        await scenario.prepare?.(world.allocator());
        world.clock.advance(120_000);
        dieAfter(world, writes);
        let failed = false;
        await scenario.operation(world.allocator()).catch(() => {
          failed = true;
        });
        world.datastore.store.onOperation = undefined;
        world.clock.advance(120_000);
        const harmless = ["handleTooHigh", "affinityBroken"] as const;
        assert.deepEqual(await world.problems([...harmless]), [], `after ${writes} writes`);

        await scenario.cleanUp?.(world.allocator());
        await scenario.operation(world.allocator());
        assert.deepEqual(await world.problems(), [], `after ${writes} writes and a retry`);
        const { blocks } = await world.records();
        const assigned = blocks.flatMap(block => block.allocations.filter(index => index !== null));
        assert.equal(assigned.length, scenario.addresses, `addresses after ${writes} writes and a retry`);

        await world.allocator().releaseByHandle("c");
        await world.allocator().releasePoolAffinities(cidr("10.0.0.0/28"));
        assert.deepEqual(await world.records(), { blocks: [], affinities: [], handles: [] });
        if (!failed) break;
        died++;
      }
      assert.ok(died > 0 || scenario.name.includes("taken back"), "died at least once");
    });
  }
});
