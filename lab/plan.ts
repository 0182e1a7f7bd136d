/** The plan of a lab: names and addresses, the same in every lab, since each is a world of its own. Pure. */

import { type Cidr, cidr, cidrOf, nthAddress, prefixLength } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { isCrossSubnet, type LabEncapsulation } from "./encapsulation.ts";
import { type HostRecord, LabError, LabErrorCode, type LabTopology } from "./state.ts";

/** The wire: 192.168.56.104 and up for hosts, as in Calico's Vagrant tutorials. */
const FABRIC = cidr("192.168.56.0/24");
/** Of a lab whose hosts stand in two subnets, the other one; a router joins them. */
const OTHER_FABRIC = cidr("192.168.57.0/24");
/** Kept off the pool. */
export const FABRICS = [FABRIC, OTHER_FABRIC] as const;
/** What runs beside the hosts: etcd's relay, the rack switch; and the hosts' default gateway. */
export const FABRIC_ADDRESS = nthAddress(FABRIC, 1);
const FIRST_HOST = 104;
const MAX_HOSTS = 100;
/** Holds the wire: it is reserved there. */
export const DEFAULT_POOL = cidr("192.168.0.0/16");
/** Of labs with IPv6. */
const FABRIC6 = cidr("fd00:56::/64");
const OTHER_FABRIC6 = cidr("fd00:57::/64");
const FABRICS6 = [FABRIC6, OTHER_FABRIC6] as const;
export const FABRIC6_ADDRESS = nthAddress(FABRIC6, 1);
export const POOL6 = cidr("fd00:10::/64");
/** Of `--topology tor`: the rack switch, and the first host; each host has its own, as racks do. */
export const TOR_AS = 64500;
const FIRST_HOST_AS = 64601;

/** 1 to 12 characters, since names of interfaces and namespaces are made of it. */
const LAB_NAME = /^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/;
/** A part of a resource's name, of a namespace's and of a file's. */
const WORKLOAD_NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
/** Is the key of a label that its members have. */
const NETWORK_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;

/** The name itself. @throws LabError InvalidInput */
export function checkLabName(name: string): string {
  return checkName("lab", name, LAB_NAME, '1 to 12 of a-z, 0-9 and "-"');
}

export function checkWorkloadName(name: string): string {
  return checkName("workload", name, WORKLOAD_NAME, '1 to 32 of a-z, 0-9 and "-"');
}

export function checkNetworkName(name: string): string {
  return checkName("network", name, NETWORK_NAME, '1 to 63 of letters, digits, "_", "." and "-"');
}

function checkName(what: string, name: string, pattern: RegExp, expected: string): string {
  if (pattern.test(name)) return name;
  throw new LabError(LabErrorCode.InvalidInput, `${what} name "${name}": expected ${expected}`);
}

/** Network namespaces of a lab; a lab's name has no dot, so that none is the beginning of another's. */
export function labNamespace(lab: string, what: string): string {
  return `cx-${lab}.${what}`;
}

export interface HostsOptions {
  readonly hosts: number;
  readonly topology?: LabTopology;
  readonly ipv6?: boolean;
  readonly encapsulation?: LabEncapsulation;
}

export function hostRecords(
  lab: string,
  { hosts, topology, ipv6, encapsulation }: HostsOptions,
): HostRecord[] {
  const subnets = isCrossSubnet(encapsulation) ? FABRICS.length : 1;
  if (hosts < 1 || hosts > MAX_HOSTS) {
    throw new LabError(LabErrorCode.InvalidInput, `--hosts ${hosts}: expected 1 to ${MAX_HOSTS}`);
  }
  return Array.from({ length: hosts }, (_, i) => ({
    name: `host${i + 1}`,
    namespace: labNamespace(lab, `host${i + 1}`),
    address: nthAddress(FABRICS[i % subnets] ?? FABRIC, FIRST_HOST + i),
    ...(ipv6 && { address6: nthAddress(FABRICS6[i % subnets] ?? FABRIC6, FIRST_HOST + i) }),
    ...(topology === "tor" && { asn: FIRST_HOST_AS + i }),
  }));
}

/** Addresses on the wire as an interface carries them. */
export function wireAddresses(address: Ip, address6: Ip | undefined) {
  const addresses = [{ ip: address, prefixLength: prefixLength(FABRIC) }];
  if (address6) addresses.push({ ip: address6, prefixLength: prefixLength(FABRIC6) });
  return addresses;
}

/** Of what runs beside the hosts, in all subnets. */
export function fabricAddresses(ipv6: boolean) {
  const families: (readonly Cidr[])[] = ipv6 ? [FABRICS, FABRICS6] : [FABRICS];
  return families.flatMap(subnets =>
    subnets.map(subnet => ({ ip: nthAddress(subnet, 1), prefixLength: prefixLength(subnet) })),
  );
}

/** What a host's packets to other subnets go to: the router, in the host's own. */
export function gatewaysOf({ address, address6 }: HostRecord): Ip[] {
  const gateway = ({ ip, prefixLength: length }: { ip: Ip; prefixLength: number }) =>
    nthAddress(cidrOf(ip, length), 1);
  return wireAddresses(address, address6).map(gateway);
}
