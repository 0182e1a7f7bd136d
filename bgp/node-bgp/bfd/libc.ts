/**
 * The C library calls of the BFD thread, through `koffi`, loaded on first use. Linux, 64 bit, little endian.
 *
 * Node's own UDP sockets do not say with what TTL a packet came, and that check is what protects BFD on one hop (RFC 5881 5); Linux enforces a
 * minimum TTL for TCP only. They cannot be bound to an interface either.
 */

import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import { bindNative } from "../transport/native.ts";

export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  sendto(
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    to: Uint8Array,
    toLength: number,
  ): number;
  /** `messages`: an address in {@link NativeMemory}. */
  recvmmsg(fd: number, messages: bigint, count: number, flags: number, timeout: null): number;
  ppoll(descriptors: Uint8Array, count: number, timeout: Uint8Array, signals: null): number;
  eventfd(initial: number, flags: number): number;
  read(fd: number, into: Uint8Array, length: number): number;
  close(fd: number): number;
  if_nametoindex(name: string): number;
  sched_setscheduler(pid: number, policy: number, parameter: Uint8Array): number;
  setpriority(which: number, who: number, nice: number): number;
  calloc(count: number, size: number): bigint;
  /** Memory of `calloc` as an ArrayBuffer. */
  view(address: bigint, length: number): ArrayBuffer;
  errno(): number;
}

let loaded: Libc | undefined;

/** Throws a {@link BgpError} `NativeMissing` where there is no koffi, or no such system. */
export function libc(): Libc {
  loaded ??= bindNative("BFD", ({ library, koffi }) => {
    if (endianness() !== "LE" || koffi.sizeof("void *") !== 8) throw new Error("64 bit, little endian only");
    return {
      socket: library.func("int socket(int family, int type, int protocol)"),
      bind: library.func("int bind(int fd, const void *address, uint32_t length)"),
      setsockopt: library.func(
        "int setsockopt(int fd, int level, int option, const void *value, uint32_t length)",
      ),
      sendto: library.func(
        "long sendto(int fd, const void *bytes, size_t length, int flags, const void *to, uint32_t to_length)",
      ),
      recvmmsg: library.func(
        "int recvmmsg(int fd, void *messages, uint32_t count, int flags, void *timeout)",
      ),
      ppoll: library.func(
        "int ppoll(void *fds, unsigned long count, const void *timeout, const void *signals)",
      ),
      eventfd: library.func("int eventfd(uint32_t initial, int flags)"),
      read: library.func("long read(int fd, void *into, size_t length)"),
      close: library.func("int close(int fd)"),
      if_nametoindex: library.func("uint32_t if_nametoindex(const char *name)"),
      sched_setscheduler: library.func("int sched_setscheduler(int pid, int policy, const void *parameter)"),
      setpriority: library.func("int setpriority(int which, uint32_t who, int nice)"),
      calloc: library.func("void *calloc(size_t count, size_t size)"),
      view: koffi.view,
      errno: koffi.errno,
    };
  });
  return loaded;
}

/** `ENETDOWN`. */
export function errorName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

export const Errno = { EINTR: 4, EADDRINUSE: 98 } as const;
