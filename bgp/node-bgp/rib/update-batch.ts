/**
 * Changes of an Adj-RIB-Out as UPDATE messages: encoded once, for every member of the group.
 *
 * A neighbor is never told its own routes. The messages are therefore sorted by the source of the routes they are about, and the batch
 * knows each source's part: a member is sent the bytes before and after its own.
 */

import { UpdatePacker } from "../message/update-packer.ts";
import { Writer } from "../message/writer.ts";
import type { AttributeTable } from "./attribute-table.ts";
import { grown } from "./column.ts";
import type { Exporter } from "./exporter.ts";
import type { PrefixTable } from "./prefix-table.ts";

/** What a group advertises of a path, before and now: sets as the {@link Exporter} chose them, 0 for nothing. */
export class Changes {
  ids: Int32Array<ArrayBuffer>;
  /** Path identifiers (RFC 7911); 0 where only the best path is advertised. */
  pathIds: Int32Array<ArrayBuffer>;
  before: Int32Array<ArrayBuffer>;
  after: Int32Array<ArrayBuffer>;
  count = 0;

  constructor(capacity: number) {
    this.ids = new Int32Array(capacity);
    this.pathIds = new Int32Array(capacity);
    this.before = new Int32Array(capacity);
    this.after = new Int32Array(capacity);
  }

  add(id: number, pathId: number, before: number, after: number): void {
    if (this.count === this.ids.length) this.#grow();
    this.ids[this.count] = id;
    this.pathIds[this.count] = pathId;
    this.before[this.count] = before;
    this.after[this.count++] = after;
  }
  /** A prefix may have several paths that changed. */
  #grow(): void {
    const capacity = this.ids.length * 2;
    this.ids = grown(this.ids, capacity);
    this.pathIds = grown(this.pathIds, capacity);
    this.before = grown(this.before, capacity);
    this.after = grown(this.after, capacity);
  }
}

/** Whole messages in the bytes of a batch. */
interface Part {
  readonly start: number;
  readonly end: number;
  readonly messages: number;
}

/** Valid until the batcher encodes the next one, unless {@link UpdateBatcher.keepBytes} is called. */
export interface Batch {
  readonly bytes: Uint8Array;
  /** What everybody is sent. */
  readonly common: Part;
  /** What of it is about one source's routes, by source. */
  readonly about: ReadonlyMap<number, readonly Part[]>;
  /** By source, behind the common part: withdraws of prefixes whose best path was another's and is its own now. */
  readonly only: ReadonlyMap<number, Part>;
}

/** Consecutive changes of one set (announced) or of one source (withdrawn). */
interface Run {
  readonly source: number;
  readonly set: number;
  readonly from: number;
  readonly to: number;
}

export class UpdateBatcher {
  readonly #sets: AttributeTable;
  readonly #prefixes: PrefixTable;
  readonly #exporter: Exporter;
  readonly #writer = new Writer();
  readonly #packer: UpdatePacker;
  readonly #list = new Writer(512);
  readonly #nextHop = new Writer(32);
  readonly #address: Uint8Array;
  #partStart = 0;
  #partMessages = 0;

  constructor(sets: AttributeTable, prefixes: PrefixTable, exporter: Exporter) {
    this.#sets = sets;
    this.#prefixes = prefixes;
    this.#exporter = exporter;
    this.#address = new Uint8Array(prefixes.size);
    this.#packer = new UpdatePacker(this.#writer, prefixes.family, exporter.packing);
  }

  /** Somebody still needs the bytes of the last batch: the next one gets new ones. */
  keepBytes(): void {
    this.#writer.take();
  }

  encode(changes: Changes): Batch {
    this.#writer.reset();
    this.#partStart = 0;
    this.#partMessages = this.#packer.messages;
    const before = this.#packer.messages;
    const about = new Map<number, Part[]>();
    const noteAbout = (source: number) => {
      const part = this.#endPart();
      if (part.messages === 0) return;
      const known = about.get(source);
      if (known === undefined) about.set(source, [part]);
      else known.push(part);
    };
    for (const runs of bySource(this.#withdrawn(changes))) {
      this.#packer.beginWithdraw();
      for (const run of runs) this.#addRun(changes, run);
      noteAbout(runs[0]!.source);
    }
    for (const runs of bySource(this.#announced(changes))) {
      this.#announce(changes, runs);
      noteAbout(runs[0]!.source);
    }
    const common = { start: 0, end: this.#writer.length, messages: this.#packer.messages - before };
    const only = this.#encodeTaken(changes);
    return { bytes: this.#writer.view(), common, about, only };
  }

  #announce(changes: Changes, runs: readonly Run[]): void {
    let set = 0;
    for (const run of runs) {
      if (run.set !== set) {
        set = run.set;
        // The open message still needs its own attributes: behind the prefixes, where they are in MP_REACH_NLRI.
        this.#packer.end();
        const isClassic = this.#exporter.write(set, this.#list, this.#nextHop);
        const fits = this.#packer.beginAnnounce(this.#list, isClassic ? undefined : this.#nextHop);
        // What is too long for a message cannot be told, and what was told before must not stand (RFC 4271 9.2).
        if (!fits) this.#packer.beginWithdraw();
      }
      this.#addRun(changes, run);
    }
  }

  #encodeTaken(changes: Changes): Map<number, Part> {
    const { before, after, count } = changes;
    const taken = new Map<number, number[]>();
    for (let i = 0; i < count; i++) {
      if (before[i] === 0 || after[i] === 0) continue;
      const source = this.#sets.sourceOf(after[i]!);
      if (source === this.#sets.sourceOf(before[i]!)) continue;
      const known = taken.get(source);
      if (known === undefined) taken.set(source, [i]);
      else known.push(i);
    }
    const parts = new Map<number, Part>();
    for (const [source, list] of taken) {
      this.#packer.beginWithdraw();
      for (const i of list) this.#add(changes, i);
      parts.set(source, this.#endPart());
    }
    return parts;
  }

  #withdrawn({ before, after, count }: Changes): Run[] {
    const runs: Run[] = [];
    for (let i = 0; i < count; i++) {
      if (after[i] !== 0) continue;
      const source = this.#sets.sourceOf(before[i]!);
      const from = i;
      while (i + 1 < count && after[i + 1] === 0 && this.#sets.sourceOf(before[i + 1]!) === source) i++;
      runs.push({ source, set: 0, from, to: i + 1 });
    }
    return runs.sort((a, b) => a.source - b.source);
  }

  #announced({ after, count }: Changes): Run[] {
    const runs: Run[] = [];
    for (let i = 0; i < count; i++) {
      const set = after[i]!;
      if (set === 0) continue;
      const from = i;
      while (i + 1 < count && after[i + 1] === set) i++;
      runs.push({ source: this.#sets.sourceOf(set), set, from, to: i + 1 });
    }
    return runs.sort((a, b) => a.source - b.source || a.set - b.set);
  }

  #addRun(changes: Changes, { from, to }: Run): void {
    for (let i = from; i < to; i++) this.#add(changes, i);
  }

  #add({ ids, pathIds }: Changes, i: number): void {
    const length = this.#prefixes.read(ids[i]!, this.#address);
    this.#packer.add(this.#address, 0, length, pathIds[i]!);
  }

  /** Closes what was written since the last part. */
  #endPart(): Part {
    this.#packer.end();
    const part = {
      start: this.#partStart,
      end: this.#writer.length,
      messages: this.#packer.messages - this.#partMessages,
    };
    this.#partStart = part.end;
    this.#partMessages = this.#packer.messages;
    return part;
  }
}

function* bySource(sorted: readonly Run[]): Generator<readonly Run[]> {
  for (let from = 0; from < sorted.length; ) {
    const { source } = sorted[from]!;
    let to = from + 1;
    while (to < sorted.length && sorted[to]!.source === source) to++;
    yield sorted.slice(from, to);
    from = to;
  }
}
