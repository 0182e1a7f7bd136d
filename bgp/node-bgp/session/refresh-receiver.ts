/**
 * What a neighbor sends between BoRR and EoRR is all it has (RFC 7313 4): what it had sent before and does not send again goes. An
 * EoRR that does not come is not waited for longer than {@link CAP_MS}.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import type { Family } from "../route.ts";
import type { StaleRoutes } from "./restart-helper.ts";

const CAP_MS = 360_000;

export class RefreshReceiver {
  readonly #clock: Clock;
  readonly #routes: Pick<StaleRoutes, "markStale" | "removeAll">;
  readonly #source: number;
  readonly #open = new Map<Family, TimerHandle>();

  constructor(clock: Clock, routes: Pick<StaleRoutes, "markStale" | "removeAll">, source: number) {
    this.#clock = clock;
    this.#routes = routes;
    this.#source = source;
  }

  /** BoRR; another one begins anew. */
  begin(family: Family): void {
    this.#clock.clearTimeout(this.#open.get(family));
    this.#routes.markStale(this.#source, family);
    this.#open.set(
      family,
      this.#clock.setTimeout(() => this.end(family), CAP_MS),
    );
  }

  /** EoRR; without BoRR it says nothing. */
  end(family: Family): void {
    if (!this.#open.has(family)) return;
    this.#clock.clearTimeout(this.#open.get(family));
    this.#open.delete(family);
    this.#routes.removeAll(this.#source, family, "stale");
  }

  /** The session is over: what becomes of the routes is decided elsewhere. */
  stop(): void {
    for (const timer of this.#open.values()) this.#clock.clearTimeout(timer);
    this.#open.clear();
  }
}
