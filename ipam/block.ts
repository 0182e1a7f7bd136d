/**
 * What can be done to an allocation block, as functions from a block to a new one; nothing here reads or writes
 * the datastore. The block is the unit of compare-and-swap, so whatever these functions keep true of one block is
 * true of the cluster: an ordinal is either in `unallocated` (once) or has an attribute index, never both.
 *
 * Freed ordinals go to the tail of `unallocated` and are taken from its head, so an address rests as long as
 * possible before it is reused.
 */

import { type Cidr, cidrSize, networkAddress, nthAddress, ordinalOf, overlaps } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";
import type { Affinity, AllocationAttribute, AllocationBlock } from "./records.ts";

/** Says of an ordinal whether it must not be given out automatically. */
export type Reserved = (ordinal: number) => boolean;

export interface ReleaseRequest {
  readonly ip: Ip;
  /** Release only if assigned under this handle. */
  readonly handle?: string | undefined;
  /** Release only if not assigned anew since this sequence number was read. */
  readonly sequenceNumber?: bigint | undefined;
}

export interface Released {
  readonly ip: Ip;
  readonly handle: string | undefined;
}

export interface ReleaseResult {
  readonly block: AllocationBlock;
  readonly released: Released[];
  readonly notAssigned: Ip[];
}

export function newBlock(cidr: Cidr, affinity: Affinity | null, now: number): AllocationBlock {
  const size = Number(cidrSize(cidr));
  return {
    cidr,
    affinity,
    affinityClaimTime: affinity === null ? undefined : new Date(now).toISOString(),
    allocations: new Array(size).fill(null),
    unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
    attributes: [],
    sequenceNumber: BigInt(now) * 1000n,
    sequenceNumberForAllocation: new Map(),
    extra: {},
  };
}

/** The block as the next write must store it. */
export function nextVersion(block: AllocationBlock): AllocationBlock {
  return { ...block, sequenceNumber: block.sequenceNumber + 1n };
}

export function withAffinity(
  block: AllocationBlock,
  affinity: Affinity | null,
  now: number,
): AllocationBlock {
  return {
    ...block,
    affinity,
    affinityClaimTime: affinity === null ? undefined : new Date(now).toISOString(),
  };
}

/** Nothing assigned and nothing cooling. */
export function isEmpty(block: AllocationBlock): boolean {
  return block.unallocated.length === block.allocations.length;
}

export function countFree(block: AllocationBlock, reserved: Reserved): number {
  let count = 0;
  for (const ordinal of block.unallocated) if (!reserved(ordinal)) count++;
  return count;
}

export interface BlockUse {
  readonly size: number;
  /** Assigned to someone. */
  readonly inUse: number;
  /** Released, not yet given out again. */
  readonly cooling: number;
  /** Reserved, whether in use or not. */
  readonly reserved: number;
  /** What an automatic assignment could take. */
  readonly free: number;
}

export function usage(block: AllocationBlock, reserved: Reserved): BlockUse {
  const use = { size: block.allocations.length, inUse: 0, cooling: 0, reserved: 0, free: 0 };
  for (const [ordinal, index] of block.allocations.entries()) {
    const isReserved = reserved(ordinal);
    if (isReserved) use.reserved++;
    if (index === null) use.free += isReserved ? 0 : 1;
    else if (isCooling(block.attributes[index])) use.cooling++;
    else use.inUse++;
  }
  return use;
}

/** The predicate over a block's ordinals for a list of reserved CIDRs. */
export function reservedIn(cidr: Cidr, reservations: readonly Cidr[]): Reserved {
  const ranges = reservations
    .filter(reservation => overlaps(reservation, cidr))
    .map(reservation => rangeWithin(cidr, reservation));
  if (ranges.length === 0) return () => false;
  return ordinal => ranges.some(([first, last]) => ordinal >= first && ordinal <= last);
}

/** Assigns up to `count` free addresses. */
export function assignAny(
  block: AllocationBlock,
  count: number,
  attribute: AllocationAttribute,
  reserved: Reserved,
): { block: AllocationBlock; ips: Ip[] } {
  const taken: number[] = [];
  const unallocated: number[] = [];
  for (const ordinal of block.unallocated) {
    if (taken.length < count && !reserved(ordinal)) taken.push(ordinal);
    else unallocated.push(ordinal);
  }
  if (taken.length === 0) return { block, ips: [] };
  return {
    block: assignOrdinals({ ...block, unallocated }, taken, attribute),
    ips: taken.map(ordinal => nthAddress(block.cidr, ordinal)),
  };
}

/** Assigns this address, reserved or not. @throws IpamError ALREADY_ASSIGNED */
export function assignIp(block: AllocationBlock, ip: Ip, attribute: AllocationAttribute): AllocationBlock {
  const ordinal = ordinalOf(block.cidr, ip);
  const holder = attributeAt(block, ordinal);
  if (holder) {
    throw new IpamError(
      IpamErrorCode.AlreadyAssigned,
      isCooling(holder) ? `${ip} was released a moment ago and is cooling down` : `${ip} is already assigned`,
      { ip, handle: holder.handle_id ?? undefined, attributes: holder.secondary ?? {} },
    );
  }
  const unallocated = block.unallocated.filter(other => other !== ordinal);
  return assignOrdinals({ ...block, unallocated }, [ordinal], attribute);
}

/**
 * Releases all, or throws: one request that does not match refuses the whole batch. Addresses that are free or
 * cooling already are reported, not refused.
 * @throws IpamError BAD_HANDLE, BAD_SEQUENCE_NUMBER
 */
export function release(
  block: AllocationBlock,
  requests: readonly ReleaseRequest[],
  now: number,
): ReleaseResult {
  const ordinals = new Map<number, Released>();
  const notAssigned: Ip[] = [];
  for (const { ip, handle, sequenceNumber } of requests) {
    const ordinal = ordinalOf(block.cidr, ip);
    const holder = attributeAt(block, ordinal);
    if (!holder || isCooling(holder)) {
      notAssigned.push(ip);
      continue;
    }
    const actual = holder.handle_id ?? undefined;
    if (handle !== undefined && handle !== actual) {
      throw new IpamError(
        IpamErrorCode.BadHandle,
        `${ip} is assigned under handle ${actual ?? "(none)"}, not ${handle}`,
        {
          ip,
          handle,
          actual,
        },
      );
    }
    const sequence = block.sequenceNumberForAllocation.get(ordinal);
    if (sequenceNumber !== undefined && sequence !== sequenceNumber) {
      throw new IpamError(IpamErrorCode.BadSequenceNumber, `${ip} was assigned anew since it was looked at`, {
        ip,
        sequenceNumber,
        actual: sequence,
      });
    }
    ordinals.set(ordinal, { ip, handle: actual });
  }
  return {
    block: ordinals.size === 0 ? block : releaseOrdinals(block, ordinals, now),
    released: [...ordinals.values()],
    notAssigned,
  };
}

/** Releases whatever the block holds for a handle. */
export function releaseHandle(block: AllocationBlock, handle: string, now: number): ReleaseResult {
  return release(
    block,
    addressesOf(block, handle).map(ip => ({ ip })),
    now,
  );
}

/** The addresses a handle has in this block. */
export function addressesOf(block: AllocationBlock, handle: string): Ip[] {
  const indexes = new Set<number>();
  for (const [index, attribute] of block.attributes.entries()) {
    if (attribute.handle_id === handle && !isCooling(attribute)) indexes.add(index);
  }
  if (indexes.size === 0) return [];
  const ips: Ip[] = [];
  for (const [ordinal, index] of block.allocations.entries()) {
    if (index !== null && indexes.has(index)) ips.push(nthAddress(block.cidr, ordinal));
  }
  return ips;
}

/** Frees what has cooled for `cooldownSeconds`; the same block where nothing has. To be applied to every block read. */
export function freeCooled(block: AllocationBlock, cooldownSeconds: number, now: number): AllocationBlock {
  if (!block.attributes.some(isCooling)) return block;
  const cooled = new Set<number>();
  for (const [index, { releasedAt }] of block.attributes.entries()) {
    if (releasedAt && Date.parse(releasedAt) + cooldownSeconds * 1000 <= now) cooled.add(index);
  }
  if (cooled.size === 0) return block;
  const allocations = [...block.allocations];
  const unallocated = [...block.unallocated];
  const sequences = new Map(block.sequenceNumberForAllocation);
  for (const [ordinal, index] of allocations.entries()) {
    if (index === null || !cooled.has(index)) continue;
    allocations[ordinal] = null;
    unallocated.push(ordinal);
    sequences.delete(ordinal);
  }
  return withoutUnusedAttributes({
    ...block,
    allocations,
    unallocated,
    sequenceNumberForAllocation: sequences,
  });
}

export function attributeAt(block: AllocationBlock, ordinal: number): AllocationAttribute | undefined {
  const index = block.allocations[ordinal];
  return index === null || index === undefined ? undefined : block.attributes[index];
}

export function isCooling(attribute: AllocationAttribute | undefined): boolean {
  return Boolean(attribute?.releasedAt);
}

function assignOrdinals(
  block: AllocationBlock,
  ordinals: readonly number[],
  attribute: AllocationAttribute,
): AllocationBlock {
  const { index, attributes } = indexOf(block.attributes, attribute);
  const allocations = [...block.allocations];
  const sequences = new Map(block.sequenceNumberForAllocation);
  for (const ordinal of ordinals) {
    allocations[ordinal] = index;
    sequences.set(ordinal, block.sequenceNumber);
  }
  return { ...block, allocations, attributes, sequenceNumberForAllocation: sequences };
}

function releaseOrdinals(
  block: AllocationBlock,
  ordinals: ReadonlyMap<number, unknown>,
  now: number,
): AllocationBlock {
  const marked = assignOrdinals(block, [...ordinals.keys()], { releasedAt: new Date(now).toISOString() });
  return withoutUnusedAttributes(marked);
}

/** Equal attributes are stored once. */
function indexOf(
  attributes: readonly AllocationAttribute[],
  attribute: AllocationAttribute,
): { index: number; attributes: readonly AllocationAttribute[] } {
  const wanted = canonical(attribute);
  const handle = attribute.handle_id ?? undefined;
  const index = attributes.findIndex(
    other => (other.handle_id ?? undefined) === handle && canonical(other) === wanted,
  );
  if (index >= 0) return { index, attributes };
  return { index: attributes.length, attributes: [...attributes, attribute] };
}

function withoutUnusedAttributes(block: AllocationBlock): AllocationBlock {
  const attributes: AllocationAttribute[] = [];
  const renumbered = new Map<number, number>();
  const allocations = block.allocations.map(index => {
    if (index === null) return null;
    let to = renumbered.get(index);
    if (to === undefined) {
      to = attributes.push(block.attributes[index] ?? {}) - 1;
      renumbered.set(index, to);
    }
    return to;
  });
  return { ...block, allocations, attributes };
}

function canonical(attribute: AllocationAttribute): string {
  return JSON.stringify(attribute, (_, value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value ?? undefined;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

function rangeWithin(cidr: Cidr, reservation: Cidr): [number, number] {
  const size = cidrSize(cidr);
  if (cidrSize(reservation) >= size) return [0, Number(size) - 1];
  const first = ordinalOf(cidr, networkAddress(reservation));
  return [first, first + Number(cidrSize(reservation)) - 1];
}
