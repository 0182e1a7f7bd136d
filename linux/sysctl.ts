/**
 * Kernel parameters of a network namespace: files under /proc/sys/net.
 *
 * Which namespace's values such a file shows is decided by the thread that opens it. Parameters are named by path,
 * `net/ipv4/conf/eth0.100/rp_filter`, because the dotted form cannot name an interface with a dot. Writing what is
 * there already is left out: some writes have side effects (`ip_forward` resets every interface's `forwarding`).
 */

import { readFileSync, writeFileSync } from "node:fs";
import { inNamespace, type NamespaceRef } from "./namespace.ts";

export const SysctlErrorCode = {
  /** Not a path below `net/`. */
  InvalidName: "INVALID_NAME",
  /** This kernel, or this interface, has no such parameter. */
  NotFound: "NOT_FOUND",
  /** Root is needed, or /proc/sys is mounted read-only (a container without privileges). */
  NotPermitted: "NOT_PERMITTED",
  /** The kernel does not take this value. */
  InvalidValue: "INVALID_VALUE",
} as const;

export type SysctlErrorCode = (typeof SysctlErrorCode)[keyof typeof SysctlErrorCode];

export class SysctlError extends Error {
  readonly code: SysctlErrorCode;
  readonly parameter: string;
  constructor(code: SysctlErrorCode, parameter: string, cause?: unknown) {
    super(`sysctl ${parameter}: ${code.toLowerCase().replace("_", " ")}`, { cause });
    this.name = "SysctlError";
    this.code = code;
    this.parameter = parameter;
  }
}

interface SysctlOptions {
  readonly namespace?: NamespaceRef | undefined;
}

/** The value as text, without the line end; several numbers are separated by tabs, as the kernel prints them. */
export function readSysctl(parameter: string, options: SysctlOptions = {}): string {
  return at(parameter, options, path => readFileSync(path, "utf8").trimEnd());
}

/** Whether the value had to be changed. */
export function writeSysctl(parameter: string, value: string | number, options: SysctlOptions = {}): boolean {
  return at(parameter, options, path => {
    const wanted = String(value);
    if (words(readFileSync(path, "utf8")) === words(wanted)) return false;
    writeFileSync(path, wanted);
    return true;
  });
}

function words(text: string): string {
  return text.trim().split(/\s+/).join(" ");
}

function at<T>(parameter: string, options: SysctlOptions, use: (path: string) => T): T {
  const parts = parameter.split("/");
  if (
    parts[0] !== "net" ||
    parts.length < 3 ||
    parts.some(part => part === "" || part === "." || part === "..")
  ) {
    throw new SysctlError(SysctlErrorCode.InvalidName, parameter);
  }
  const run = () => {
    try {
      return use(`/proc/sys/${parameter}`);
    } catch (error) {
      throw explain(error, parameter);
    }
  };
  return options.namespace === undefined ? run() : inNamespace(options.namespace, run);
}

function explain(error: unknown, parameter: string): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
    case "EISDIR":
      return new SysctlError(SysctlErrorCode.NotFound, parameter, error);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new SysctlError(SysctlErrorCode.NotPermitted, parameter, error);
    case "EINVAL":
    case "ERANGE":
      return new SysctlError(SysctlErrorCode.InvalidValue, parameter, error);
    default:
      return error;
  }
}
