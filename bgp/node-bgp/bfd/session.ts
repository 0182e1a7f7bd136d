/** One BFD session as a value (RFC 5880 6.8.1). All times and intervals are microseconds, as on the wire. */

import type { SessionState } from "./constants.ts";

export interface SessionConfig {
  readonly minTx: number;
  readonly minRx: number;
  readonly multiplier: number;
  readonly adminDown: boolean;
  /** While Up, a Poll Sequence so often, for the round trip it takes; 0: none. */
  readonly pollInterval: number;
}

/** What the neighbor last said (bfd.Remote...). */
export interface Remote {
  readonly discriminator: number;
  readonly state: SessionState;
  readonly diagnostic: number;
  readonly desiredMinTx: number;
  readonly minRx: number;
  readonly multiplier: number;
  readonly demand: boolean;
  readonly controlPlaneIndependent: boolean;
}

export interface Session {
  readonly config: SessionConfig;
  readonly state: SessionState;
  readonly diagnostic: number;
  readonly localDiscriminator: number;
  readonly remote: Remote;
  /** As announced. */
  readonly desiredMinTx: number;
  readonly requiredMinRx: number;
  /** As in effect: differs from the announced one until a Poll Sequence has ended. */
  readonly usedMinTx: number;
  readonly usedMinRx: number;
  /** `again`: the timers have changed during a Poll Sequence, so another one follows. */
  readonly poll: "idle" | "active" | "again";
  /** Packets sent with Poll in this Poll Sequence, and when the last one was. */
  readonly pollsSent: number;
  readonly polledAt: number;
  /** When the next Poll Sequence for the round trip is due. */
  readonly measureAt: number;
  /** Between our packets before jitter; Infinity: none are sent. */
  readonly interval: number;
  readonly sentAt: number;
  readonly transmitAt: number;
  readonly detectAt: number;
  /** What the last Poll Sequence of one packet took, and the mean over about eight; 0: none yet. */
  readonly roundTrip: number;
  readonly smoothedRoundTrip: number;
}

export interface SessionInput {
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
}
