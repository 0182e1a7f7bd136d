/** IP and MAC addresses inside messages. */

import { bytesToIp, type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import { bytesToMac, type Mac } from "../../net/mac.ts";
import { AddressFamily } from "../libc.ts";
import type { AttributeReader } from "./message.ts";

export function familyOf(version: IpVersion): number {
  return version === 4 ? AddressFamily.INET : AddressFamily.INET6;
}

export function familyOfAddress(address: Ip): number {
  return familyOf(ipVersion(address));
}

/** The number's text, for the 256 that every dumped address is made of. */
const OCTETS = Array.from({ length: 256 }, (_, octet) => String(octet));

/** The address in 4 or 16 bytes. Two or three are read per dumped route: IPv4 takes the short way. */
export function readIp(bytes: Uint8Array): Ip | undefined {
  if (bytes.length === 4) {
    return `${OCTETS[bytes[0]!]}.${OCTETS[bytes[1]!]}.${OCTETS[bytes[2]!]}.${OCTETS[bytes[3]!]}` as Ip;
  }
  return bytes.length === 16 ? bytesToIp(bytes) : undefined;
}

/** Undefined for link layers whose address is no MAC: tunnels have four bytes, `lo` none worth naming. */
export function readMac(attribute: AttributeReader): Mac | undefined {
  return attribute.length === 6 ? bytesToMac(attribute.bytes()) : undefined;
}
