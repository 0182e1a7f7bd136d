/**
 * Trying again after a lost compare-and-swap. Waits are short (one write of the winner) and random, growing with
 * the attempts, so that many hosts at one block thin out instead of marching in step.
 */

import type { Clock } from "../daemon/clock.ts";
import { IpamError, IpamErrorCode } from "./errors.ts";

export const MAX_ATTEMPTS = 100;

const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 100;

export interface Retry {
  readonly clock: Clock;
  readonly random: () => number;
}

/** What an attempt returns that lost. */
export const LOST: unique symbol = Symbol("lost");

/** @throws IpamError TOO_MANY_CONFLICTS */
export async function untilWon<T>(
  what: string,
  { clock, random }: Retry,
  attempt: () => Promise<T | typeof LOST>,
): Promise<T> {
  for (let attempts = 1; attempts <= MAX_ATTEMPTS; attempts++) {
    const result = await attempt();
    if (result !== LOST) return result;
    const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempts - 1, 10));
    // The first loser goes again at once: mostly it lost to a single writer.
    if (attempts > 1) await clock.sleep(random() * ceiling);
  }
  throw new IpamError(IpamErrorCode.TooManyConflicts, `${what}: lost ${MAX_ATTEMPTS} races in a row`, {
    what,
  });
}
