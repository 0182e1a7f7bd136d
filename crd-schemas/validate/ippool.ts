/** IP pools: ranges that can be cut into blocks, and encapsulation that exists for them. */

import { cidr, contains, overlaps, prefixLength } from "../../net/cidr.ts";
import type { IPPool } from "../generated/types.ts";
import type { Problem, Report } from "../problem.ts";
import { versionOf } from "./families.ts";

const BLOCK_SIZES = { 4: { min: 20, max: 32 }, 6: { min: 116, max: 128 } } as const;
const LINK_LOCAL = { 4: cidr("169.254.0.0/16"), 6: cidr("fe80::/10") } as const;

export function checkIPPool({ spec }: IPPool, report: Report): void {
  const range = cidr(spec.cidr);
  const version = versionOf(spec.cidr);
  const { min, max } = BLOCK_SIZES[version];
  const size = spec.blockSize!;
  if (size < min || size > max) {
    report(
      ["spec", "blockSize"],
      `IPv${version} blocks cannot be /${size}`,
      `a prefix length from ${min} to ${max}`,
    );
  } else if (prefixLength(range) > size && !spec.disabled) {
    report(
      ["spec", "cidr"],
      `the pool ${range} is smaller than a block of /${size}`,
      `a prefix length of ${size} or less`,
    );
  }
  if (overlaps(range, LINK_LOCAL[version])) {
    report(
      ["spec", "cidr"],
      `${range} overlaps the link-local range ${LINK_LOCAL[version]}`,
      "other addresses",
    );
  }
  checkEncapsulation(spec, version, report);
  checkUses(spec, report);
}

function checkEncapsulation({ ipipMode, vxlanMode }: IPPool["spec"], version: 4 | 6, report: Report): void {
  const ipip = ipipMode !== "Never";
  if (ipip && version === 6) report(["spec", "ipipMode"], "IP-in-IP is for IPv4 pools", "Never");
  if (ipip && vxlanMode !== "Never") {
    report(["spec", "vxlanMode"], "ipipMode and vxlanMode exclude each other", "Never in one of them");
  }
}

function checkUses(spec: IPPool["spec"], report: Report): void {
  const uses = spec.allowedUses ?? [];
  if (spec.namespaceSelector && uses.includes("Tunnel")) {
    const message = "a pool with a namespaceSelector cannot serve tunnels, which are in no namespace";
    report(["spec", "namespaceSelector"], message, "allowedUses without Tunnel");
  }
  if (!uses.includes("LoadBalancer")) return;
  if (uses.length > 1) {
    report(["spec", "allowedUses"], "LoadBalancer cannot be combined with other uses", "LoadBalancer alone");
  }
  for (const field of ["ipipMode", "vxlanMode"] as const) {
    if (spec[field] !== "Never")
      report(["spec", field], "load balancer addresses are not encapsulated", "Never");
  }
  if (spec.nodeSelector !== "all()") {
    report(["spec", "nodeSelector"], "load balancer addresses belong to no node", "all()");
  }
  if (spec.disableBGPExport) {
    report(["spec", "disableBGPExport"], "load balancer addresses are reached through BGP", "false");
  }
}

/** What an update may not change: addresses are in use under the old values. */
export function checkIPPoolUpdate(previous: IPPool, next: IPPool, report: Report): void {
  for (const field of ["cidr", "blockSize"] as const) {
    if (previous.spec[field] !== undefined && previous.spec[field] !== next.spec[field]) {
      report(["spec", field], `${field} of a pool cannot be changed`, String(previous.spec[field]));
    }
  }
  const uses = next.spec.allowedUses ?? [];
  if (previous.spec.allowedUses?.includes("LoadBalancer") && !uses.includes("LoadBalancer")) {
    report(["spec", "allowedUses"], "a load balancer pool cannot get another use", "LoadBalancer");
  }
}

/** Pools that share addresses with this one, as problems of its range; `others` may include the pool itself. */
export function poolOverlaps(pool: IPPool, others: Iterable<IPPool>): Problem[] {
  const range = cidr(pool.spec.cidr);
  const problems: Problem[] = [];
  for (const other of others) {
    if (other.metadata.name === pool.metadata.name || !overlaps(range, cidr(other.spec.cidr))) continue;
    const how = contains(range, cidr(other.spec.cidr)) ? "contains" : "overlaps";
    problems.push({
      path: ["spec", "cidr"],
      message: `${range} ${how} ${other.spec.cidr} of IPPool ${other.metadata.name}`,
      expected: "addresses of no other pool",
    });
  }
  return problems;
}
