/**
 * The helper of RFC 4724 4.2: keeps the routes of a neighbor that is away for a restart, marked stale, until it has sent them again
 * (End-of-RIB), or says it has lost its forwarding state, or its time is over.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import type { RoutingTable } from "../rib/routing-table.ts";
import { FAMILIES, type Family } from "../route.ts";
import type { Negotiated } from "./negotiation.ts";

/** How long sending everything again may take once the session is back. */
const AFTER_RETURN_MS = 60_000;

export class RestartHelper {
  readonly #clock: Clock;
  readonly #table: RoutingTable;
  readonly #source: number;
  #timer: TimerHandle | undefined;

  constructor(clock: Clock, table: RoutingTable, source: number) {
    this.#clock = clock;
    this.#table = table;
    this.#source = source;
  }

  /** Stale routes are kept at the moment. */
  get isKeeping(): boolean {
    return this.#timer !== undefined;
  }

  /** The session is gone; `mayReturn`: the neighbor announced graceful restart, and nothing forbids to keep its routes. */
  onLost({ families, gracefulRestart }: Negotiated, mayReturn: boolean): void {
    for (const family of families) {
      const isKept = mayReturn && (gracefulRestart?.families.has(family) ?? false);
      // Routes stale from an earlier restart have had their chance.
      this.#table.removeAll(this.#source, family, isKept ? "stale" : "all");
      if (isKept) this.#table.markStale(this.#source, family);
    }
    this.#keepFor((gracefulRestart?.restartTime ?? 0) * 1000);
  }

  /** The session is back: what the neighbor says it has lost goes, the rest has until End-of-RIB. */
  onReturn({ gracefulRestart }: Negotiated): void {
    if (!this.isKeeping) return;
    for (const family of FAMILIES) {
      const isPreserved = gracefulRestart?.families.get(family) ?? false;
      if (!isPreserved) this.#table.removeAll(this.#source, family, "stale");
    }
    this.#keepFor(AFTER_RETURN_MS);
  }

  onEndOfRib(family: Family): void {
    this.#table.removeAll(this.#source, family, "stale");
    if (this.#staleCount() === 0) this.#stop();
  }

  drop(): void {
    this.#stop();
    for (const family of FAMILIES) this.#table.removeAll(this.#source, family, "stale");
  }

  #keepFor(ms: number): void {
    this.#stop();
    if (this.#staleCount() > 0) this.#timer = this.#clock.setTimeout(() => this.drop(), ms);
  }

  #stop(): void {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #staleCount(): number {
    return FAMILIES.reduce((sum, family) => sum + this.#table.pathCount(this.#source, family).stale, 0);
  }
}
