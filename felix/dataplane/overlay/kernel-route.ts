/** What the calculation wants of a prefix, as a route of the kernel's (calico.md 3.5). Pure. */

import type { Route } from "../../../linux/rtnetlink.ts";
import { type Cidr, cidrVersion, contains, hostCidr } from "../../../net/cidr.ts";
import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { RemoteRoute } from "../../calc/changes.ts";
import { FELIX_ROUTE_PROTOCOL } from "../workload-links.ts";

export type Wish = RemoteRoute | "blackhole";

/** Indexes of the links that routes lead over; undefined where there is none (yet). */
export interface Ways {
  readonly vxlan: Readonly<Record<IpVersion, number | undefined>>;
  readonly ipip: number | undefined;
  /** The links with the node's own addresses. */
  readonly direct: Readonly<Record<IpVersion, number | undefined>>;
  readonly priority: Readonly<Record<IpVersion, number>>;
  /** Addresses of the host itself on links that lead out. */
  readonly hostAddresses: readonly Ip[];
}

/** Undefined: cannot be written now. */
export function kernelRoute(destination: Cidr, wish: Wish, ways: Ways): Route | undefined {
  const version = cidrVersion(destination);
  const base = { destination, protocol: FELIX_ROUTE_PROTOCOL, metric: ways.priority[version] } as const;
  if (wish === "blackhole") {
    // The host's own neighbours would be in it, too.
    if (ways.hostAddresses.some(address => contains(destination, address))) return undefined;
    return { ...base, type: "blackhole" };
  }
  const interfaceIndex = wish.via === "ipip" ? ways.ipip : ways[wish.via][version];
  if (interfaceIndex === undefined) return undefined;
  const { gateway } = wish;
  if (wish.via === "direct") return { ...base, type: "unicast", gateway, interfaceIndex };
  // IPv6 takes a gateway that is behind another device for a mistake, onlink or not: so its address is led here first.
  if (wish.via === "vxlan" && version === 6 && destination === hostCidr(gateway))
    return { ...base, type: "unicast", interfaceIndex };
  return { ...base, type: "unicast", gateway, interfaceIndex, onlink: true };
}
