/**
 * How long one turn of the event loop may spend on one kind of work, whoever brings it: keepalives, timers and the other sockets
 * wait for as long as a turn lasts, so none may last long, however much there is to do.
 *
 * Who works in pieces asks {@link TurnBudget.isSpent} between them and leaves the rest to {@link TurnBudget.later}, which is first come,
 * first served. The first question of a turn starts its clock.
 */

import type { Clock } from "./clock.ts";

export class TurnBudget {
  readonly #clock: Clock;
  readonly #ms: number;
  #hasBegun = false;
  #startedAt = 0;
  #tasks: (() => void)[] = [];

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
  }

  /** This turn has worked long enough. */
  get isSpent(): boolean {
    if (!this.#hasBegun) this.#begin();
    const spent = this.#clock.now() - this.#startedAt;
    // A clock set back says nothing of how long it was.
    return spent >= this.#ms || spent < 0;
  }

  /** There is work that a turn had no time for. */
  get hasMore(): boolean {
    return this.#tasks.length > 0;
  }

  /** Runs `task` in a later turn that has time for it. */
  later(task: () => void): void {
    this.#tasks.push(task);
    if (!this.#hasBegun) this.#begin();
  }

  #begin(): void {
    this.#hasBegun = true;
    this.#startedAt = this.#clock.now();
    this.#clock.setImmediate(() => this.#next());
  }

  #next(): void {
    this.#hasBegun = false;
    if (this.#tasks.length === 0) return;
    this.#begin();
    // The first one runs whatever the clock says: something must move.
    const due = this.#tasks;
    this.#tasks = [];
    let done = 0;
    do due[done++]!();
    while (done < due.length && !this.isSpent);
    if (done < due.length) this.#tasks = [...due.slice(done), ...this.#tasks];
  }
}
