/** Time that passes when told; between two timers everything that can run, runs. */

import type { Clock } from "../../../../daemon/clock.ts";

export class SimClock implements Clock {
  #now = 1_000_000;
  readonly #timers = new Set<{ readonly at: number; readonly wake: () => void }>();

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const timer = { at: this.#now + ms, wake: resolve };
      this.#timers.add(timer);
      signal?.addEventListener("abort", () => {
        if (this.#timers.delete(timer)) reject(signal.reason);
      });
    });
  }

  /** How many wait; a leak would show here. */
  get sleepers(): number {
    return this.#timers.size;
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.wake();
      await this.settle();
    }
    this.#now = end;
  }

  /** Until nothing happens any more without time passing. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await new Promise<void>(resolve => setImmediate(resolve));
  }
}
