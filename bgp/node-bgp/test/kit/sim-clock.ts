/** Simulated time: timers fire in order when the test advances it, immediates before the next timer. */

import type { Clock, TimerHandle } from "../../clock.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class SimClock implements Clock {
  #now = 1_000_000;
  #order = 0;
  readonly #timers = new Set<Timer>();
  #immediates: (() => void)[] = [];
  /** Milliseconds that pass each time somebody looks: a machine on which everything takes long. */
  msPerLook = 0;

  now(): number {
    this.#now += this.msPerLook;
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): TimerHandle {
    const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(handle: TimerHandle): void {
    this.#timers.delete(handle as Timer);
  }

  setImmediate(callback: () => void): void {
    this.#immediates.push(callback);
  }

  /** Runs what is due now, until nothing is. */
  settle(): void {
    for (let turn = 0; this.#immediates.length > 0; turn++) {
      if (turn > 100_000) throw new Error("the event loop never comes to rest");
      const due = this.#immediates;
      this.#immediates = [];
      for (const callback of due) callback();
    }
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    this.settle();
    for (let next = this.#first(); next !== undefined && next.at <= end; next = this.#first()) {
      this.#now = Math.max(this.#now, next.at);
      this.#timers.delete(next);
      next.callback();
      this.settle();
    }
    this.#now = Math.max(this.#now, end);
  }

  #first(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        first === undefined ||
        timer.at < first.at ||
        (timer.at === first.at && timer.order < first.order)
      ) {
        first = timer;
      }
    }
    return first;
  }
}
