/**
 * How long a restarted speaker waits before it selects routes (RFC 4724 4.1), without letting the dead hold up the living.
 *
 * It waits for the End-of-RIB of neighbors that are Established and speak graceful restart, without the R bit themselves unless they are
 * our reflector clients, and only for the families they listed.
 * A neighbor without session counts for the first seconds only (`establishWait`); nobody counts after `deferralTime`.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import type { Family } from "../route.ts";

type Pending = "session" | Set<Family>;

export class SelectionDeferral {
  readonly #clock: Clock;
  readonly #onDone: () => void;
  readonly #pending = new Map<string, Pending>();
  readonly #timers: TimerHandle[] = [];
  #hadNeighbor = false;
  #sessionsCount = true;
  #isOver = false;

  /** Times in seconds. `onDone` is called once. */
  constructor(options: { clock: Clock; establishWait: number; deferralTime: number; onDone: () => void }) {
    const { clock, establishWait, deferralTime, onDone } = options;
    this.#clock = clock;
    this.#onDone = onDone;
    this.#timers.push(
      clock.setTimeout(() => this.#stopWaitingForSessions(), Math.min(establishWait, deferralTime) * 1000),
      clock.setTimeout(() => this.#finish(), deferralTime * 1000),
    );
  }

  neighborAdded(address: string): void {
    this.#hadNeighbor = true;
    if (this.#sessionsCount) this.#pending.set(address, "session");
  }

  /** `families`: those whose End-of-RIB is to be waited for. */
  established(address: string, families: Iterable<Family>): void {
    this.#pending.set(address, new Set(families));
    this.#check(address);
  }

  endOfRib(address: string, family: Family): void {
    const pending = this.#pending.get(address);
    if (pending instanceof Set) pending.delete(family);
    this.#check(address);
  }

  lost(address: string): void {
    if (this.#sessionsCount && this.#pending.has(address)) this.#pending.set(address, "session");
    else this.removed(address);
  }

  removed(address: string): void {
    this.#pending.delete(address);
    this.#finishIfNobody();
  }

  stop(): void {
    this.#isOver = true;
    for (const timer of this.#timers) this.#clock.clearTimeout(timer);
  }

  #check(address: string): void {
    const pending = this.#pending.get(address);
    if (pending instanceof Set && pending.size === 0) this.removed(address);
  }

  #stopWaitingForSessions(): void {
    this.#sessionsCount = false;
    // A speaker nobody has given a neighbor yet has nothing to wait for either.
    this.#hadNeighbor = true;
    for (const [address, pending] of this.#pending) if (pending === "session") this.#pending.delete(address);
    this.#finishIfNobody();
  }

  #finishIfNobody(): void {
    if (this.#hadNeighbor && this.#pending.size === 0) this.#finish();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.stop();
    this.#onDone();
  }
}
