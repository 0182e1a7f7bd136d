/** The plan of a lab: names and addresses, the same in every lab, since each is a world of its own. Pure. */

import { cidr, nthAddress, prefixLength } from "../net/cidr.ts";
import type { Ip } from "../net/ip.ts";
import { type HostRecord, LabError, LabErrorCode, type LabTopology } from "./state.ts";

/** The wire: 192.168.56.104 and up for hosts, as in Calico's Vagrant tutorials. */
export const FABRIC = cidr("192.168.56.0/24");
/** What runs beside the hosts: etcd's relay, the rack switch; and the hosts' default gateway. */
export const FABRIC_ADDRESS = nthAddress(FABRIC, 1);
const FIRST_HOST = 104;
const MAX_HOSTS = 100;
/** Holds the wire: it is reserved there. */
export const DEFAULT_POOL = cidr("192.168.0.0/16");
/** Of labs with IPv6. */
const FABRIC6 = cidr("fd00:56::/64");
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
}

export function hostRecords(lab: string, { hosts, topology, ipv6 }: HostsOptions): HostRecord[] {
  if (hosts < 1 || hosts > MAX_HOSTS) {
    throw new LabError(LabErrorCode.InvalidInput, `--hosts ${hosts}: expected 1 to ${MAX_HOSTS}`);
  }
  return Array.from({ length: hosts }, (_, i) => ({
    name: `host${i + 1}`,
    namespace: labNamespace(lab, `host${i + 1}`),
    address: nthAddress(FABRIC, FIRST_HOST + i),
    ...(ipv6 && { address6: nthAddress(FABRIC6, FIRST_HOST + i) }),
    ...(topology === "tor" && { asn: FIRST_HOST_AS + i }),
  }));
}

/** Addresses on the wire as an interface carries them. */
export function wireAddresses(address: Ip, address6: Ip | undefined) {
  const addresses = [{ ip: address, prefixLength: prefixLength(FABRIC) }];
  if (address6) addresses.push({ ip: address6, prefixLength: prefixLength(FABRIC6) });
  return addresses;
}
