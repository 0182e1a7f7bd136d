/**
 * What no host endpoint's policy can close, so that a mistake in a policy does not lock everybody out: failsafe ports, and
 * what IPv6 cannot do without, which failsafe ports would be worth nothing without.
 */

import type { Cidr } from "../net/cidr.ts";

export interface FailsafePort {
  readonly protocol: "tcp" | "udp" | "sctp";
  /** The other end; undefined: anybody. */
  readonly net: Cidr | undefined;
  readonly port: number;
}

const ports = (protocol: FailsafePort["protocol"], ...numbers: number[]): FailsafePort[] =>
  numbers.map(port => ({ protocol, net: undefined, port }));

/** BGP, the datastores (etcd, Typha, the API server) and what checks on them. */
const BOTH_WAYS = ports("tcp", 179, 2379, 2380, 5473, 6443, 6666, 6667);

/** Where the configuration names none (calico.md 2.19): ssh and DHCP besides, outwards DNS and DHCP. */
export const DEFAULT_FAILSAFES = {
  ingress: [...ports("tcp", 22), ...ports("udp", 68), ...BOTH_WAYS],
  egress: [...ports("udp", 53, 67), ...BOTH_WAYS],
} as const satisfies Record<"ingress" | "egress", readonly FailsafePort[]>;

/**
 * ICMPv6 types that host endpoints let pass both ways whatever policy says: multicast listeners (130-132), routers (133, 134) and
 * neighbors (135, 136). Calico has them for workloads only; then a host endpoint closes ssh over IPv6, failsafe or not, as
 * soon as the neighbor is forgotten.
 */
export const HOST_NEIGHBOR_DISCOVERY: ReadonlySet<number> = new Set([130, 131, 132, 133, 134, 135, 136]);

/** And those that workloads may send to their host: they are no routers. */
export const WORKLOAD_NEIGHBOR_DISCOVERY: ReadonlySet<number> = new Set([130, 131, 132, 133, 135, 136]);
