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
