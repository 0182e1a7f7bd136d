/**
 * Socket options Node has no call for: TCP MD5 signatures (RFC 2385) and GTSM (RFC 5082), through `koffi`, loaded on first use only.
 * Linux. MD5 must be set before connect() and on the listener before the SYN, so an outgoing connection that needs it is a socket we make ourselves;
 * accepted sockets inherit the listener's keys.
 */

import { createRequire } from "node:module";
import { parseAddress } from "../address.ts";
import { BgpError } from "../errors.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_IP = 0;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const IP_TTL = 2;
const IP_MINTTL = 21;
const IPV6_UNICAST_HOPS = 16;
const IPV6_MINHOPCOUNT = 73;
const TCP_MD5SIG = 14;
const MAX_TTL = 255;

// struct tcp_md5sig: sockaddr_storage, flags u8, prefixlen u8, keylen u16, ifindex i32, key[80].
const MD5SIG_SIZE = 216;
const MD5SIG_KEY_LENGTH = 130;
const MD5SIG_KEY = 136;

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  close(fd: number): number;
  errno(): number;
}

let loaded: Libc | undefined;

function libc(): Libc {
  if (loaded !== undefined) return loaded;
  try {
    const koffi = createRequire(import.meta.url)("koffi");
    const library = koffi.load(null);
    loaded = {
      socket: library.func("int socket(int domain, int type, int protocol)"),
      setsockopt: library.func(
        "int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)",
      ),
      close: library.func("int close(int fd)"),
      errno: () => koffi.errno(),
    };
  } catch (cause) {
    throw new BgpError("SocketOption", "passwords and TTL security need Linux and the npm package koffi", {
      cause,
    });
  }
  return loaded;
}

export interface SocketSecurity {
  readonly password?: string | undefined;
  /** Hops the neighbor may be away. */
  readonly ttlSecurity?: number | undefined;
}

/** A TCP socket for a connection to `address`, with the options set before anything is sent; the caller owns it. */
export function openSocket(address: string, security: SocketSecurity): number {
  const isIpv6 = address.includes(":");
  const fd = libc().socket(isIpv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw failure("socket");
  try {
    if (security.password !== undefined) setPassword(fd, isIpv6, address, security.password);
    if (security.ttlSecurity !== undefined) setTtlSecurity(fd, isIpv6, security.ttlSecurity);
  } catch (error) {
    libc().close(fd);
    throw error;
  }
  return fd;
}

/**
 * The key for segments to and from `address`; undefined removes it. `isIpv6` is the family of the socket: on a dual
 * stack listener an IPv4 neighbor is `::ffff:` mapped.
 */
export function setPassword(
  fd: number,
  isIpv6: boolean,
  address: string,
  password: string | undefined,
): void {
  const bytes = parseAddress(address.replace(/%.*$/, ""));
  if (bytes === undefined || (bytes.length === 16 && !isIpv6)) {
    throw new BgpError("SocketOption", `${address} cannot have a password on a socket of the other family`);
  }
  const option = new Uint8Array(MD5SIG_SIZE);
  const view = new DataView(option.buffer);
  // Native byte order; every platform Node supports on Linux here is little endian but s390x.
  const native = new Uint8Array(Uint16Array.of(isIpv6 ? AF_INET6 : AF_INET).buffer);
  option.set(native, 0);
  if (!isIpv6) option.set(bytes, 4);
  else if (bytes.length === 16) option.set(bytes, 8);
  else {
    view.setUint16(18, 0xffff);
    option.set(bytes, 20);
  }
  const key = new TextEncoder().encode(password ?? "");
  option.set(new Uint8Array(Uint16Array.of(key.length).buffer), MD5SIG_KEY_LENGTH);
  option.set(key, MD5SIG_KEY);
  // Removing a key that is not there answers ENOENT: it is gone, which is what was asked.
  const result = libc().setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, option, option.length);
  if (result !== 0 && password !== undefined) throw failure(`TCP_MD5SIG for ${address}`);
}

/** We send with TTL 255 and take only segments that can have come at most `hops` hops. */
export function setTtlSecurity(fd: number, isIpv6: boolean, hops: number): void {
  const set = (level: number, option: number, value: number, name: string) => {
    const bytes = new Uint8Array(Int32Array.of(value).buffer);
    if (libc().setsockopt(fd, level, option, bytes, bytes.length) !== 0) throw failure(name);
  };
  const minimum = MAX_TTL + 1 - hops;
  if (isIpv6) {
    set(IPPROTO_IPV6, IPV6_UNICAST_HOPS, MAX_TTL, "IPV6_UNICAST_HOPS");
    set(IPPROTO_IPV6, IPV6_MINHOPCOUNT, minimum, "IPV6_MINHOPCOUNT");
  } else {
    set(IPPROTO_IP, IP_TTL, MAX_TTL, "IP_TTL");
    set(IPPROTO_IP, IP_MINTTL, minimum, "IP_MINTTL");
  }
}

/** The descriptor behind a socket or server. `_handle` is internal to Node; the interop test guards it. */
export function descriptorOf(holder: object): number {
  const fd = (holder as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0)
    throw new BgpError("SocketOption", "this Node does not show the descriptor of a socket");
  return fd;
}

const ENOMEM = 12;

function failure(what: string): BgpError {
  const errno = libc().errno();
  // The kernel charges MD5 keys to the option memory of the listening socket.
  const hint = errno === ENOMEM ? "; raise net.core.optmem_max" : "";
  return new BgpError("SocketOption", `${what}: errno ${errno}${hint}`);
}
