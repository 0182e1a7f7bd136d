/** What `calctl ipam show` shows, as data. */

import { type Cidr, cidrSize, contains, networkAddress, nthAddress } from "../net/cidr.ts";
import { compareIps, type Ip } from "../net/ip.ts";
import { freeCooled, isCooling, reservedIn, usage } from "./block.ts";
import { poolOf } from "./pools.ts";
import { type AllocationAttribute, type AllocationBlock, nodeOf } from "./records.ts";
import type { Snapshot } from "./snapshot.ts";

export interface UsageRow {
  readonly grouping: "IP Pool" | "Block";
  readonly cidr: Cidr;
  readonly total: bigint;
  /** Assigned, or released and cooling. */
  readonly inUse: bigint;
  /** Reserved, whether in use or not: so these columns may add up to more than `total`. */
  readonly reserved: bigint;
  /** What an automatic assignment could still take. */
  readonly free: bigint;
}

/** A row for each pool; with `blocks`, after each pool a row for each of its blocks. Blocks without a pool come last. */
export function usageRows(snapshot: Snapshot, { blocks: withBlocks = false } = {}): UsageRow[] {
  const rows: UsageRow[] = [];
  const blocks = current(snapshot);
  for (const pool of snapshot.pools) {
    const own = blocks.filter(block => contains(pool.cidr, block.cidr));
    const ownRows = own.map(block => blockRow(block, snapshot));
    const inUse = sum(ownRows.map(row => row.inUse));
    const reserved = reservedAddresses(pool.cidr, snapshot.reservations);
    const inUseAndReserved = sum(ownRows.map(row => row.inUse + row.reserved + row.free - row.total));
    const total = cidrSize(pool.cidr);
    const free = total - inUse - reserved + inUseAndReserved;
    rows.push({ grouping: "IP Pool", cidr: pool.cidr, total, inUse, reserved, free });
    if (withBlocks) rows.push(...ownRows);
  }
  if (withBlocks) {
    const orphans = blocks.filter(block => !poolOf(snapshot.pools, block.cidr));
    rows.push(...orphans.map(block => blockRow(block, snapshot)));
  }
  return rows;
}

export interface BorrowedAddress {
  readonly ip: Ip;
  readonly borrower: string;
  readonly block: Cidr;
  /** Empty where the block belongs to nobody. */
  readonly blockOwner: string;
  readonly type: string;
  readonly allocatedTo: string;
}

/** Addresses used on another host than their block's. */
export function borrowedAddresses(snapshot: Snapshot): BorrowedAddress[] {
  return current(snapshot).flatMap(block => {
    const blockOwner = block.affinity === null ? "" : (nodeOf(block.affinity) ?? block.affinity);
    return allocations(block).flatMap(({ ip, attribute }) => {
      const borrower = attribute.secondary?.["node"] ?? "";
      if (borrower === "" || borrower === blockOwner) return [];
      return [{ ip, borrower, block: block.cidr, blockOwner, ...ownerText(attribute) }];
    });
  });
}

/** What `--show-configuration` lists. */
export function configurationRows({ config }: Snapshot): { property: string; value: string }[] {
  const rows: [string, unknown][] = [
    ["StrictAffinity", config.strictAffinity],
    ["AutoAllocateBlocks", config.autoAllocateBlocks],
    ["MaxBlocksPerHost", config.maxBlocksPerHost],
    ["IPCooldownSeconds", config.ipCooldownSeconds],
  ];
  return rows.map(([property, value]) => ({ property, value: String(value) }));
}

export interface Allocation {
  readonly ip: Ip;
  readonly ordinal: number;
  readonly attribute: AllocationAttribute;
}

/** Who has what of a block, without what is cooling. */
export function allocations(block: AllocationBlock): Allocation[] {
  return block.allocations.flatMap((index, ordinal) => {
    if (index === null) return [];
    const attribute = block.attributes[index] ?? {};
    return isCooling(attribute) ? [] : [{ ip: nthAddress(block.cidr, ordinal), ordinal, attribute }];
  });
}

/** For an operator's eyes: what kind of thing has the address, and its name. */
export function ownerText({ handle_id, secondary }: AllocationAttribute): {
  type: string;
  allocatedTo: string;
} {
  const { pod, namespace, type, service, node } = secondary ?? {};
  if (type?.endsWith("TunnelAddress")) return { type, allocatedTo: node ?? "" };
  if (pod !== undefined) return { type: "Pod", allocatedTo: `${namespace ?? ""}/${pod}` };
  if (service !== undefined) return { type: "Service", allocatedTo: `${namespace ?? ""}/${service}` };
  return { type: type ?? "", allocatedTo: handle_id ?? "" };
}

function current({ blocks, config, takenAt }: Snapshot): AllocationBlock[] {
  return blocks
    .map(block => freeCooled(block, config.ipCooldownSeconds, takenAt))
    .sort((a, b) => compareIps(networkAddress(a.cidr), networkAddress(b.cidr)));
}

function blockRow(block: AllocationBlock, { reservations }: Snapshot): UsageRow {
  const { size, inUse, cooling, reserved, free } = usage(block, reservedIn(block.cidr, reservations));
  return {
    grouping: "Block",
    cidr: block.cidr,
    total: BigInt(size),
    inUse: BigInt(inUse + cooling),
    reserved: BigInt(reserved),
    free: BigInt(free),
  };
}

/** Addresses of `cidr` in any of the reservations, each once. CIDRs either nest or are apart. */
function reservedAddresses(cidr: Cidr, reservations: readonly Cidr[]): bigint {
  if (reservations.some(reservation => contains(reservation, cidr))) return cidrSize(cidr);
  const inside = [...new Set(reservations)].filter(reservation => contains(cidr, reservation));
  const outermost = inside.filter(a => !inside.some(b => b !== a && contains(b, a)));
  return sum(outermost.map(cidrSize));
}

function sum(numbers: readonly bigint[]): bigint {
  return numbers.reduce((a, b) => a + b, 0n);
}
