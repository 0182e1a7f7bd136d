/**
 * What is remembered of a neighbor for people: the state it is in and since when, the last error, and a short history. Attempts that fail
 * one after the other for the same reason are one entry with a count, so that a neighbor that is away for a night does not push out why it went.
 */

import type { Clock } from "../clock.ts";
import { reasonOf, shutdownText } from "../message/notification.ts";
import type {
  NeighborError,
  NeighborErrorReason,
  NeighborEvent,
  NeighborState,
  NeighborTransition,
} from "../neighbor.ts";
import type { ConnectionEnd } from "./connection-fsm.ts";

const REASONS: Record<ConnectionEnd["reason"], NeighborErrorReason> = {
  "connect-failed": "connect-failed",
  lost: "connection-lost",
  "notification-sent": "notification-sent",
  "notification-received": "notification-received",
  "send-hold-expired": "send-hold-expired",
  collision: "collision",
  stopped: "notification-sent",
};

const HISTORY = 20;

export class NeighborLog {
  readonly #clock: Clock;
  readonly #address: string;
  #state: NeighborState = "Idle";
  #since: number;
  #established = 0;
  #lastUp: number | undefined;
  #lastDown: number | undefined;
  #lastError: NeighborError | undefined;
  #lastSessionError: NeighborError | undefined;
  /** Why the attempt or session that is over is over; for the transition that follows. */
  #ended: string | undefined;
  readonly #history: NeighborTransition[] = [];

  constructor(clock: Clock, address: string) {
    this.#clock = clock;
    this.#address = address;
    this.#since = clock.now();
  }

  get state(): NeighborState {
    return this.#state;
  }

  get since(): number {
    return this.#since;
  }

  /** How often it has been Established. */
  get established(): number {
    return this.#established;
  }

  /** How often it has been Established and no longer was. */
  get flaps(): number {
    return this.#state === "Established" ? this.#established - 1 : this.#established;
  }

  /** When it last became Established, ms. */
  get lastUp(): number | undefined {
    return this.#lastUp;
  }

  get lastDown(): number | undefined {
    return this.#lastDown;
  }

  get lastError(): NeighborError | undefined {
    return this.#lastError;
  }

  /** Oldest first. */
  get history(): readonly NeighborTransition[] {
    return [...this.#history];
  }

  /** That of the last session that was Established. */
  get lastSessionError(): NeighborError | undefined {
    return this.#lastSessionError;
  }

  noteEnd(end: ConnectionEnd, wasEstablished: boolean): void {
    this.#ended = end.text;
    if (end.reason === "stopped" && end.notification === undefined) return;
    const reason = end.notification && reasonOf(end.notification);
    const { code, subcode } = reason ?? {};
    const communication = reason && shutdownText(reason);
    this.#lastError = {
      reason: REASONS[end.reason],
      at: this.#clock.now(),
      text: end.text,
      ...(code === undefined ? {} : { code }),
      ...(subcode === undefined ? {} : { subcode }),
      ...(communication === undefined ? {} : { communication }),
    };
    if (wasEstablished) this.#lastSessionError = this.#lastError;
  }

  /** Undefined where it is in that state already. */
  enter(state: NeighborState): NeighborEvent | undefined {
    if (state === this.#state) return undefined;
    const previous = this.#state;
    const at = this.#clock.now();
    this.#state = state;
    this.#since = at;
    if (state === "Established") {
      this.#established++;
      this.#lastUp = at;
    }
    if (previous === "Established") this.#lastDown = at;
    const isEnd = state === "Idle" || state === "Active" || previous === "Established";
    if (state === "Established" || isEnd) this.#remember(previous, state, at);
    const error = state === "Established" ? undefined : this.#lastError;
    return { address: this.#address, state, previous, since: at, error };
  }

  #remember(from: NeighborState, to: NeighborState, at: number): void {
    const reason = to === "Established" ? undefined : this.#ended;
    this.#ended = undefined;
    // Idle to Active and back, with nothing that ended in between, is only waiting.
    if (to !== "Established" && reason === undefined) return;
    const last = this.#history.at(-1);
    if (last?.to === to && last.from === from && last.reason === reason) {
      this.#history[this.#history.length - 1] = { ...last, last: at, times: last.times + 1 };
      return;
    }
    this.#history.push({ from, to, at, last: at, times: 1, ...(reason === undefined ? {} : { reason }) });
    if (this.#history.length > HISTORY) this.#history.shift();
  }
}
