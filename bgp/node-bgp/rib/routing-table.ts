/**
 * The RIBs of all families, their update groups, and the one place where their work is scheduled.
 *
 * Whoever changes something - an UPDATE, a lost neighbor, a local route - only marks prefixes dirty. The flush runs once
 * per turn of the event loop, after its I/O: decide, tell the update groups, let members that are behind catch up, tell the
 * listeners; in slices, so that no turn grows long. While route selection is deferred (RFC 4724 4.1) changes are collected and
 * nothing is decided.
 */

import { parsePrefix } from "../address.ts";
import type { Clock } from "../clock.ts";
import type { Nlri } from "../message/nlri.ts";
import type { Update } from "../message/update.ts";
import type { PolicyNeighbor, RoutePolicy } from "../neighbor.ts";
import { FAMILIES, type Family, type PathAttributes, type Route, type RouteChange } from "../route.ts";
import { type AttributeSet, AttributeTable } from "./attribute-table.ts";
import { type ExportTarget, exportAttributes, mayExport } from "./export.ts";
import { applyImportPolicy, askPolicy, attributesOf, type ImportContext, importRefusal } from "./import.ts";
import { Rib } from "./rib.ts";
import { type Source, SourceTable } from "./source.ts";
import { type Member, UpdateGroup } from "./update-group.ts";

/** What decides the group of a neighbor: the settings of the export, and the policy. */
export interface ExportRule {
  readonly target: ExportTarget;
  readonly policy: RoutePolicy | undefined;
  /** Given to the policy. */
  readonly neighbor: PolicyNeighbor;
  /** Neighbors of one name share a group although there is a policy. */
  readonly groupName: string | undefined;
}

interface Group {
  readonly key: string;
  readonly updates: UpdateGroup;
  /** Exported set by best set, for routes the policy does not change. */
  readonly memo: Map<number, AttributeSet | undefined>;
}

/** Prefixes decided per slice: about 4 ms (reference: flushing only once per turn was measured at 28 ms). */
const FLUSH_SLICE = 4096;

export class RoutingTable {
  readonly sources = new SourceTable();
  readonly #sets = new AttributeTable();
  readonly #ribs: ReadonlyMap<Family, Rib>;
  readonly #groups = new Map<Family, Map<string, Group>>(FAMILIES.map(family => [family, new Map()]));
  readonly #groupOf = new Map<Member, Group>();
  readonly #policyNumbers = new WeakMap<RoutePolicy, number>();
  #policyCount = 0;
  readonly #clock: Clock;
  readonly #onChanges: (changes: readonly RouteChange[]) => void;
  #isScheduled = false;
  #isDeferred: boolean;
  #isClosed = false;
  #whenFlushed: (() => void)[] = [];

  constructor(options: {
    clock: Clock;
    deferred: boolean;
    onChanges: (changes: readonly RouteChange[]) => void;
  }) {
    this.#clock = options.clock;
    this.#isDeferred = options.deferred;
    this.#onChanges = options.onChanges;
    this.#ribs = new Map(FAMILIES.map(family => [family, new Rib(family, this.#sets, this.sources)]));
  }

  /** Route selection begins. `done` is called when everything collected has been decided and told. */
  resume(done: () => void): void {
    this.#isDeferred = false;
    this.#whenFlushed.push(done);
    this.#schedule();
  }

  close(): void {
    this.#isClosed = true;
  }

  // --- paths in

  putLocal(prefix: string, attributes: PathAttributes): void {
    const { rib, id } = this.#locate(prefix, true)!;
    rib.put(id, this.#sets.intern(0, attributes));
    this.#schedule();
  }

  removeLocal(prefix: string): void {
    const found = this.#locate(prefix, false);
    if (found === undefined) return;
    found.rib.remove(found.id, 0);
    this.#schedule();
  }

  receive(source: number, update: Update, context: ImportContext, families: readonly Family[]): void {
    for (const nlri of update.withdrawn) this.#withdraw(source, nlri);
    for (const { nlri, attributes } of update.announced) {
      if (!families.includes(nlri.family)) continue;
      if (importRefusal(attributes, context) !== undefined) this.#withdraw(source, nlri);
      else if (context.policy === undefined) this.#accept(source, nlri, attributes);
      else this.#acceptByPolicy(source, nlri, attributes, context);
    }
    this.#schedule();
    if (!this.#isDeferred && this.#dirtyCount >= FLUSH_SLICE) this.#flush();
  }

  removeAll(source: number, family: Family, which: "all" | "stale"): void {
    this.#rib(family).removeAll(source, which);
    this.#schedule();
  }

  markStale(source: number, family: Family): void {
    this.#rib(family).markStale(source);
  }

  pathCount(source: number, family: Family): { paths: number; stale: number } {
    const rib = this.#rib(family);
    return { paths: rib.pathCount(source), stale: rib.staleCount(source) };
  }

  /** Something exports depend on (router id, reflector client) has changed for a source. */
  updateSource(index: number, part: Partial<Omit<Source, "index" | "address" | "addressBytes">>): void {
    const before = this.sources.get(index);
    this.sources.update(index, part);
    const after = this.sources.get(index);
    if (before.routerId === after.routerId && before.reflectorClient === after.reflectorClient) return;
    for (const groups of this.#groups.values()) for (const { memo } of groups.values()) memo.clear();
    if (before.reflectorClient !== after.reflectorClient) this.refreshExports();
  }

  /** Its paths have been removed; its index is free once everybody has been told so. */
  releaseSource(index: number): void {
    this.#whenFlushed.push(() => {
      for (const groups of this.#groups.values()) for (const { memo } of groups.values()) memo.clear();
      this.sources.release(index);
    });
    this.#schedule();
  }

  // --- paths out

  /** Adds a member, or moves it to the group of its new rule and sends it the difference. */
  join(member: Member, family: Family, rule: ExportRule): void {
    const key = this.#groupKey(rule);
    const before = this.#groupOf.get(member);
    if (before?.key === key) return;
    const groups = this.#groups.get(family)!;
    let group = groups.get(key);
    if (group === undefined) {
      group = this.#createGroup(family, key, rule);
      groups.set(key, group);
    }
    if (before === undefined) group.updates.join(member);
    else {
      group.updates.adopt(member, before.updates);
      if (before.updates.isEmpty) groups.delete(before.key);
    }
    this.#groupOf.set(member, group);
    this.#schedule();
  }

  leave(member: Member, family: Family): void {
    const group = this.#groupOf.get(member);
    if (group === undefined) return;
    this.#groupOf.delete(member);
    group.updates.leave(member);
    if (group.updates.isEmpty) this.#groups.get(family)!.delete(group.key);
  }

  resend(member: Member): void {
    this.#groupOf.get(member)?.updates.resend(member);
    this.#schedule();
  }

  advertisedTo(member: Member): number {
    return this.#groupOf.get(member)?.updates.advertisedTo(member.source) ?? 0;
  }

  /** Evaluates the exports again: of one member's group, or of all. */
  refreshExports(member?: Member): void {
    const only = member === undefined ? undefined : this.#groupOf.get(member);
    for (const [family, groups] of this.#groups) {
      const rib = this.#rib(family);
      for (const group of groups.values()) {
        if (member !== undefined && group !== only) continue;
        group.memo.clear();
        group.updates.flush(allIds(rib));
      }
    }
    this.#schedule();
  }

  /** A member can take more. */
  wake(): void {
    this.#schedule();
  }

  // --- views

  *routes(family?: Family): Generator<Route> {
    for (const rib of family === undefined ? this.#ribs.values() : [this.#rib(family)]) {
      for (const id of allIds(rib)) {
        const best = rib.bestOf(id);
        if (best !== 0) yield this.#bestRoute(rib, id, best);
      }
    }
  }

  best(prefix: string): Route | undefined {
    const found = this.#locate(prefix, false);
    const best = found?.rib.bestOf(found.id) ?? 0;
    return found === undefined || best === 0 ? undefined : this.#bestRoute(found.rib, found.id, best);
  }

  paths(prefix: string): Route[] {
    const found = this.#locate(prefix, false);
    if (found === undefined) return [];
    const { rib, id } = found;
    const best = rib.bestOf(id);
    const paths = rib.pathsOf(id).sort((a, b) => Number(b.id === best) - Number(a.id === best));
    return paths.map(set => this.#route(rib, id, set, hopsOf([set])));
  }

  *advertised(member: Member, family: Family): Generator<Route> {
    const updates = this.#groupOf.get(member)?.updates;
    const rib = this.#rib(family);
    if (updates === undefined) return;
    for (const id of allIds(rib)) {
      const out = updates.outOf(id);
      if (out === 0) continue;
      const set = this.#sets.get(out);
      if (set.source !== member.source) yield this.#route(rib, id, set, hopsOf([set]));
    }
  }

  // --- the turn

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    this.#clock.setImmediate(() => {
      this.#isScheduled = false;
      if (!this.#isClosed && !this.#isDeferred) this.#flush();
    });
  }

  #flush(): void {
    const changes: RouteChange[] = [];
    let more = false;
    for (const [family, rib] of this.#ribs) {
      const groups = this.#groups.get(family)!;
      const ids = rib.decide(FLUSH_SLICE);
      if (ids.length > 0) {
        for (const { updates } of groups.values()) updates.flush(ids);
        for (const id of ids) changes.push(this.#change(rib, id));
      }
      if (rib.dirtyCount > 0) {
        more = true;
        continue;
      }
      // Only what is decided is told: End-of-RIB must not run ahead of the routes.
      for (const { updates } of groups.values()) {
        for (const member of [...updates.behindMembers()]) more = updates.catchUp(member) || more;
      }
      if (![...groups.values()].some(({ updates }) => updates.hasBehind)) rib.releaseUnused();
    }
    if (this.#sets.wantsSweep) this.#sweep();
    if (more) this.#schedule();
    if (changes.length > 0) this.#onChanges(changes);
    if (this.#dirtyCount > 0) return;
    const waiting = this.#whenFlushed;
    this.#whenFlushed = [];
    for (const done of waiting) done();
  }

  get #dirtyCount(): number {
    let count = 0;
    for (const rib of this.#ribs.values()) count += rib.dirtyCount;
    return count;
  }

  #sweep(): void {
    const groups = [...this.#groups.values()].flatMap(byKey => [...byKey.values()]);
    this.#sets.sweep(keep => {
      for (const rib of this.#ribs.values()) rib.mark(keep);
      for (const { updates } of groups) updates.mark(keep);
    });
    for (const { memo } of groups) memo.clear();
  }

  // --- import

  #withdraw(source: number, nlri: Nlri): void {
    const rib = this.#rib(nlri.family);
    for (const id of rib.idsOf(nlri, false)) rib.remove(id, source);
  }

  #accept(source: number, nlri: Nlri, attributes: PathAttributes): void {
    const rib = this.#rib(nlri.family);
    const set = this.#sets.intern(source, attributes);
    for (const id of rib.idsOf(nlri, true)) rib.put(id, set);
  }

  #acceptByPolicy(source: number, nlri: Nlri, attributes: PathAttributes, context: ImportContext): void {
    const rib = this.#rib(nlri.family);
    for (const id of rib.idsOf(nlri, true)) {
      const accepted = applyImportPolicy(rib.prefixes.format(id), rib.family, attributes, context);
      if (accepted !== null) rib.put(id, this.#sets.intern(source, accepted));
      else {
        rib.remove(id, source);
        // Decided once more only so that its id is given back.
        rib.touch(id);
      }
    }
  }

  // --- export

  #createGroup(family: Family, key: string, rule: ExportRule): Group {
    const rib = this.#rib(family);
    const memo = new Map<number, AttributeSet | undefined>();
    const { target, policy, neighbor } = rule;
    const plain = (best: AttributeSet): AttributeSet | undefined => {
      if (memo.has(best.id)) return memo.get(best.id);
      const attributes = exportAttributes(best.attributes, family, this.sources.get(best.source), target);
      const set = attributes === null ? undefined : this.#sets.intern(best.source, attributes);
      memo.set(best.id, set);
      return set;
    };
    const evaluate = (id: number, best: AttributeSet): AttributeSet | undefined => {
      const source = this.sources.get(best.source);
      if (!mayExport(source, best.attributes, target)) return undefined;
      if (policy === undefined) return plain(best);
      const route = this.#route(rib, id, best, hopsOf([best]));
      const result = askPolicy(policy, route, neighbor);
      if (result === null) return undefined;
      if (result === route) return plain(best);
      const changed = {
        nextHop: result.nextHop !== route.nextHop,
        nextHopMode: result.nextHopMode,
        med: result.med !== route.med,
      };
      const attributes = exportAttributes(attributesOf(result), family, source, target, changed);
      return attributes === null ? undefined : this.#sets.intern(best.source, attributes);
    };
    const { fourOctetAs } = target;
    return { key, memo, updates: new UpdateGroup({ rib, sets: this.#sets, fourOctetAs, evaluate }) };
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

  // --- values for the outside

  #rib(family: Family): Rib {
    return this.#ribs.get(family)!;
  }

  #locate(prefix: string, add: boolean): { rib: Rib; id: number } | undefined {
    const parsed = parsePrefix(prefix);
    if (parsed === undefined) return undefined;
    const rib = this.#rib(parsed.family);
    const id = add
      ? rib.ensure(parsed.address, 0, parsed.length)
      : rib.prefixes.find(parsed.address, 0, parsed.length);
    return id === 0 ? undefined : { rib, id };
  }

  #change(rib: Rib, id: number): RouteChange {
    const best = rib.bestOf(id);
    const prefix = rib.prefixes.format(id);
    return { prefix, family: rib.family, best: best === 0 ? null : this.#bestRoute(rib, id, best) };
  }

  #bestRoute(rib: Rib, id: number, best: number): Route {
    const equal = rib.equalOf(id).map(set => this.#sets.get(set));
    return this.#route(rib, id, this.#sets.get(best), hopsOf(equal));
  }

  #route(rib: Rib, id: number, set: AttributeSet, nextHops: readonly string[]): Route {
    const { address, type } = this.sources.get(set.source);
    return {
      ...set.attributes,
      prefix: rib.prefixes.format(id),
      family: rib.family,
      source: address,
      sourceType: type,
      nextHops,
      stale: rib.isStale(id, set.source),
    };
  }
}

function hopsOf(sets: readonly AttributeSet[]): readonly string[] {
  const hops = new Set<string>();
  for (const { attributes } of sets) if (attributes.nextHop !== undefined) hops.add(attributes.nextHop);
  return [...hops];
}

function* allIds(rib: Rib): Generator<number> {
  for (let id = 1; id < rib.prefixes.end; id++) if (rib.prefixes.has(id)) yield id;
}
