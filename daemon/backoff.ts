/**
 * Waiting times between attempts: exponential, capped, with full jitter, so that a thousand agents that lost
 * one datastore do not come back in the same instant.
 */

export interface Backoff {
  /** Milliseconds to wait before the next attempt. */
  next(): number;
  /** To be called when an attempt succeeded. */
  reset(): void;
}

export function jitteredBackoff(
  options: { firstMs?: number; maxMs?: number; random?: () => number } = {},
): Backoff {
  const { firstMs = 100, maxMs = 10_000, random = Math.random } = options;
  let ceiling = firstMs;
  return {
    next() {
      const wait = ceiling / 2 + random() * (ceiling / 2);
      ceiling = Math.min(maxMs, ceiling * 2);
      return wait;
    },
    reset() {
      ceiling = firstMs;
    },
  };
}
