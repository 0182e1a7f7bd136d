/** Nodes: addresses of the right IP version in each field. */

import type { Node } from "../generated/types.ts";
import type { Report } from "../problem.ts";
import { checkVersion } from "./families.ts";

export function checkNode({ spec }: Node, report: Report): void {
  const { bgp, wireguard } = spec;
  if (bgp) {
    checkVersion(bgp.ipv4Address, 4, ["spec", "bgp", "ipv4Address"], report);
    checkVersion(bgp.ipv6Address, 6, ["spec", "bgp", "ipv6Address"], report);
    checkVersion(bgp.ipv4IPIPTunnelAddr, 4, ["spec", "bgp", "ipv4IPIPTunnelAddr"], report);
    checkVersion(bgp.routeReflectorClusterID, 4, ["spec", "bgp", "routeReflectorClusterID"], report);
  }
  checkVersion(spec.ipv4VXLANTunnelAddr, 4, ["spec", "ipv4VXLANTunnelAddr"], report);
  checkVersion(spec.ipv6VXLANTunnelAddr, 6, ["spec", "ipv6VXLANTunnelAddr"], report);
  checkVersion(wireguard?.interfaceIPv4Address, 4, ["spec", "wireguard", "interfaceIPv4Address"], report);
  checkVersion(wireguard?.interfaceIPv6Address, 6, ["spec", "wireguard", "interfaceIPv6Address"], report);
}
