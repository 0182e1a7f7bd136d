/** The thread behind {@link Nflog}: reads packets and sums them up. A program of its own when bundled. */

import { Errno, MessageFlag, receive, SystemCallError } from "./libc.ts";
import { readMessages } from "./netlink/message.ts";
import { readLoggedPacket } from "./nflog/message.ts";
import { type LogBatch, PacketTally } from "./nflog/tally.ts";
import { readSocket } from "./socket-thread-loop.ts";

/** How long a packet waits at most to be told together with others. */
const HAND_OVER_MS = 250;
/** Between two hand-overs: 5 MB at most. */
const MAX_FLOWS = 10_000;

const buffer = new Uint8Array(256 * 1024);
const tally = new PacketTally(MAX_FLOWS);
/** When what is in the tally has to be handed over. */
let due: number | undefined;

readSocket({ read, dueMs: () => (due === undefined ? undefined : Math.max(0, due - performance.now())) });

function read(socketFd: number): LogBatch | undefined {
  // Overflows are no news: the packets' numbers say how many are missing.
  for (;;) {
    const length = receive(socketFd, buffer, MessageFlag.DONTWAIT | MessageFlag.TRUNC);
    if (length === -Errno.EAGAIN) break;
    if (length === -Errno.ENOBUFS || length > buffer.length) continue;
    if (length < 0) throw new SystemCallError("recv", -length);
    const now = Date.now();
    for (const message of readMessages(buffer.subarray(0, length))) {
      const packet = readLoggedPacket(message);
      if (packet !== undefined) tally.add(packet, now);
    }
    due ??= performance.now() + HAND_OVER_MS;
    if (performance.now() >= due) break;
  }
  if (due === undefined || performance.now() < due) return undefined;
  due = undefined;
  return tally.isEmpty ? undefined : tally.take();
}
