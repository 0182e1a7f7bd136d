/** What the kernel refuses, as typed values. */

import { errnoName } from "./libc.ts";

/**
 * A netlink request that the kernel answered with an error.
 *
 * `code` is the errno's name (`EEXIST`, `ENODEV`, `ENETUNREACH`…), `operation` says what was asked in words, and
 * the message carries the kernel's own explanation (extended acknowledgement) where it gave one.
 */
export class NetlinkError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly operation: string;
  constructor(errno: number, operation: string, explanation?: string, code = errnoName(errno)) {
    super(explanation ? `${operation}: ${explanation} (${code})` : `${operation}: ${code}`);
    this.name = "NetlinkError";
    this.code = code;
    this.errno = errno;
    this.operation = operation;
  }
}

export function isNetlinkError(error: unknown, ...codes: string[]): error is NetlinkError {
  return error instanceof NetlinkError && (codes.length === 0 || codes.includes(error.code));
}

/**
 * Whether a delete failed only because the thing, or the link it was on, was not there: ESRCH routes, ENOENT rules,
 * neighbours and tables, EADDRNOTAVAIL addresses, ENODEV and ENXIO links.
 */
export function isAbsent(error: unknown): error is NetlinkError {
  return isNetlinkError(error, "ESRCH", "ENOENT", "ENODEV", "ENXIO", "EADDRNOTAVAIL");
}
