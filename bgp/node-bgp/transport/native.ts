/**
 * The calls of the C library that Node does not have, through `koffi`: an optional dependency, loaded on first use (17 ms and 7 MB,
 * measured on Node 24). Everything here throws `NativeMissing` where there is no koffi or no Linux.
 */

import { createRequire } from "node:module";
import { getSystemErrorName } from "node:util";
import { BgpError } from "../errors.ts";

interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number[]): number;
  close(fd: number): number;
  errno(): number;
}

interface Native {
  // biome-ignore lint/suspicious/noExplicitAny: koffi is optional, and so are its types.
  readonly koffi: any;
  // biome-ignore lint/suspicious/noExplicitAny: functions of any prototype.
  readonly library: any;
}

let loaded: Libc | undefined;

/** `needs` names what it is for, as the user knows it. */
function libc(needs: string): Libc {
  if (loaded !== undefined) return loaded;
  loaded = bindNative(needs, ({ library, koffi }) => ({
    socket: library.func("int socket(int domain, int type, int protocol)"),
    setsockopt: library.func(
      "int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)",
    ),
    getsockopt: library.func(
      "int getsockopt(int fd, int level, int option, _Out_ uint8_t *value, _Inout_ uint32_t *length)",
    ),
    close: library.func("int close(int fd)"),
    errno: () => koffi.errno(),
  }));
  return loaded;
}

/**
 * What `bind` makes of the C library, by `library.func("int close(int fd)")`, and of koffi itself. `needs` names what it is for, as the
 * user knows it.
 */
export function bindNative<T>(needs: string, bind: (native: Native) => T): T {
  if (process.platform !== "linux") throw missing(needs);
  try {
    const koffi = createRequire(import.meta.url)("koffi");
    return bind({ koffi, library: koffi.load(null) });
  } catch (cause) {
    throw missing(needs, cause);
  }
}

function missing(needs: string, cause?: unknown): BgpError {
  return new BgpError(
    { code: "NativeMissing", needs },
    `${needs} needs Linux and the npm package koffi (npm install koffi)`,
    { cause },
  );
}

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** A TCP socket, to be closed by the caller or given to Node. */
export function tcpSocket(domain: number, needs: string): number {
  const fd = libc(needs).socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw socketOptionError("socket", lastSystemError());
  return fd;
}

export function closeSocket(fd: number): void {
  loaded?.close(fd);
}

/** The name of the error, `ENOMEM`; undefined where it went well. */
export function setSocketOption(
  fd: number,
  level: number,
  option: number,
  value: Uint8Array,
  needs: string,
): string | undefined {
  return libc(needs).setsockopt(fd, level, option, value, value.length) === 0 ? undefined : lastSystemError();
}

/** The bytes of an option, at most `size`; undefined where the kernel does not have it. */
export function getSocketOption(
  fd: number,
  level: number,
  option: number,
  size: number,
  needs: string,
): Uint8Array | undefined {
  const value = new Uint8Array(size);
  const length = [size];
  if (libc(needs).getsockopt(fd, level, option, value, length) !== 0) return undefined;
  return value.subarray(0, length[0]);
}

export function socketOptionError(option: string, system: string | undefined): BgpError {
  return new BgpError({ code: "SocketOption", option, system }, `${option}: ${system ?? "not possible"}`);
}

/** The descriptor behind a socket or server. `_handle` is internal to Node; the interop tests guard it. */
export function descriptorOf(holder: object): number {
  const fd = (holder as { _handle?: { fd?: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) throw socketOptionError("descriptor", undefined);
  return fd;
}

function lastSystemError(): string {
  return getSystemErrorName(-loaded!.errno());
}
