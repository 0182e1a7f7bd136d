/**
 * An async iterator over things that happen: the reader pulls at its own pace, and what it does not pull is kept by whoever made the queue, in
 * bounded form. A reader that is always behind would never let the event loop turn (promises come before I/O), so now and then it has
 * to wait for the next turn.
 */

import type { Clock } from "./clock.ts";

const ITEMS_PER_TURN = 500;

export interface PullQueueOptions<T> {
  readonly clock: Clock;
  /** The next item, if there is one. */
  readonly take: () => T | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class PullQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #options: PullQueueOptions<T>;
  readonly #abort = () => this.close();
  #isClosed = false;
  readonly #closed: (() => void)[] = [];
  readonly #waiting: (() => void)[] = [];
  #sinceTurn = 0;

  /** Throws the signal's reason where it is aborted already. */
  constructor(options: PullQueueOptions<T>) {
    this.#options = options;
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** There may be something to take. */
  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** The reader gets to its end: at once, or by the reason of the signal. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.signal?.removeEventListener("abort", this.#abort);
    for (const callback of this.#closed.splice(0)) callback();
    this.wake();
  }

  whenClosed(callback: () => void): void {
    this.#closed.push(callback);
  }

  /** Throws the signal's reason once it is aborted, as iterators of Node do. */
  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      if (this.#isClosed) {
        this.#options.signal?.throwIfAborted();
        return { done: true, value: undefined };
      }
      if (this.#sinceTurn >= ITEMS_PER_TURN) await this.#nextTurn();
      else {
        const value = this.#options.take();
        if (value !== undefined) {
          this.#sinceTurn++;
          return { done: false, value };
        }
        await this.#somethingToTake();
      }
    }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #nextTurn(): Promise<void> {
    await new Promise<void>(resolve => this.#options.clock.setImmediate(resolve));
    this.#sinceTurn = 0;
  }

  #somethingToTake(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}
