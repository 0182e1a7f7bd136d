/** Addresses of IP sockets as the kernel has them. */

import { type Ip, ipToBytes, ipVersion } from "../net/ip.ts";
import { AddressFamily } from "./libc.ts";

/** struct sockaddr_in or sockaddr_in6; raw sockets have port 0. */
export function socketAddress(address: Ip, port: number): Uint8Array {
  const v4 = ipVersion(address) === 4;
  const bytes = new Uint8Array(v4 ? 16 : 28);
  bytes[0] = v4 ? AddressFamily.INET : AddressFamily.INET6;
  bytes[2] = port >> 8;
  bytes[3] = port & 255;
  bytes.set(ipToBytes(address), v4 ? 4 : 8);
  return bytes;
}
