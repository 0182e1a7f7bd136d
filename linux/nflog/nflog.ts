/**
 * Packets that rules send to NFLOG groups. A worker thread reads and sums them up, so that a flood of them neither
 * blocks the main thread nor fills its memory: it gets one batch every quarter of a second at most.
 *
 * A group has one listener in each namespace: where another program is bound to it already, opening fails.
 */

import { closeSync } from "node:fs";
import { NetlinkError } from "../errors.ts";
import { MessageFlag, receive, send } from "../libc.ts";
import type { NamespaceRef } from "../namespace.ts";
import { ControlType, Flag, MessageWriter, readAcknowledgement, readMessages } from "../netlink/message.ts";
import { openNetlinkSocket, Protocol } from "../netlink/socket.ts";
import { SocketThread } from "../socket-thread.ts";
import { writeBind } from "./message.ts";
import type { LogBatch } from "./tally.ts";

export type { LogBatch, LoggedFlow } from "./tally.ts";

export interface NflogOptions {
  /** Default: the calling thread's. */
  readonly namespace?: NamespaceRef | undefined;
  readonly groups: readonly number[];
  readonly onBatch: (batch: LogBatch) => void;
  /** The worker died: nothing comes any more. */
  readonly onFailure: (error: Error) => void;
}

/** Enough for IPv6 with some extension headers and the ports behind them. */
const COPY_BYTES = 120;
const THRESHOLD = 100;
const TIMEOUT_CENTISECONDS = 10;
const GROUP_BUFFER_BYTES = 128 * 1024;
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

export class Nflog {
  readonly #thread: SocketThread<LogBatch>;

  private constructor(thread: SocketThread<LogBatch>) {
    this.#thread = thread;
  }

  /** Bound when it returns. @throws NetlinkError EPERM where somebody else has the group */
  static open({ namespace, groups, onBatch, onFailure }: NflogOptions): Nflog {
    const socketFd = openNetlinkSocket({
      protocol: Protocol.NETFILTER,
      namespace,
      receiveBufferBytes: RECEIVE_BUFFER_BYTES,
    });
    try {
      for (const group of groups) bindGroup(socketFd, group);
    } catch (error) {
      closeSync(socketFd);
      throw error;
    }
    return new Nflog(new SocketThread({ socketFd, program: "nflog-worker", onBatch, onFailure }));
  }

  /** Nothing is delivered after the call; the promise is for the end of the worker. */
  close(): Promise<void> {
    return this.#thread.close();
  }

  /** {@link close} for those who cannot wait. */
  stop(): void {
    this.#thread.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function bindGroup(socketFd: number, group: number): void {
  const writer = new MessageWriter();
  writeBind(writer, {
    group,
    copyBytes: COPY_BYTES,
    threshold: THRESHOLD,
    timeoutCentiseconds: TIMEOUT_CENTISECONDS,
    bufferBytes: GROUP_BUFFER_BYTES,
  });
  writer.addFlags(Flag.ACK);
  send(socketFd, writer.bytes);
  const operation = `listen to NFLOG group ${group}`;
  const buffer = new Uint8Array(64 * 1024);
  // Packets of a group that is bound already may come between; they are the first of what nobody waits for yet.
  for (;;) {
    const length = receive(socketFd, buffer, MessageFlag.DONTWAIT);
    if (length < 0) throw new NetlinkError(-length, operation, "the kernel did not answer");
    for (const message of readMessages(buffer.subarray(0, length))) {
      if (message.type !== ControlType.ERROR) continue;
      const { errno } = readAcknowledgement(message);
      if (errno !== 0) throw new NetlinkError(errno, operation);
      return;
    }
  }
}
