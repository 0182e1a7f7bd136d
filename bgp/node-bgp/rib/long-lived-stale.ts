/**
 * Long-lived stale routes (RFC 9494 4.2): the stale paths of a source get the community LLGR_STALE, which makes them the last choice here and
 * wherever they are sent on; those with NO_LLGR go. A path that is received again has the attributes it is received with. The paths are
 * looked at prefix by prefix, in steps.
 */

import { Trait } from "../message/attribute-scanner.ts";
import { WellKnownCommunity } from "../route.ts";
import type { AttributeTable } from "./attribute-table.ts";
import type { PathTable } from "./path-table.ts";
import type { PrefixTable } from "./prefix-table.ts";

interface Job {
  readonly source: number;
  /** Paths of this generation were fresh when it was asked for, and are left alone. */
  readonly spared: number;
  /** The next prefix. */
  at: number;
}

export class LongLivedStale {
  readonly #sets: AttributeTable;
  readonly #prefixes: PrefixTable;
  readonly #paths: PathTable;
  readonly #jobs: Job[] = [];
  /** Marked set by set; 0: to be removed. */
  readonly #marked = new Map<number, number>();
  #epoch = 0;

  constructor(sets: AttributeTable, prefixes: PrefixTable, paths: PathTable) {
    this.#sets = sets;
    this.#prefixes = prefixes;
    this.#paths = paths;
  }

  get isIdle(): boolean {
    return this.#jobs.length === 0;
  }

  begin(source: number): void {
    this.#jobs.push({ source, spared: this.#paths.generationOf(source), at: 1 });
  }

  /** Looks at up to `count` prefixes. Returns false where there is nothing to do. */
  step(count: number): boolean {
    const job = this.#jobs[0];
    if (job === undefined) return false;
    if (this.#epoch !== this.#sets.epoch) {
      // Ids may mean other sets now.
      this.#marked.clear();
      this.#epoch = this.#sets.epoch;
    }
    const { source, spared } = job;
    const end = Math.min(job.at + count, this.#prefixes.end);
    for (; job.at < end; job.at++) {
      this.#paths.replaceStale(job.at, source, spared, set => this.#mark(source, set));
    }
    const isThrough = job.at >= this.#prefixes.end || this.#paths.countOf(source).stale === 0;
    if (isThrough) this.#jobs.shift();
    return true;
  }

  #mark(source: number, set: number): number {
    const traits = this.#sets.traitsOf(set);
    if ((traits & Trait.noLlgr) !== 0) return 0;
    if ((traits & Trait.llgrStale) !== 0) return set;
    let marked = this.#marked.get(set);
    if (marked === undefined) {
      const attributes = this.#sets.attributesOf(set);
      const communities = [...(attributes.communities ?? []), WellKnownCommunity.llgrStale];
      marked = this.#sets.internAttributes(source, { ...attributes, communities });
      this.#marked.set(set, marked);
    }
    return marked;
  }
}
