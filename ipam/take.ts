/**
 * Taking addresses out of one block: count the handle up, write the block. Two round trips where the block is
 * remembered rightly and the handle is new, which is the hot path (`test/bench/ipam.ts`).
 */

import type { Cidr } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { assignAny, freeCooled, type Reserved } from "./block.ts";
import { increment, undo } from "./handles.ts";
import type { Affinity, AllocationAttribute, AllocationBlock } from "./records.ts";
import { LOST, untilWon } from "./retry.ts";
import type { Stored } from "./store.ts";
import type { Workspace } from "./workspace.ts";

export interface Assigned {
  readonly ip: Ip;
  /** The block it came from. */
  readonly block: Cidr;
  /** The block belongs to another host: the address is routed as a /32. */
  readonly borrowed: boolean;
  /** For a release that hits exactly this assignment. */
  readonly sequenceNumber: bigint;
}

export interface Taking {
  readonly count: number;
  /** Only from a block with this affinity; undefined: from anyone's. */
  readonly from: Affinity | undefined;
  readonly owner: Affinity;
  readonly attribute: AllocationAttribute;
  readonly reserved: Reserved;
  readonly cooldownSeconds: number;
}

/** As many of the addresses as the block has, perhaps none. */
export async function take(work: Workspace, cidr: Cidr, taking: Taking): Promise<Assigned[]> {
  return untilWon(`assign from block ${cidr}`, work.retry, async () => {
    const seen = await work.blocks.rememberedOrRead(cidr);
    if (!seen || (taking.from !== undefined && seen.value.affinity !== taking.from)) return [];
    const current = freeCooled(seen.value, taking.cooldownSeconds, work.retry.clock.now());
    const { block, ips } = assignAny(current, taking.count, taking.attribute, taking.reserved);
    if (ips.length === 0) return [];
    if (!(await writeAssignment(work, block, seen, taking.attribute, ips.length))) return LOST;
    return ips.map(ip => assigned(ip, current, taking.owner));
  });
}

/** The two writes of an assignment. False: somebody else wrote the block; nothing was assigned. */
export async function writeAssignment(
  work: Workspace,
  block: AllocationBlock,
  seen: Stored<AllocationBlock>,
  { handle_id }: AllocationAttribute,
  count: number,
): Promise<boolean> {
  const counted = handle_id
    ? await increment(work.store, work.retry, handle_id, block.cidr, count)
    : undefined;
  if (await work.blocks.write(block, seen)) return true;
  if (counted) await undo(work.store, counted);
  return false;
}

export function assigned(ip: Ip, block: AllocationBlock, owner: Affinity): Assigned {
  return {
    ip,
    block: block.cidr,
    borrowed: block.affinity !== owner,
    sequenceNumber: block.sequenceNumber,
  };
}
