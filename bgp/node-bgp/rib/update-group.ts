/**
 * Adj-RIB-Out of one family for all neighbors that are to be told the same: evaluated once, encoded once, written to each.
 *
 *   dirty prefixes -> evaluate (export rules, policy) -> compare with `out` -> encode, sorted by source -> members
 *
 * `out` is one attribute set id per prefix: what the group advertises. It gives change detection, exact withdraws, and a
 * late joiner's table. A neighbor is never told its own routes: the encoded batch is sorted by the source of each
 * route, so a member is sent the bytes before and after its own part.
 *
 * A member that is not in step - new, asking for a refresh, or reading too slowly - is *behind*: it gets what it has missed out of `out` at
 * its own pace, and costs the others nothing. Being in step means `out` is exactly what it has been told.
 */

import { encodeNextHop } from "../message/attribute-encoder.ts";
import { MessageType } from "../message/constants.ts";
import { frame } from "../message/framing.ts";
import { endOfRibBody, UpdatePacker } from "../message/update-packer.ts";
import { Writer } from "../message/writer.ts";
import { Family } from "../route.ts";
import { type AttributeSet, type AttributeTable, wireAttributes } from "./attribute-table.ts";
import { grown } from "./prefix-table.ts";
import type { Rib } from "./rib.ts";

/** Where the bytes of one neighbor and family go. */
export interface Member {
  readonly source: number;
  /** Bytes not yet taken by the kernel. */
  readonly writableLength: number;
  sendUpdates(bytes: Uint8Array, messages: number): void;
  /** It was behind and has been written everything now, its End-of-RIB included. */
  caughtUp?(): void;
}

export interface UpdateGroupOptions {
  readonly rib: Rib;
  readonly sets: AttributeTable;
  readonly fourOctetAs: boolean;
  /** The set to advertise for a prefix whose best path is `best`; undefined: none. */
  readonly evaluate: (prefixId: number, best: AttributeSet) => AttributeSet | undefined;
}

interface Behind {
  /** The next prefix of the walk over the whole table. */
  cursor: number;
  /** To be told whatever the walk does. */
  readonly changed: Set<number>;
  /** It has been told nothing yet from the cursor on, so what goes away there needs no withdraw. */
  isFresh: boolean;
  /** Say so when through. */
  endOfRib: boolean;
}

interface Change {
  readonly id: number;
  readonly before: AttributeSet | undefined;
  readonly after: AttributeSet | undefined;
}

/** A run of whole messages in an encoded batch that is about one source's routes. */
interface Part {
  readonly source: number;
  readonly start: number;
  readonly end: number;
  readonly messages: number;
}

/** Above this a member is not written to but falls behind. */
const MAX_QUEUED_BYTES = 1 << 20;
/** Prefixes per step of catching up: about a millisecond. */
const CATCH_UP_STEP = 4096;

export class UpdateGroup {
  readonly #rib: Rib;
  readonly #sets: AttributeTable;
  readonly #fourOctetAs: boolean;
  readonly #evaluate: UpdateGroupOptions["evaluate"];
  #out: Uint32Array;
  readonly #members = new Map<Member, Behind | undefined>();
  /** Advertised prefixes in all, and by source: a member is told all but its own. */
  #advertised = 0;
  readonly #advertisedBySource = new Map<number, number>();

  constructor(options: UpdateGroupOptions) {
    this.#rib = options.rib;
    this.#sets = options.sets;
    this.#fourOctetAs = options.fourOctetAs;
    this.#evaluate = options.evaluate;
    this.#out = new Uint32Array(this.#rib.prefixes.capacity);
    for (let id = 1; id < this.#rib.prefixes.end; id++) {
      if (this.#rib.prefixes.has(id)) this.#set(id, this.#wanted(id));
    }
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  /** A member is behind: ids of prefixes that are gone must not be reused yet. */
  get hasBehind(): boolean {
    for (const behind of this.#members.values()) if (behind !== undefined) return true;
    return false;
  }

  /** Members that have something to catch up with. */
  *behindMembers(): Generator<Member> {
    for (const [member, behind] of this.#members) if (behind !== undefined) yield member;
  }

  join(member: Member): void {
    this.#members.set(member, { cursor: 1, changed: new Set(), isFresh: true, endOfRib: true });
  }

  leave(member: Member): void {
    this.#members.delete(member);
  }

  /** Takes over a member whose group `old` was, and owes it the difference. */
  adopt(member: Member, old: UpdateGroup): void {
    const { end } = this.#rib.prefixes;
    const before = old.#members.get(member);
    const behind = before ?? { cursor: end, changed: new Set<number>(), isFresh: false, endOfRib: false };
    behind.isFresh = false;
    for (let id = 1; id < end; id++) if (old.outOf(id) !== this.outOf(id)) behind.changed.add(id);
    old.leave(member);
    this.#members.set(member, behind);
  }

  /** ROUTE-REFRESH: everything again. */
  resend(member: Member): void {
    if (!this.#members.has(member)) return;
    const behind = this.#members.get(member) ?? { changed: new Set<number>(), endOfRib: false };
    this.#members.set(member, { ...behind, cursor: 1, isFresh: false });
  }

  advertisedTo(source: number): number {
    return this.#advertised - (this.#advertisedBySource.get(source) ?? 0);
  }

  /** The set advertised for a prefix; 0: none. */
  outOf(id: number): number {
    return this.#out[id] ?? 0;
  }

  mark(keep: (id: number) => void): void {
    for (let id = 1; id < this.#out.length; id++) if (this.#out[id] !== 0) keep(this.#out[id]!);
  }

  /** The best paths of these prefixes, or the answer to them, may be others now: evaluates, encodes, sends. */
  flush(ids: Iterable<number>): void {
    const changes: Change[] = [];
    for (const id of ids) {
      const before = this.outOf(id);
      const after = this.#wanted(id);
      if (before === (after?.id ?? 0)) continue;
      changes.push({ id, before: before === 0 ? undefined : this.#sets.get(before), after });
      this.#set(id, after);
    }
    if (changes.length === 0) return;
    const inStep: Member[] = [];
    for (const [member, behind] of this.#members) {
      if (behind !== undefined) noteChanges(behind, changes);
      else if (member.writableLength > MAX_QUEUED_BYTES) this.#fallBehind(member, changes);
      else inStep.push(member);
    }
    if (inStep.length > 0) this.#send(changes, inStep);
  }

  /**
   * One step for a member that is behind. Returns true where another step should follow in a later turn; false when
   * it is in step now, or must drain first.
   */
  catchUp(member: Member): boolean {
    const behind = this.#members.get(member);
    if (behind === undefined || member.writableLength > MAX_QUEUED_BYTES) return false;
    const withdrawn: number[] = [];
    const announced: Change[] = [];
    const take = (id: number, isWalk: boolean) => {
      const out = this.outOf(id);
      const after = out === 0 ? undefined : this.#sets.get(out);
      if (after !== undefined && after.source !== member.source)
        announced.push({ id, before: undefined, after });
      else if (!isWalk) withdrawn.push(id);
    };
    let budget = CATCH_UP_STEP;
    for (const id of behind.changed) {
      if (budget-- === 0) break;
      behind.changed.delete(id);
      take(id, false);
    }
    const end = this.#rib.prefixes.end;
    for (; budget > 0 && behind.cursor < end; behind.cursor++, budget--) {
      if (this.outOf(behind.cursor) !== 0) take(behind.cursor, true);
    }
    const batch = new Encoder(this.#rib, this.#fourOctetAs);
    batch.withdraw(withdrawn);
    batch.announce(announced);
    const { bytes, messages } = batch.finish();
    if (messages > 0) member.sendUpdates(bytes, messages);
    if (behind.cursor < end || behind.changed.size > 0) return true;
    if (behind.endOfRib) member.sendUpdates(frame(MessageType.update, endOfRibBody(this.#rib.family)), 1);
    this.#members.set(member, undefined);
    member.caughtUp?.();
    return false;
  }

  #fallBehind(member: Member, changes: readonly Change[]): void {
    const behind: Behind = {
      cursor: this.#rib.prefixes.end,
      changed: new Set(),
      isFresh: false,
      endOfRib: false,
    };
    this.#members.set(member, behind);
    noteChanges(behind, changes);
  }

  #wanted(id: number): AttributeSet | undefined {
    const best = this.#rib.bestOf(id);
    return best === 0 ? undefined : this.#evaluate(id, this.#sets.get(best));
  }

  #set(id: number, set: AttributeSet | undefined): void {
    if (id >= this.#out.length) this.#out = grown(this.#out, this.#rib.prefixes.capacity);
    const before = this.#out[id]!;
    if (before !== 0) this.#count(this.#sets.get(before).source, -1);
    if (set !== undefined) this.#count(set.source, 1);
    this.#out[id] = set?.id ?? 0;
  }

  #count(source: number, by: number): void {
    this.#advertised += by;
    this.#advertisedBySource.set(source, (this.#advertisedBySource.get(source) ?? 0) + by);
  }

  #send(changes: readonly Change[], members: readonly Member[]): void {
    const batch = new Encoder(this.#rib, this.#fourOctetAs);
    // A withdraw concerns everybody who was told: all but the old source. An announcement all but the new source.
    const gone = changes.filter(({ after }) => after === undefined);
    gone.sort((a, b) => a.before!.source - b.before!.source);
    for (const run of runs(gone, ({ before }) => before!.source)) {
      batch.withdraw(run.map(({ id }) => id));
      batch.cut(run[0]!.before!.source);
    }
    const set = changes.filter(({ after }) => after !== undefined);
    set.sort((a, b) => a.after!.source - b.after!.source || a.after!.id - b.after!.id);
    for (const run of runs(set, ({ after }) => after!.source)) {
      batch.announce(run);
      batch.cut(run[0]!.after!.source);
    }
    const { bytes, messages, parts } = batch.finish();
    for (const member of members) {
      const own = parts.filter(({ source }) => source === member.source);
      if (own.length === 0) {
        if (messages > 0) member.sendUpdates(bytes, messages);
        continue;
      }
      sendAround(member, bytes, messages, own);
      // Routes that are its own now, of which it had been told another neighbor's.
      const taken = set.filter(
        ({ before, after }) =>
          after!.source === member.source && before !== undefined && before.source !== member.source,
      );
      if (taken.length === 0) continue;
      const extra = new Encoder(this.#rib, this.#fourOctetAs);
      extra.withdraw(taken.map(({ id }) => id));
      const withdrawal = extra.finish();
      member.sendUpdates(withdrawal.bytes, withdrawal.messages);
    }
  }
}

/** Encodes batches for one group, remembering which part of the bytes is about whose routes. */
class Encoder {
  readonly #rib: Rib;
  readonly #fourOctetAs: boolean;
  readonly #writer = new Writer();
  readonly #packer: UpdatePacker;
  readonly #parts: Part[] = [];
  #cutAt = 0;
  #cutMessages = 0;

  constructor(rib: Rib, fourOctetAs: boolean) {
    this.#rib = rib;
    this.#fourOctetAs = fourOctetAs;
    this.#packer = new UpdatePacker(this.#writer, rib.family);
  }

  withdraw(ids: readonly number[]): void {
    if (ids.length === 0) return;
    this.#packer.beginWithdraw();
    for (const id of ids) this.#add(id);
    this.#packer.end();
  }

  /** Packs best where the changes are sorted by attribute set. */
  announce(changes: readonly Change[]): void {
    const isIpv4 = this.#rib.family === Family.ipv4Unicast;
    let open: AttributeSet | undefined;
    let fits = true;
    const unfit: number[] = [];
    for (const { id, after } of changes) {
      if (after !== open && after !== undefined) {
        open = after;
        const nextHop = isIpv4 ? undefined : encodeNextHop(after.attributes);
        fits = this.#packer.beginAnnounce(wireAttributes(after, isIpv4, this.#fourOctetAs), nextHop);
      }
      if (fits) this.#add(id);
      else unfit.push(id);
    }
    this.#packer.end();
    // Attributes too long for a message: whatever was told before must not stand (RFC 4271 9.2).
    this.withdraw(unfit);
  }

  /** What was written since the last cut is about routes of `source`. */
  cut(source: number): void {
    const end = this.#writer.length;
    const messages = this.#packer.messages - this.#cutMessages;
    if (messages > 0) this.#parts.push({ source, start: this.#cutAt, end, messages });
    this.#cutAt = end;
    this.#cutMessages = this.#packer.messages;
  }

  finish(): { bytes: Uint8Array; messages: number; parts: readonly Part[] } {
    return { bytes: this.#writer.take(), messages: this.#packer.messages, parts: this.#parts };
  }

  #add(id: number): void {
    const { prefixes } = this.#rib;
    this.#packer.add(prefixes.addresses, id * prefixes.size, prefixes.lengthOf(id));
  }
}

function noteChanges({ cursor, changed, isFresh }: Behind, changes: readonly Change[]): void {
  for (const { id } of changes) if (id < cursor || !isFresh) changed.add(id);
}

function sendAround(member: Member, bytes: Uint8Array, messages: number, own: readonly Part[]): void {
  let from = 0;
  let left = messages;
  for (const part of own) left -= part.messages;
  // Counted with the first piece; the counter is for people.
  for (const { start, end } of [...own, { start: bytes.length, end: bytes.length }]) {
    if (start > from) {
      member.sendUpdates(bytes.subarray(from, start), left);
      left = 0;
    }
    from = end;
  }
}

function* runs<T>(sorted: readonly T[], key: (item: T) => number): Generator<T[]> {
  let run: T[] = [];
  for (const item of sorted) {
    if (run.length > 0 && key(run[0]!) !== key(item)) {
      yield run;
      run = [];
    }
    run.push(item);
  }
  if (run.length > 0) yield run;
}
