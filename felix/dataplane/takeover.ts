/**
 * A packet filter that comes after another kind of packet filter: after its first commit, what the other has left behind
 * is removed. What cannot be removed is tried again; it is stricter than need be, never weaker.
 */

import type { Logger } from "../../daemon/log.ts";
import type { Changes } from "../calc/changes.ts";
import type { PacketFilter, RuleCounter } from "./packet-filter.ts";

export interface Former {
  readonly name: string;
  /** What there was. */
  remove(): Promise<readonly string[]>;
}

export class Takeover implements PacketFilter {
  readonly #filter: PacketFilter;
  readonly #former: Former;
  readonly #logger: Logger;
  #taken = false;

  constructor(filter: PacketFilter, former: Former, logger: Logger) {
    this.#filter = filter;
    this.#former = former;
    this.#logger = logger;
  }

  update(changes: Changes): void {
    this.#filter.update(changes);
  }

  get pending(): boolean {
    return this.#filter.pending || !this.#taken;
  }

  async commit(): Promise<void> {
    if (this.#filter.pending) await this.#filter.commit();
    if (this.#taken) return;
    const { name } = this.#former;
    try {
      const removed = await this.#former.remove();
      this.#taken = true;
      if (removed.length > 0) this.#logger.info({ removed: removed.length }, `removed what ${name} had left`);
    } catch (error) {
      this.#logger.warn({ err: error }, `could not remove what ${name} has left, trying again`);
    }
  }

  resync(what: "rules" | "sets"): Promise<void> {
    return this.#filter.resync(what);
  }

  counters(): Promise<readonly RuleCounter[]> {
    return this.#filter.counters();
  }

  close(): void {
    this.#filter.close?.();
  }
}
