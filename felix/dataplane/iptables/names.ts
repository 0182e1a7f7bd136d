/**
 * Names of chains and sets, exactly Calico's, so that its users, tools and dashboards recognise them
 * (calico.md 3.3, 3.4). A name that the kernel has no room for, or iptables no way to write, keeps its prefix and
 * hashes the rest.
 */

import { createHash } from "node:crypto";
import type { IpVersion } from "../../../net/ip.ts";

const MAX_CHAIN_NAME = 28;
const MAX_SET_NAME = 31;

/** Profiles may be named as one likes; blanks, quotes and backslashes end or change a word of a restore file. */
const WRITABLE = /^[!#-&(-[\]-~]*$/;

/** `prefix + suffix` where that fits, else `prefix + "_" + hash`, cut to `max` characters. */
export function shortenedName(prefix: string, suffix: string, max: number): string {
  const name = prefix + suffix;
  // A name of exactly the maximum length could collide with a hashed one if its suffix began like a hash.
  const fits = name.length < max || (name.length === max && !suffix.startsWith("_"));
  if (fits && WRITABLE.test(suffix)) return name;
  const hash = createHash("sha256").update(suffix).digest("base64url");
  return `${prefix}_${hash}`.slice(0, max);
}

const chain = (prefix: string, suffix: string) => shortenedName(prefix, suffix, MAX_CHAIN_NAME);

/** `ingress` chains judge what reaches an endpoint, `egress` chains what it sends. */
export type Direction = "ingress" | "egress";

export const policyChain = (direction: Direction, policyId: string) =>
  chain(direction === "ingress" ? "cali-pi-" : "cali-po-", policyId);

export const profileChain = (direction: Direction, profile: string) =>
  chain(direction === "ingress" ? "cali-pri-" : "cali-pro-", profile);

/** `cali-tw-…` (to workload) judges ingress, `cali-fw-…` (from workload) egress. */
export const workloadChain = (direction: Direction, interfaceName: string) =>
  chain(direction === "ingress" ? "cali-tw-" : "cali-fw-", interfaceName);

export const dispatchChain = (direction: Direction, prefix = "") => {
  const root = direction === "ingress" ? "cali-to-wl-dispatch" : "cali-from-wl-dispatch";
  return prefix === "" ? root : chain(`${root}-`, prefix);
};

/** `cali40…` for IPv4, `cali60…` for IPv6. */
export const setName = (version: IpVersion, setId: string) =>
  `cali${version}0${setId}`.slice(0, MAX_SET_NAME);
