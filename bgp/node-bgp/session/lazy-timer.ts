/**
 * A timer that is pushed back far more often than it fires (hold, keepalive): pushing back costs one assignment, and the clock's
 * timer is only looked at when it fires.
 */

import type { Clock, TimerHandle } from "../clock.ts";

export class LazyTimer {
  readonly #clock: Clock;
  readonly #onExpire: () => void;
  /** Look again one turn later before expiring: data may be waiting in the socket behind a busy event loop. */
  readonly #recheck: boolean;
  #ms = 0;
  #deadline = 0;
  #handle: TimerHandle | undefined;
  #generation = 0;

  constructor(clock: Clock, onExpire: () => void, options: { recheck?: boolean } = {}) {
    this.#clock = clock;
    this.#onExpire = onExpire;
    this.#recheck = options.recheck ?? false;
  }

  get isRunning(): boolean {
    return this.#ms > 0;
  }

  /** Starts or restarts; 0 stops. */
  start(ms: number): void {
    this.stop();
    if (ms <= 0) return;
    this.#ms = ms;
    this.#deadline = this.#clock.now() + ms;
    this.#arm(ms);
  }

  stop(): void {
    this.#ms = 0;
    this.#generation++;
    if (this.#handle !== undefined) this.#clock.clearTimeout(this.#handle);
    this.#handle = undefined;
  }

  /** Pushes the deadline back to the full time from now. */
  touch(): void {
    this.#deadline = this.#clock.now() + this.#ms;
  }

  /** Expires now where the deadline has passed but the event loop has not come to its timers. */
  poll(): void {
    if (this.isRunning && this.#clock.now() >= this.#deadline) this.#onExpire();
  }

  #arm(ms: number): void {
    this.#handle = this.#clock.setTimeout(() => this.#onTimer(), ms);
  }

  #onTimer(): void {
    this.#handle = undefined;
    const left = this.#deadline - this.#clock.now();
    if (left > 0 || !this.#recheck) {
      if (left > 0) this.#arm(left);
      else this.#expire();
      return;
    }
    const generation = this.#generation;
    this.#clock.setImmediate(() => {
      if (generation !== this.#generation) return;
      const leftNow = this.#deadline - this.#clock.now();
      if (leftNow > 0) this.#arm(leftNow);
      else this.#expire();
    });
  }

  /** Goes on by itself when the callback has touched it, as the keepalive's does. */
  #expire(): void {
    const generation = this.#generation;
    this.#onExpire();
    if (generation !== this.#generation) return;
    const left = this.#deadline - this.#clock.now();
    if (left > 0) this.#arm(left);
    else this.stop();
  }
}
