/**
 * A watch on etcd: one gRPC stream per watch. Any end of the stream ends the watch with a typed error, and the
 * reflector resumes from the last batch.
 *
 * Revisions: events of one revision always come in one message (we never ask for fragments), so the last event's
 * revision is where to resume. The header's is not: while a watch catches up, it is ahead of the events.
 *
 * We ask for one revision more than is wanted, and drop it. etcd before 2025, compacted to revision R, forgets
 * a delete that happened at R, but serves a watch that starts at R as if it had not (etcd issues 18089, 19179).
 * Starting before R, such a watch is refused, and the reflector lists again.
 */

import type { Revision } from "../datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "../errors.ts";
import type { KeyValueEvent, PathRange } from "../key-value-store.ts";
import { WatchQueue } from "../watch-queue.ts";
import type { EtcdConnection } from "./connection.ts";
import type { MessageStream } from "./grpc.ts";
import {
  countRequest,
  METHOD,
  readRange,
  readWatchAnswer,
  type WatchAnswer,
  type WatchedItem,
  watchRequest,
} from "./messages.ts";

export function openWatch(
  connection: EtcdConnection,
  range: PathRange,
  from: Revision,
): { queue: WatchQueue; cancel: () => void } {
  const queue = new WatchQueue();
  const wanted = BigInt(from);
  let stream: MessageStream | undefined;
  let over = false;

  const stop = () => {
    over = true;
    stream?.cancel();
  };
  const cancel = () => {
    queue.end();
    stop();
  };
  const fail = (error: unknown) => {
    if (over) return;
    queue.fail(connection.failed(error));
    stop();
  };

  const onAnswer = async (answer: WatchAnswer) => {
    if (over) return;
    if (answer.canceled) fail(cancellation(answer));
    else if (answer.created) {
      await refuseTheFuture(connection, range, from, answer.revision);
      queue.push([], from);
    } else {
      const last = answer.events.at(-1)?.item.revision ?? answer.revision;
      if (BigInt(last) <= wanted) return;
      const events = answer.events.filter(({ item }) => BigInt(item.revision) > wanted);
      queue.push(events.map(eventOf), last);
    }
  };

  const open = async () => {
    // Also renews an authentication token that a restarted etcd no longer knows; streams cannot.
    await revisionNow(connection, range);
    let inOrder = Promise.resolve();
    stream = await connection.stream(METHOD.watch, {
      onMessage: message => {
        const answer = readWatchAnswer(message);
        inOrder = inOrder.then(() => onAnswer(answer)).catch(fail);
      },
      onEnd: fail,
    });
    if (over) stop();
    else stream.send(watchRequest(range, from));
  };
  open().catch(fail);
  return { queue, cancel };
}

/**
 * A revision that this store has not reached: it was restored from a backup. (Or this member lags behind the one
 * that gave the revision, which a linearised read tells.)
 */
async function refuseTheFuture(
  connection: EtcdConnection,
  range: PathRange,
  from: Revision,
  reached: Revision,
): Promise<void> {
  if (BigInt(reached) >= BigInt(from)) return;
  const now = await revisionNow(connection, range);
  if (BigInt(now) < BigInt(from)) {
    throw new DatastoreError(DatastoreErrorCode.Compacted, {
      message: `revision ${from} is not known to this etcd, which is at ${now}`,
    });
  }
}

async function revisionNow(connection: EtcdConnection, { start }: PathRange): Promise<Revision> {
  return readRange(await connection.read(METHOD.range, countRequest(start))).revision;
}

function cancellation({ compactRevision, cancelReason }: WatchAnswer): Error {
  return compactRevision !== 0
    ? new DatastoreError(DatastoreErrorCode.Compacted, {
        message: `etcd has compacted its history up to ${compactRevision}`,
      })
    : new Error(cancelReason || "the watch was ended by the server");
}

function eventOf({ deleted, item, previous }: WatchedItem): KeyValueEvent {
  const { path, value, revision, created } = item;
  return deleted
    ? { type: "delete", path, revision, previous }
    : { type: "put", path, value, revision, created };
}
