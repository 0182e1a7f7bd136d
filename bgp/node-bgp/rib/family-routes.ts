/**
 * One address family at work: its RIB, its update groups, and what is to be done for them, one step of about a millisecond at a time.
 *
 *   dirty prefixes -> decide a batch -> each group: choose, encode, write -> listeners
 *
 * Beside that, each at its turn: removing what is doomed, evaluating a group anew, catching up members that are behind.
 */

import type { Family } from "../route.ts";
import type { AttributeTable } from "./attribute-table.ts";
import type { DecisionContext } from "./decision.ts";
import type { Exporter } from "./exporter.ts";
import { type Decided, decidedBatch, Rib } from "./rib.ts";
import { UpdateGroup } from "./update-group.ts";

/** Prefixes decided in a step; the routes of a batch share messages, and a batch is one write to each member. */
const DECIDE_STEP = 2048;
const SWEEP_STEP = 16_384;
const RELEASE_STEP = 4096;
/** A policy of the user's may take microseconds for each. */
const RECONSIDER_STEP = 256;

export interface FamilyListener {
  /** Equally good paths are of interest, and changes are to be told. */
  readonly isListening: boolean;
  /** The best paths of these prefixes changed. */
  onDecided(routes: FamilyRoutes, decided: Decided): void;
}

export class FamilyRoutes {
  readonly family: Family;
  readonly rib: Rib;
  readonly groups = new Map<string, UpdateGroup>();
  readonly #sets: AttributeTable;
  readonly #listener: FamilyListener;
  readonly #decided = decidedBatch(DECIDE_STEP);
  /** The groups that have still to be told of the decided batch, the first one from `#flushedTo` on. */
  #toFlush: UpdateGroup[] = [];
  #flushedTo = 0;
  #hasBatch = false;
  /** Its batch must be out before any group goes on. */
  #delivering: UpdateGroup | undefined;
  /** Which kind of work comes first next time. */
  #nextKind = 0;
  readonly #kinds: readonly (() => boolean)[] = [
    () => this.#flushStep(),
    () => this.rib.sweep(SWEEP_STEP),
    () => this.rib.longLived.step(SWEEP_STEP),
    () => this.rib.reconsiderStep(RECONSIDER_STEP),
    () => this.#refreshStep(),
    () => this.#catchUpStep(),
  ];

  constructor(family: Family, context: DecisionContext, listener: FamilyListener) {
    this.family = family;
    this.#sets = context.sets;
    this.#listener = listener;
    this.rib = new Rib(family, context);
  }

  /** Nothing is left to decide or to tell, and nothing doomed: everybody in step knows everything. */
  get isIdle(): boolean {
    const { dirtyCount, paths, longLived } = this.rib;
    return (
      dirtyCount === 0 &&
      !this.#hasBatch &&
      paths.doomedCount === 0 &&
      longLived.isIdle &&
      !this.rib.isReconsidering
    );
  }

  addGroup(key: string, exporter: Exporter): UpdateGroup {
    const group = new UpdateGroup(this.rib, this.#sets, exporter);
    this.groups.set(key, group);
    return group;
  }

  removeGroup(key: string): void {
    const group = this.groups.get(key);
    if (group?.exporter.hasPolicy) this.#sets.released += group.advertised;
    this.groups.delete(key);
    if (this.#delivering === group) this.#delivering = undefined;
    this.#toFlush = this.#toFlush.filter((other, i) => {
      if (other === group && i === 0) this.#flushedTo = 0;
      return other !== group;
    });
  }

  /** Does a step of something. Returns false where there is nothing to do now. */
  step(): boolean {
    if (this.#delivering !== undefined) {
      this.#delivering.deliver();
      if (!this.#delivering.isDelivering) this.#delivering = undefined;
      return true;
    }
    for (let i = 0; i < this.#kinds.length; i++) {
      const kind = this.#nextKind;
      this.#nextKind = (kind + 1) % this.#kinds.length;
      if (this.#kinds[kind]!()) return true;
    }
    return this.#releaseStep();
  }

  /** Only what may be done while route selection is deferred. */
  deferredStep(): boolean {
    return this.rib.sweep(SWEEP_STEP) || this.rib.longLived.step(SWEEP_STEP);
  }

  /** Names every attribute set that prefixes from `from` on refer to, `count` of them. Returns where to go on; 0: done. */
  markSets(from: number, count: number): number {
    const end = Math.min(from + count, this.rib.prefixes.end);
    for (let id = from; id < end; id++) {
      this.rib.markSets(id);
      for (const group of this.groups.values()) group.markSets(id);
    }
    return end < this.rib.prefixes.end ? end : 0;
  }

  *ids(): Generator<number> {
    for (let id = 1; id < this.rib.prefixes.end; id++) if (this.rib.prefixes.has(id)) yield id;
  }

  #flushStep(): boolean {
    const decided = this.#decided;
    const [group] = this.#toFlush;
    if (group !== undefined) {
      const ids = group.followsAllPaths ? decided.ids : decided.changed;
      const count = group.followsAllPaths ? decided.count : decided.changedCount;
      this.#flushedTo = group.flush(ids, this.#flushedTo, count);
      if (this.#flushedTo === count) {
        this.#toFlush.shift();
        this.#flushedTo = 0;
      }
      this.#deliver(group);
      return true;
    }
    if (this.#hasBatch) {
      this.#hasBatch = false;
      if (decided.changedCount > 0 && this.#listener.isListening) this.#listener.onDecided(this, decided);
      return true;
    }
    if (this.rib.dirtyCount === 0) return false;
    this.rib.decide(decided, this.#listener.isListening);
    this.#hasBatch = true;
    const hasChanged = decided.changedCount > 0;
    this.#toFlush = [...this.groups.values()].filter(group => hasChanged || group.followsAllPaths);
    return true;
  }

  #deliver(group: UpdateGroup): void {
    if (group.isDelivering) this.#delivering = group;
  }

  #refreshStep(): boolean {
    for (const group of this.groups.values()) {
      if (!group.refreshStep()) continue;
      this.#deliver(group);
      return true;
    }
    return false;
  }

  #catchUpStep(): boolean {
    const mayFinish = this.rib.dirtyCount === 0 && !this.#hasBatch;
    for (const group of this.groups.values()) if (group.catchUpStep(mayFinish)) return true;
    return false;
  }

  #releaseStep(): boolean {
    if (this.#hasBatch) return false;
    for (const group of this.groups.values()) if (group.refersToPrefixes) return false;
    return this.rib.releaseUnused(RELEASE_STEP);
  }
}
