/**
 * Names of chains and sets, exactly Calico's, so that its users, tools and dashboards recognise them
 * (calico.md 3.3, 3.4). A name that the kernel has no room for, or iptables no way to write, keeps its prefix and
 * hashes the rest.
 */

import { createHash } from "node:crypto";
import type { IpVersion } from "../../../net/ip.ts";
import type { Direction } from "../../../policy/model.ts";
import { ANY_INTERFACE } from "../../calc/changes.ts";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

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

export const policyChain = (direction: Direction, policyId: string) =>
  chain(direction === "ingress" ? "cali-pi-" : "cali-po-", policyId);

export const profileChain = (direction: Direction, profile: string) =>
  chain(direction === "ingress" ? "cali-pri-" : "cali-pro-", profile);

/** `cali-tw-…` (to workload) judges ingress, `cali-fw-…` (from workload) egress. */
export const workloadChain = (direction: Direction, interfaceName: string) =>
  chain(direction === "ingress" ? "cali-tw-" : "cali-fw-", interfaceName);

/** What all workloads with the same policies and profiles share. */
export const groupChain = (direction: Direction, content: string) => {
  const hash = createHash("sha256").update(content).digest("base64url");
  return `${direction === "ingress" ? "cali-gi-" : "cali-go-"}${hash}`.slice(0, MAX_CHAIN_NAME);
};

export const dispatchChain = (direction: Direction, prefix = "") => {
  const root = direction === "ingress" ? "cali-to-wl-dispatch" : "cali-from-wl-dispatch";
  return prefix === "" ? root : chain(`${root}-`, prefix);
};

/** Stands for all interfaces without a host endpoint of their own. */
const ANY_INTERFACE_SUFFIX = "any-interface-at-all";

/** `cali-fh-…` (from host endpoint) judges what comes in by the interface, `cali-th-…` what leaves by it. */
export const hostChain = (direction: Direction, interfaceName: string) =>
  chain(
    direction === "ingress" ? "cali-fh-" : "cali-th-",
    interfaceName === ANY_INTERFACE ? ANY_INTERFACE_SUFFIX : interfaceName,
  );

/** The same for what is only forwarded. */
export const hostForwardChain = (direction: Direction, interfaceName: string) =>
  chain(
    direction === "ingress" ? "cali-fhfw-" : "cali-thfw-",
    interfaceName === ANY_INTERFACE ? ANY_INTERFACE_SUFFIX : interfaceName,
  );

export const hostDispatchChain = (direction: Direction) =>
  direction === "ingress" ? "cali-from-host-endpoint" : "cali-to-host-endpoint";

export const hostForwardDispatchChain = (direction: Direction) =>
  direction === "ingress" ? "cali-from-hep-forward" : "cali-to-hep-forward";

export const failsafeChain = (direction: Direction) =>
  direction === "ingress" ? "cali-failsafe-in" : "cali-failsafe-out";

/** Set the mark of an allowed or passed packet and go back to whoever asked the policy. */
export const ALLOW_CHAIN = "cali-allow";
export const PASS_CHAIN = "cali-pass";
/** Denies, and says so. */
export const REJECT_CHAIN = "cali-reject";

/** Packets of known connections to workloads, and those of none. */
export const KNOWN_CHAIN = "cali-known";

/** Sets that are not a selector's, by id. */
export const MASQUERADED_POOLS = "masq-ipam-pools";
export const ALL_POOLS = "network-ip-pools";
export const ALL_HOSTS = "all-hosts-net";
export const VXLAN_HOSTS = "all-vxlan-net";

/** `cali40…` for IPv4, `cali60…` for IPv6. */
export const setName = (version: IpVersion, setId: string) =>
  `cali${version}0${setId}`.slice(0, MAX_SET_NAME);
