/** The thread behind {@link EventSubscription}: reads and decodes. A program of its own when bundled. */

import { Errno, MessageFlag, receive, SystemCallError } from "./libc.ts";
import { type KernelEvent, readEvent } from "./netlink/event.ts";
import { readMessages } from "./netlink/message.ts";
import { readSocket } from "./socket-thread-loop.ts";

/** Enough to make posting cheap per event, little enough to keep the first one fresh. */
const EVENTS_PER_BATCH = 500;
const buffer = new Uint8Array(256 * 1024);

readSocket({ read: readBatch });

/** What is there, up to a limit; after an overflow all of it, thrown away, because the state is read anew anyway. */
function readBatch(socketFd: number): KernelEvent[] | undefined {
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
  return events.length === 0 ? undefined : events;
}
