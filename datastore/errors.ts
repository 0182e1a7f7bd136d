/** Everything a store can refuse, as typed values: `code` says what, `key` says where. */

import { type Key, keyText } from "./key.ts";

export const DatastoreErrorCode = {
  /** Create of a key that exists. */
  AlreadyExists: "ALREADY_EXISTS",
  /** Get, update or delete of a key that does not exist. */
  NotFound: "NOT_FOUND",
  /** Update or delete with a revision that is no longer the key's. */
  Conflict: "CONFLICT",
  /** A watch from a revision that the store has forgotten: list again. */
  Compacted: "COMPACTED",
  /** The store cannot be reached, or answers too late; the operation may or may not have happened. */
  Unavailable: "UNAVAILABLE",
  /** The store has no room; nothing was written. */
  Full: "FULL",
  /** Wrong user, password, certificate or token. */
  Unauthorized: "UNAUTHORIZED",
  /** This store does not support this operation on this kind. */
  NotSupported: "NOT_SUPPORTED",
  /** What is stored under the key cannot be read. */
  Corrupt: "CORRUPT",
} as const;

export type DatastoreErrorCode = (typeof DatastoreErrorCode)[keyof typeof DatastoreErrorCode];

export class DatastoreError extends Error {
  readonly code: DatastoreErrorCode;
  readonly key: Key | undefined;
  constructor(
    code: DatastoreErrorCode,
    options: { key?: Key | undefined; message?: string; cause?: unknown } = {},
  ) {
    const where = options.key ? `${keyText(options.key)}: ` : "";
    super(where + (options.message ?? code.toLowerCase().replaceAll("_", " ")), { cause: options.cause });
    this.name = "DatastoreError";
    this.code = code;
    this.key = options.key;
  }
}

export function isDatastoreError(error: unknown, code?: DatastoreErrorCode): error is DatastoreError {
  return error instanceof DatastoreError && (code === undefined || error.code === code);
}
