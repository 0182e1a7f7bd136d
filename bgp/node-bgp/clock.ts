/**
 * Time and turns of the event loop as a dependency, so that whole sessions run under simulated time in milliseconds.
 * Timers keep the process alive no longer than its sockets do: they are unreferenced.
 */

export type TimerHandle = unknown;

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  setTimeout(callback: () => void, ms: number): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
  /** Runs after the I/O of this turn of the event loop. */
  setImmediate(callback: () => void): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms).unref(),
  clearTimeout: handle => clearTimeout(handle as NodeJS.Timeout),
  setImmediate: callback => void setImmediate(callback),
};
