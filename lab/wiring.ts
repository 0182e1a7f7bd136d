/**
 * Namespaces and the cables between them: hosts on a common wire, workloads on their hosts. Everything is inside
 * namespaces of the lab; the machine's own network is never touched.
 */

import { createNamespace, deleteNamespace } from "../linux/namespace.ts";
import { RouteProtocol, Rtnetlink } from "../linux/rtnetlink.ts";
import { writeSysctl } from "../linux/sysctl.ts";
import { type Cidr, cidrOf, hostCidr } from "../net/cidr.ts";
import { type Ip, ip, ipVersion } from "../net/ip.ts";
import { linkLocalAddress, mac } from "../net/mac.ts";

/** The host end of every workload's veth (calico.md 3.5). */
export const HOST_VETH_MAC = mac("ee:ee:ee:ee:ee:ee");
/** What workloads take for their router: the host end answers for every address (proxy ARP). */
const GATEWAY_V4 = ip("169.254.1.1");
const GATEWAY_V6 = linkLocalAddress(HOST_VETH_MAC);
const BRIDGE = "br0";
export const WORKLOAD_INTERFACE = "cali0";

/** A namespace with its loopback up. */
export function createNetwork(namespace: string): void {
  createNamespace(namespace);
  using netlink = Rtnetlink.open({ namespace });
  netlink.setLink("lo", { up: true });
}

/** Interfaces go with their namespace, but at the kernel's leisure: none shall be seen once this returns. */
export function deleteNetwork(namespace: string): void {
  {
    using netlink = Rtnetlink.open({ namespace });
    for (const link of netlink.listLinks()) if (link.name !== "lo") netlink.deleteLink(link.index);
  }
  deleteNamespace(namespace);
}

/** An address of a host, with the subnet it is on. */
export interface WireAddress {
  readonly ip: Ip;
  readonly prefixLength: number;
}

/** The wire: a bridge in a namespace of its own, with addresses for what runs beside the hosts (etcd, a router). */
export function createFabric(namespace: string, addresses: readonly WireAddress[]): void {
  createNetwork(namespace);
  writeSysctl("net/ipv6/conf/default/accept_dad", 0, { namespace });
  writeSysctl("net/ipv4/ip_forward", 1, { namespace });
  writeSysctl("net/ipv6/conf/all/forwarding", 1, { namespace });
  // As a router between the subnets on one wire, it would tell hosts to send straight to each other.
  for (const scope of ["all", "default"])
    writeSysctl(`net/ipv4/conf/${scope}/send_redirects`, 0, { namespace });
  using netlink = Rtnetlink.open({ namespace });
  netlink.createPlainLink({ kind: "bridge", name: BRIDGE });
  netlink.setLink(BRIDGE, { up: true });
  for (const address of addresses)
    netlink.addAddress({ interfaceIndex: indexOf(netlink, BRIDGE), ...address });
}

/** Plugs a host in: `eth0` there, `port` on the bridge. */
export function plugHost(
  namespace: string,
  addresses: readonly WireAddress[],
  fabric: string,
  port: string,
  gateways: readonly Ip[],
): void {
  createNetwork(namespace);
  writeSysctl("net/ipv6/conf/default/accept_dad", 0, { namespace });
  using wire = Rtnetlink.open({ namespace: fabric });
  wire.createVeth({ name: port, peerName: "eth0", peerNamespace: namespace });
  wire.setLink(port, { master: indexOf(wire, BRIDGE), up: true });
  using host = Rtnetlink.open({ namespace });
  const interfaceIndex = indexOf(host, "eth0");
  for (const address of addresses) host.addAddress({ interfaceIndex, ...address });
  host.setLink("eth0", { up: true });
  for (const gateway of gateways)
    host.addRoute({
      destination: cidrOf(gateway, 0),
      type: "unicast",
      protocol: RouteProtocol.BOOT,
      gateway,
      interfaceIndex,
    });
}

/**
 * A veth between a host and a workload, dressed as Calico's CNI plugin does it: /32 inside, default route through
 * 169.254.1.1, no address at all on the host's end.
 */
export function plugWorkload(
  namespace: string,
  host: string,
  interfaceName: string,
  addresses: readonly Ip[],
  mtu: number | undefined,
): void {
  createNetwork(namespace);
  // Duplicate address detection would keep the address unusable for its first second, and there is nobody to clash with.
  writeSysctl("net/ipv6/conf/default/accept_dad", 0, { namespace });
  using outside = Rtnetlink.open({ namespace: host });
  outside.createVeth({
    name: interfaceName,
    peerName: WORKLOAD_INTERFACE,
    peerNamespace: namespace,
    mac: HOST_VETH_MAC,
    ...(mtu !== undefined && { mtu }),
  });
  outside.setLink(interfaceName, { up: true });
  using inside = Rtnetlink.open({ namespace });
  inside.setLink(WORKLOAD_INTERFACE, { up: true });
  const interfaceIndex = indexOf(inside, WORKLOAD_INTERFACE);
  for (const address of addresses) {
    const v4 = ipVersion(address) === 4;
    inside.addAddress({
      interfaceIndex,
      ip: address,
      prefixLength: v4 ? 32 : 128,
      ...(!v4 && { noDad: true }),
    });
    const base = { type: "unicast", protocol: RouteProtocol.BOOT, interfaceIndex } as const;
    if (v4) inside.replaceRoute({ ...base, destination: hostCidr(GATEWAY_V4), scope: "link" });
    const everything: Cidr = cidrOf(address, 0);
    inside.replaceRoute({ ...base, destination: everything, gateway: v4 ? GATEWAY_V4 : GATEWAY_V6 });
  }
}

function indexOf(netlink: Rtnetlink, name: string): number {
  const link = netlink.getLink(name);
  if (!link) throw new Error(`interface ${name} is not there`);
  return link.index;
}
