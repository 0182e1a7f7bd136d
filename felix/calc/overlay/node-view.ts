/** What the overlay reads of a Node: where it is, and its ends of the tunnels. */

import { createHash } from "node:crypto";
import type { Node } from "../../../crd-schemas/index.ts";
import { type Cidr, cidrOf, type InterfaceAddress, parseInterfaceAddress } from "../../../net/cidr.ts";
import { type Ip, type IpVersion, ipVersion } from "../../../net/ip.ts";
import { bytesToMac, type Mac, mac } from "../../../net/mac.ts";

/** A node as one IP version sees it. */
export interface NodeSide {
  readonly address: Ip;
  /** For CrossSubnet: who is in it is reached without a tunnel. */
  readonly subnet: Cidr;
  /** The address inside VXLAN, where the node has one already. */
  readonly vxlan: Ip | undefined;
  readonly vxlanMac: Mac;
  /** The address of its IPIP device; IPv4 only. */
  readonly ipip: Ip | undefined;
}

export interface NodeView {
  readonly name: string;
  /** Undefined: without an address of that version, and so out of reach. */
  readonly sides: Readonly<Record<IpVersion, NodeSide | undefined>>;
}

export function nodeView({ metadata, spec }: Node): NodeView {
  const { name } = metadata;
  const v4 = addressOf(spec, 4);
  const v6 = addressOf(spec, 6);
  return {
    name,
    sides: {
      4: v4 && {
        ...v4,
        vxlan: tunnelAddress(spec.ipv4VXLANTunnelAddr),
        vxlanMac: macOf(spec.vxlanTunnelMACAddr, name),
        ipip: tunnelAddress(spec.bgp?.ipv4IPIPTunnelAddr),
      },
      6: v6 && {
        ...v6,
        vxlan: tunnelAddress(spec.ipv6VXLANTunnelAddr),
        vxlanMac: macOf(spec.vxlanTunnelMACAddrV6, `${name}-v6`),
        ipip: undefined,
      },
    },
  };
}

/**
 * The MAC of a node's VXLAN device, which every node computes for every other (calico.md 3.6). 0x66: unicast, locally
 * administered.
 */
export function vxlanMac(seed: string): Mac {
  const digest = createHash("sha1").update(seed).digest();
  return bytesToMac(Uint8Array.of(0x66, ...digest.subarray(0, 5)));
}

function addressOf(
  { bgp, addresses = [] }: Node["spec"],
  version: IpVersion,
): { address: Ip; subnet: Cidr } | undefined {
  // Calico's order where the node runs no BGP.
  const listed = (wanted: string) =>
    addresses.filter(({ type }) => type === wanted).map(each => each.address);
  const texts = [
    version === 4 ? bgp?.ipv4Address : bgp?.ipv6Address,
    ...listed("CalicoNodeIP"),
    ...listed("InternalIP"),
  ];
  for (const text of texts) {
    const parsed: InterfaceAddress | undefined = text ? parseInterfaceAddress(text) : undefined;
    if (parsed && ipVersion(parsed.ip) === version)
      return { address: parsed.ip, subnet: cidrOf(parsed.ip, parsed.prefixLength) };
  }
  return undefined;
}

/** Written as an address; some write it as a CIDR. */
function tunnelAddress(text: string | undefined): Ip | undefined {
  return text ? parseInterfaceAddress(text)?.ip : undefined;
}

function macOf(given: string | undefined, seed: string): Mac {
  if (given) {
    try {
      return mac(given);
    } catch {
      // Not validated by everybody who writes Nodes; then the one that other nodes would compute.
    }
  }
  return vxlanMac(seed);
}
