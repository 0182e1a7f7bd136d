/**
 * What one update group advertises, by prefix: sets as its {@link Exporter} chose them. Two kinds: the best path of each prefix, four bytes a
 * prefix, which is nearly everybody's; and several paths with identifiers (RFC 7911), lists for those who asked for it.
 */

import type { AttributeTable } from "./attribute-table.ts";
import { grown } from "./column.ts";
import type { Exporter } from "./exporter.ts";
import type { Rib } from "./rib.ts";
import type { Changes } from "./update-batch.ts";

export interface AdvertisedPath {
  /** 0 where only the best path is advertised. */
  readonly pathId: number;
  readonly set: number;
}

/** What was advertised at some time. */
export interface AdvertisedPaths {
  pathsOf(id: number): readonly AdvertisedPath[];
}

export interface AdjRibOut extends AdvertisedPaths {
  /** It is to be told of every change of paths, not only of best ones. */
  readonly followsAllPaths: boolean;
  readonly counts: AdvertisedCounts;
  /** Looks at a prefix anew and adds what changed; what comes from `forcedSource` counts as changed even if its set is the same. */
  evaluate(id: number, forcedSource: number, changes: Changes): void;
  snapshot(): AdvertisedPaths;
}

/** Advertised paths in all and by source: a member is told all but its own. */
export class AdvertisedCounts {
  total = 0;
  #bySource = new Int32Array(64);

  of(source: number): number {
    return this.#bySource[source] ?? 0;
  }

  add(source: number, by: number): void {
    this.total += by;
    if (source >= this.#bySource.length)
      this.#bySource = grown(this.#bySource, Math.max(source + 1, this.#bySource.length * 2));
    this.#bySource[source] = this.#bySource[source]! + by;
  }
}

const NOTHING: readonly AdvertisedPath[] = [];

export class BestPathsOut implements AdjRibOut {
  readonly followsAllPaths = false;
  readonly counts = new AdvertisedCounts();
  readonly #rib: Rib;
  readonly #sets: AttributeTable;
  readonly #exporter: Exporter;
  #out: Int32Array<ArrayBuffer>;

  constructor(rib: Rib, sets: AttributeTable, exporter: Exporter) {
    this.#rib = rib;
    this.#sets = sets;
    this.#exporter = exporter;
    this.#out = new Int32Array(rib.prefixes.capacity);
  }

  pathsOf(id: number): readonly AdvertisedPath[] {
    const set = this.#out[id] ?? 0;
    return set === 0 ? NOTHING : [{ pathId: 0, set }];
  }

  evaluate(id: number, forcedSource: number, changes: Changes): void {
    if (id >= this.#out.length) this.#out = grown(this.#out, this.#rib.prefixes.capacity);
    const best = this.#rib.bestOf(id);
    const before = this.#out[id]!;
    const after = best === 0 ? 0 : this.#exporter.choose(id, best);
    if (before === after) {
      const isForced = after !== 0 && forcedSource >= 0 && this.#sets.sourceOf(after) === forcedSource;
      if (!isForced) return;
    }
    this.#out[id] = after;
    if (before !== 0) {
      if (this.#sets.isReadyMade(before)) this.#sets.released++;
      this.counts.add(this.#sets.sourceOf(before), -1);
    }
    if (after !== 0) this.counts.add(this.#sets.sourceOf(after), 1);
    changes.add(id, 0, before, after);
  }

  snapshot(): AdvertisedPaths {
    const out = this.#out.slice(0, this.#rib.prefixes.end);
    return {
      pathsOf: id => {
        const set = out[id] ?? 0;
        return set === 0 ? NOTHING : [{ pathId: 0, set }];
      },
    };
  }
}

export class AddPathsOut implements AdjRibOut {
  readonly followsAllPaths = true;
  readonly counts = new AdvertisedCounts();
  readonly #rib: Rib;
  readonly #sets: AttributeTable;
  readonly #exporter: Exporter;
  /** At most so many paths of a prefix, the best ones. */
  readonly #limit: number;
  readonly #out = new Map<number, readonly AdvertisedPath[]>();

  constructor(rib: Rib, sets: AttributeTable, exporter: Exporter, limit: number) {
    this.#rib = rib;
    this.#sets = sets;
    this.#exporter = exporter;
    this.#limit = limit;
  }

  pathsOf(id: number): readonly AdvertisedPath[] {
    return this.#out.get(id) ?? NOTHING;
  }

  evaluate(id: number, forcedSource: number, changes: Changes): void {
    const before = this.pathsOf(id);
    const after = this.#wanted(id);
    for (const { pathId, set } of before) {
      if (after.some(path => path.pathId === pathId)) continue;
      this.#count(set, -1);
      changes.add(id, pathId, set, 0);
    }
    for (const { pathId, set } of after) {
      const known = before.find(path => path.pathId === pathId)?.set ?? 0;
      if (known === set && this.#sets.sourceOf(set) !== forcedSource) continue;
      if (known !== 0) this.#count(known, -1);
      this.#count(set, 1);
      changes.add(id, pathId, known, set);
    }
    if (after.length > 0) this.#out.set(id, after);
    else this.#out.delete(id);
  }

  snapshot(): AdvertisedPaths {
    const out = new Map(this.#out);
    return { pathsOf: id => out.get(id) ?? NOTHING };
  }

  #wanted(id: number): AdvertisedPath[] {
    const wanted: AdvertisedPath[] = [];
    for (const { set, sendId } of this.#rib.rankedPaths(id)) {
      const chosen = this.#exporter.choose(id, set);
      if (chosen !== 0) wanted.push({ pathId: sendId, set: chosen });
      if (wanted.length === this.#limit) break;
    }
    return wanted;
  }

  #count(set: number, by: number): void {
    if (by < 0 && this.#sets.isReadyMade(set)) this.#sets.released++;
    this.counts.add(this.#sets.sourceOf(set), by);
  }
}
