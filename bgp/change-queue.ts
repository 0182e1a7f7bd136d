/**
 * What has changed and is still to be acted on. One thing after the other, since starting and stopping a speaker takes time; and
 * what fails is tried again, since no event of the datastore would come for it a second time.
 */

import { type Backoff, jitteredBackoff } from "../daemon/backoff.ts";
import type { Clock } from "../daemon/clock.ts";
import type { Logger } from "../daemon/log.ts";
import { merged, NOTHING, type Touched } from "./state.ts";

export interface ChangeQueueOptions {
  readonly act: (touched: Touched) => Promise<void>;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Nothing is tried again any more. */
  readonly signal: AbortSignal;
}

export class ChangeQueue {
  readonly #options: ChangeQueueOptions;
  #pending: Touched = NOTHING;
  #working: Promise<void> = Promise.resolve();
  readonly #backoff: Backoff = jitteredBackoff();
  #retrying = false;

  constructor(options: ChangeQueueOptions) {
    this.#options = options;
  }

  add(touched: Touched): void {
    this.#pending = merged(this.#pending, touched);
    this.#working = this.#working.then(() => this.#workOff());
  }

  /** For the end of what was added until now. */
  get worked(): Promise<void> {
    return this.#working;
  }

  async #workOff(): Promise<void> {
    const touched = this.#pending;
    this.#pending = NOTHING;
    try {
      await this.#options.act(touched);
      this.#backoff.reset();
    } catch (error) {
      this.#options.logger.error({ err: error }, "could not follow a change of the datastore, trying again");
      this.#pending = merged(this.#pending, touched);
      void this.#retry();
    }
  }

  async #retry(): Promise<void> {
    if (this.#retrying) return;
    this.#retrying = true;
    const { clock, signal } = this.#options;
    await clock.sleep(this.#backoff.next(), signal).catch(() => {});
    this.#retrying = false;
    if (!signal.aborted) this.add(NOTHING);
  }
}
