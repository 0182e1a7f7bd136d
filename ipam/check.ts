/**
 * What is wrong with the IPAM records, and with them against what uses addresses: `calctl ipam check`.
 *
 * Pure: a snapshot in, findings out. A finding names what it is about, so that a repair needs no second search;
 * the report keeps sequence numbers, so that a release made from it hits only what was seen.
 */

import { type Cidr, overlaps } from "../net/cidr.ts";
import { compareIps, type Ip } from "../net/ip.ts";
import { isCooling, type ReleaseRequest } from "./block.ts";
import { type Allocation, allocations, ownerText } from "./inspect.ts";
import { poolOf } from "./pools.ts";
import { type Affinity, type AllocationBlock, nodeOf } from "./records.ts";
import type { AddressUser, Snapshot } from "./snapshot.ts";

export type Problem =
  /** Assigned, and nothing uses it. */
  | { readonly kind: "leaked"; readonly ip: Ip; readonly message: string }
  /** Used, in a pool, and not assigned: it may be given to someone else. */
  | { readonly kind: "notAssigned"; readonly ip: Ip; readonly message: string }
  | { readonly kind: "outsidePools"; readonly ip: Ip; readonly message: string }
  | { readonly kind: "severalUsers"; readonly ip: Ip; readonly message: string }
  /** Assigned under a handle that does not lead back to it: releasing the handle would leak it. */
  | {
      readonly kind: "handleMissing";
      readonly handle: string;
      readonly blocks: Cidr[];
      readonly message: string;
    }
  /** A handle that counts more than its blocks hold: harmless, left by a crash. */
  | { readonly kind: "handleTooHigh"; readonly handle: string; readonly message: string }
  | { readonly kind: "blockBroken"; readonly block: Cidr; readonly message: string }
  | { readonly kind: "blocksOverlap"; readonly block: Cidr; readonly message: string }
  /** A block's owner and its affinity record disagree. */
  | {
      readonly kind: "affinityBroken";
      readonly block: Cidr;
      readonly owner: Affinity;
      readonly message: string;
    };

export type ProblemKind = Problem["kind"];

export interface CheckedAllocation {
  readonly ip: Ip;
  readonly block: Cidr;
  readonly node: string;
  readonly handle: string | undefined;
  /** Decimal: larger than JSON's numbers. */
  readonly sequenceNumber: string;
  readonly type: string;
  readonly allocatedTo: string;
  readonly users: string[];
  readonly leaked: boolean;
}

/** What `calctl ipam check -o` writes and `calctl ipam release --from-report` reads. */
export interface CheckReport {
  readonly version: 1;
  readonly clusterGUID: string;
  readonly datastoreLocked: boolean;
  readonly takenAt: string;
  readonly allocations: CheckedAllocation[];
  readonly problems: Problem[];
}

export function check(snapshot: Snapshot): CheckReport {
  const users = Map.groupBy(snapshot.users, user => user.ip);
  const checked = snapshot.blocks.flatMap(block =>
    allocations(block).map(allocation => checkedAllocation(block, allocation, users)),
  );
  checked.sort((a, b) => compareIps(a.ip, b.ip));
  return {
    version: 1,
    clusterGUID: snapshot.clusterGuid,
    datastoreLocked: snapshot.locked,
    takenAt: new Date(snapshot.takenAt).toISOString(),
    allocations: checked,
    problems: [
      ...addressProblems(snapshot, checked, users),
      ...handleProblems(snapshot, checked),
      ...blockProblems(snapshot),
      ...affinityProblems(snapshot),
    ],
  };
}

/**
 * What to release: leaked in all of the reports, and assigned no more recently than the first of them. Reports
 * taken some time apart rule out what was merely in the middle of being set up.
 */
export function leakedInAll(reports: readonly CheckReport[]): ReleaseRequest[] {
  const [first, ...others] = reports;
  if (!first) return [];
  const identity = ({ ip, sequenceNumber, handle }: CheckedAllocation) => `${ip} ${sequenceNumber} ${handle}`;
  const later = others.map(
    report => new Set(report.allocations.filter(each => each.leaked).map(each => identity(each))),
  );
  return first.allocations
    .filter(each => each.leaked && later.every(leaked => leaked.has(identity(each))))
    .map(({ ip, handle, sequenceNumber }) => ({ ip, handle, sequenceNumber: BigInt(sequenceNumber) }));
}

function checkedAllocation(
  block: AllocationBlock,
  { ip, ordinal, attribute }: Allocation,
  users: ReadonlyMap<Ip, AddressUser[]>,
): CheckedAllocation {
  const using = users.get(ip) ?? [];
  return {
    ip,
    block: block.cidr,
    node: attribute.secondary?.["node"] ?? (block.affinity ? (nodeOf(block.affinity) ?? "") : ""),
    handle: attribute.handle_id ?? undefined,
    sequenceNumber: String(block.sequenceNumberForAllocation.get(ordinal) ?? 0),
    ...ownerText(attribute),
    users: using.map(user => user.name),
    leaked: using.length === 0 && isJudgeable(block, attribute),
  };
}

/** Addresses of services and those set aside for Windows have users that we do not see. */
function isJudgeable(block: AllocationBlock, { handle_id, secondary }: Allocation["attribute"]): boolean {
  return (
    block.affinity !== "virtual:load-balancer" &&
    secondary?.["service"] === undefined &&
    handle_id !== "windows-reserved-ipam-handle"
  );
}

function addressProblems(
  { pools }: Snapshot,
  checked: readonly CheckedAllocation[],
  users: ReadonlyMap<Ip, AddressUser[]>,
): Problem[] {
  const problems: Problem[] = [];
  const assigned = new Set(checked.map(each => each.ip));
  for (const { ip, leaked, handle, block } of checked) {
    const under = handle === undefined ? "without a handle" : `under handle ${handle}`;
    if (leaked)
      problems.push({ kind: "leaked", ip, message: `${ip} is assigned ${under}, but nothing uses it` });
    if (!poolOf(pools, ip)) {
      problems.push({
        kind: "outsidePools",
        ip,
        message: `${ip} of block ${block} is assigned, but in no pool`,
      });
    }
  }
  for (const [ip, using] of users) {
    const names = using.map(user => user.name).join(", ");
    if (using.length > 1) {
      problems.push({ kind: "severalUsers", ip, message: `${ip} is used by ${names}` });
    }
    if (assigned.has(ip)) continue;
    problems.push(
      poolOf(pools, ip)
        ? { kind: "notAssigned", ip, message: `${ip} is used by ${names}, but not assigned` }
        : { kind: "outsidePools", ip, message: `${ip} is used by ${names}, but in no pool` },
    );
  }
  return problems;
}

function handleProblems({ handles }: Snapshot, checked: readonly CheckedAllocation[]): Problem[] {
  const problems: Problem[] = [];
  const counted = new Map(handles.map(({ id, value }) => [id, value.block]));
  const held = Map.groupBy(
    checked.filter(each => each.handle !== undefined),
    each => each.handle!,
  );
  for (const [handle, having] of held) {
    const perBlock = Map.groupBy(having, each => each.block);
    const short = [...perBlock].filter(([block, of]) => (counted.get(handle)?.[block] ?? 0) < of.length);
    if (short.length === 0) continue;
    const blocks = short.map(([block]) => block);
    const message = `handle ${handle} does not count all its addresses in ${blocks.join(", ")}`;
    problems.push({ kind: "handleMissing", handle, blocks, message });
  }
  for (const [handle, blocks] of counted) {
    const perBlock = Map.groupBy(held.get(handle) ?? [], each => each.block);
    const high = Object.entries(blocks).filter(
      ([block, count]) => count > (perBlock.get(block as Cidr)?.length ?? 0),
    );
    if (high.length === 0 && Object.keys(blocks).length > 0) continue;
    const where = high.map(([block]) => block).join(", ") || "no block at all";
    const message = `handle ${handle} counts addresses that it does not have in ${where}`;
    problems.push({ kind: "handleTooHigh", handle, message });
  }
  return problems;
}

function blockProblems({ blocks }: Snapshot): Problem[] {
  const problems: Problem[] = [];
  for (const block of blocks) {
    for (const message of inconsistencies(block)) {
      problems.push({ kind: "blockBroken", block: block.cidr, message: `block ${block.cidr}: ${message}` });
    }
  }
  const sorted = [...blocks].sort((a, b) => compareIps(firstOf(a), firstOf(b)));
  for (let i = 1; i < sorted.length; i++) {
    const [a, b] = [sorted[i - 1]!, sorted[i]!];
    if (!overlaps(a.cidr, b.cidr)) continue;
    problems.push({
      kind: "blocksOverlap",
      block: b.cidr,
      message: `blocks ${a.cidr} and ${b.cidr} overlap: an address may be assigned twice`,
    });
  }
  return problems;
}

function inconsistencies(block: AllocationBlock): string[] {
  const wrong: string[] = [];
  const free = new Set(block.unallocated);
  if (free.size !== block.unallocated.length) wrong.push("an address is free twice");
  for (const [ordinal, index] of block.allocations.entries()) {
    if (index === null && !free.has(ordinal)) wrong.push(`address ${ordinal} is neither free nor assigned`);
    if (index !== null && free.has(ordinal)) wrong.push(`address ${ordinal} is both free and assigned`);
    if (index !== null && !block.attributes[index]) wrong.push(`address ${ordinal} has no attributes`);
    const known = block.sequenceNumberForAllocation.has(ordinal);
    const held = index !== null && !isCooling(block.attributes[index]);
    if (index === null && known) wrong.push(`address ${ordinal} is free and has a sequence number`);
    if (held && !known) wrong.push(`address ${ordinal} is assigned without a sequence number`);
  }
  return wrong;
}

function affinityProblems({ blocks, affinities }: Snapshot): Problem[] {
  const problems: Problem[] = [];
  const recorded = new Map(affinities.map(each => [`${each.owner} ${each.cidr}`, each.value.state]));
  const owners = new Map(blocks.map(block => [block.cidr, block.affinity]));
  const report = (block: Cidr, owner: Affinity, message: string) =>
    problems.push({ kind: "affinityBroken", block, owner, message });
  for (const [cidr, owner] of owners) {
    const state = owner === null ? undefined : recorded.get(`${owner} ${cidr}`);
    if (owner !== null && state === undefined) {
      report(cidr, owner, `block ${cidr} belongs to ${owner}, which has no affinity for it`);
    }
  }
  for (const { owner, cidr, value } of affinities) {
    if (value.state === "confirmed" && owners.get(cidr) !== owner) {
      const whose = owners.has(cidr) ? `belongs to ${owners.get(cidr) ?? "nobody"}` : "does not exist";
      report(cidr, owner, `${owner} has a confirmed affinity for block ${cidr}, which ${whose}`);
    }
  }
  return problems;
}

function firstOf({ cidr }: AllocationBlock): Ip {
  return cidr.slice(0, cidr.indexOf("/")) as Ip;
}
