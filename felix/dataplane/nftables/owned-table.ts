/**
 * An nftables table of ours: how the kernel gets to what is wanted of it (wanted-table.ts).
 *
 * **Packets on their way.** A packet reads once, at its hook, which generation of rules it goes by, but each time it asks a
 * set it finds the elements of the moment. So while a commit takes effect, a packet in the old rules must find in every map
 * what they had there: the map of a dispatch chain would send it to a chain that for it is empty still, and let it
 * through. And a base chain that is deleted and made anew lets through what has passed the new one, empty still, before and the
 * old one, empty already, after. (`test/interop/felix/packets-on-their-way.test.ts`.) Therefore
 *
 * - what a key of a map to verdicts leads to never changes: another map takes its place, under another name, `NAME/2` for
 *   `NAME`. Keys come and go in place only where packets without one are denied ({@link KeptSet.growsInPlace});
 * - a map that rules no longer ask goes with a second transaction, when all packets are in the new rules;
 * - what another agent has left, or somebody has changed, is not made anew but compared, and the difference is written.
 *
 * Where the kernel can, the table is owned: nobody else may change it while we live, it stays when we are gone, and
 * whoever comes next takes it over.
 */

import { isNetlinkError } from "../../../linux/errors.ts";
import { Batch } from "../../../linux/nf-tables/batch.ts";
import { TableFlag } from "../../../linux/nf-tables/constants.ts";
import type { BaseChain, Element, NftSet, RuleEntry, TableRef } from "../../../linux/nf-tables/model.ts";
import { type NfTables, OWNED } from "../../../linux/nf-tables/nf-tables.ts";
import { TransactionError } from "../../../linux/nf-tables/transaction-error.ts";
import { type ElementDifference, elementDifference, sameBase, sameKind, sameRules } from "./compare.ts";
import type { KeptSet } from "./kept-set.ts";
import type { TableRule } from "./rule.ts";
import { WantedTable } from "./wanted-table.ts";

/** What becomes of a set: made where there was none, or under another name; changed; gone. By its name in the kernel. */
interface SetChange {
  readonly from: NftSet | undefined;
  readonly to: NftSet | undefined;
  readonly added: readonly Element[];
  readonly removed: readonly Element[];
}

export class OwnedTable {
  readonly wanted = new WantedTable();
  readonly #nfTables: NfTables;
  readonly #table: TableRef;
  readonly #canOwn: boolean;
  /** What the kernel has: of base chains where, of sets what kind, by its names. */
  readonly #kernel = { chains: new Map<string, BaseChain | undefined>(), sets: new Map<string, NftSet>() };
  /** By our name, the kernel's of a set that is in use. */
  readonly #names = new Map<string, string>();
  /** By our name, what a set in use has in the kernel, where that is not what we last took for it. */
  readonly #found = new Map<string, readonly Element[]>();
  /** Sets in the kernel that nothing wanted is named. */
  readonly #left = new Set<string>();
  /** Nothing is known of what the kernel has. */
  #unknown = true;
  /** The table has to be made, or to become ours. */
  #toOwn = false;
  /** Commits in succession that the kernel has refused. */
  #refusals = 0;

  constructor(nfTables: NfTables, table: TableRef, canOwn: boolean) {
    this.#nfTables = nfTables;
    this.#table = table;
    this.#canOwn = canOwn;
  }

  get pending(): boolean {
    return (
      this.#unknown ||
      this.#toOwn ||
      this.wanted.dirtyChains.size > 0 ||
      this.wanted.dirtySets.size > 0 ||
      this.#left.size > 0
    );
  }

  /** @throws TransactionError, and then the next commit begins with what the kernel has */
  commit(): void {
    if (!this.pending) return;
    if (this.#unknown) this.#look();
    this.#unknown = true;
    try {
      const batch = new Batch();
      this.#writeWanted(batch);
      if (this.#isMapLeft()) this.#nfTables.commit(batch);
      const last = this.#isMapLeft() ? new Batch() : batch;
      this.#deleteUnwanted(last);
      this.#nfTables.commit(last);
    } catch (error) {
      // That another agent owns it says nothing about what we write.
      if (error instanceof TransactionError && !isNetlinkError(error, "EPERM")) this.#refusals++;
      throw error;
    }
    this.#refusals = 0;
    this.#unknown = false;
  }

  /** Compares the kernel with what we have written; the next commit writes the difference. */
  resync(): void {
    if (this.#unknown) return;
    // Nobody but us can have changed it.
    if (this.#canOwn && this.#nfTables.table(this.#table)?.owner === this.#nfTables.portId) return;
    this.#look();
  }

  /** Rules that count, with the numbers the kernel has for them. */
  *counters(): Generator<{ readonly rule: TableRule; readonly packets: bigint; readonly bytes: bigint }> {
    const positions = new Map<string, number>();
    for (const entry of this.#nfTables.rules(this.#table)) {
      const position = positions.get(entry.chain) ?? 0;
      positions.set(entry.chain, position + 1);
      const rule = this.wanted.dirtyChains.has(entry.chain)
        ? undefined
        : this.wanted.chains.get(entry.chain)?.rules[position];
      const counter = entry.expressions.find(({ kind }) => kind === "counter");
      if (rule?.origin && counter?.kind === "counter")
        yield { rule, packets: counter.packets, bytes: counter.bytes };
    }
  }

  // What the kernel has

  /** What differs from what we want is dirty afterwards, and nothing else. */
  #look(): void {
    this.#forget();
    const entry = this.#nfTables.table(this.#table);
    this.#toOwn = entry === undefined || (this.#canOwn && isOrphan(entry.flags));
    if (entry === undefined) {
      this.wanted.touchAll();
      return;
    }
    this.#lookAtSets();
    this.#lookAtChains();
  }

  #forget(): void {
    for (const map of [this.#kernel.chains, this.#kernel.sets, this.#names, this.#found]) map.clear();
    for (const set of [this.wanted.dirtyChains, this.wanted.dirtySets, this.#left]) set.clear();
  }

  #lookAtSets(): void {
    for (const set of this.#nfTables.sets(this.#table)) {
      this.#kernel.sets.set(set.name, set);
      const name = ourName(set.name);
      const wanted = this.wanted.set(name);
      if (!wanted || this.#names.has(name) || !sameKind(wanted, set)) {
        this.#left.add(set.name);
        continue;
      }
      this.#names.set(name, set.name);
      const there = this.#nfTables.elements(this.#table, set);
      const { added, removed } = elementDifference(there, this.wanted.elements(name));
      if (added.length + removed.length > 0) {
        this.#found.set(name, there);
        this.wanted.dirtySets.add(name);
      } else this.wanted.keptSet(name)?.take();
    }
    for (const name of this.wanted.setNames()) if (!this.#names.has(name)) this.wanted.dirtySets.add(name);
  }

  #lookAtChains(): void {
    for (const { name, base } of this.#nfTables.chains(this.#table)) this.#kernel.chains.set(name, base);
    const rules = new Map<string, RuleEntry[]>();
    for (const entry of this.#nfTables.rules(this.#table)) {
      const list = rules.get(entry.chain);
      if (list) list.push(entry);
      else rules.set(entry.chain, [entry]);
    }
    const { chains } = this.#kernel;
    for (const name of new Set([...chains.keys(), ...this.wanted.chains.keys()])) {
      const content = this.wanted.chains.get(name);
      const stands =
        content !== undefined &&
        chains.has(name) &&
        sameBase(content.base, chains.get(name)) &&
        sameRules(
          content.rules.map(rule => this.#inKernel(rule)),
          rules.get(name) ?? [],
        );
      if (!stands) this.wanted.dirtyChains.add(name);
    }
  }

  // The way there

  /** All that is new and changed. What nobody asks any more is still there, and empty if it is a chain. */
  #writeWanted(batch: Batch): void {
    const table = this.#table;
    const { chains } = this.#kernel;
    // What was refused in place may not be refused on an empty table; packets on their way see that.
    if (this.#refusals > 1 && chains.size + this.#kernel.sets.size > 0) this.#startAnew(batch);
    if (this.#toOwn) batch.addTable({ ...table, flags: this.#canOwn ? OWNED : 0 });
    this.#toOwn = false;

    const changes = [...this.wanted.dirtySets].map(name => this.#setChange(name));
    this.wanted.dirtySets.clear();
    const maps: SetChange[] = [];
    for (const change of changes) {
      const { from, to, added, removed } = change;
      if (!to) continue;
      if (from !== to) batch.addSet(table, to);
      else if (removed.length > 0) batch.deleteElements(table, to, removed);
      if (to.data === "verdict") maps.push(change);
      else if (added.length > 0) batch.addElements(table, to, added);
    }
    for (const name of this.wanted.dirtyChains) {
      const content = this.wanted.chains.get(name);
      const isThere = chains.has(name);
      if (isThere) batch.flushChain(table, name);
      if (!content) continue;
      const { base } = content;
      if (isThere && sameBase(base, chains.get(name))) continue;
      if (isThere) batch.deleteChain(table, name);
      batch.addChain(table, { name, ...(base && { base }) });
      chains.set(name, base);
    }
    // A map that rules ask has to say where they go before they are written: the kernel walks both.
    for (const { to, added } of maps) if (to && added.length > 0) batch.addElements(table, to, added);
    for (const name of this.wanted.dirtyChains) {
      for (const rule of this.wanted.chains.get(name)?.rules ?? [])
        batch.addRule(table, name, this.#inKernel(rule));
      if (this.wanted.chains.has(name)) this.wanted.dirtyChains.delete(name);
    }
  }

  /** Other sets keep what they have to the end, for the packets that still ask them. */
  #isMapLeft(): boolean {
    for (const name of this.#left) if (this.#kernel.sets.get(name)?.data === "verdict") return true;
    return false;
  }

  /** Sets first: elements of maps hold on to chains. */
  #deleteUnwanted(batch: Batch): void {
    for (const name of this.#left) {
      batch.deleteSet(this.#table, name);
      this.#kernel.sets.delete(name);
    }
    this.#left.clear();
    for (const name of this.wanted.dirtyChains) {
      if (this.#kernel.chains.delete(name)) batch.deleteChain(this.#table, name);
    }
    this.wanted.dirtyChains.clear();
  }

  #startAnew(batch: Batch): void {
    batch.deleteTable(this.#table);
    this.#forget();
    this.#toOwn = true;
    this.wanted.touchAll();
  }

  #setChange(name: string): SetChange {
    const kept = this.wanted.keptSet(name);
    const difference = kept?.take();
    const wanted = this.wanted.set(name);
    const there = this.#names.get(name);
    const from = there === undefined ? undefined : this.#kernel.sets.get(there);
    const found = this.#found.get(name);
    this.#found.delete(name);
    if (!wanted) {
      if (from) this.#leave(name, from);
      return { from, to: undefined, added: [], removed: [] };
    }
    if (from && sameKind(from, wanted) && (found || !difference?.replaced)) {
      const change: ElementDifference = found
        ? elementDifference(found, this.wanted.elements(name))
        : (difference ?? NO_DIFFERENCE);
      if (canChangeInPlace(wanted, kept, change)) return { from, to: from, ...change };
    }
    const to = { ...wanted, name: this.#freeName(name) };
    if (from) this.#leave(name, from);
    this.#names.set(name, to.name);
    this.#kernel.sets.set(to.name, to);
    return { from, to, added: this.wanted.elements(name), removed: [] };
  }

  /** It is in the kernel yet and stands for nothing. Rules that ask it have to be written again. */
  #leave(name: string, set: NftSet): void {
    this.#left.add(set.name);
    this.#names.delete(name);
    this.wanted.touchAskers(name);
  }

  #freeName(name: string): string {
    for (let i = 1; ; i++) {
      const candidate = i === 1 ? name : `${name}${COPY}${i}`;
      if (!this.#kernel.sets.has(candidate)) return candidate;
    }
  }

  /** With the kernel's names of the sets it asks. */
  #inKernel(rule: TableRule): TableRule {
    const isRenamed = rule.expressions.some(
      expression =>
        expression.kind === "lookup" &&
        (this.#names.get(expression.set) ?? expression.set) !== expression.set,
    );
    if (!isRenamed) return rule;
    const expressions = rule.expressions.map(expression =>
      expression.kind === "lookup"
        ? { ...expression, set: this.#names.get(expression.set) ?? expression.set }
        : expression,
    );
    return { ...rule, expressions };
  }
}

/**
 * With all that is in it, once no packet can be in its rules any more: they would ask maps that are empty. Whether it was
 * there.
 */
export function removeTable(nfTables: NfTables, table: TableRef): boolean {
  if (!nfTables.table(table)) return false;
  const [unhook, remove] = [new Batch(), new Batch()];
  for (const { name, base } of nfTables.chains(table)) if (base) unhook.flushChain(table, name);
  remove.deleteTable(table);
  try {
    nfTables.commit(unhook);
    nfTables.commit(remove);
    return true;
  } catch (error) {
    // Somebody else was faster.
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}

/** Between a set's name and the number of the one that is in use. Names of sets have none. */
const COPY = "/";
const ourName = (name: string): string => name.split(COPY, 1)[0] as string;

/** Its owner is gone, and it has outlived it. */
const isOrphan = (flags: number): boolean => (flags & OWNED) === TableFlag.PERSIST;

const NO_DIFFERENCE: ElementDifference = { added: [], removed: [] };

function canChangeInPlace(set: NftSet, kept: KeptSet | undefined, change: ElementDifference): boolean {
  const { added, removed } = change;
  if (set.data !== "verdict" || added.length + removed.length === 0) return true;
  if (!kept?.growsInPlace) return false;
  const gone = new Set(removed.map(({ key }) => key));
  return !added.some(({ key }) => gone.has(key));
}
