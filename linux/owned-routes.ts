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
 * - Events may be lost or late: {@link OwnedRoutes.resync} and {@link OwnedRoutes.scan} read the table again; a late
 *   event causes at most a write that changes nothing.
 *
 * A full table is 100,000 routes: one record per place, found by one lookup; and everything that touches many of them
 * can be had in portions (`limit`, `scan`), because no turn of the event loop may be long (test/bench/bgp-kernel.ts).
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
  /** Whether one that is not ours may be written over all the same: of another part of the same program. Default: none. */
  readonly replaces?: (route: Route) => boolean;
  /** Default: the main table. */
  readonly table?: number;
}

/** Reading the table in portions: every route of it is to be noted, then the end. Events and writes may come in between. */
export interface RouteScan {
  note(routes: readonly Route[]): void;
  /** `complete`: there are no others. If not so, what was not seen is as it was. */
  end(complete: boolean): void;
}

/** What the kernel has one place for: a destination and a metric. */
interface Place {
  readonly key: string;
  /** The caller's name for the wish, and the wish. */
  id: string | undefined;
  wanted: Route | undefined;
  /** Ours, as last seen or written. */
  actual: Route | undefined;
  /** Somebody else's route is there. */
  foreign: boolean;
  /** The scan in which it was last seen, or written. */
  seen: number;
  /** The list of those to look at that it is in. */
  list: Place[] | undefined;
}

export class OwnedRoutes {
  readonly #options: OwnedRoutesOptions;
  readonly #table: number;
  readonly #places = new Map<string, Place>();
  readonly #byId = new Map<string, Place>();
  /** How many of ours lead over an interface. */
  readonly #interfaces = new Map<number, number>();
  /** To look at in the next apply; in a list stands once who says so, and maybe others that were taken out meanwhile. */
  #additions: Place[] = [];
  #deletions: Place[] = [];
  #dirtyCount = 0;
  /** Those of which the last write failed, or that somebody else holds. */
  readonly #failed = new Set<Place>();
  #size = 0;
  #scans = 0;
  #swept = false;

  constructor(options: OwnedRoutesOptions) {
    this.#options = options;
    this.#table = options.table ?? RouteTable.MAIN;
  }

  /** `id` names the wish, e.g. the destination: a route with another metric takes the place of the former. */
  want(id: string, route: Route): void {
    const place = this.#placeOf(routeKey(route));
    const former = this.#byId.get(id);
    if (former !== place) {
      if (former) this.#drop(former, id);
      this.#byId.set(id, place);
    }
    place.id = id;
    place.wanted = route;
    this.#touch(place);
  }

  /** Whether it was wanted. */
  unwant(id: string): boolean {
    const former = this.#byId.get(id);
    if (!former) return false;
    this.#byId.delete(id);
    this.#drop(former, id);
    return true;
  }

  #drop(place: Place, id: string): void {
    // Another wish may have taken the same place meanwhile.
    if (place.id !== id) return;
    place.id = undefined;
    place.wanted = undefined;
    this.#touch(place);
  }

  wanted(id: string): Route | undefined {
    const place = this.#byId.get(id);
    return place?.id === id ? place.wanted : undefined;
  }

  get wantedIds(): IterableIterator<string> {
    return this.#byId.keys();
  }

  /** Number of our routes in the kernel, as last seen or written. */
  get size(): number {
    return this.#size;
  }

  /** Whether there is something to write, or to try again. */
  get pending(): boolean {
    return this.#dirtyCount > 0 || this.#failed.size > 0;
  }

  /** Whether there is something to write that was not tried yet. */
  get dirty(): boolean {
    return this.#dirtyCount > 0;
  }

  /** How many wishes could not be fulfilled. */
  get failing(): number {
    return this.#failed.size;
  }

  /** What is wanted is complete: from now on, our routes that nobody wants are removed. */
  sweep(): void {
    if (this.#swept) return;
    this.#swept = true;
    for (const place of this.#places.values()) if (!this.#isRight(place)) this.#touch(place);
  }

  /** Reads the table; what differs from what is wanted is dirty then. */
  resync(): void {
    // Read first: a dump that fails must not leave us with an empty picture.
    const routes = this.#options.rtnetlink.listRoutes({ table: this.#table });
    const scan = this.scan();
    scan.note(routes);
    scan.end(true);
  }

  /** {@link resync} by somebody who reads the table in portions. */
  scan(): RouteScan {
    const number = ++this.#scans;
    return {
      note: routes => {
        for (const route of routes) {
          if ((route.table ?? RouteTable.MAIN) === this.#table) this.#note(route);
        }
      },
      end: complete => {
        if (!complete || number !== this.#scans) return;
        for (const place of this.#places.values()) {
          if (place.seen === number) continue;
          this.#setActual(place, undefined);
          place.foreign = false;
          this.#settle(place);
        }
      },
    };
  }

  /** Takes note of a change in the kernel. Whether there is something to repair now. */
  noteEvent(action: "new" | "delete", route: Route): boolean {
    if ((route.table ?? RouteTable.MAIN) !== this.#table) return false;
    if (action === "new") return this.#note(route);
    const place = this.#places.get(routeKey(route));
    if (!place) return false;
    if (this.#options.owns(route)) this.#setActual(place, undefined);
    else if (place.foreign) place.foreign = false;
    else return false;
    return this.#settle(place);
  }

  /** The interface went down or away, and its routes with it. Whether there is something to repair. */
  forgetInterface(index: number): boolean {
    if (!this.#interfaces.has(index)) return false;
    for (const place of this.#places.values()) {
      if (!place.actual || !leadsOver(place.actual, index)) continue;
      this.#setActual(place, undefined);
      this.#settle(place);
    }
    return this.dirty;
  }

  /** Those that could not be written are to be tried again: so many of them, those that wait longest first. */
  retry(limit: number = Number.POSITIVE_INFINITY): void {
    for (const place of this.#failed) {
      if (limit-- <= 0) return;
      this.#touch(place);
    }
  }

  /** Removes what is no longer wanted: all of it, or of what is dirty so much. */
  applyDeletions(limit: number = Number.POSITIVE_INFINITY): RouteFailure[] {
    const gone: Place[] = [];
    this.#deletions = this.#takeFrom(this.#deletions, place => {
      if (place.actual) gone.push(place);
      else this.#settle(place);
      return gone.length < limit;
    });
    if (gone.length === 0) return [];
    const routes = gone.map(({ actual }) => actual as Route);
    const refused = this.#written(gone, () => this.#options.rtnetlink.deleteRoutes(routes));
    const failures: RouteFailure[] = [];
    for (const place of gone) {
      const route = place.actual as Route;
      const error = refused.get(route);
      if (error === undefined || isAbsent(error)) {
        this.#setActual(place, undefined);
        this.#settle(place);
      } else {
        this.#failed.add(place);
        failures.push({ route, error });
      }
    }
    return failures;
  }

  /** Writes what is wanted and not there: all of it, what failed before included, or of what is dirty so much. */
  applyAdditions(limit?: number): RouteFailure[] {
    if (limit === undefined) this.retry();
    const failures: RouteFailure[] = [];
    const places: Place[] = [];
    const routes: Route[] = [];
    this.#additions = this.#takeFrom(this.#additions, place => {
      const wanted = place.wanted as Route;
      if (place.actual && routeSatisfies(place.actual, wanted)) return true;
      if (!place.actual && place.foreign) {
        this.#failed.add(place);
        failures.push({ route: wanted, error: undefined });
        return true;
      }
      places.push(place);
      routes.push(wanted);
      return limit === undefined || routes.length < limit;
    });
    if (routes.length === 0) return failures;
    const refused = this.#written(places, () => this.#options.rtnetlink.replaceRoutes(routes));
    for (const place of places) {
      const route = place.wanted as Route;
      const error = refused.get(route);
      if (error) {
        this.#failed.add(place);
        failures.push({ route, error });
      } else this.#setActual(place, route);
    }
    return failures;
  }

  /** Hands out what is in a list until told to stop. Returns the rest. */
  #takeFrom(list: Place[], take: (place: Place) => boolean): Place[] {
    for (let at = 0; at < list.length; at++) {
      const place = list[at]!;
      if (place.list !== list) continue;
      this.#untouch(place);
      if (!take(place)) return this.#moved(list, at + 1);
    }
    return [];
  }

  #moved(list: readonly Place[], from: number): Place[] {
    const rest: Place[] = [];
    for (let at = from; at < list.length; at++) {
      const place = list[at]!;
      if (place.list !== list) continue;
      place.list = rest;
      rest.push(place);
    }
    return rest;
  }

  /** What the kernel refused. If it did not answer, nothing is known of any, and all are to be written again. */
  #written(
    places: readonly Place[],
    write: () => readonly { item: Route; error: NetlinkError }[],
  ): Map<Route, NetlinkError> {
    try {
      return new Map(write().map(({ item, error }) => [item, error]));
    } catch (error) {
      for (const place of places) this.#touch(place);
      throw error;
    }
  }

  #placeOf(key: string): Place {
    let place = this.#places.get(key);
    if (!place) {
      place = {
        key,
        id: undefined,
        wanted: undefined,
        actual: undefined,
        foreign: false,
        seen: this.#scans,
        list: undefined,
      };
      this.#places.set(key, place);
    }
    return place;
  }

  /** A route is there. Of one place there is one route: it has replaced what was there before. */
  #note(route: Route): boolean {
    const place = this.#placeOf(routeKey(route));
    const ours = this.#options.owns(route);
    place.foreign = !ours && !this.#options.replaces?.(route);
    this.#setActual(place, ours ? route : undefined);
    return this.#settle(place);
  }

  #setActual(place: Place, route: Route | undefined): void {
    const { actual } = place;
    place.seen = this.#scans;
    if (actual === route) return;
    if (actual) this.#countInterfaces(actual, -1);
    if (route) this.#countInterfaces(route, 1);
    this.#size += Number(route !== undefined) - Number(actual !== undefined);
    place.actual = route;
  }

  #countInterfaces({ nextHops, interfaceIndex }: Route, change: 1 | -1): void {
    if (!nextHops) this.#countInterface(interfaceIndex, change);
    else for (const hop of nextHops) this.#countInterface(hop.interfaceIndex, change);
  }

  #countInterface(index: number | undefined, change: 1 | -1): void {
    if (index === undefined) return;
    const count = (this.#interfaces.get(index) ?? 0) + change;
    if (count === 0) this.#interfaces.delete(index);
    else this.#interfaces.set(index, count);
  }

  #isRight({ wanted, actual }: Place): boolean {
    if (!wanted) return actual === undefined || !this.#swept;
    return actual !== undefined && routeSatisfies(actual, wanted);
  }

  #touch(place: Place): void {
    this.#failed.delete(place);
    const list = place.wanted ? this.#additions : this.#deletions;
    if (place.list === list) return;
    if (!place.list) this.#dirtyCount++;
    place.list = list;
    list.push(place);
  }

  #untouch(place: Place): void {
    if (place.list) this.#dirtyCount--;
    place.list = undefined;
  }

  /** Something about it has changed. Whether there is something to repair. */
  #settle(place: Place): boolean {
    if (!this.#isRight(place)) {
      this.#touch(place);
      return true;
    }
    const isIdle = !place.wanted && !place.actual && !place.foreign;
    if (!place.wanted && !isIdle) return false;
    this.#untouch(place);
    this.#failed.delete(place);
    if (isIdle) this.#places.delete(place.key);
    return false;
  }
}

function leadsOver({ nextHops, interfaceIndex }: Route, index: number): boolean {
  return nextHops ? nextHops.some(hop => hop.interfaceIndex === index) : interfaceIndex === index;
}
