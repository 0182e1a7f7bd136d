/** What callers of rtnetlink need constantly: deleting what may be gone, and many requests of which one bad one must not keep the others out. */

import { isAbsent, type NetlinkError } from "../errors.ts";
import type { MessageWriter } from "./message.ts";
import type { NetlinkSocket } from "./socket.ts";

/** An item that the kernel refused. */
export interface Failure<T> {
  readonly item: T;
  readonly error: NetlinkError;
}

/** 200 routes are some 12 kB: more per send gains nothing measurable, and answers stay few. */
const MESSAGES_PER_SEND = 200;

/** Whether it was there. */
export function deleteIfThere(
  socket: NetlinkSocket,
  operation: string,
  write: (writer: MessageWriter) => void,
): boolean {
  try {
    socket.request(operation, write);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Returns those that were refused, and why; all others are in force. */
export function requestAll<T>(
  socket: NetlinkSocket,
  items: readonly T[],
  write: (writer: MessageWriter, item: T) => void,
  operation: (item: T) => string,
): Failure<T>[] {
  const failures: Failure<T>[] = [];
  for (const [i, error] of socket.batch(items, MESSAGES_PER_SEND, write, operation).entries()) {
    if (error !== undefined) failures.push({ item: items[i]!, error });
  }
  return failures;
}
