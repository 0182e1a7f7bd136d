/**
 * TCP MD5 signatures (RFC 2385): keys by address, or by prefix (TCP_MD5SIG_EXT, for dynamic neighbors); the longest prefix counts.
 *
 * A key must be there before connect(), and on the listener before the SYN comes; an accepted socket takes a copy along, so that changing
 * a listener's key touches no session. The kernel charges each key to the option memory of the listening socket, at most
 * net.core.optmem_max: in clusters of a thousand nodes this limit is met, and so it is measured and explained.
 */

import { readFileSync } from "node:fs";
import { parseAddress } from "../address.ts";
import { BgpError } from "../errors.ts";
import { getSocketOption, setSocketOption, socketOptionError } from "./native.ts";
import type { PasswordRoom } from "./transport.ts";

const SOL_SOCKET = 1;
const SO_MEMINFO = 55;
const SK_MEMINFO_OPTMEM = 6;
const MEMINFO_SIZE = 64;
const IPPROTO_TCP = 6;
const TCP_MD5SIG = 14;
const TCP_MD5SIG_EXT = 32;
const FLAG_PREFIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const OPTMEM_MAX = "/proc/sys/net/core/optmem_max";

// struct tcp_md5sig: sockaddr_storage, flags u8, prefixlen u8, keylen u16, ifindex i32, key[80].
const SIZE = 216;
const FLAGS = 128;
const PREFIX_LENGTH = 129;
const KEY_LENGTH = 130;
const KEY = 136;

/**
 * The key for segments to and from `peers`, an address or a prefix of the IP version of the socket; undefined removes it. Throws
 * `PasswordRoom` or `SocketOption`.
 */
export function setPassword(fd: number, peers: string, password: string | undefined): void {
  const [address = "", length] = peers.replace(/%[^/]*/, "").split("/");
  const bytes = parseAddress(address)!;
  const option = new Uint8Array(SIZE);
  const isIpv6 = bytes.length === 16;
  // Native byte order.
  option.set(new Uint8Array(Uint16Array.of(isIpv6 ? AF_INET6 : AF_INET).buffer));
  option.set(bytes, isIpv6 ? 8 : 4);
  if (length !== undefined) {
    option[FLAGS] = FLAG_PREFIX;
    option[PREFIX_LENGTH] = Number(length);
  }
  const key = new TextEncoder().encode(password ?? "");
  option.set(new Uint8Array(Uint16Array.of(key.length).buffer), KEY_LENGTH);
  option.set(key, KEY);
  const which = length === undefined ? TCP_MD5SIG : TCP_MD5SIG_EXT;
  const system = setSocketOption(fd, IPPROTO_TCP, which, option, `the password of ${peers}`);
  // Removing a key that is not there answers ENOENT: it is gone, which is what was asked.
  if (system !== undefined && password !== undefined)
    throw socketOptionError(`TCP_MD5SIG for ${peers}`, system);
}

/**
 * How many keys fit on this socket, which has `keys` of them now: measured, since what a key costs is the kernel's (136 bytes with 6.18:
 * 963 keys in 131072 bytes). Undefined where the kernel does not say.
 */
export function passwordRoom(fd: number, keys: number): PasswordRoom | undefined {
  const memory = getSocketOption(fd, SOL_SOCKET, SO_MEMINFO, MEMINFO_SIZE, "password");
  const optionMemory = readOptionMemory();
  if (memory === undefined || optionMemory === undefined) return undefined;
  const perKey = (new Uint32Array(memory.slice().buffer)[SK_MEMINFO_OPTMEM] ?? 0) / keys;
  if (!(perKey > 0)) return undefined;
  // The kernel wants the sum to stay below the limit.
  const room = Math.floor((optionMemory - 1) / perKey);
  return { keys, room, optionMemory, needed: 2 ** Math.ceil(Math.log2(2 * keys * perKey + 1)) };
}

/** What to say where one more does not fit. */
export function passwordRoomError(peers: string, { room, optionMemory, needed }: PasswordRoom): BgpError {
  return new BgpError(
    { code: "PasswordRoom", room, optionMemory, needed },
    `no room for the password of ${peers}: net.core.optmem_max = ${optionMemory} bytes holds ${room} TCP MD5 keys per listening ` +
      `socket. Raise it (sysctl -w net.core.optmem_max=${needed}) and start again, or give all neighbors of a prefix one password (addDynamicNeighbors)`,
  );
}

function readOptionMemory(): number | undefined {
  try {
    return Number(readFileSync(OPTMEM_MAX, "utf8"));
  } catch {
    return undefined;
  }
}
