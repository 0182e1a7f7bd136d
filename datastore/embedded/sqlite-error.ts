/** What SQLite and the file system refuse, as the datastore's typed errors. */

import { DatastoreError, DatastoreErrorCode } from "../errors.ts";

const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const PROTOCOL = 15;
const NOTADB = 26;

/** SQLite's primary result code; extended codes carry more in the upper bytes. */
function resultCode(error: unknown): number | undefined {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === "number" ? errcode & 0xff : undefined;
}

/** Another process holds the lock right now: nothing was done, try again. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === BUSY || code === LOCKED || code === PROTOCOL;
}

function isFull(error: unknown): boolean {
  return resultCode(error) === FULL || (error as NodeJS.ErrnoException).code === "ENOSPC";
}

export function toDatastoreError(error: unknown, path: string): DatastoreError {
  if (error instanceof DatastoreError) return error;
  const message = (error as Error).message;
  const typed = (code: DatastoreErrorCode, text: string) =>
    new DatastoreError(code, { message: text, cause: error });
  if (isFull(error)) {
    return typed(DatastoreErrorCode.Full, `the disk is full: the datastore ${path} cannot grow`);
  }
  switch ((error as NodeJS.ErrnoException).code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return typed(DatastoreErrorCode.Unauthorized, `no permission to write the datastore ${path}`);
  }
  switch (resultCode(error)) {
    case READONLY:
    case CANTOPEN:
      return typed(DatastoreErrorCode.Unauthorized, `no permission to write the datastore ${path}`);
    case CORRUPT:
    case NOTADB:
      return typed(DatastoreErrorCode.Corrupt, `the datastore ${path} is damaged: ${message}`);
    case BUSY:
    case LOCKED:
    case PROTOCOL:
      return typed(DatastoreErrorCode.Unavailable, `the datastore ${path} is locked by another process`);
    default:
      return typed(DatastoreErrorCode.Unavailable, `the datastore ${path} cannot be used: ${message}`);
  }
}
