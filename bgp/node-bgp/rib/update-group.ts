/**
 * Adj-RIB-Out of one family for all neighbors that are to be told the same: evaluated once, encoded once, written to each.
 *
 *   decided prefixes -> choose (export rules, policy) -> compare with `out` -> encode, sorted by source -> members
 *
 * `out` (adj-rib-out.ts) is what the group advertises. It gives change detection, exact withdraws, and a late joiner's table.
 *
 * A member that is not in step - new, asking for a refresh, or reading too slowly - is *behind*: it gets what it has missed out of `out` at
 * its own pace (backlog.ts), and costs the others nothing. Being in step means `out` is exactly what it has been told.
 *
 * All work comes in steps of about a millisecond, as who calls has other things to do in a turn: {@link UpdateGroup.flush} ends with a batch
 * that {@link UpdateGroup.deliver} writes to some members at a time, and nothing else may begin before it is out.
 */

import { MessageType } from "../message/constants.ts";
import { frame } from "../message/framing.ts";
import { endOfRibBody } from "../message/update-packer.ts";
import { AddPathsOut, type AdjRibOut, type AdvertisedPath, BestPathsOut } from "./adj-rib-out.ts";
import type { AttributeTable } from "./attribute-table.ts";
import { Backlog, type Told } from "./backlog.ts";
import type { Exporter } from "./exporter.ts";
import type { Rib } from "./rib.ts";
import { type Batch, Changes, UpdateBatcher } from "./update-batch.ts";

/** Where the bytes of one neighbor and family go. */
export interface Member {
  readonly source: number;
  /** Bytes not yet taken by the kernel. */
  readonly writableLength: number;
  /** The bytes are the caller's again when `writableLength` is 0 afterwards. */
  sendUpdates(bytes: Uint8Array, messages: number): void;
  /** It is in step after having been behind: all it had missed has been sent, End-of-RIB too where one was due. */
  caughtUp?(): void;
}

/** Above this a member is not written to but falls behind. */
const MAX_QUEUED_BYTES = 1 << 20;
/** Prefixes per step, and members written to per step. */
const STEP = 2048;
/** A policy of the user's may take microseconds for each. */
const POLICY_STEP = 256;
const DELIVER_STEP = 64;

export class UpdateGroup {
  readonly #rib: Rib;
  readonly #sets: AttributeTable;
  readonly #exporter: Exporter;
  readonly #batcher: UpdateBatcher;
  readonly #catchUpBatcher: UpdateBatcher;
  readonly #changes = new Changes(STEP);
  readonly #out: AdjRibOut;
  readonly #members = new Map<Member, Backlog | undefined>();
  /** Members with a backlog, in the order in which it is their turn. */
  #behind: Member[] = [];
  /** A batch on its way, whom it is for, and how many have it. */
  #batch: Batch | undefined;
  #recipients: Member[] = [];
  #delivered = 0;
  /** Evaluating everything: how far it is, and how far it has to go; what came later was evaluated as it came. */
  #evaluatedTo = 1;
  #evaluateEnd: number;
  /** That was never done yet: `out` is whole only below. */
  #isNew = true;
  /** Tell again what has not changed, where it comes from this source; -1: no. */
  #forcedSource = -1;

  constructor(rib: Rib, sets: AttributeTable, exporter: Exporter) {
    this.#rib = rib;
    this.#sets = sets;
    this.#exporter = exporter;
    this.#batcher = new UpdateBatcher(sets, rib.prefixes, exporter);
    this.#catchUpBatcher = new UpdateBatcher(sets, rib.prefixes, exporter);
    const { addPaths } = exporter.target;
    this.#out =
      addPaths === 0 ? new BestPathsOut(rib, sets, exporter) : new AddPathsOut(rib, sets, exporter, addPaths);
    this.#evaluateEnd = rib.prefixes.end;
  }

  get exporter(): Exporter {
    return this.#exporter;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  /** Somebody may still have to be told of prefixes that are gone: their ids must not be reused yet. */
  get refersToPrefixes(): boolean {
    return this.#behind.length > 0;
  }

  /** It is to be told of every change of paths, not only of best ones. */
  get followsAllPaths(): boolean {
    return this.#out.followsAllPaths;
  }

  /** How many paths are advertised, whoever's they are. */
  get advertised(): number {
    return this.#out.counts.total;
  }

  advertisedTo(source: number): number {
    return this.#out.counts.total - this.#out.counts.of(source);
  }

  /** What is advertised of a prefix to a neighbor: nobody is told its own routes. */
  pathsTo(source: number, id: number): readonly AdvertisedPath[] {
    return this.#toldTo(source, this.#out.pathsOf(id));
  }

  // --- members

  join(member: Member): void {
    this.#putBehind(member, new Backlog("new", { cursor: 1, endOfRib: true }));
  }

  leave(member: Member): void {
    if (this.#members.get(member) !== undefined)
      this.#behind = this.#behind.filter(other => other !== member);
    this.#members.delete(member);
  }

  /** Takes over a member whose group `old` was, and owes it the difference. */
  adopt(member: Member, old: UpdateGroup): void {
    const before = old.#members.get(member);
    const endOfRib = before?.endOfRib ?? false;
    // What somebody has been told who was still catching up is not known exactly.
    const isKnown = before === undefined && !old.#isDelivering(member);
    const told = old.#told(this, isKnown);
    const backlog = isKnown
      ? new Backlog("told", { cursor: 1, told })
      : // Identifiers must be known to be withdrawn.
        new Backlog("anything", { cursor: 1, endOfRib, ...(this.followsAllPaths ? { told } : {}) });
    if (before !== undefined) backlog.takeOver(before);
    old.leave(member);
    this.#putBehind(member, backlog);
  }

  /** ROUTE-REFRESH: everything again. */
  resend(member: Member): void {
    if (!this.#members.has(member)) return;
    const before = this.#members.get(member);
    // What is missing already goes with it: the walk begins anew and knows less.
    const kind = before === undefined || before.kind === "resend" ? "resend" : before.kind;
    const backlog = new Backlog(kind === "told" ? "anything" : kind, {
      cursor: 1,
      endOfRib: before?.endOfRib ?? false,
      ...(before?.told === undefined ? {} : { told: { ...before.told, isSame: () => false } }),
    });
    if (before !== undefined) backlog.takeOver(before);
    this.#putBehind(member, backlog);
  }

  // --- one step at a time

  /** A batch is on its way: {@link deliver} it before anything else. */
  get isDelivering(): boolean {
    return this.#batch !== undefined;
  }

  /** Writes the batch to some more members. */
  deliver(): void {
    const batch = this.#batch!;
    const end = Math.min(this.#delivered + DELIVER_STEP, this.#recipients.length);
    for (; this.#delivered < end; this.#delivered++) this.#write(this.#recipients[this.#delivered]!, batch);
    if (this.#delivered < this.#recipients.length) return;
    if (this.#recipients.some(({ writableLength }) => writableLength > 0)) this.#batcher.keepBytes();
    this.#batch = undefined;
    this.#recipients = [];
    this.#delivered = 0;
  }

  /** The best paths of these prefixes are others now. Looks at some of `ids` from `from` on and returns where it stopped. */
  flush(ids: Int32Array, from: number, count: number): number {
    const to = Math.min(count, from + this.#step);
    for (let i = from; i < to; i++) this.#evaluate(ids[i]!);
    this.#send();
    return to;
  }

  /** Begins to evaluate everything again; `forcedSource`: what comes from it is told again even if it is the same set. */
  refresh(forcedSource = -1): void {
    this.#exporter.forget();
    this.#forcedSource = forcedSource;
    this.#evaluatedTo = 1;
    this.#evaluateEnd = this.#rib.prefixes.end;
  }

  /** A step of evaluating everything. Returns false where there is nothing to do. */
  refreshStep(): boolean {
    if (this.#evaluatedTo >= this.#evaluateEnd) {
      this.#isNew = false;
      this.#forcedSource = -1;
      return false;
    }
    const from = this.#evaluatedTo;
    this.#evaluatedTo = Math.min(this.#evaluateEnd, from + this.#step);
    for (let id = from; id < this.#evaluatedTo; id++) if (this.#rib.prefixes.has(id)) this.#evaluate(id);
    this.#send();
    return true;
  }

  /** A step for the next member that is behind and can go on; false where there is none. `mayFinish`: all that is decided is in `out`. */
  catchUpStep(mayFinish: boolean): boolean {
    for (let i = this.#behind.length; i > 0; i--) {
      const member = this.#behind.shift()!;
      const hasMoved = this.#catchUp(member, this.#members.get(member)!, mayFinish);
      if (this.#members.get(member) !== undefined) this.#behind.push(member);
      else member.caughtUp?.();
      if (hasMoved) return true;
    }
    return false;
  }

  /** Names the attribute sets that are referred to for one prefix. */
  markSets(id: number): void {
    for (const { set } of this.#out.pathsOf(id)) this.#sets.mark(set);
    if (this.#behind.length === 0) return;
    for (const backlog of this.#members.values())
      for (const { set } of backlog?.told?.paths.pathsOf(id) ?? []) this.#sets.mark(set);
  }

  // --- inside

  get #step(): number {
    return this.#exporter.hasPolicy ? POLICY_STEP : STEP;
  }

  #putBehind(member: Member, backlog: Backlog): void {
    if (this.#members.get(member) === undefined) this.#behind.push(member);
    this.#members.set(member, backlog);
  }

  #isDelivering(member: Member): boolean {
    return this.#batch !== undefined && this.#recipients.indexOf(member) >= this.#delivered;
  }

  /** What members of this group have been told, for the group that takes one of them over; not `isKnown`: perhaps. */
  #told(next: UpdateGroup, isKnown: boolean): Told {
    const before = this.#exporter;
    const after = next.#exporter;
    return { paths: this.#out.snapshot(), isSame: (a, b) => isKnown && before.readsLike(a, after, b) };
  }

  #evaluate(id: number): void {
    this.#out.evaluate(id, this.#forcedSource, this.#changes);
  }

  /** Encodes the changes for the members in step; the others are to be told later. */
  #send(): void {
    const changes = this.#changes;
    if (changes.count > 0) {
      for (const [member, backlog] of this.#members) {
        let behind = backlog;
        if (behind === undefined && member.writableLength > MAX_QUEUED_BYTES) {
          behind = new Backlog("resend", { cursor: this.#rib.prefixes.end });
          this.#putBehind(member, behind);
        }
        if (behind === undefined) this.#recipients.push(member);
        else
          for (let i = 0; i < changes.count; i++)
            behind.note(changes.ids[i]!, changes.pathIds[i]!, changes.after[i] === 0);
      }
      if (this.#recipients.length > 0) this.#batch = this.#batcher.encode(changes);
    }
    changes.count = 0;
  }

  #write(member: Member, { bytes, common, about, only }: Batch): void {
    // It has left or fallen behind since: then its backlog knows.
    if (!this.#members.has(member)) return;
    const own = about.get(member.source) ?? NO_PARTS;
    let messages = common.messages;
    for (const part of own) messages -= part.messages;
    let from = 0;
    for (const { start, end } of own) {
      // Counted with the first piece; the counter is for people.
      if (start > from) {
        member.sendUpdates(bytes.subarray(from, start), messages);
        messages = 0;
      }
      from = end;
    }
    if (common.end > from) member.sendUpdates(bytes.subarray(from, common.end), messages);
    const extra = only.get(member.source);
    if (extra !== undefined) member.sendUpdates(bytes.subarray(extra.start, extra.end), extra.messages);
  }

  /** False where the member must drain first, or wait for the group. */
  #catchUp(member: Member, backlog: Backlog, mayFinish: boolean): boolean {
    if (member.writableLength > MAX_QUEUED_BYTES) return false;
    const changes = this.#changes;
    for (let left = STEP / 2; left > 0 && backlog.changed.size > 0; left--)
      this.#repay(member, backlog, backlog.changed.shift(), changes);
    const walkEnd = this.#isNew ? this.#evaluatedTo : this.#rib.prefixes.end;
    const from = backlog.cursor;
    const stop = Math.min(walkEnd, from + STEP / 2);
    for (; backlog.cursor < stop; backlog.cursor++) {
      if (this.#rib.prefixes.has(backlog.cursor)) this.#owe(member, backlog, backlog.cursor, changes);
    }
    const hasMoved = changes.count > 0 || backlog.cursor > from;
    this.#sendTo(member, changes);
    if (backlog.cursor < walkEnd || backlog.changed.size > 0 || this.#isNew || !mayFinish) return hasMoved;
    if (backlog.endOfRib) member.sendUpdates(frame(MessageType.update, endOfRibBody(this.#rib.family)), 1);
    this.#members.set(member, undefined);
    return true;
  }

  /** Adds what a member must be told of a prefix that changed while it was behind. */
  #repay(member: Member, backlog: Backlog, id: number, changes: Changes): void {
    const now = this.pathsTo(member.source, id);
    for (const { pathId, set } of now) changes.add(id, pathId, 0, set);
    for (const pathId of backlog.takeGone(id))
      if (!now.some(path => path.pathId === pathId)) changes.add(id, pathId, 0, 0);
    if (now.length === 0 && !this.followsAllPaths) changes.add(id, 0, 0, 0);
  }

  /** Adds what the walk of a member that is behind finds it must be told of one prefix. */
  #owe(member: Member, { kind, told }: Backlog, id: number, changes: Changes): void {
    const now = this.pathsTo(member.source, id);
    const then = told === undefined ? [] : this.#toldTo(member.source, told.paths.pathsOf(id));
    for (const { pathId, set } of now) {
      const known = then.find(path => path.pathId === pathId);
      if (known === undefined || !told!.isSame(known.set, set)) changes.add(id, pathId, 0, set);
    }
    for (const { pathId } of then)
      if (!now.some(path => path.pathId === pathId)) changes.add(id, pathId, 0, 0);
    if (kind === "anything" && now.length === 0 && !this.followsAllPaths) changes.add(id, 0, 0, 0);
  }

  #toldTo(source: number, paths: readonly AdvertisedPath[]): readonly AdvertisedPath[] {
    for (const { set } of paths) {
      if (this.#sets.sourceOf(set) === source)
        return paths.filter(path => this.#sets.sourceOf(path.set) !== source);
    }
    return paths;
  }

  #sendTo(member: Member, changes: Changes): void {
    if (changes.count > 0) {
      const { bytes, common } = this.#catchUpBatcher.encode(changes);
      member.sendUpdates(bytes.subarray(0, common.end), common.messages);
      if (member.writableLength > 0) this.#catchUpBatcher.keepBytes();
    }
    changes.count = 0;
  }
}

const NO_PARTS: Batch["about"] extends ReadonlyMap<number, infer Parts> ? Parts : never = [];
