/**
 * Options of BGP sockets that Node has no call for: GTSM (RFC 5082) and the interface. Linux, through native.ts.
 *
 * Sockets are of one IP version each (listeners too, see tcp.ts), so an option has one level and addresses are what they look like.
 */

import { closeSocket, setSocketOption, socketOptionError, tcpSocket } from "./native.ts";
import { setPassword } from "./tcp-md5.ts";
import type { SocketSecurity } from "./transport.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOL_SOCKET = 1;
const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const SO_BINDTODEVICE = 25;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPV6_UNICAST_HOPS = 16;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;
const MAX_TTL = 255;
/** CS6, network control (RFC 4594 3.2), which is what routers give their routing protocols. */
export const TRAFFIC_CLASS = 0xc0;

/** A TCP socket for a connection to `address`, with the options set before anything is sent; the caller owns it. */
export function openSocket(
  address: string,
  options: SocketSecurity & { readonly password?: string | undefined },
): number {
  const isIpv6 = address.includes(":");
  const fd = tcpSocket(isIpv6 ? AF_INET6 : AF_INET, needsOf(options));
  try {
    if (isIpv6) setNumber(fd, IPPROTO_IPV6, IPV6_TCLASS, TRAFFIC_CLASS, "IPV6_TCLASS");
    else setNumber(fd, IPPROTO_IP, IP_TOS, TRAFFIC_CLASS, "IP_TOS");
    if (options.password !== undefined) setPassword(fd, address, options.password);
    secureSocket(fd, isIpv6, options);
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
  return fd;
}

/** What may still be set on a socket that is connected, and on one that listens. */
export function secureSocket(
  fd: number,
  isIpv6: boolean,
  { ttlSecurity, interface: name }: SocketSecurity,
): void {
  if (name !== undefined) setInterface(fd, name);
  if (ttlSecurity === undefined) return;
  setGreatestTtl(fd, isIpv6);
  // Only segments that can have come at most so many hops.
  const minimum = MAX_TTL + 1 - ttlSecurity;
  if (isIpv6) setNumber(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, minimum, "IPV6_MINHOPCOUNT");
  else setNumber(fd, IPPROTO_IP, IP_MINTTL, minimum, "IP_MINTTL");
}

/** On a listener it goes for its SYN-ACKs: a neighbor with GTSM drops those with the usual 64. */
export function setGreatestTtl(fd: number, isIpv6: boolean): void {
  if (isIpv6) setNumber(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, MAX_TTL, "IPV6_UNICAST_HOPS");
  else setNumber(fd, IPPROTO_IP, IP_TTL, MAX_TTL, "IP_TTL");
}

/** Segments leave by this interface, and those that come in by another one do not belong to the socket. */
export function setInterface(fd: number, name: string): void {
  const system = setSocketOption(
    fd,
    SOL_SOCKET,
    SO_BINDTODEVICE,
    new TextEncoder().encode(name),
    `interface ${name}`,
  );
  if (system !== undefined) throw socketOptionError(`SO_BINDTODEVICE ${name}`, system);
}

function setNumber(fd: number, level: number, option: number, value: number, name: string): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  const system = setSocketOption(fd, level, option, bytes, "ttlSecurity");
  if (system !== undefined) throw socketOptionError(name, system);
}

function needsOf({ password, ttlSecurity, interface: name }: Parameters<typeof openSocket>[1]): string {
  if (password !== undefined) return "password";
  return ttlSecurity === undefined ? `interface ${name}` : "ttlSecurity";
}
