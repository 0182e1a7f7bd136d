/**
 * How large packets may be (calico.md 3.6): what the host's interfaces carry, less what a tunnel adds in front of each
 * packet. Workloads get the smallest of what any tunnel in use leaves, because where a packet will go is not known when
 * it is made.
 */

import type { Encapsulation } from "../changes.ts";
import type { FelixConfig } from "../config.ts";

/** Bytes in front of the inner packet: an IP header; Ethernet, VXLAN, UDP and an IPv4 or IPv6 header. */
const OVERHEAD = { ipip: 20, vxlan: 50, vxlan6: 70 } as const;

/** Where no interface says anything: that of Ethernet. */
const DEFAULT_MTU = 1500;

export interface Mtus {
  readonly ipip: number;
  readonly vxlan: number;
  readonly vxlan6: number;
  readonly workload: number;
}

export type MtuConfig = Pick<FelixConfig, "ipipMTU" | "vxlanMTU" | "vxlanMTUV6">;

/** The smallest MTU among those interfaces whose names fit; of them all the packets of a tunnel may leave by any. */
export function hostMtu(
  links: Iterable<{ readonly name: string; readonly mtu: number }>,
  pattern: RegExp,
): number {
  let smallest: number | undefined;
  for (const { name, mtu } of links) if (pattern.test(name)) smallest = Math.min(smallest ?? mtu, mtu);
  return smallest ?? DEFAULT_MTU;
}

export function mtus(host: number, config: MtuConfig, encapsulation: Encapsulation): Mtus {
  const ipip = config.ipipMTU || host - OVERHEAD.ipip;
  const vxlan = config.vxlanMTU || host - OVERHEAD.vxlan;
  const vxlan6 = config.vxlanMTUV6 || host - OVERHEAD.vxlan6;
  const inUse = [
    ...(encapsulation.ipip ? [ipip] : []),
    ...(encapsulation.vxlan ? [vxlan] : []),
    ...(encapsulation.vxlan6 ? [vxlan6] : []),
  ];
  return { ipip, vxlan, vxlan6, workload: inUse.length > 0 ? Math.min(...inUse) : host };
}
