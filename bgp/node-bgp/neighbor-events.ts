/** Events of neighbors for a reader that pulls. One that is far behind loses what came between: the last event of each neighbor stays. */

import type { Clock } from "./clock.ts";
import type { NeighborEvent } from "./neighbor.ts";
import { PullQueue } from "./pull-queue.ts";

export interface NeighborEventsOptions {
  /** Ends the iteration with the signal's reason, an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
}

/** So many events wait at most, or one for each neighbor where there are more neighbors. */
const MAX_WAITING = 1_000;

export class NeighborEvents {
  readonly queue: PullQueue<NeighborEvent>;
  #waiting: NeighborEvent[] = [];
  /** After thinning out it may take this many more before it is worth doing again. */
  #limit = MAX_WAITING;

  constructor(clock: Clock, options: NeighborEventsOptions) {
    const take = () => this.#waiting.shift();
    this.queue = new PullQueue({ clock, take, signal: options.signal });
  }

  get size(): number {
    return this.#waiting.length;
  }

  add(event: NeighborEvent): void {
    this.#waiting.push(event);
    if (this.#waiting.length > this.#limit) this.#thinOut();
    this.queue.wake();
  }

  #thinOut(): void {
    const last = new Map<string, NeighborEvent>();
    for (const event of this.#waiting) {
      last.delete(event.address);
      last.set(event.address, event);
    }
    this.#waiting = [...last.values()];
    this.#limit = Math.max(MAX_WAITING, 2 * this.#waiting.length);
  }
}
