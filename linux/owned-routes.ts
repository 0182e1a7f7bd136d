/**
 * Keeps the routes of one owner in one table as they should be, and leaves everybody else's alone.
 *
 * Three views are compared: what is wanted, what the kernel was last seen to hold of ours, and the places that
 * others hold. Only what differs is written, so a call costs what changed. Failures known from the field that shape it:
 *
 * - The kernel removes IPv4 routes silently when their interface goes down: {@link OwnedRoutes.forgetInterface}.
 * - A replace replaces whatever has the same destination and metric, whoever made it: places that others hold are not
 *   written to, but reported.
 * - After a restart our own routes of before are there, and right: they stay until {@link OwnedRoutes.sweep} says that
 *   what is wanted is complete.
 * - Events may be lost or late: {@link OwnedRoutes.resync} reads the table again; a late event causes at most a
 *   write that changes nothing.
 */

import type { NetlinkError } from "./errors.ts";
import { isAbsent, type Route, RouteTable, type Rtnetlink, routeKey, routeSatisfies } from "./rtnetlink.ts";

export interface RouteFailure {
  readonly route: Route;
  /** Undefined: the place is held by a route that is not ours. */
  readonly error: NetlinkError | undefined;
}

export interface OwnedRoutesOptions {
  readonly rtnetlink: Pick<Rtnetlink, "listRoutes" | "replaceRoutes" | "deleteRoutes">;
  /** Whether a route found in the kernel is ours. */
  readonly owns: (route: Route) => boolean;
  /** Default: the main table. */
  readonly table?: number;
}

export class OwnedRoutes {
  readonly #options: OwnedRoutesOptions;
  readonly #table: number;
  /** By the caller's name for them. */
  readonly #wanted = new Map<string, Route>();
  readonly #wantedByKey = new Map<string, Route>();
  /** Ours, as last seen or written. */
  readonly #kernel = new Map<string, Route>();
  readonly #byInterface = new Map<number, Set<string>>();
  /** Keys that somebody else's routes hold. */
  #foreign = new Set<string>();
  /** Keys to look at in the next apply. */
  readonly #dirty = new Set<string>();
  #swept = false;

  constructor(options: OwnedRoutesOptions) {
    this.#options = options;
    this.#table = options.table ?? RouteTable.MAIN;
  }

  /** `id` names the wish, e.g. the destination: a route with another metric takes the place of the former. */
  want(id: string, route: Route): void {
    const former = this.#wanted.get(id);
    const key = routeKey(route);
    if (former && routeKey(former) !== key) this.#dropKey(routeKey(former), former);
    this.#wanted.set(id, route);
    this.#wantedByKey.set(key, route);
    this.#dirty.add(key);
  }

  /** Whether it was wanted. */
  unwant(id: string): boolean {
    const former = this.#wanted.get(id);
    if (!former) return false;
    this.#wanted.delete(id);
    this.#dropKey(routeKey(former), former);
    return true;
  }

  #dropKey(key: string, route: Route): void {
    // Another wish may have taken the same place meanwhile.
    if (this.#wantedByKey.get(key) !== route) return;
    this.#wantedByKey.delete(key);
    this.#dirty.add(key);
  }

  wanted(id: string): Route | undefined {
    return this.#wanted.get(id);
  }

  get wantedIds(): IterableIterator<string> {
    return this.#wanted.keys();
  }

  /** Number of our routes in the kernel, as last seen or written. */
  get size(): number {
    return this.#kernel.size;
  }

  get pending(): boolean {
    return this.#dirty.size > 0;
  }

  /** What is wanted is complete: from now on, our routes that nobody wants are removed. */
  sweep(): void {
    if (this.#swept) return;
    this.#swept = true;
    for (const key of this.#kernel.keys()) if (!this.#wantedByKey.has(key)) this.#dirty.add(key);
  }

  /** Reads the table; what differs from what is wanted is dirty then. */
  resync(): void {
    // Read first: a dump that fails must not leave us with an empty picture.
    const routes = this.#options.rtnetlink.listRoutes({ table: this.#table });
    this.#kernel.clear();
    this.#byInterface.clear();
    this.#foreign = new Set();
    for (const route of routes) {
      if (this.#options.owns(route)) this.#learn(route);
      else this.#foreign.add(routeKey(route));
    }
    for (const [key, route] of this.#wantedByKey) {
      const actual = this.#kernel.get(key);
      if (!actual || !routeSatisfies(actual, route)) this.#dirty.add(key);
    }
    if (this.#swept)
      for (const key of this.#kernel.keys()) if (!this.#wantedByKey.has(key)) this.#dirty.add(key);
  }

  /** Takes note of a change in the kernel. Whether there is something to repair now. */
  noteEvent(action: "new" | "delete", route: Route): boolean {
    if ((route.table ?? RouteTable.MAIN) !== this.#table) return false;
    const key = routeKey(route);
    if (!this.#options.owns(route)) {
      if (action === "new") {
        // Of the same place there is one route: theirs has replaced ours, should it have been there.
        this.#foreign.add(key);
        this.#forget(key);
        if (this.#wantedByKey.has(key)) this.#dirty.add(key);
      } else if (this.#foreign.delete(key) && this.#wantedByKey.has(key)) this.#dirty.add(key);
      return this.#dirty.has(key);
    }
    if (action === "new") {
      this.#foreign.delete(key);
      this.#learn(route);
    } else this.#forget(key);
    const wanted = this.#wantedByKey.get(key);
    const actual = this.#kernel.get(key);
    const right = wanted
      ? actual !== undefined && routeSatisfies(actual, wanted)
      : actual === undefined || !this.#swept;
    if (!right) this.#dirty.add(key);
    return !right;
  }

  /** The interface went down or away, and its routes with it. Whether there is something to repair. */
  forgetInterface(index: number): boolean {
    const keys = this.#byInterface.get(index);
    if (!keys) return false;
    for (const key of [...keys]) {
      this.#forget(key);
      if (this.#wantedByKey.has(key)) this.#dirty.add(key);
    }
    return this.#dirty.size > 0;
  }

  /** Removes what is no longer wanted. */
  applyDeletions(): RouteFailure[] {
    const gone: Route[] = [];
    for (const key of this.#dirty) {
      if (this.#wantedByKey.has(key)) continue;
      this.#dirty.delete(key);
      const actual = this.#kernel.get(key);
      if (actual) gone.push(actual);
    }
    if (gone.length === 0) return [];
    for (const route of gone) this.#forget(routeKey(route));
    const failures: RouteFailure[] = [];
    for (const { item, error } of this.#options.rtnetlink.deleteRoutes(gone)) {
      if (isAbsent(error)) continue;
      this.#learn(item);
      this.#dirty.add(routeKey(item));
      failures.push({ route: item, error });
    }
    return failures;
  }

  /** Writes what is wanted and not there. What failed stays to be tried by the next call. */
  applyAdditions(): RouteFailure[] {
    const failures: RouteFailure[] = [];
    const routes: Route[] = [];
    for (const key of this.#dirty) {
      const wanted = this.#wantedByKey.get(key);
      if (!wanted) continue;
      const actual = this.#kernel.get(key);
      if (actual && routeSatisfies(actual, wanted)) this.#dirty.delete(key);
      else if (!actual && this.#foreign.has(key)) failures.push({ route: wanted, error: undefined });
      else routes.push(wanted);
    }
    if (routes.length === 0) return failures;
    const refused = new Map(
      this.#options.rtnetlink.replaceRoutes(routes).map(({ item, error }) => [item, error]),
    );
    for (const route of routes) {
      const error = refused.get(route);
      if (error) failures.push({ route, error });
      else {
        this.#learn(route);
        this.#dirty.delete(routeKey(route));
      }
    }
    return failures;
  }

  #learn(route: Route): void {
    const key = routeKey(route);
    this.#forget(key);
    this.#kernel.set(key, route);
    for (const index of interfacesOf(route)) {
      const keys = this.#byInterface.get(index);
      if (keys) keys.add(key);
      else this.#byInterface.set(index, new Set([key]));
    }
  }

  #forget(key: string): void {
    const route = this.#kernel.get(key);
    if (!route) return;
    this.#kernel.delete(key);
    for (const index of interfacesOf(route)) {
      const keys = this.#byInterface.get(index);
      keys?.delete(key);
      if (keys?.size === 0) this.#byInterface.delete(index);
    }
  }
}

function interfacesOf(route: Route): number[] {
  const hops = route.nextHops ?? [route];
  return hops.map(hop => hop.interfaceIndex).filter(index => index !== undefined);
}
