/**
 * A packet filter that comes after another kind of packet filter: once its rules are in force, what the other has left behind
 * is removed. Nobody waits for that: it takes many programs, and until they are through the host is stricter than need be,
 * never weaker. Only `close` waits, because whoever comes next may be the other kind and write what is being removed.
 */

import { jitteredBackoff } from "../../daemon/backoff.ts";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { Changes } from "../calc/changes.ts";
import type { PacketFilter, RuleCounter } from "./packet-filter.ts";

export interface Former {
  readonly name: string;
  /** What there was. */
  remove(): Promise<readonly string[]>;
}

export interface TakeoverOptions {
  readonly filter: PacketFilter;
  readonly former: Former;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class Takeover implements PacketFilter {
  readonly #options: TakeoverOptions;
  readonly #filter: PacketFilter;
  readonly #closing = new AbortController();
  /** From the first commit that went through, until everything is gone. */
  #removal: Promise<void> | undefined;

  constructor(options: TakeoverOptions) {
    this.#options = options;
    this.#filter = options.filter;
  }

  update(changes: Changes): void {
    this.#filter.update(changes);
  }

  get pending(): boolean {
    return this.#filter.pending || this.#removal === undefined;
  }

  async commit(): Promise<void> {
    if (this.#filter.pending) await this.#filter.commit();
    this.#removal ??= this.#remove();
  }

  async #remove(): Promise<void> {
    const { former, logger, clock } = this.#options;
    const { signal } = this.#closing;
    const backoff = jitteredBackoff({ firstMs: 1000, maxMs: 60_000 });
    while (!signal.aborted) {
      try {
        const removed = await former.remove();
        if (removed.length > 0)
          logger.info({ removed: removed.length }, `removed what ${former.name} had left`);
        return;
      } catch (error) {
        logger.warn({ err: error }, `could not remove what ${former.name} has left, trying again`);
      }
      await clock.sleep(backoff.next(), signal).catch(() => {});
    }
  }

  resync(what: "rules" | "sets"): Promise<void> {
    return this.#filter.resync(what);
  }

  counters(): Promise<readonly RuleCounter[]> {
    return this.#filter.counters();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#removal;
    await this.#filter.close?.();
  }
}
