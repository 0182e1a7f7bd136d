/**
 * Changes of best routes for a reader that pulls. What waits is the prefix alone; its best route is looked up when it is the reader's
 * turn, so a slow reader gets the latest state of each prefix once, and what waits for it is never more than the prefixes there are.
 */

import type { Clock } from "./clock.ts";
import { PullQueue } from "./pull-queue.ts";
import type { Family, Route, RouteChange } from "./route.ts";

export interface RouteChangesOptions {
  /** Only this one; default: all. */
  readonly family?: Family | undefined;
  /** Every best route there is comes first; default false: only what changes from now on. */
  readonly snapshot?: boolean | undefined;
  /** Ends the iteration with the signal's reason, an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
}

/** The part of the routing table that is needed here. */
export interface BestRoutes {
  routes(family?: Family): Iterator<Route>;
  best(prefix: string): Route | undefined;
}

interface Pending {
  readonly family: Family;
  /** The reader has never been told of it. */
  readonly isNew: boolean;
}

export class RouteChanges {
  readonly queue: PullQueue<RouteChange>;
  readonly #table: BestRoutes;
  readonly #family: Family | undefined;
  readonly #pending = new Map<string, Pending>();
  #snapshot: Iterator<Route> | undefined;

  constructor(table: BestRoutes, clock: Clock, options: RouteChangesOptions) {
    this.#table = table;
    this.#family = options.family;
    if (options.snapshot) this.#snapshot = table.routes(options.family);
    this.queue = new PullQueue({ clock, take: () => this.#take(), signal: options.signal });
  }

  /** How many prefixes wait for the reader. */
  get size(): number {
    return this.#pending.size;
  }

  add(changes: readonly RouteChange[]): void {
    for (const { prefix, family, kind } of changes) {
      if (this.#family !== undefined && family !== this.#family) continue;
      const isNew = this.#pending.get(prefix)?.isNew ?? kind === "added";
      // What the reader has never seen need not be remembered when it is gone: else prefixes that come and go would fill the memory.
      if (isNew && kind === "removed") this.#pending.delete(prefix);
      else this.#pending.set(prefix, { family, isNew });
    }
    this.queue.wake();
  }

  #take(): RouteChange | undefined {
    if (this.#snapshot !== undefined) {
      const { done, value } = this.#snapshot.next();
      if (!done) {
        // As it is told now, an earlier change of it need not be told again.
        this.#pending.delete(value.prefix);
        return { kind: "added", prefix: value.prefix, family: value.family, best: value };
      }
      this.#snapshot = undefined;
    }
    const [first] = this.#pending;
    if (first === undefined) return undefined;
    const [prefix, { family, isNew }] = first;
    this.#pending.delete(prefix);
    const best = this.#table.best(prefix) ?? null;
    return { kind: best === null ? "removed" : isNew ? "added" : "changed", prefix, family, best };
  }
}
