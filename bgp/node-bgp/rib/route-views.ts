/** Routes as values for people and policies, made from the tables when somebody asks. */

import { parsePrefix } from "../address.ts";
import {
  type ExplainedPath,
  FAMILIES,
  type Family,
  type ReceivedRoute,
  type Route,
  type RouteChange,
  type SpeakerStatistics,
} from "../route.ts";
import { type DecisionContext, decide, explain } from "./decision.ts";
import type { FamilyRoutes } from "./family-routes.ts";
import type { UpdateGroup } from "./update-group.ts";

export class RouteViews {
  readonly #families: ReadonlyMap<Family, FamilyRoutes>;
  readonly #context: DecisionContext;

  constructor(families: ReadonlyMap<Family, FamilyRoutes>, context: DecisionContext) {
    this.#families = families;
    this.#context = context;
  }

  /** The best routes. The table may change between one and the next. */
  *routes(family?: Family): Generator<Route> {
    for (const each of family === undefined ? FAMILIES : [family]) {
      const routes = this.#families.get(each)!;
      for (const id of routes.ids()) {
        const route = this.#bestOf(routes, id);
        if (route !== null) yield route;
      }
    }
  }

  best(prefix: string): Route | undefined {
    const found = this.#find(prefix);
    return found === undefined ? undefined : (this.#bestOf(found.routes, found.id) ?? undefined);
  }

  /** Every path to a prefix, the best one first. */
  paths(prefix: string): Route[] {
    const found = this.#find(prefix);
    if (found === undefined) return [];
    const { routes, id } = found;
    const best = routes.rib.bestOf(id);
    const paths = routes.rib.paths.pathsOf(id).filter(({ isHidden }) => !isHidden);
    paths.sort((a, b) => Number(b.set === best) - Number(a.set === best));
    return paths.map(({ set, isStale }) => this.#make(routes, id, set, isStale));
  }

  /** Every path to a prefix in the order in which they would win, with the step at which each lost. */
  explain(prefix: string): ExplainedPath[] {
    const found = this.#find(prefix);
    if (found === undefined) return [];
    const { routes, id } = found;
    const paths = routes.rib.paths.pathsOf(id).filter(({ isHidden }) => !isHidden);
    if (paths.length === 0) return [];
    const { equal } = decide(paths, this.#context);
    return explain(paths, this.#context).map(({ path, lostAt }) => ({
      ...this.#make(routes, id, path.set, path.isStale),
      pathId: path.pathId,
      equal: equal.includes(path),
      ...(lostAt !== undefined && { lostAt }),
    }));
  }

  statistics(): SpeakerStatistics {
    const byFamily = FAMILIES.map(family => {
      const { prefixes } = this.#families.get(family)!.rib;
      return [family, { prefixes: prefixes.count }] as const;
    });
    return {
      byFamily: Object.fromEntries(byFamily) as SpeakerStatistics["byFamily"],
      attributeSets: this.#context.sets.size,
    };
  }

  /** Every path of one source, as it was taken, or `before` the import policy where that is kept (soft reconfiguration). */
  *received(family: Family, source: number, view: "before" | "after"): Generator<ReceivedRoute> {
    for (const piece of this.receivedInSteps(family, source, 256, view)) yield* piece;
  }

  /** The same by pieces of the table of so many prefixes, whoever they are from: no step is long, though a piece may be empty. */
  *receivedInSteps(
    family: Family,
    source: number,
    prefixes: number,
    view: "before" | "after" = "after",
  ): Generator<ReceivedRoute[]> {
    const routes = this.#families.get(family)!;
    let piece: ReceivedRoute[] = [];
    let left = prefixes;
    for (const id of routes.ids()) {
      for (const { set, received, pathId, isStale, isHidden } of routes.rib.paths.pathsOf(id)) {
        if (this.#context.sets.sourceOf(set) !== source || (isHidden && view === "after")) continue;
        piece.push({ ...this.#make(routes, id, view === "after" ? set : received, isStale), pathId });
      }
      if (--left > 0) continue;
      yield piece;
      piece = [];
      left = prefixes;
    }
    yield piece;
  }

  advertised(family: Family, group: UpdateGroup, source: number): Generator<Route> {
    return this.#advertised(this.#families.get(family)!, group, source);
  }

  /** A path by its attribute set. */
  route(family: Family, id: number, set: number): Route {
    const routes = this.#families.get(family)!;
    return this.#make(routes, id, set, this.#isStale(routes, id, set));
  }

  change(routes: FamilyRoutes, id: number, hadBest: boolean): RouteChange {
    const best = this.#bestOf(routes, id);
    const prefix = routes.rib.prefixes.format(id);
    const kind = best === null ? "removed" : hadBest ? "changed" : "added";
    return { kind, prefix, family: routes.family, best };
  }

  *#advertised(routes: FamilyRoutes, group: UpdateGroup, source: number): Generator<Route> {
    const { sets, sourceOf } = this.#context;
    for (const id of routes.ids()) {
      for (const { set } of group.pathsTo(source, id)) {
        const attributes = group.exporter.attributesOf(set);
        const { address, type } = sourceOf(sets.sourceOf(set));
        yield {
          ...attributes,
          prefix: routes.rib.prefixes.format(id),
          family: routes.family,
          source: address,
          sourceType: type,
          nextHops: attributes.nextHop === undefined ? [] : [attributes.nextHop],
          stale: this.#isStale(routes, id, set),
        };
      }
    }
  }

  #find(prefix: string): { routes: FamilyRoutes; id: number } | undefined {
    const parsed = parsePrefix(prefix);
    if (parsed === undefined) return undefined;
    const routes = this.#families.get(parsed.family)!;
    const id = routes.rib.prefixes.find(parsed.address, 0, parsed.length);
    return id === 0 ? undefined : { routes, id };
  }

  #bestOf(routes: FamilyRoutes, id: number): Route | null {
    const { rib } = routes;
    const best = rib.bestOf(id);
    if (best === 0) return null;
    const route = this.#make(routes, id, best, this.#isStale(routes, id, best));
    const equal = rib.equalOf(id);
    return equal.length < 2 ? route : { ...route, nextHops: this.#hopsOf(equal) };
  }

  #make(routes: FamilyRoutes, id: number, set: number, stale: boolean): Route {
    const { sets, sourceOf } = this.#context;
    const { attributes, nextHops } = sets.decode(set);
    const { address, type } = sourceOf(sets.sourceOf(set));
    return {
      ...attributes,
      prefix: routes.rib.prefixes.format(id),
      family: routes.family,
      source: address,
      sourceType: type,
      nextHops,
      stale,
    };
  }

  #isStale({ rib }: FamilyRoutes, id: number, set: number): boolean {
    const source = this.#context.sets.sourceOf(set);
    return rib.paths.isStale(id, source);
  }

  #hopsOf(sets: readonly number[]): readonly string[] {
    const hops = new Set<string>();
    for (const set of sets) for (const hop of this.#context.sets.decode(set).nextHops) hops.add(hop);
    return [...hops];
  }
}
