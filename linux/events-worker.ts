/** The thread behind {@link EventSubscription}: waits, reads, decodes, posts. A program of its own when bundled. */

import { parentPort, workerData } from "node:worker_threads";
import type { WorkerData } from "./events.ts";
import { Errno, MessageFlag, pollReadable, receive, SystemCallError } from "./libc.ts";
import { type KernelEvent, readEvent } from "./netlink/event.ts";
import { readMessages } from "./netlink/message.ts";

/** As in events.ts, whose code this thread has no other use for. */
const STOP = 0;
const PENDING = 1;

/** Enough to make posting cheap per event, little enough to keep the first one fresh. */
const EVENTS_PER_BATCH = 500;
/** What the main thread may be behind before this thread leaves the rest in the kernel's bounded buffer. */
const PENDING_LIMIT = 64;
/** Only a guard: a wake-up always comes. But Node cannot end a thread that is inside a system call. */
const GUARD_MS = 2_000;

const { socketFd, wakeFd, control: shared } = workerData as WorkerData;
const control = new Int32Array(shared);
const buffer = new Uint8Array(256 * 1024);

while (Atomics.load(control, STOP) === 0) {
  const pending = Atomics.load(control, PENDING);
  if (pending >= PENDING_LIMIT) {
    Atomics.wait(control, PENDING, pending, GUARD_MS);
    continue;
  }
  const [readable] = pollReadable([socketFd, wakeFd], GUARD_MS);
  if (!readable) continue;
  const events = readBatch();
  if (events.length === 0) continue;
  Atomics.add(control, PENDING, 1);
  parentPort!.postMessage(events);
}

/** What is there, up to a limit; after an overflow all of it, thrown away, because the state is read anew anyway. */
function readBatch(): KernelEvent[] {
  let events: KernelEvent[] = [];
  let overflow = false;
  while (overflow || events.length < EVENTS_PER_BATCH) {
    const length = receive(socketFd, buffer, MessageFlag.DONTWAIT | MessageFlag.TRUNC);
    if (length === -Errno.EAGAIN) break;
    if (length === -Errno.ENOBUFS || length > buffer.length) {
      overflow = true;
      events = [];
    } else if (length < 0) {
      throw new SystemCallError("recv", -length);
    } else if (!overflow) {
      for (const message of readMessages(buffer.subarray(0, length))) {
        const event = readEvent(message);
        if (event !== undefined) events.push(event);
      }
    }
  }
  if (overflow) events.push({ type: "overflow" });
  return events;
}
