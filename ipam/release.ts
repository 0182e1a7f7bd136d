/**
 * Giving addresses back: the block first, then the handle's count.
 *
 * Everything of a handle at once needs more care, because a crash, or an assignment in flight (a container
 * being deleted while it is being created), may have counted the handle without having written a block yet.
 * Deleting the handle then would leak the address written next. So every block the handle names is written, even
 * where it holds nothing: an assigner reads the block before it counts the handle, so its write over the old
 * revision fails, and it comes back to find the handle gone and count anew. After that fence the handle is
 * deleted if nobody changed it meanwhile, and otherwise looked at again.
 */

import { type Cidr, contains } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import {
  addressesOf,
  freeCooled,
  isEmpty,
  type Released,
  type ReleaseRequest,
  type ReleaseResult,
  release as releaseFrom,
  releaseHandle as releaseHandleFrom,
} from "./block.ts";
import { decrement, withCount, writeCounts } from "./handles.ts";
import { blockOf, poolOf } from "./pools.ts";
import type { AllocationBlock } from "./records.ts";
import { LOST, untilWon } from "./retry.ts";
import type { Stored } from "./store.ts";
import type { Workspace } from "./workspace.ts";

export interface ReleaseSummary {
  readonly released: Ip[];
  /** Free already, or in no block. */
  readonly notAssigned: Ip[];
}

type Outcome = Pick<ReleaseResult, "released" | "notAssigned">;

/** Runs an operation on a block when no other of this process is at it. */
export type InTurnOf = <T>(cidr: Cidr, operation: () => Promise<T>) => Promise<T>;

/** The block that holds (or would hold) an address; undefined where no pool and no block does. */
export async function blockHolding(work: Workspace, ip: Ip): Promise<Cidr | undefined> {
  const { pools } = await work.surroundings.rememberedOrRead();
  const pool = poolOf(pools, ip);
  if (pool) {
    const cidr = blockOf(pool, ip);
    if (await work.blocks.rememberedOrRead(cidr)) return cidr;
  }
  // The pool is gone, or had another block size when the block was made.
  return (await work.blocks.list()).find(block => contains(block.value.cidr, ip))?.value.cidr;
}

/** @throws IpamError BAD_HANDLE, BAD_SEQUENCE_NUMBER: then nothing of this block was released */
export async function releaseFromBlock(
  work: Workspace,
  cidr: Cidr,
  requests: readonly ReleaseRequest[],
): Promise<ReleaseSummary> {
  let memory = work.blocks.remembered(cidr);
  const result = await untilWon<Outcome>(`release from block ${cidr}`, work.retry, async () => {
    const guess = memory;
    memory = undefined;
    const seen = guess ?? (await work.blocks.read(cidr));
    if (!seen) return { released: [], notAssigned: requests.map(request => request.ip) };
    const { config } = await work.surroundings.rememberedOrRead();
    const now = work.retry.clock.now();
    let outcome: ReleaseResult;
    try {
      outcome = releaseFrom(freeCooled(seen.value, config.ipCooldownSeconds, now), requests, now);
    } catch (error) {
      if (guess) return LOST; // refused on a guess: look before saying so
      throw error;
    }
    if (outcome.released.length === 0) return guess ? LOST : outcome;
    return (await writeReleased(work, outcome, seen)) ? outcome : LOST;
  });
  for (const [handle, count] of countByHandle(result.released)) {
    await decrement(work.store, work.retry, handle, cidr, count);
  }
  return { released: result.released.map(({ ip }) => ip), notAssigned: result.notAssigned };
}

/** Everything the handle holds; nothing where there is no such handle. */
export async function releaseHandle(work: Workspace, id: string, inTurnOf: InTurnOf): Promise<Ip[]> {
  const released: Ip[] = [];
  await untilWon(`release handle ${id}`, work.retry, async () => {
    const handle = await work.store.handle(id);
    if (!handle) return undefined;
    for (const cidr of Object.keys(handle.value.block) as Cidr[]) {
      released.push(...(await inTurnOf(cidr, () => releaseHandleAndFence(work, cidr, id))));
    }
    return (await work.store.deleteHandle(handle)) ? undefined : LOST;
  });
  return released;
}

/**
 * Makes a handle say what its blocks hold: after a crash it may count too much; `blocks` names blocks that are
 * known to hold addresses of it, should it not name them itself.
 */
export async function repairHandle(work: Workspace, id: string, blocks: readonly Cidr[] = []): Promise<void> {
  await untilWon(`repair handle ${id}`, work.retry, async () => {
    const stored = await work.store.handle(id);
    const before = stored?.value ?? { block: {}, extra: {} };
    let after = before;
    for (const cidr of new Set([...(Object.keys(before.block) as Cidr[]), ...blocks])) {
      const holds = await countExactly(work, cidr, id, before.block[cidr] ?? 0);
      after = withCount(after, cidr, () => holds);
    }
    if (JSON.stringify(after.block) === JSON.stringify(before.block)) return undefined;
    const written = stored
      ? await writeCounts(work.store, stored, after)
      : await work.store.createHandle(id, after);
    return written ? undefined : LOST;
  });
}

async function releaseHandleAndFence(work: Workspace, cidr: Cidr, id: string): Promise<Ip[]> {
  return untilWon(`release handle ${id} in block ${cidr}`, work.retry, async () => {
    const seen = await work.blocks.rememberedOrRead(cidr);
    if (!seen) return [];
    const result = releaseHandleFrom(seen.value, id, work.retry.clock.now());
    return (await writeReleased(work, result, seen)) ? result.released.map(({ ip }) => ip) : LOST;
  });
}

/** Stores the block; one that nobody owns and nobody uses is deleted. */
async function writeReleased(
  work: Workspace,
  { block: released }: ReleaseResult,
  seen: Stored<AllocationBlock>,
): Promise<boolean> {
  const { config } = await work.surroundings.rememberedOrRead();
  const block = freeCooled(released, config.ipCooldownSeconds, work.retry.clock.now());
  if (block.affinity === null && isEmpty(block)) return work.blocks.delete(seen);
  return work.blocks.write(block, seen);
}

/** How many addresses of the handle the block holds; where that differs from `expected`, in-flight assignments are fenced off. */
async function countExactly(work: Workspace, cidr: Cidr, id: string, expected: number): Promise<number> {
  return untilWon(`count handle ${id} in block ${cidr}`, work.retry, async () => {
    const seen = await work.blocks.read(cidr);
    if (!seen) return 0;
    const count = addressesOf(seen.value, id).length;
    return count === expected || (await work.blocks.write(seen.value, seen)) ? count : LOST;
  });
}

function countByHandle(released: readonly Released[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { handle } of released) {
    if (handle !== undefined) counts.set(handle, (counts.get(handle) ?? 0) + 1);
  }
  return counts;
}
