/**
 * TCP socket options that Node does not offer and a routing protocol needs: MD5 signatures (RFC 2385), the TTL
 * security mechanism (RFC 5082), binding to a device.
 *
 * They act on file descriptors. A client makes its socket here, sets what it needs, and hands the descriptor to
 * `new net.Socket({ fd })` before connecting: a signature has to be in place for the SYN already. A server makes a
 * listening socket here and gives it to `server.listen({ fd })`.
 */

import { closeSync } from "node:fs";
import { addressBits, type Ip, type IpVersion, ipToBytes, ipVersion } from "../net/ip.ts";
import { AddressFamily, bind, getSocketOption, listen, SocketType, setSocketOption, socket } from "./libc.ts";
import { inNamespace, type NamespaceRef } from "./namespace.ts";

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BINDTODEVICE = 25;
const SO_DOMAIN = 39;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IP_TTL = 2;
const IP_FREEBIND = 15;
const IP_MINTTL = 21;
const IPPROTO_TCP = 6;
const TCP_MD5SIG_EXT = 32;
const IPPROTO_IPV6 = 41;
const IPPROTO_SCTP = 132;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;
const IPV6_MINHOPCOUNT = 73;

/** TCP_MD5SIG_MAXKEYLEN */
export const MAX_MD5_KEY_BYTES = 80;

/** One-to-one SCTP sockets (RFC 6458 4) are used like TCP's, where the kernel has them: else EPROTONOSUPPORT. */
export type StreamProtocol = "tcp" | "sctp";

/** A non-blocking TCP socket, not connected, in the thread's namespace or in the one given. */
export function openTcpSocket(
  version: IpVersion,
  options: { namespace?: NamespaceRef | undefined; protocol?: StreamProtocol | undefined } = {},
): number {
  const family = version === 4 ? AddressFamily.INET : AddressFamily.INET6;
  const protocol = options.protocol === "sctp" ? IPPROTO_SCTP : IPPROTO_TCP;
  const open = () => socket(family, SocketType.STREAM | SocketType.NONBLOCK, protocol);
  return options.namespace === undefined ? open() : inNamespace(options.namespace, open);
}

/** A listening TCP socket. An IPv6 one takes IPv6 only, so that `0.0.0.0` and `::` can share a port. */
export function openTcpListener(options: {
  ip: Ip;
  port: number;
  /** Sessions that dial at the same moment wait here: a short one costs them seconds of retries. */
  backlog?: number;
  /** May be bound before the address is there. */
  freeBind?: boolean;
  device?: string;
  namespace?: NamespaceRef | undefined;
  protocol?: StreamProtocol | undefined;
}): number {
  const version = ipVersion(options.ip);
  const fd = openTcpSocket(version, options);
  try {
    setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (version === 6) setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (options.freeBind) setSocketOption(fd, IPPROTO_IP, IP_FREEBIND, 1);
    if (options.device !== undefined) bindToDevice(fd, options.device);
    bind(fd, socketAddress(options.ip, options.port));
    listen(fd, options.backlog ?? 1024);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Signs everything to and from `peer` with `key`, and drops what is not; an empty key ends that. On a listening
 * socket it applies to the connections it accepts. `prefixLength` makes it a whole block of peers.
 */
export function setTcpMd5Key(fd: number, peer: Ip, key: string | Uint8Array, prefixLength?: number): void {
  const secret = typeof key === "string" ? new TextEncoder().encode(key) : key;
  if (secret.length > MAX_MD5_KEY_BYTES) {
    throw new RangeError(`TCP MD5 key of ${secret.length} bytes: at most ${MAX_MD5_KEY_BYTES} are possible`);
  }
  const TCP_MD5SIG_FLAG_PREFIX = 1;
  // An IPv6 socket knows its IPv4 peers by their mapped addresses.
  const mapped = getSocketOption(fd, SOL_SOCKET, SO_DOMAIN) === AddressFamily.INET6 && ipVersion(peer) === 4;
  const address = mapped ? (`::ffff:${peer}` as Ip) : peer;
  // struct tcp_md5sig: sockaddr_storage, flags u8, prefix length u8, key length u16, ifindex u32, key[80].
  const option = new Uint8Array(128 + 8 + MAX_MD5_KEY_BYTES);
  option.set(socketAddress(address, 0));
  option[128] = TCP_MD5SIG_FLAG_PREFIX;
  option[129] = prefixLength ?? addressBits(ipVersion(peer)); // Of a mapped address too, the kernel counts 32.
  option[130] = secret.length;
  option.set(secret, 136);
  setSocketOption(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, option);
}

/** Hop limit of what is sent: 255 for TTL security, 1 for peers on the link. */
export function setTtl(fd: number, ttl: number): void {
  if (isIpv6(fd)) setSocketOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl);
  else setSocketOption(fd, IPPROTO_IP, IP_TTL, ttl);
}

/** Drops what arrives with a lower hop limit: 255 means straight from the link. 0 turns it off. */
export function setMinimumTtl(fd: number, ttl: number): void {
  if (isIpv6(fd)) setSocketOption(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, ttl);
  else setSocketOption(fd, IPPROTO_IP, IP_MINTTL, ttl);
}

/** The type-of-service byte; 0xc0 (CS6) is what routing protocols use. */
export function setTrafficClass(fd: number, value: number): void {
  if (isIpv6(fd)) setSocketOption(fd, IPPROTO_IPV6, IPV6_TCLASS, value);
  else setSocketOption(fd, IPPROTO_IP, IP_TOS, value);
}

/** Sends and receives by this interface (or VRF) only. */
export function bindToDevice(fd: number, name: string): void {
  setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${name}\0`));
}

function isIpv6(fd: number): boolean {
  return getSocketOption(fd, SOL_SOCKET, SO_DOMAIN) === AddressFamily.INET6;
}

/** struct sockaddr_in or sockaddr_in6 */
function socketAddress(address: Ip, port: number): Uint8Array {
  const v4 = ipVersion(address) === 4;
  const bytes = new Uint8Array(v4 ? 16 : 28);
  bytes[0] = v4 ? AddressFamily.INET : AddressFamily.INET6;
  bytes[2] = port >> 8;
  bytes[3] = port & 255;
  bytes.set(ipToBytes(address), v4 ? 4 : 8);
  return bytes;
}
