/**
 * The few C library calls that Node does not offer, bound through koffi.
 *
 * Every call here is synchronous and runs on the calling thread. That is the point: network namespaces are a
 * property of the thread, so "enter, open a socket, go back" is one uninterrupted piece of JavaScript.
 * koffi checks no bounds: lengths are always taken from the array that is passed, never handed in separately.
 */

import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import koffi from "koffi";

// Netlink speaks host byte order. Everything that koffi and Node 24 support on Linux in practice is
// little-endian, so the codecs write little-endian outright; better to refuse than to talk nonsense.
if (endianness() !== "LE") throw new Error("Calyx runs on little-endian machines only");

/** The process itself: libc is already in it, whatever its file is called (glibc and musl differ). */
const libc = koffi.load(null);

const c = {
  socket: libc.func("int socket(int domain, int type, int protocol)"),
  bind: libc.func("int bind(int fd, const void *address, unsigned int length)"),
  listen: libc.func("int listen(int fd, int backlog)"),
  send: libc.func("long send(int fd, const void *buffer, size_t length, int flags)"),
  sendto: libc.func(
    "long sendto(int fd, const void *buffer, size_t length, int flags, const void *to, unsigned int toLength)",
  ),
  recv: libc.func("long recv(int fd, void *buffer, size_t length, int flags)"),
  setsockopt: libc.func(
    "int setsockopt(int fd, int level, int name, const void *value, unsigned int length)",
  ),
  getsockopt: libc.func("int getsockopt(int fd, int level, int name, void *value, void *length)"),
  getsockname: libc.func("int getsockname(int fd, void *address, void *length)"),
  poll: libc.func("int poll(void *fds, unsigned long count, int timeout)"),
  eventfd: libc.func("int eventfd(unsigned int initial, int flags)"),
  ioctl: libc.func("int ioctl(int fd, unsigned long request, void *argument)"),
  setns: libc.func("int setns(int fd, int type)"),
  unshare: libc.func("int unshare(int flags)"),
  mount: libc.func(
    "int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)",
  ),
  umount2: libc.func("int umount2(const char *target, int flags)"),
  flock: libc.func("int flock(int fd, int operation)"),
};

/** A system call that failed: `code` is the errno's name, `call` what was called. */
export class SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly call: string;
  constructor(call: string, errno: number, detail = "") {
    super(`${call}${detail && ` ${detail}`}: ${errnoName(errno)}`);
    this.name = "SystemCallError";
    this.code = errnoName(errno);
    this.errno = errno;
    this.call = call;
  }
}

/** `EEXIST` for 17. A number without a name (the kernel has some of its own) becomes `E524`. */
export function errnoName(errno: number): string {
  const known = kernelErrno[errno];
  if (known !== undefined) return known;
  try {
    const name = getSystemErrorName(-errno);
    if (name.startsWith("E")) return name;
  } catch {
    // No such number in libuv's list.
  }
  return `E${errno}`;
}

/** Numbers that libuv has no name for, or another one than the kernel. */
const kernelErrno: Readonly<Record<number, string>> = {
  62: "ETIME",
  85: "ERESTART",
  93: "EPROTONOSUPPORT",
  95: "EOPNOTSUPP",
  524: "ENOTSUPP",
};

export const Errno = {
  EINTR: 4,
  EAGAIN: 11,
  EINVAL: 22,
  ENOBUFS: 105,
} as const;

function check(result: number, call: string, detail?: string): number {
  if (result < 0) throw new SystemCallError(call, koffi.errno(), detail);
  return result;
}

export const AddressFamily = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10, NETLINK: 16 } as const;
export const SocketType = { STREAM: 1, DGRAM: 2, RAW: 3, NONBLOCK: 0o4000, CLOEXEC: 0o2000000 } as const;
export const MessageFlag = { PEEK: 2, TRUNC: 0x20, DONTWAIT: 0x40 } as const;

/** A new socket's file descriptor, closed on exec. The caller closes it with `fs.closeSync`. */
export function socket(family: number, type: number, protocol: number): number {
  return check(c.socket(family, type | SocketType.CLOEXEC, protocol), "socket");
}

export function bind(fd: number, address: Uint8Array): void {
  check(c.bind(fd, address, address.length), "bind");
}

export function listen(fd: number, backlog: number): void {
  check(c.listen(fd, backlog), "listen");
}

export function send(fd: number, bytes: Uint8Array): number {
  for (;;) {
    const sent = c.send(fd, bytes, bytes.length, 0);
    if (sent >= 0) return sent;
    const errno = koffi.errno();
    if (errno !== Errno.EINTR) throw new SystemCallError("send", errno);
  }
}

/** To an address, as `struct sockaddr`, from a socket that is not connected. */
export function sendTo(fd: number, bytes: Uint8Array, address: Uint8Array): void {
  for (;;) {
    if (c.sendto(fd, bytes, bytes.length, 0, address, address.length) >= 0) return;
    const errno = koffi.errno();
    if (errno !== Errno.EINTR) throw new SystemCallError("sendto", errno);
  }
}

/** The number of bytes received, or the errno as a negative number: most callers expect some of them. */
export function receive(fd: number, into: Uint8Array, flags: number): number {
  for (;;) {
    const received = c.recv(fd, into, into.length, flags);
    if (received >= 0) return received;
    const errno = koffi.errno();
    if (errno !== Errno.EINTR) return -errno;
  }
}

export function setSocketOption(fd: number, level: number, name: number, value: number | Uint8Array): void {
  const bytes = typeof value === "number" ? new Uint8Array(Int32Array.of(value).buffer) : value;
  check(c.setsockopt(fd, level, name, bytes, bytes.length), "setsockopt", `${level}/${name}`);
}

/** Fills `value`, which may hold the question too. @returns how many bytes of it are the answer @throws SystemCallError */
export function getSocketOption(fd: number, level: number, name: number, value: Uint8Array): number {
  const length = Uint32Array.of(value.length);
  check(c.getsockopt(fd, level, name, value, length), "getsockopt", `${level}/${name}`);
  return length[0] as number;
}

/** What a socket is bound to, as `struct sockaddr`; at most 128 bytes of it. */
export function socketName(fd: number): Uint8Array {
  const address = new Uint8Array(128);
  const length = Uint32Array.of(address.length);
  check(c.getsockname(fd, address, length), "getsockname");
  return address.subarray(0, length[0]);
}

/** One instruction of classic BPF (linux/filter.h): code, jumps, operand. */
export type FilterInstruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** What the filter returns 0 for is not received. The kernel keeps a copy. */
export function attachFilter(fd: number, program: readonly FilterInstruction[]): void {
  const SOL_SOCKET = 1;
  const SO_ATTACH_FILTER = 26;
  const code = new DataView(new ArrayBuffer(program.length * 8));
  for (const [i, [opcode, ifTrue, ifFalse, operand]] of program.entries()) {
    code.setUint16(i * 8, opcode, true);
    code.setUint8(i * 8 + 2, ifTrue);
    code.setUint8(i * 8 + 3, ifFalse);
    code.setUint32(i * 8 + 4, operand, true);
  }
  const memory = koffi.alloc("uint8_t", code.byteLength);
  try {
    new Uint8Array(koffi.view(memory, code.byteLength)).set(new Uint8Array(code.buffer));
    const head = new DataView(new ArrayBuffer(16)); // struct sock_fprog
    head.setUint16(0, program.length, true);
    head.setBigUint64(8, koffi.address(memory), true);
    setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(head.buffer));
  } finally {
    koffi.free(memory);
  }
}

/** SIOCETHTOOL with a struct ethtool_value: gives the value back as the kernel left it. @throws SystemCallError */
export function ethtoolValue(fd: number, interfaceName: string, command: number, value: number): number {
  const SIOCETHTOOL = 0x8946;
  const memory = koffi.alloc("uint8_t", 8);
  try {
    const words = new DataView(koffi.view(memory, 8));
    words.setUint32(0, command, true);
    words.setUint32(4, value, true);
    const request = new DataView(new ArrayBuffer(40)); // struct ifreq
    new Uint8Array(request.buffer).set(Buffer.from(interfaceName).subarray(0, 15));
    request.setBigUint64(16, koffi.address(memory), true);
    check(c.ioctl(fd, SIOCETHTOOL, new Uint8Array(request.buffer)), "ioctl", `ethtool ${interfaceName}`);
    return words.getUint32(4, true);
  } finally {
    koffi.free(memory);
  }
}

/**
 * Blocks the thread until one of `fds` is readable or in error, or `timeoutMs` has passed (-1: for ever).
 * Says for each whether it is.
 */
export function pollReadable(fds: readonly number[], timeoutMs: number): boolean[] {
  const POLLIN = 1;
  const entries = new DataView(new ArrayBuffer(fds.length * 8));
  for (const [i, fd] of fds.entries()) {
    entries.setInt32(i * 8, fd, true);
    entries.setInt16(i * 8 + 4, POLLIN, true);
  }
  const ready = c.poll(new Uint8Array(entries.buffer), fds.length, timeoutMs);
  if (ready < 0 && koffi.errno() !== Errno.EINTR) check(ready, "poll");
  return fds.map((_, i) => ready > 0 && entries.getInt16(i * 8 + 6, true) !== 0);
}

/** A counter in a file descriptor, to wake a thread that waits in {@link pollReadable}; 8 bytes written to it add up. */
export function eventFd(): number {
  const EFD_CLOEXEC = 0o2000000;
  const EFD_NONBLOCK = 0o4000;
  return check(c.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

const CLONE_NEWNET = 0x40000000;

/** Moves the calling thread into the network namespace that `fd` stands for. */
export function enterNetworkNamespace(fd: number): void {
  check(c.setns(fd, CLONE_NEWNET), "setns");
}

/** Moves the calling thread into a new, empty network namespace. */
export function unshareNetwork(): void {
  check(c.unshare(CLONE_NEWNET), "unshare");
}

export const MountFlag = { BIND: 0x1000, REC: 0x4000, SHARED: 1 << 20 } as const;

export function mount(source: string, target: string, type: string, flags: number): void {
  check(c.mount(source, target, type, flags, null), "mount", target);
}

/** Detaches what is mounted on `target`, busy or not. */
export function unmount(target: string): void {
  const MNT_DETACH = 2;
  check(c.umount2(target, MNT_DETACH), "umount", target);
}

/** Waits for, and takes, the exclusive lock on an open file; closing it gives the lock back. */
export function lockFile(fd: number): void {
  const LOCK_EX = 2;
  check(c.flock(fd, LOCK_EX), "flock");
}
