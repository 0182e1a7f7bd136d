/**
 * The RIBs of all families, their update groups, and the one place where their work is scheduled.
 *
 * Whoever changes something - an UPDATE, a lost neighbor, a local route - only marks prefixes dirty. The work follows after the I/O of the
 * turn, in steps (family-routes.ts) until it is done or the turn's time is spent; then other sockets and timers have their turn. While
 * route selection is deferred (RFC 4724 4.1) changes are collected and nothing is decided.
 */

import { parsePrefix } from "../address.ts";
import type { Clock } from "../clock.ts";
import { UpdateScanner } from "../message/update-scanner.ts";
import type { RoutePolicy } from "../neighbor.ts";
import { FAMILIES, type Family, type PathAttributes, type Route, type RouteChange } from "../route.ts";
import { TurnBudget } from "../turn-budget.ts";
import { AttributeTable } from "./attribute-table.ts";
import type { DecisionContext } from "./decision.ts";
import { Exporter, type ExportRule } from "./exporter.ts";
import { FamilyRoutes } from "./family-routes.ts";
import type { ImportContext } from "./import.ts";
import { Importer } from "./importer.ts";
import type { Decided } from "./rib.ts";
import { RouteViews } from "./route-views.ts";
import { SetSweep } from "./set-sweep.ts";
import { type Source, SourceTable } from "./source.ts";
import type { Member, UpdateGroup } from "./update-group.ts";

/** With the reading of the same turn, below the 10 ms that keepalives can wait for. */
const WORK_MS_PER_TURN = 3;
/** While more is being read, less than this waits for it, at most for so many turns. */
const ENOUGH_DIRTY = 2048;
const MOST_TURNS_WAITED = 6;

interface Membership {
  readonly key: string;
  readonly group: UpdateGroup;
}

export class RoutingTable {
  readonly sources = new SourceTable();
  readonly views: RouteViews;
  /** For whoever reads an UPDATE and gives it to an importer at once. */
  readonly scanner = new UpdateScanner();
  readonly #sets = new AttributeTable();
  readonly #families: ReadonlyMap<Family, FamilyRoutes>;
  readonly #sweep: SetSweep;
  readonly #membership = new Map<Member, Membership>();
  readonly #policyNumbers = new WeakMap<RoutePolicy, number>();
  #policyCount = 0;
  readonly #budget: TurnBudget;
  readonly #onChanges: (changes: readonly RouteChange[]) => void;
  readonly #isReading: () => boolean;
  #turnsWaited = 0;
  #isScheduled = false;
  #isDeferred: boolean;
  #isClosed = false;
  #whenIdle: (() => void)[] = [];

  constructor(options: {
    clock: Clock;
    deferred: boolean;
    multipath: DecisionContext["multipath"];
    onChanges: (changes: readonly RouteChange[]) => void;
    /** Somebody wants to be told of changes; asked before each batch, as making them costs. */
    hasListeners: () => boolean;
    /** Something has been received that there was no time to read. */
    isReading: () => boolean;
  }) {
    this.#isReading = options.isReading;
    this.#budget = new TurnBudget(options.clock, WORK_MS_PER_TURN);
    this.#isDeferred = options.deferred;
    this.#onChanges = options.onChanges;
    const { hasListeners } = options;
    const context = {
      sets: this.#sets,
      sourceOf: (index: number) => this.sources.get(index),
      multipath: options.multipath,
    };
    const listener = {
      get isListening() {
        return hasListeners();
      },
      onDecided: (routes: FamilyRoutes, decided: Decided) => this.#tell(routes, decided),
    };
    this.#families = new Map(FAMILIES.map(family => [family, new FamilyRoutes(family, context, listener)]));
    this.#sweep = new SetSweep(this.#sets, [...this.#families.values()]);
    this.views = new RouteViews(this.#families, context);
  }

  /** Route selection begins. `done` is called when everything collected has been decided and told. */
  resume(done: () => void): void {
    this.#isDeferred = false;
    this.#whenIdle.push(done);
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
  }

  // --- paths in

  putLocal(prefix: string, attributes: PathAttributes): void {
    const { family, address, length } = parsePrefix(prefix)!;
    const { rib } = this.#routes(family);
    const set = this.#sets.internAttributes(0, attributes);
    if (set === 0) this.removeLocal(prefix);
    else rib.paths.put(rib.ensure(address, 0, length), set);
    this.#schedule();
  }

  removeLocal(prefix: string): void {
    const { family, address, length } = parsePrefix(prefix)!;
    const { rib } = this.#routes(family);
    const id = rib.prefixes.find(address, 0, length);
    if (id === 0) return;
    rib.paths.remove(id, 0);
    this.#schedule();
  }

  /** Takes what a source sends, under settings that stay as they are; say {@link received} after each UPDATE. */
  importer(source: number, context: ImportContext): Importer {
    const ribs = new Map([...this.#families].map(([family, { rib }]) => [family, rib]));
    return new Importer({ sets: this.#sets, ribs, source, context });
  }

  /** Something was given to an importer. */
  received(): void {
    this.#schedule();
  }

  /** Asks the policy of an importer again about everything that is kept as its source has sent it (soft reconfiguration). */
  reconsider(source: number, importer: Importer): void {
    for (const { rib } of this.#families.values())
      rib.reconsider(source, (id, received) => importer.accept(rib, id, received));
    this.#schedule();
  }

  /** All paths of a source, or those still stale, go: by and by, but they no longer count. */
  removeAll(source: number, family: Family, which: "all" | "stale"): void {
    this.#routes(family).rib.doom(source, which);
    this.#schedule();
  }

  /** What a source has sent is kept until it is sent again or removed as stale. */
  markStale(source: number, family: Family): void {
    this.#routes(family).rib.paths.markStale(source);
  }

  /** The stale routes of a source are the last resort from now on (RFC 9494), or go where they do not want that: by and by. */
  markLongLived(source: number, family: Family): void {
    this.#routes(family).rib.longLived.begin(source);
    this.#schedule();
  }

  pathCount(source: number, family: Family): { paths: number; stale: number } {
    return this.#routes(family).rib.paths.countOf(source);
  }

  /** Something exports depend on (router id, reflector client) has changed for a source. */
  updateSource(index: number, part: Partial<Omit<Source, "index" | "address" | "addressBytes">>): void {
    const before = this.sources.get(index);
    this.sources.update(index, part);
    const after = this.sources.get(index);
    const isOther = before.type !== after.type || before.reflectorClient !== after.reflectorClient;
    if (isOther) this.refreshExports();
    else if (before.routerId !== after.routerId) this.#tellAgain(index);
  }

  /** Its paths have been removed; its index is free once everybody has been told so. */
  releaseSource(index: number): void {
    this.#whenIdle.push(() => this.sources.release(index));
    this.#schedule();
  }

  // --- paths out

  /** Adds a member, or moves it to the group of its new rule and sends it the difference. */
  join(member: Member, family: Family, rule: ExportRule): void {
    const key = this.#groupKey(rule);
    const before = this.#membership.get(member);
    if (before?.key === key) return;
    const routes = this.#routes(family);
    const group = routes.groups.get(key) ?? routes.addGroup(key, this.#exporter(routes, rule));
    if (before === undefined) group.join(member);
    else {
      group.adopt(member, before.group);
      if (before.group.isEmpty) routes.removeGroup(before.key);
    }
    this.#membership.set(member, { key, group });
    this.#schedule();
  }

  leave(member: Member, family: Family): void {
    const membership = this.#membership.get(member);
    if (membership === undefined) return;
    this.#membership.delete(member);
    membership.group.leave(member);
    if (membership.group.isEmpty) this.#routes(family).removeGroup(membership.key);
  }

  /** Tells a member everything again (ROUTE-REFRESH). */
  resend(member: Member): void {
    this.#membership.get(member)?.group.resend(member);
    this.#schedule();
  }

  advertisedTo(member: Member): number {
    return this.#membership.get(member)?.group.advertisedTo(member.source) ?? 0;
  }

  /** What a member has been, or is being, told. */
  *advertised(member: Member, family: Family): Generator<Route> {
    const group = this.#membership.get(member)?.group;
    if (group !== undefined) yield* this.views.advertised(family, group, member.source);
  }

  /** Evaluates the exports again: of one member's group, or of all. */
  refreshExports(member?: Member): void {
    if (member !== undefined) this.#membership.get(member)?.group.refresh();
    else
      for (const { groups } of this.#families.values()) for (const group of groups.values()) group.refresh();
    this.#schedule();
  }

  /** A member can take more. */
  wake(): void {
    this.#schedule();
  }

  // --- the turn

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#budget.later(() => this.#work());
  }

  #work(): void {
    this.#isScheduled = false;
    if (this.#isClosed) return;
    if (this.#awaitsMore()) {
      this.#schedule();
      return;
    }
    // One step whatever the clock says: something must move.
    let isMore: boolean;
    do isMore = this.#step();
    while (isMore && !this.#budget.isSpent);
    if (isMore) this.#schedule();
    else if (!this.#isDeferred) this.#onIdle();
  }

  /** A little that came in one turn, with more to read, waits for it: a batch is one write to every member, whatever is in it. */
  #awaitsMore(): boolean {
    let dirty = 0;
    for (const { rib } of this.#families.values()) dirty += rib.dirtyCount;
    const isWorthIt = this.#isReading() && dirty < ENOUGH_DIRTY && this.#turnsWaited < MOST_TURNS_WAITED;
    this.#turnsWaited = isWorthIt ? this.#turnsWaited + 1 : 0;
    return isWorthIt;
  }

  #step(): boolean {
    let isMore = false;
    for (const routes of this.#families.values()) {
      isMore = (this.#isDeferred ? routes.deferredStep() : routes.step()) || isMore;
    }
    return this.#sweep.step() || isMore;
  }

  #onIdle(): void {
    for (const routes of this.#families.values()) if (!routes.isIdle) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const done of waiting) done();
  }

  #tell(routes: FamilyRoutes, { changed, before, changedCount }: Decided): void {
    const changes: RouteChange[] = [];
    for (let i = 0; i < changedCount; i++)
      changes.push(this.views.change(routes, changed[i]!, before[i] !== 0));
    this.#onChanges(changes);
  }

  /** ORIGINATOR_ID of what a source sends is another now, although its attribute sets are the same. */
  #tellAgain(source: number): void {
    for (const { groups, rib } of this.#families.values()) {
      const { paths } = rib.paths.countOf(source);
      if (paths > 0) for (const group of groups.values()) group.refresh(source);
    }
    this.#schedule();
  }

  // --- groups

  #routes(family: Family): FamilyRoutes {
    return this.#families.get(family)!;
  }

  #exporter({ family, rib: { prefixes } }: FamilyRoutes, rule: ExportRule): Exporter {
    const route = (id: number, set: number) => this.views.route(family, id, set);
    return new Exporter({ sets: this.#sets, sources: this.sources, prefixes, family, rule, route });
  }

  #groupKey({ target, policy, neighbor, groupName }: ExportRule): string {
    const settings = JSON.stringify(target);
    if (policy === undefined) return settings;
    let number = this.#policyNumbers.get(policy);
    if (number === undefined) {
      number = ++this.#policyCount;
      this.#policyNumbers.set(policy, number);
    }
    const sharedBy = groupName === undefined ? `neighbor ${neighbor.address}` : `group ${groupName}`;
    return `${settings} policy ${number} ${sharedBy}`;
  }
}
