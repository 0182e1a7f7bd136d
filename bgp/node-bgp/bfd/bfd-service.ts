/** What a speaker, or a program without one, sees of BFD: sessions, what they report, and how they are. */

import type { SessionStateName } from "./constants.ts";
import type { SessionCause } from "./session-fsm.ts";
import type { BfdSessionOptions, BfdTimerOptions } from "./session-options.ts";
import type { DiscardReason, ThreadPriority } from "./worker-protocol.ts";

/** A session changed state. */
export interface BfdEvent {
  readonly address: string;
  readonly state: SessionStateName;
  readonly previous: SessionStateName;
  readonly cause: SessionCause;
  /** Why each side last left Up, in the words of RFC 5880. */
  readonly diagnostic: string;
  readonly remoteDiagnostic: string;
  /** Milliseconds since the epoch; when it happened, not when it was told. */
  readonly at: number;
}

/** JSON-safe snapshot. All times are milliseconds; those of the kind `at` and `since`, since the epoch. */
export interface BfdSessionStatus {
  readonly address: string;
  readonly localAddress?: string | undefined;
  readonly interface?: string | undefined;
  readonly multihop: boolean;
  readonly state: SessionStateName;
  readonly since: number;
  /** Why it last left Up. */
  readonly diagnostic: string;
  readonly remoteState: SessionStateName;
  readonly remoteDiagnostic: string;
  readonly localDiscriminator: number;
  readonly remoteDiscriminator: number;
  /** Between our packets, before jitter; undefined: the neighbor wants none. */
  readonly transmitInterval?: number | undefined;
  /** After so much silence it is down; 0 before anything has been heard. */
  readonly detectionTime: number;
  readonly remoteTransmitInterval: number;
  readonly remoteReceiveInterval: number;
  readonly remoteMultiplier: number;
  /**
   * From a packet with Poll to its answer with Final: the way there and back, and what both threads took to react. Measured with
   * every Poll Sequence of one packet. Undefined before the first.
   */
  readonly roundTrip?: { readonly last: number; readonly smoothed: number } | undefined;
  readonly sent: number;
  readonly received: number;
  readonly sendErrors: number;
  /** How often it has come Up. */
  readonly ups: number;
  /** The longest time between two packets while Up, and by which a packet of ours was late. */
  readonly longestGap: number;
  readonly longestDelay: number;
  /** What keeps it from sending or receiving. */
  readonly trouble?: string | undefined;
}

export interface BfdStatus {
  /** `failed`: it has died, and will be started again. */
  readonly thread: "starting" | "running" | "failed" | "closed";
  /** As granted; undefined before it runs. */
  readonly priority?: ThreadPriority | undefined;
  /** How often the thread has died, and the last time why. */
  readonly failures: number;
  readonly lastFailure?: string | undefined;
  /** What keeps all sessions from working: another program has the port, or the thread has died. */
  readonly trouble?: string | undefined;
  /** Packets dropped, by reason. */
  readonly discarded: Readonly<Record<DiscardReason, number>>;
}

export interface BfdSession {
  status(): BfdSessionStatus;
  /** Other timers, told to the neighbor by a Poll Sequence; what is not given gets its default. Throws {@link OptionError}. */
  update(options: BfdTimerOptions): void;
  /** The neighbor is told AdminDown, so that it does not take our going for a failure. Nothing is reported afterwards. */
  remove(): void;
}

/** What a speaker needs of BFD; {@link Bfd} in earnest, something simulated in tests. */
export interface BfdService {
  addSession(options: BfdSessionOptions, onEvent: (event: BfdEvent) => void): BfdSession;
  status?(): BfdStatus;
}
