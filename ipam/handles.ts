/**
 * Handles: which blocks to look into when everything of one owner (a container) is to be released.
 *
 * A handle is counted up before the block is written and down after, so that a crash in between leaves a count
 * too high, never too low: a count too high costs a look into a block, a count too low would leak an address for
 * ever. For the same reason an increment is only taken back while nobody else touched the handle.
 */

import type { Cidr } from "../net/cidr.ts";
import type { IpamHandle } from "./records.ts";
import { LOST, type Retry, untilWon } from "./retry.ts";
import type { IpamStore, StoredHandle } from "./store.ts";

/** What {@link increment} did, so that {@link undo} can take it back. */
export interface Increment {
  readonly before: IpamHandle | undefined;
  readonly after: StoredHandle;
}

/** One round trip for a new handle, which is the rule: a container has its own. */
export async function increment(
  store: IpamStore,
  retry: Retry,
  id: string,
  cidr: Cidr,
  count: number,
): Promise<Increment> {
  return untilWon(`handle ${id}`, retry, async () => {
    const created = await store.createHandle(id, { block: { [cidr]: count }, extra: {} });
    if (created) return { before: undefined, after: created };
    const current = await store.handle(id);
    if (!current) return LOST;
    const updated = await store.updateHandle(
      current,
      withCount(current.value, cidr, n => n + count),
    );
    return updated ? { before: current.value, after: updated } : LOST;
  });
}

/** Where somebody else changed the handle since, it stays too high: that is safe. */
export async function undo(store: IpamStore, { before, after }: Increment): Promise<void> {
  if (before) await store.updateHandle(after, before);
  else await store.deleteHandle(after);
}

/** Deletes the handle when nothing is left. */
export async function decrement(
  store: IpamStore,
  retry: Retry,
  id: string,
  cidr: Cidr,
  count: number,
): Promise<void> {
  await untilWon(`handle ${id}`, retry, async () => {
    const current = await store.handle(id);
    if (!current) return undefined;
    return (await writeCounts(
      store,
      current,
      withCount(current.value, cidr, n => n - count),
    ))
      ? undefined
      : LOST;
  });
}

/** Stores the handle with other counts; a handle without any is deleted. False: somebody else was faster. */
export async function writeCounts(
  store: IpamStore,
  current: StoredHandle,
  handle: IpamHandle,
): Promise<boolean> {
  if (Object.keys(handle.block).length === 0) return store.deleteHandle(current);
  return (await store.updateHandle(current, handle)) !== undefined;
}

export function withCount(handle: IpamHandle, cidr: Cidr, change: (count: number) => number): IpamHandle {
  const { [cidr]: current = 0, ...others } = handle.block;
  const count = change(current);
  return { ...handle, block: count > 0 ? { ...others, [cidr]: count } : others };
}
