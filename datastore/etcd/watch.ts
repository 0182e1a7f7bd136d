/**
 * A watch on etcd: one gRPC stream per watch, spoken to directly. etcd3's own watchers are not used: they drop
 * silently after a compaction, throw inside stream handlers, and reconnect in ways that cannot be told from
 * outside. Here any end of the stream ends the watch with a typed error, and the reflector resumes from the last
 * batch.
 *
 * Revisions: events of one revision always come in one message (we never ask for fragments), so the last event's
 * revision is where to resume. The header's is not: while a watch catches up, it is ahead of the events.
 *
 * We ask for one revision more than is wanted, and drop it. etcd before 2025, compacted to revision R, forgets
 * a delete that happened at R, but serves a watch that starts at R as if it had not (etcd issues 18089, 19179).
 * Starting before R, such a watch is refused, and the reflector lists again.
 */

import type { IDuplexStream, IEvent, IWatchRequest, IWatchResponse } from "etcd3";
import type { Revision } from "../datastore.ts";
import { DatastoreError, DatastoreErrorCode } from "../errors.ts";
import type { KeyValueEvent, PathRange } from "../key-value-store.ts";
import { WatchQueue } from "../watch-queue.ts";
import type { EtcdConnection } from "./connection.ts";

type Stream = IDuplexStream<IWatchRequest, IWatchResponse>;

export function openWatch(
  connection: EtcdConnection,
  range: PathRange,
  from: Revision,
): { queue: WatchQueue; cancel: () => void } {
  const queue = new WatchQueue();
  const wanted = BigInt(from);
  let stream: Stream | undefined;
  let over = false;

  const stop = () => {
    over = true;
    // Ended before it is cancelled: the library takes a stream that fails while writable for a broken server,
    // and would close the connection under all other watches.
    stream?.end();
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

  const onResponse = async (response: IWatchResponse) => {
    if (over) return;
    if (response.canceled) fail(cancellation(response));
    else if (response.created) {
      await refuseTheFuture(connection, range, from, response.header.revision);
      queue.push([], from);
    } else {
      const last = response.events.at(-1)?.kv.mod_revision ?? response.header.revision;
      if (BigInt(last) <= wanted) return;
      const events = response.events.filter(({ kv }) => BigInt(kv.mod_revision) > wanted);
      queue.push(events.map(eventOf), last as Revision);
    }
  };

  const open = async () => {
    // Also renews an authentication token that a restarted etcd no longer knows; streams cannot.
    await connection.read(({ kv }) => kv.range({ key: Buffer.from(range.start), count_only: true }));
    stream = await connection.read(({ watchClient }) => watchClient.watch());
    stream.on("error", fail);
    stream.on("end", () => fail(new Error("the stream was ended by server")));
    let inOrder = Promise.resolve();
    stream.on("data", response => {
      inOrder = inOrder.then(() => onResponse(response)).catch(fail);
    });
    if (over) return stop();
    stream.write({
      create_request: {
        key: Buffer.from(range.start),
        range_end: Buffer.from(range.end),
        start_revision: from,
        progress_notify: true,
        prev_kv: true,
      },
    });
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
  reached: string,
): Promise<void> {
  if (BigInt(reached) >= BigInt(from)) return;
  const { header } = await connection.read(({ kv }) =>
    kv.range({ key: Buffer.from(range.start), count_only: true }),
  );
  if (BigInt(header.revision) < BigInt(from)) {
    throw new DatastoreError(DatastoreErrorCode.Compacted, {
      message: `revision ${from} is not known to this etcd, which is at ${header.revision}`,
    });
  }
}

function cancellation({ compact_revision, cancel_reason }: IWatchResponse): Error {
  return compact_revision && compact_revision !== "0"
    ? new DatastoreError(DatastoreErrorCode.Compacted, {
        message: `etcd has compacted its history up to ${compact_revision}`,
      })
    : new Error(cancel_reason || "the watch was ended by server");
}

function eventOf({ type, kv, prev_kv }: IEvent): KeyValueEvent {
  const path = kv.key.toString();
  const revision = kv.mod_revision as Revision;
  return type === "Delete"
    ? { type: "delete", path, revision, previous: prev_kv?.value.toString() }
    : {
        type: "put",
        path,
        value: kv.value.toString(),
        revision,
        created: kv.create_revision === kv.mod_revision,
      };
}
