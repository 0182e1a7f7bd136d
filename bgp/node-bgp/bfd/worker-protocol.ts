/**
 * What the main thread and the BFD thread say to each other, and the memory they share.
 *
 * Changes travel as messages. Counters and the state of each session lie in shared memory, one block per session: the main thread reads a
 * status without asking, and after a crash of the thread it finds there what the next one needs to go on with sessions that are Up, and which
 * file descriptors the dead one has left open.
 */

import type { MessagePort } from "node:worker_threads";
import type { SessionState } from "./constants.ts";
import type { SessionConfig } from "./session.ts";
import type { SessionCause } from "./session-fsm.ts";

/** Where a session leads. Never changes. */
export interface SessionPath {
  /** Without a zone. */
  readonly address: string;
  /** Packets are sent from it and taken only to it; undefined: what the kernel chooses. */
  readonly localAddress: string | undefined;
  /** Packets are sent and taken on this interface only. */
  readonly interface: string | undefined;
  readonly multihop: boolean;
  /** Packets with less are dropped: 255 on one hop. */
  readonly minimumTtl: number;
}

/** Packets of one could not be told from packets of the other. */
export function isSamePath(a: SessionPath, b: SessionPath): boolean {
  return (
    a.address === b.address &&
    a.localAddress === b.localAddress &&
    a.interface === b.interface &&
    a.multihop === b.multihop
  );
}

export type Command =
  | {
      readonly do: "add";
      readonly id: number;
      readonly path: SessionPath;
      readonly config: SessionConfig;
      /** Of {@link SESSION_WORDS} words. */
      readonly shared: SharedArrayBuffer;
    }
  | { readonly do: "configure"; readonly id: number; readonly config: SessionConfig }
  /** The neighbor is told AdminDown for a detection time, then the session is gone. */
  | { readonly do: "remove"; readonly id: number }
  /** All neighbors are told AdminDown, once, and the thread ends. */
  | { readonly do: "close" };

/** How the thread is scheduled, as far as it was allowed. */
export type ThreadPriority = "realtime" | "nice" | "normal";

export type Notice =
  /**
   * An eventfd to write to after each command: the thread does not look at its messages while it waits for packets. The main thread closes
   * it when the thread has ended.
   */
  | { readonly tell: "ready"; readonly wakeFd: number; readonly priority: ThreadPriority }
  | {
      readonly tell: "state";
      readonly id: number;
      readonly state: SessionState;
      readonly previous: SessionState;
      readonly cause: SessionCause;
      readonly diagnostic: number;
      readonly remoteDiagnostic: number;
      /** Milliseconds since the epoch. */
      readonly at: number;
    }
  /** What `remove` has asked for is done. */
  | { readonly tell: "removed"; readonly id: number }
  /** A port that sessions need cannot be had, or undefined: all can. */
  | { readonly tell: "deaf"; readonly text: string | undefined }
  /** What keeps the session from sending, or undefined: nothing does any more. */
  | { readonly tell: "trouble"; readonly id: number; readonly text: string | undefined };

export interface WorkerData {
  /** Commands come here. */
  readonly port: MessagePort;
  readonly priority: ThreadPriority;
  /** Of {@link THREAD_WORDS} words. */
  readonly shared: SharedArrayBuffer;
}

/** Unsigned 32 bit words of a session's block. Intervals and times are microseconds. */
export const SessionWord = {
  state: 0,
  diagnostic: 1,
  localDiscriminator: 2,
  remoteDiscriminator: 3,
  remoteState: 4,
  remoteDiagnostic: 5,
  remoteDesiredMinTx: 6,
  remoteMinRx: 7,
  remoteMultiplier: 8,
  /** Bit 0: demand mode; bit 1: control plane independent. */
  remoteFlags: 9,
  /** {@link NEVER}: nothing is sent. */
  interval: 10,
  detectionTime: 11,
  roundTrip: 12,
  smoothedRoundTrip: 13,
  sent: 14,
  received: 15,
  sendErrors: 16,
  /** How often it has come Up. */
  ups: 17,
  /** The longest time between two packets received while Up. */
  longestGap: 18,
  /** The longest time a packet went out after it was due while Up. */
  longestDelay: 19,
  /** Descriptor of its socket, plus 1; 0: none. */
  descriptor: 20,
} as const;

export const SESSION_WORDS = 21;
export const NEVER = 0xffffffff;

/** Packets that were dropped, by reason. */
export const DISCARD_REASONS = [
  "version",
  "length",
  "multiplier",
  "multipoint",
  "my-discriminator",
  "your-discriminator",
  "ttl",
  "no-session",
  "authentication",
] as const;
export type DiscardReason = (typeof DISCARD_REASONS)[number];

/** Unsigned 32 bit words of the thread's block: the descriptors it holds, plus 1, then a counter for each {@link DISCARD_REASONS}. */
export const ThreadWord = { descriptors: 0, discards: 8 } as const;
export const THREAD_DESCRIPTORS = 8;
export const THREAD_WORDS = ThreadWord.discards + DISCARD_REASONS.length;
