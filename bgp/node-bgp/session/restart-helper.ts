/**
 * The helper of RFC 4724 4.2, 8538 4.1 and 9494 4.2: keeps the routes of a neighbor that is away, marked stale, until it has sent them
 * again (End-of-RIB), or says it has lost its forwarding state, or its time is over. Family by family:
 *
 *   session lost --restart time--> long-lived stale time --> removed
 *        \------- session back -------/--> End-of-RIB: what is still stale is removed
 *
 * Restart again before End-of-RIB: by RFC 4724 the routes that were stale already are removed. With both N bits, or in the long-lived part,
 * they stay, but their time goes on: it starts anew only when the neighbor has synchronized.
 */

import type { Clock, TimerHandle } from "../clock.ts";
import type { Family } from "../route.ts";
import type { StaleTimes } from "../speaker-options.ts";
import type { Negotiated } from "./negotiation.ts";

/** What the routing table does for it. */
export interface StaleRoutes {
  markStale(source: number, family: Family): void;
  /** Stale routes become the last choice, those that do not want it (NO_LLGR) go. */
  markLongLived(source: number, family: Family): void;
  removeAll(source: number, family: Family, which: "all" | "stale"): void;
}

interface Kept {
  /** It was in the graceful restart capability, not in the long-lived one alone. */
  readonly inRestart: boolean;
  /** When the restart and what follows it are to be over, however often the session comes and goes. */
  readonly until: number;
  /** Milliseconds; 0: none. */
  readonly longLivedMs: number;
  stage: "restart" | "long-lived";
  /** Ends the restart time, or the wait for End-of-RIB. */
  timer: TimerHandle | undefined;
  longLivedTimer: TimerHandle | undefined;
  /** The long-lived time was over while the neighbor was sending again. */
  isOver: boolean;
}

export class RestartHelper {
  readonly #clock: Clock;
  readonly #routes: StaleRoutes;
  readonly #source: number;
  readonly #resyncMs: number;
  readonly #kept = new Map<Family, Kept>();
  #isAway = false;

  /** `resyncMs`: how long sending everything again may take once the session is back, beyond the restart time. */
  constructor(clock: Clock, routes: StaleRoutes, source: number, resyncMs: number) {
    this.#clock = clock;
    this.#resyncMs = resyncMs;
    this.#routes = routes;
    this.#source = source;
  }

  /** Stale routes are kept at the moment. */
  get isKeeping(): boolean {
    return this.#kept.size > 0;
  }

  /**
   * The session is gone. `mayReturn`: the neighbor announced graceful restart, and nothing forbids to keep its routes. `longLivedLimit`: seconds
   * we are ready to keep them beyond the restart time, by family.
   */
  onLost(negotiated: Negotiated, mayReturn: boolean, longLivedLimit: StaleTimes): void {
    this.#isAway = true;
    const { gracefulRestart, longLived } = negotiated;
    for (const family of negotiated.families) {
      const inRestart = mayReturn && (gracefulRestart?.families.has(family) ?? false);
      const restartMs = inRestart ? gracefulRestart!.restartTime * 1000 : 0;
      const staleTime = mayReturn ? (longLived?.get(family)?.staleTime ?? 0) : 0;
      const longLivedMs = Math.min(staleTime, longLivedLimit[family] ?? 0) * 1000;
      const earlier = this.#kept.get(family);
      if (restartMs === 0 && longLivedMs === 0) {
        this.#forget(family);
        this.#routes.removeAll(this.#source, family, "all");
        continue;
      }
      if (earlier !== undefined && !this.#goesOn(earlier, gracefulRestart?.notification ?? false)) {
        this.#forget(family);
        this.#routes.removeAll(this.#source, family, "stale");
      }
      this.#keep(family, { inRestart, restartMs, longLivedMs });
    }
  }

  /** The session is back: what the neighbor says it has lost goes, the rest has until End-of-RIB. */
  onReturn({ gracefulRestart, longLived }: Negotiated): void {
    this.#isAway = false;
    for (const [family, kept] of this.#kept) {
      const isPreserved =
        gracefulRestart !== undefined &&
        (!kept.inRestart || gracefulRestart.families.get(family) === true) &&
        (kept.stage === "restart" || longLived?.get(family)?.forwardingPreserved === true);
      if (!isPreserved) {
        this.#sweep(family);
        continue;
      }
      this.#clock.clearTimeout(kept.timer);
      const left = Math.max(0, kept.until - this.#clock.now());
      const ms = kept.stage === "long-lived" ? this.#resyncMs : left;
      kept.timer = this.#clock.setTimeout(() => this.#sweep(family), ms);
    }
  }

  onEndOfRib(family: Family): void {
    if (this.#kept.has(family)) this.#sweep(family);
  }

  drop(): void {
    for (const family of [...this.#kept.keys()]) this.#sweep(family);
  }

  /** A second restart before End-of-RIB: the routes that were stale already are kept on. */
  #goesOn(earlier: Kept, notification: boolean): boolean {
    return earlier.stage === "long-lived" ? !earlier.isOver : notification;
  }

  #keep(family: Family, terms: { inRestart: boolean; restartMs: number; longLivedMs: number }): void {
    const { inRestart, restartMs, longLivedMs } = terms;
    const earlier = this.#kept.get(family);
    this.#clock.clearTimeout(earlier?.timer);
    const kept: Kept = {
      inRestart,
      until: earlier?.until ?? this.#clock.now() + restartMs + this.#resyncMs,
      longLivedMs,
      stage: earlier?.stage ?? "restart",
      timer: undefined,
      // Not started again before the neighbor has synchronized (RFC 9494 4.2).
      longLivedTimer: earlier?.longLivedTimer,
      isOver: false,
    };
    this.#kept.set(family, kept);
    this.#routes.markStale(this.#source, family);
    if (restartMs === 0) this.#onRestartTime(family);
    else {
      const left = Math.max(0, kept.until - this.#clock.now());
      const ms = kept.stage === "restart" ? Math.min(restartMs, left) : restartMs;
      kept.timer = this.#clock.setTimeout(() => this.#onRestartTime(family), ms);
    }
  }

  /** The neighbor is not back in time: its routes are the last resort from now on, or nothing. */
  #onRestartTime(family: Family): void {
    const kept = this.#kept.get(family)!;
    kept.timer = undefined;
    if (kept.longLivedMs === 0) {
      this.#sweep(family);
      return;
    }
    kept.stage = "long-lived";
    this.#routes.markLongLived(this.#source, family);
    kept.longLivedTimer ??= this.#clock.setTimeout(() => this.#onLongLivedTime(family), kept.longLivedMs);
  }

  #onLongLivedTime(family: Family): void {
    // Looked up anew: a restart in between has replaced the entry and kept the timer.
    if (this.#isAway) this.#sweep(family);
    else this.#kept.get(family)!.isOver = true;
  }

  #sweep(family: Family): void {
    this.#forget(family);
    this.#routes.removeAll(this.#source, family, "stale");
  }

  #forget(family: Family): void {
    const kept = this.#kept.get(family);
    this.#clock.clearTimeout(kept?.timer);
    this.#clock.clearTimeout(kept?.longLivedTimer);
    this.#kept.delete(family);
  }
}
