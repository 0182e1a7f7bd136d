/**
 * The BFD thread: waits for packets, the next deadline or a command, whichever comes first, and does what they ask. A program of its own
 * when bundled.
 *
 * It never returns to an event loop: it sits in ppoll(2), which knows nanoseconds, and takes its commands from the message port when an
 * eventfd tells it to. Packets are read before deadlines are looked at, so that a thread that got no processor for a while does not
 * call a neighbor silent whose packets are waiting.
 */

import { randomInt } from "node:crypto";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { libc } from "./libc.ts";
import { setThreadPriority } from "./priority.ts";
import { type Arrival, SessionTable } from "./session-table.ts";
import { BATCH, openReceiver, PacketBatch, type Receiver, UdpSender } from "./sockets.ts";
import { type Command, type Notice, ThreadWord, type WorkerData } from "./worker-protocol.ts";

/** Only a guard against a wake-up that is missed: Node cannot end a thread inside a system call. */
const LONGEST_WAIT_US = 1_000_000;
/** How often to try again for a port that another program has. */
const RETRY_US = 1_000_000;
/** Batches taken from one socket before deadlines are looked at again. */
const BATCHES_PER_TURN = 8;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const POLLIN = 1;

const data = workerData as WorkerData;
const shared = new Uint32Array(data.shared);
const tell = (notice: Notice) => parentPort!.postMessage(notice);
const now = () => performance.now() * 1000;

const { eventfd, ppoll, read, errno } = libc();
const wakeFd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
if (wakeFd < 0) throw new Error(`eventfd: errno ${errno()}`);
shared[ThreadWord.descriptors] = wakeFd + 1;
tell({ tell: "ready", wakeFd, priority: setThreadPriority(data.priority) });

const table = new SessionTable({
  now,
  wallClock: Date.now,
  random: Math.random,
  discriminator: () => randomInt(1, 2 ** 32),
  openSender: (path, words) => new UdpSender(path, words, Math.random),
  tell,
  shared,
});

/** The four sockets that receive, where sessions need them: opened with the first such session. */
const kinds = [false, true].flatMap(multihop => [false, true].map(isIpv6 => ({ multihop, isIpv6 })));
const receivers: Receiver[] = [];
let retryAt = Number.POSITIVE_INFINITY;
let failure: string | undefined;

const batch = new PacketBatch();
const receive = (bytes: Uint8Array, arrival: Arrival) => table.receive(bytes, arrival);
const counter = new Uint8Array(8);
const timeout = new DataView(new ArrayBuffer(16));
const timeoutBytes = new Uint8Array(timeout.buffer);
let polledBytes = new Uint8Array(0);
let polled = new DataView(polledBytes.buffer);
pollAgain();

for (let isOpen = takeCommands(); isOpen; ) {
  const ready = wait(Math.min(table.deadline, retryAt));
  if (ready) for (let i = 0; i < receivers.length; i++) if (isReadable(i + 1)) drain(receivers[i]!);
  table.wake();
  if (now() >= retryAt) openReceivers();
  if (ready && isReadable(0)) isOpen = takeCommands();
}
// Forgotten first, closed then: the number of a closed one may be somebody else's at once. The eventfd is left to the main thread, which may be
// writing to it at this moment.
shared.fill(0, ThreadWord.descriptors + 1, ThreadWord.discards);
for (const { fd } of receivers) libc().close(fd);

function drain(receiver: Receiver): void {
  for (let i = 0; i < BATCHES_PER_TURN; i++) {
    if (batch.receive(receiver, receive) < BATCH) return;
  }
}

/** False: the thread shall end. */
function takeCommands(): boolean {
  read(wakeFd, counter, counter.length);
  for (;;) {
    const received = receiveMessageOnPort(data.port);
    if (received === undefined) return true;
    const command = received.message as Command;
    if (command.do === "close") {
      table.close();
      return false;
    }
    table.do(command);
    if (command.do === "add") openReceivers();
  }
}

function openReceivers(): void {
  const missing = kinds.filter(
    kind =>
      table.wants(kind.multihop, kind.isIpv6) &&
      !receivers.some(({ multihop, isIpv6 }) => multihop === kind.multihop && isIpv6 === kind.isIpv6),
  );
  const failures: string[] = [];
  for (const { multihop, isIpv6 } of missing) {
    try {
      const receiver = openReceiver(multihop, isIpv6);
      receivers.push(receiver);
      shared[ThreadWord.descriptors + receivers.length] = receiver.fd + 1;
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  retryAt = failures.length === 0 ? Number.POSITIVE_INFINITY : now() + RETRY_US;
  const text = failures.length === 0 ? undefined : failures.join("; ");
  if (text !== failure) tell({ tell: "deaf", text });
  failure = text;
  pollAgain();
}

/** struct pollfd { fd, events, revents } of all that is waited for, the eventfd first. */
function pollAgain(): void {
  const fds = [wakeFd, ...receivers.map(({ fd }) => fd)];
  polledBytes = new Uint8Array(fds.length * 8);
  polled = new DataView(polledBytes.buffer);
  for (const [i, fd] of fds.entries()) {
    polled.setInt32(i * 8, fd, true);
    polled.setInt16(i * 8 + 4, POLLIN, true);
  }
}

function isReadable(index: number): boolean {
  return polled.getInt16(index * 8 + 6, true) !== 0;
}

/** Whether anything is readable. */
function wait(until: number): boolean {
  const microseconds = Math.min(Math.max(0, until - now()), LONGEST_WAIT_US);
  timeout.setBigInt64(0, BigInt(Math.floor(microseconds / 1e6)), true);
  timeout.setBigInt64(8, BigInt(Math.round((microseconds % 1e6) * 1000)), true);
  return ppoll(polledBytes, polledBytes.length / 8, timeoutBytes, null) > 0;
}
