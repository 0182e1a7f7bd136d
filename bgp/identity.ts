/** Who this node is as a BGP speaker. A speaker of another AS or router id is another speaker; the rest changes while it runs. Pure. */

import { createHash } from "node:crypto";
import type { BGPConfiguration } from "../crd-schemas/index.ts";
import { parseInterfaceAddress } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { DEFAULT_PORT } from "./node-speaker.ts";
import { localAs, type PeeringInput, workloadPeeringAddresses } from "./peering.ts";

export interface Identity {
  readonly asn: number;
  readonly routerId: string;
  readonly port: number;
  /** The only addresses to listen at; undefined: all. */
  readonly addresses: readonly Ip[] | undefined;
  readonly clusterId: string | undefined;
}

/** Undefined while the node has no address. `routerId` is CALICO_ROUTER_ID: empty, `hash`, or a dotted quad. */
export function identityOf(input: PeeringInput, routerId: string | undefined): Identity | undefined {
  const { nodeName } = input;
  const bgp = input.nodes.get(nodeName)?.spec?.bgp;
  const v4 = bgp?.ipv4Address ? parseInterfaceAddress(bgp.ipv4Address)?.ip : undefined;
  const v6 = bgp?.ipv6Address ? parseInterfaceAddress(bgp.ipv6Address)?.ip : undefined;
  if (v4 === undefined && v6 === undefined) return undefined;
  const { listenPort, bindMode } = effectiveConfiguration(input.configurations, nodeName);
  return {
    asn: localAs(input),
    routerId: (routerId === "hash" ? undefined : routerId || v4) ?? hashedRouterId(nodeName),
    port: listenPort ?? DEFAULT_PORT,
    addresses:
      bindMode === "NodeIP"
        ? [v4, v6, ...workloadPeeringAddresses(input.configurations)].filter(address => address !== undefined)
        : undefined,
    clusterId: bgp?.routeReflectorClusterID || undefined,
  };
}

/** The node's object over the default one, for the fields a node may set (calico.md 2.12). */
export function effectiveConfiguration(
  configurations: ReadonlyMap<string, BGPConfiguration>,
  nodeName: string,
): NonNullable<BGPConfiguration["spec"]> {
  const common = configurations.get("default")?.spec ?? {};
  const own = configurations.get(`node.${nodeName}`)?.spec ?? {};
  return {
    ...common,
    ...(own.listenPort !== undefined && { listenPort: own.listenPort }),
    ...(own.logSeverityScreen && { logSeverityScreen: own.logSeverityScreen }),
    ...(own.prefixAdvertisements && { prefixAdvertisements: own.prefixAdvertisements }),
    ...(own.communities && { communities: own.communities }),
  };
}

/** For nodes without an IPv4 address: four bytes of a hash, kept out of 0.x and multicast. */
function hashedRouterId(nodeName: string): string {
  const [a = 1, b = 0, c = 0, d = 1] = createHash("sha256").update(nodeName).digest();
  return [1 + (a % 223), b, c, d].join(".");
}
