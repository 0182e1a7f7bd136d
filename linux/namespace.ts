/**
 * Network namespaces, named as iproute2 names them: a bind mount of the namespace on /run/netns/NAME, so that
 * `ip netns` sees ours and we see its.
 *
 * The rule that everything here keeps: a thread that enters a namespace goes back to the one it was in BEFORE,
 * also when it was itself inside another `inNamespace`, also when the function throws. A child process starts in
 * the namespace its parent's thread is in at that moment, which makes `inNamespace` the way to spawn one there.
 */

import { closeSync, mkdirSync, openSync, readdirSync, readlinkSync, statSync, unlinkSync } from "node:fs";
import {
  Errno,
  enterNetworkNamespace,
  lockFile,
  MountFlag,
  mount,
  SystemCallError,
  unmount,
  unshareNetwork,
} from "./libc.ts";

const DIRECTORY = "/run/netns";
/** Not /proc/self: that is the process's first thread, which a worker thread is not. */
const OWN = "/proc/thread-self/ns/net";

export const NamespaceErrorCode = {
  NotFound: "NOT_FOUND",
  AlreadyExists: "ALREADY_EXISTS",
  InvalidName: "INVALID_NAME",
  /** Neither this process's capabilities nor its container allow it. */
  NotPermitted: "NOT_PERMITTED",
  /** The thread could not go back to where it was: whatever it does next hits the wrong network. Exit. */
  NotRestored: "NOT_RESTORED",
  /** `inNamespace` was given an async function, most of which would have run outside. */
  Asynchronous: "ASYNCHRONOUS",
} as const;

export type NamespaceErrorCode = (typeof NamespaceErrorCode)[keyof typeof NamespaceErrorCode];

export class NamespaceError extends Error {
  readonly code: NamespaceErrorCode;
  readonly namespace: NamespaceRef;
  constructor(code: NamespaceErrorCode, namespace: NamespaceRef, what: string, cause?: unknown) {
    super(`network namespace ${namespace}: ${what}`, { cause });
    this.name = "NamespaceError";
    this.code = code;
    this.namespace = namespace;
  }
}

/** A name under /run/netns, a path (anything with a slash: `/proc/4711/ns/net`), or an open file descriptor. */
export type NamespaceRef = string | number;

/** The file behind a name or path. */
export function namespacePath(namespace: string): string {
  if (namespace.includes("/")) return namespace;
  if (namespace === "" || namespace === "." || namespace === "..") {
    throw new NamespaceError(NamespaceErrorCode.InvalidName, namespace, "is no name");
  }
  return `${DIRECTORY}/${namespace}`;
}

/** Creates an empty namespace of that name (its `lo` is down). The calling thread stays where it is. */
export function createNamespace(name: string): void {
  if (name.includes("/"))
    throw new NamespaceError(NamespaceErrorCode.InvalidName, name, "a name has no slash");
  const path = namespacePath(name);
  prepareDirectory();
  try {
    closeSync(openSync(path, "wx", 0o444));
  } catch (error) {
    throw isCode(error, "EEXIST")
      ? new NamespaceError(NamespaceErrorCode.AlreadyExists, name, "exists already", error)
      : error;
  }
  const before = openSync(OWN, "r");
  try {
    unshareNetwork();
    mount(OWN, path, "none", MountFlag.BIND);
  } catch (error) {
    unlinkSync(path);
    throw notPermitted(error, name) ?? error;
  } finally {
    goBack(before, name);
  }
}

/**
 * Takes the name away; whether it was there. The namespace itself lives on until the last process, socket and
 * file in it is gone, and the kernel removes its interfaces a little later, on its own time.
 */
export function deleteNamespace(name: string): boolean {
  const path = namespacePath(name);
  try {
    unmount(path);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    // EINVAL: a file without a mount, left by a creator that was killed half-way. Just the file, then.
    if (error.code === "ENOENT") return false;
    if (error.errno !== Errno.EINVAL) throw notPermitted(error, name) ?? error;
  }
  unlinkSync(path);
  return true;
}

export function listNamespaces(): string[] {
  try {
    return readdirSync(DIRECTORY).sort();
  } catch (error) {
    if (isCode(error, "ENOENT")) return [];
    throw error;
  }
}

export function namespaceExists(namespace: string): boolean {
  try {
    statSync(namespacePath(namespace));
    return true;
  } catch {
    return false;
  }
}

/**
 * The kernel's name for a namespace, `net:[4026531840]`: two references mean the same network exactly when
 * these are equal. Without an argument: that of the calling thread.
 */
export function namespaceIdentity(namespace?: NamespaceRef): string {
  if (namespace === undefined) return readlinkSync(OWN);
  return inNamespace(namespace, () => readlinkSync(OWN));
}

/** An open file descriptor of the namespace; the caller closes it. */
export function openNamespace(namespace: NamespaceRef): number {
  const path = typeof namespace === "number" ? `/proc/self/fd/${namespace}` : namespacePath(namespace);
  try {
    return openSync(path, "r");
  } catch (error) {
    throw isCode(error, "ENOENT")
      ? new NamespaceError(NamespaceErrorCode.NotFound, namespace, "does not exist", error)
      : error;
  }
}

/** Netlink takes a namespace as an open descriptor, which is needed only while the message is read. */
export function withOpenNamespace(
  namespace: NamespaceRef | undefined,
  use: (fd: number | undefined) => void,
): void {
  const fd = namespace === undefined ? undefined : openNamespace(namespace);
  try {
    use(fd);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Runs `fn` with the calling thread inside `namespace`, and returns to where the thread was. Synchronous by
 * nature: what `fn` starts and leaves pending goes on outside, so sockets and child processes must exist when it
 * returns. Costs about 30 µs.
 */
export function inNamespace<T>(namespace: NamespaceRef, fn: () => T): T {
  const target = openNamespace(namespace);
  const before = openSync(OWN, "r");
  let result: T;
  try {
    try {
      enterNetworkNamespace(target);
    } catch (error) {
      throw invalidNamespace(error, namespace) ?? notPermitted(error, namespace) ?? error;
    } finally {
      closeSync(target);
    }
    result = fn();
  } finally {
    goBack(before, namespace);
  }
  if (result instanceof Promise) {
    result.catch(() => {}); // The mistake below is the one to report.
    throw new NamespaceError(
      NamespaceErrorCode.Asynchronous,
      namespace,
      "inNamespace wants a synchronous function",
    );
  }
  return result;
}

function goBack(before: number, namespace: NamespaceRef): void {
  try {
    enterNetworkNamespace(before);
  } catch (error) {
    throw new NamespaceError(NamespaceErrorCode.NotRestored, namespace, "the thread is stuck in it", error);
  } finally {
    closeSync(before);
  }
}

/**
 * /run/netns has to be a shared mount of its own, as `ip netns add` makes it: otherwise a mount made here stays
 * invisible in the mount namespaces that containers have copied, and cannot be deleted there. The lock keeps two
 * processes from stacking two mounts.
 */
function prepareDirectory(): void {
  mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
  const lock = openSync(DIRECTORY, "r");
  try {
    lockFile(lock);
    try {
      mount("", DIRECTORY, "none", MountFlag.SHARED | MountFlag.REC);
    } catch (error) {
      // EINVAL: not a mount point yet.
      if (!(error instanceof SystemCallError) || error.errno !== Errno.EINVAL) throw error;
      mount(DIRECTORY, DIRECTORY, "none", MountFlag.BIND | MountFlag.REC);
      mount("", DIRECTORY, "none", MountFlag.SHARED | MountFlag.REC);
    }
  } catch (error) {
    throw notPermitted(error, DIRECTORY) ?? error;
  } finally {
    closeSync(lock);
  }
}

function notPermitted(error: unknown, namespace: NamespaceRef): NamespaceError | undefined {
  if (!isCode(error, "EPERM")) return undefined;
  return new NamespaceError(NamespaceErrorCode.NotPermitted, namespace, "CAP_SYS_ADMIN is needed", error);
}

/** EINVAL from setns: the file is there, but is no network namespace. */
function invalidNamespace(error: unknown, namespace: NamespaceRef): NamespaceError | undefined {
  if (!isCode(error, "EINVAL")) return undefined;
  return new NamespaceError(NamespaceErrorCode.NotFound, namespace, "is a file, but no namespace", error);
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
