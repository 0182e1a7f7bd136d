/**
 * Which host a block belongs to: claimed and given up in two phases, because two keys are involved and only one
 * can be written at a time.
 *
 *   claim    affinity `pending`  ->  create block  ->  affinity `confirmed`
 *   release  affinity `pendingDeletion`  ->  block deleted, or its affinity cleared  ->  affinity deleted
 *
 * The block decides: whoever's name is on the block owns it. An affinity alone owns nothing, and nobody routes or
 * advertises a block before its affinity is confirmed. Whatever a crash leaves is one of these states, and both
 * operations start from any of them.
 */

import type { Cidr } from "../net/cidr.ts";
import { freeCooled, isEmpty, newBlock, withAffinity } from "./block.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";
import type { Affinity, AllocationBlock } from "./records.ts";
import { LOST, type Retry, untilWon } from "./retry.ts";
import type { IpamStore, Stored, StoredAffinity } from "./store.ts";

/** A block that another host claimed this recently may be about to be used. */
export const MIN_RECLAIM_AGE_MS = 60_000;

/** The block, now ours; undefined where it is somebody else's. */
export async function claim(
  store: IpamStore,
  retry: Retry,
  owner: Affinity,
  cidr: Cidr,
): Promise<Stored<AllocationBlock> | undefined> {
  return untilWon(`claim ${cidr} for ${owner}`, retry, async () => {
    const affinity = await pendingAffinity(store, owner, cidr);
    if (!affinity) return LOST;
    const created = await store.createBlock(newBlock(cidr, owner, retry.clock.now()));
    const block = created ?? (await store.block(cidr));
    if (!block) return LOST; // deleted between the two
    if (block.value.affinity !== owner) {
      await store.deleteAffinity(affinity);
      return undefined;
    }
    if (affinity.value.state === "confirmed") return block;
    return (await store.updateAffinity(affinity, "confirmed")) ? block : LOST;
  });
}

export interface ReleaseOptions {
  /** How long released addresses cool: a block with such addresses is not empty. */
  readonly cooldownSeconds: number;
  /** Give up the block only while it is empty. */
  readonly onlyIfEmpty?: boolean;
  /** Give up the block only if nothing was written to it since. */
  readonly sequenceNumber?: bigint;
}

/**
 * Gives up a block. Addresses in use stay assigned: the block then belongs to nobody.
 * @throws IpamError BLOCK_NOT_EMPTY, BAD_SEQUENCE_NUMBER
 */
export async function releaseAffinity(
  store: IpamStore,
  retry: Retry,
  owner: Affinity,
  cidr: Cidr,
  options: ReleaseOptions,
): Promise<void> {
  await untilWon(`release ${cidr} of ${owner}`, retry, async () => {
    const [affinity, block] = await Promise.all([store.affinity(owner, cidr), store.block(cidr)]);
    const ours = block?.value.affinity === owner ? block : undefined;
    const refusal = ours && refusalOf(ours.value, options, retry.clock.now());
    if (refusal) {
      // The block stays ours: so must the affinity, which an earlier attempt (or a crash) may have marked.
      if (affinity?.value.state === "pendingDeletion") await store.updateAffinity(affinity, "confirmed");
      throw refusal;
    }
    let marked: StoredAffinity | undefined;
    if (affinity) {
      marked = await store.updateAffinity(affinity, "pendingDeletion");
      if (!marked) return LOST;
    }
    if (ours && !(await giveUpBlock(store, ours, options, retry.clock.now()))) return LOST;
    // Whoever changed the affinity since then is claiming the block anew: it is theirs to finish.
    if (marked) await store.deleteAffinity(marked);
    return undefined;
  });
}

/**
 * Takes an empty block away from another host.
 * @returns false where it is not to be had: in use, claimed a moment ago, or changed since it was looked at
 */
export async function reclaim(
  store: IpamStore,
  retry: Retry,
  block: AllocationBlock,
  cooldownSeconds: number,
): Promise<boolean> {
  if (!isReclaimable(block, cooldownSeconds, retry.clock.now())) return false;
  if (block.affinity === null) {
    const current = await store.block(block.cidr);
    if (current?.value.sequenceNumber !== block.sequenceNumber) return false;
    return store.deleteBlock(block.cidr, current.revision);
  }
  try {
    const { sequenceNumber } = block;
    await releaseAffinity(store, retry, block.affinity, block.cidr, {
      cooldownSeconds,
      onlyIfEmpty: true,
      sequenceNumber,
    });
    return true;
  } catch (error) {
    if (error instanceof IpamError) return false;
    throw error;
  }
}

export function isReclaimable(block: AllocationBlock, cooldownSeconds: number, now: number): boolean {
  if (!isEmpty(freeCooled(block, cooldownSeconds, now))) return false;
  const claimed = block.affinityClaimTime ? Date.parse(block.affinityClaimTime) : 0;
  return now - claimed >= MIN_RECLAIM_AGE_MS;
}

/** Our affinity, pending or already confirmed; undefined where it changed under us. */
async function pendingAffinity(
  store: IpamStore,
  owner: Affinity,
  cidr: Cidr,
): Promise<StoredAffinity | undefined> {
  const created = await store.createAffinity(owner, cidr, { state: "pending", extra: {} });
  if (created) return created;
  const current = await store.affinity(owner, cidr);
  if (!current || current.value.state === "confirmed") return current;
  return store.updateAffinity(current, "pending");
}

function refusalOf(block: AllocationBlock, options: ReleaseOptions, now: number): IpamError | undefined {
  const { cidr, sequenceNumber } = block;
  if (options.sequenceNumber !== undefined && options.sequenceNumber !== sequenceNumber) {
    return new IpamError(IpamErrorCode.BadSequenceNumber, `block ${cidr} has changed`, { cidr });
  }
  if (options.onlyIfEmpty && !isEmpty(freeCooled(block, options.cooldownSeconds, now))) {
    return new IpamError(IpamErrorCode.BlockNotEmpty, `block ${cidr} has addresses in use`, { cidr });
  }
  return undefined;
}

async function giveUpBlock(
  store: IpamStore,
  { value, revision }: Stored<AllocationBlock>,
  { cooldownSeconds }: ReleaseOptions,
  now: number,
): Promise<boolean> {
  const block = freeCooled(value, cooldownSeconds, now);
  if (isEmpty(block)) return store.deleteBlock(block.cidr, revision);
  return (await store.updateBlock(withAffinity(block, null, now), revision)) !== undefined;
}
