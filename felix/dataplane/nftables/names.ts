/**
 * Names in our tables, as Calico gives them (calico.md 3.7): its iptables chains, with the layer they belong to in front,
 * because one nftables table holds what iptables keeps in four. nft reads letters, digits and `/\_.-`; what has other
 * characters, or is longer than anybody wants to read, keeps its prefix and hashes the rest.
 */

import { createHash } from "node:crypto";
import type { IpVersion } from "../../../net/ip.ts";
import type { Direction } from "../../../policy/model.ts";
import { ANY_INTERFACE } from "../../calc/changes.ts";

export const TABLE = "calico";

/** By when in a packet's way its chains are called: iptables' tables. */
export type Layer = "raw" | "mangle" | "nat" | "filter";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** The kernel takes 255. */
const MAX_NAME = 160;
const READABLE = /^[A-Za-z0-9/_.-]*$/;

export function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}

function named(prefix: string, suffix: string): string {
  // What begins like a hash could be taken for one.
  const fits = READABLE.test(suffix) && prefix.length + suffix.length <= MAX_NAME && !suffix.startsWith("_");
  return fits ? prefix + suffix : `${prefix}_${digest(suffix)}`;
}

export const chainName = (layer: Layer, name: string) => `${layer}-cali-${name}`;

export const policyChain = (layer: Layer, direction: Direction, policy: string) =>
  named(chainName(layer, direction === "ingress" ? "pi-" : "po-"), policy);

export const profileChain = (layer: Layer, direction: Direction, profile: string) =>
  named(chainName(layer, direction === "ingress" ? "pri-" : "pro-"), profile);

/** `tw` (to workload) judges ingress, `fw` (from workload) egress. */
export const workloadChain = (direction: Direction, interfaceName: string) =>
  named(chainName("filter", direction === "ingress" ? "tw-" : "fw-"), interfaceName);

/** What all endpoints that are judged alike share. */
export const groupChain = (layer: Layer, direction: Direction, content: string) =>
  chainName(layer, `${direction === "ingress" ? "gi-" : "go-"}${digest(content)}`);

export const workloadDispatch = (direction: Direction) =>
  direction === "ingress" ? "to-wl-dispatch" : "from-wl-dispatch";

export const hostDispatch = (direction: Direction) =>
  direction === "ingress" ? "from-host-endpoint" : "to-host-endpoint";

export const hostForwardDispatch = (direction: Direction) =>
  direction === "ingress" ? "from-hep-forward" : "to-hep-forward";

/** The map from interfaces to chains that the dispatch chain of the same name asks. */
export const dispatchMap = (layer: Layer, dispatch: string) =>
  layer === "filter" ? `cali-${dispatch}` : `${layer}-cali-${dispatch}`;

/** `fh` (from host endpoint) judges what comes in by the interface, `th` what leaves by it; `fw` what is forwarded. */
export function hostChain(
  layer: Layer,
  direction: Direction,
  interfaceName: string,
  forward = false,
): string {
  const side = direction === "ingress" ? "fh" : "th";
  const suffix = interfaceName === ANY_INTERFACE ? "any-interface-at-all" : interfaceName;
  return named(chainName(layer, `${side}${forward ? "fw" : ""}-`), suffix);
}

export const failsafeChain = (layer: Layer, direction: Direction) =>
  chainName(layer, direction === "ingress" ? "failsafe-in" : "failsafe-out");

/** Set the mark of an allowed or passed packet and go back to whoever asked the policy. In every layer the same. */
export const ALLOW_CHAIN = "cali-allow";
export const PASS_CHAIN = "cali-pass";
/** Ends what belongs to no connection. */
export const INVALID_CHAIN = "cali-invalid";

/** Sets that are not a selector's, by id. */
export const MASQUERADED_POOLS = "masq-ipam-pools";
export const ALL_POOLS = "network-ip-pools";
export const ALL_HOSTS = "all-hosts-net";
export const VXLAN_HOSTS = "all-vxlan-net";

/** `cali40…` for IPv4, `cali60…` for IPv6; nft reads no colons. */
export const setName = (version: IpVersion, id: string) => named(`cali${version}0`, id.replaceAll(":", "-"));

/** Interfaces of workloads that speak BGP with this host. */
export const BGP_PEERS = "cali-bgp-peers";
export const CONNECTION_STATES = "cali-ct-state";
/** The same for what workloads send, which may have somebody's way in before it yet. */
export const SENT_CONNECTION_STATES = "cali-ct-state-sent";
export const FLOATING_DNAT = "cali-fip-dnat";
export const FLOATING_SNAT = "cali-fip-snat";
