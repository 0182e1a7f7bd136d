/**
 * One nftables table as it should be, and the way there: differences pile up, and a commit writes them as one transaction.
 * No packet sees half of it.
 *
 * The first commit, and any after a failure or where the kernel turned out to be different, says everything: it removes the
 * table and makes it anew. That is not one step for a packet on its way: it may meet the new hook still empty and the old
 * one already without rules (docs/conformance.md). Where the kernel can, the table is owned: nobody else
 * may change it while we live, it stays when we are gone, and whoever comes next takes it over. Elsewhere resync
 * compares it with what we want.
 */

import { isNetlinkError } from "../../../linux/errors.ts";
import { Batch } from "../../../linux/nf-tables/batch.ts";
import type { Expression } from "../../../linux/nf-tables/expression.ts";
import type { BaseChain, Element, NftSet, RuleEntry, TableRef } from "../../../linux/nf-tables/model.ts";
import { type NfTables, OWNED } from "../../../linux/nf-tables/nf-tables.ts";
import type { TableSink } from "./family.ts";
import { type KeptSet, type SetDifference, sameElement, sameVerdict } from "./kept-set.ts";
import type { ListSet, TableRule } from "./rule.ts";
import type { ChainContent } from "./static-chains.ts";

export class OwnedTable implements TableSink {
  readonly #nfTables: NfTables;
  readonly #table: TableRef;
  readonly #canOwn: boolean;
  readonly #chains = new Map<string, ChainContent>();
  readonly #sets = new Map<string, KeptSet>();
  /** Sets that rules name, and how many rules do. */
  readonly #lists = new Map<string, { readonly list: ListSet; rules: number }>();
  /** What the kernel has, by our last commit: of base chains where, of sets what kind. */
  readonly #written = { chains: new Map<string, BaseChain | undefined>(), sets: new Map<string, NftSet>() };
  readonly #dirtyChains = new Set<string>();
  readonly #dirtySets = new Set<string>();
  /** Nothing is known of what the kernel has. */
  #unknown = true;

  constructor(nfTables: NfTables, table: TableRef, canOwn: boolean) {
    this.#nfTables = nfTables;
    this.#table = table;
    this.#canOwn = canOwn;
  }

  setChain(name: string, content: ChainContent): void {
    const former = this.#chains.get(name);
    if (former && sameRules(former.rules, content.rules)) return;
    this.#chains.set(name, content);
    for (const list of listsOf(content.rules)) this.#useList(list, 1);
    for (const list of listsOf(former?.rules ?? [])) this.#useList(list, -1);
    this.#dirtyChains.add(name);
  }

  removeChain(name: string): void {
    const former = this.#chains.get(name);
    if (!former) return;
    this.#chains.delete(name);
    for (const list of listsOf(former.rules)) this.#useList(list, -1);
    this.#dirtyChains.add(name);
  }

  addSet(set: KeptSet): void {
    this.#sets.set(set.set.name, set);
    this.#dirtySets.add(set.set.name);
  }

  touchSet(set: KeptSet): void {
    if (set.changed) this.#dirtySets.add(set.set.name);
  }

  removeSet(name: string): void {
    if (this.#sets.delete(name)) this.#dirtySets.add(name);
  }

  get pending(): boolean {
    return this.#unknown || this.#dirtyChains.size > 0 || this.#dirtySets.size > 0;
  }

  /** @throws TransactionError, and then nothing has changed; the next commit says everything */
  commit(): void {
    if (!this.pending) return;
    const batch = new Batch();
    if (this.#unknown) this.#writeAll(batch);
    else this.#writeDifference(batch);
    this.#unknown = true;
    this.#nfTables.commit(batch);
    this.#unknown = false;
    this.#dirtyChains.clear();
    this.#dirtySets.clear();
  }

  /** Compares the kernel with what we have written; where it differs, the next commit says everything. */
  resync(): void {
    if (this.#unknown) return;
    const table = this.#nfTables.table(this.#table);
    // Nobody but us can have changed it.
    if (this.#canOwn && table?.owner === this.#nfTables.portId) return;
    this.#unknown = table === undefined || !this.#rulesStand() || !this.#setsStand();
  }

  /** Rules that count, with the numbers the kernel has for them. */
  *counters(): Generator<{ readonly rule: TableRule; readonly packets: bigint; readonly bytes: bigint }> {
    const positions = new Map<string, number>();
    for (const entry of this.#nfTables.rules(this.#table)) {
      const position = positions.get(entry.chain) ?? 0;
      positions.set(entry.chain, position + 1);
      const rule = this.#dirtyChains.has(entry.chain)
        ? undefined
        : this.#chains.get(entry.chain)?.rules[position];
      const counter = entry.expressions.find(({ kind }) => kind === "counter");
      if (rule?.origin && counter?.kind === "counter")
        yield { rule, packets: counter.packets, bytes: counter.bytes };
    }
  }

  #useList(list: ListSet, by: number): void {
    const { name } = list.set;
    const entry = this.#lists.get(name) ?? { list, rules: 0 };
    entry.rules += by;
    if (entry.rules > 0) this.#lists.set(name, entry);
    else this.#lists.delete(name);
    this.#dirtySets.add(name);
  }

  #writeAll(batch: Batch): void {
    if (this.#nfTables.table(this.#table)) batch.deleteTable(this.#table);
    batch.addTable({ ...this.#table, flags: this.#canOwn ? OWNED : 0 });
    this.#written.chains.clear();
    this.#written.sets.clear();
    this.#dirtyChains.clear();
    this.#dirtySets.clear();
    for (const name of this.#chains.keys()) this.#dirtyChains.add(name);
    for (const name of this.#sets.keys()) this.#dirtySets.add(name);
    for (const name of this.#lists.keys()) this.#dirtySets.add(name);
    this.#writeDifference(batch);
  }

  /**
   * Everything that holds on to something goes before it, and comes after it: rules and map elements to chains, rules to
   * sets.
   */
  #writeDifference(batch: Batch): void {
    const table = this.#table;
    const { chains, sets } = this.#written;
    const differences = [...this.#dirtySets].map(name => this.#setDifference(name));
    this.#dirtyUsers(differences.filter(({ to }) => to?.difference.replaced).map(({ name }) => name));

    const dirty = [...this.#dirtyChains];
    for (const name of dirty) if (chains.has(name)) batch.flushChain(table, name);
    for (const { name, from, to } of differences) {
      if (!from) continue;
      if (!to || to.difference.replaced) batch.deleteSet(table, name);
      else if (to.difference.removed.length > 0) batch.deleteElements(table, from, to.difference.removed);
    }
    const maps: (readonly [NftSet, readonly Element[]])[] = [];
    for (const { name, from, to } of differences) {
      if (!to) {
        sets.delete(name);
        continue;
      }
      if (!from || to.difference.replaced) batch.addSet(table, to.set);
      sets.set(name, to.set);
      const { added } = to.difference;
      if (to.set.data === "verdict") maps.push([to.set, added]);
      else if (added.length > 0) batch.addElements(table, to.set, added);
    }
    for (const name of dirty) {
      const content = this.#chains.get(name);
      if (content && !chains.has(name))
        batch.addChain(table, { name, ...(content.base && { base: content.base }) });
    }
    // A map that rules ask has to say where they go before they are written: the kernel walks both.
    for (const [set, added] of maps) if (added.length > 0) batch.addElements(table, set, added);
    for (const name of dirty) {
      for (const rule of this.#chains.get(name)?.rules ?? []) batch.addRule(table, name, rule);
    }
    for (const name of dirty) {
      const content = this.#chains.get(name);
      if (!content && chains.has(name)) batch.deleteChain(table, name);
      if (content) chains.set(name, content.base);
      else chains.delete(name);
    }
  }

  #setDifference(name: string): {
    readonly name: string;
    readonly from: NftSet | undefined;
    readonly to: { readonly set: NftSet; readonly difference: SetDifference } | undefined;
  } {
    const from = this.#written.sets.get(name);
    const kept = this.#sets.get(name);
    if (kept) {
      const difference = kept.take();
      const to = from
        ? {
            set: kept.set,
            difference: { ...difference, replaced: difference.replaced || !sameSet(from, kept.set) },
          }
        : { set: kept.set, difference: { replaced: false, added: kept.elements(), removed: [] } };
      return { name, from, to };
    }
    const list = this.#lists.get(name)?.list;
    const nothing = { replaced: false, added: from ? [] : (list?.elements ?? []), removed: [] };
    return { name, from, to: list && { set: list.set, difference: nothing } };
  }

  /** Chains with rules that use the sets have to let go of them. */
  #dirtyUsers(sets: readonly string[]): void {
    if (sets.length === 0) return;
    const names = new Set(sets);
    const uses = (expression: Expression) => expression.kind === "lookup" && names.has(expression.set);
    for (const [name, { rules }] of this.#chains) {
      if (rules.some(({ expressions }) => expressions.some(uses))) this.#dirtyChains.add(name);
    }
  }

  #rulesStand(): boolean {
    const there = new Map(this.#nfTables.chains(this.#table).map(chain => [chain.name, chain.base]));
    const { chains } = this.#written;
    if (there.size !== chains.size) return false;
    for (const [name, base] of chains) {
      if (!there.has(name) || JSON.stringify(base) !== JSON.stringify(there.get(name))) return false;
    }
    const rules = new Map<string, RuleEntry[]>();
    for (const entry of this.#nfTables.rules(this.#table)) {
      const list = rules.get(entry.chain);
      if (list) list.push(entry);
      else rules.set(entry.chain, [entry]);
    }
    for (const name of chains.keys()) {
      if (this.#dirtyChains.has(name)) continue;
      const wanted = this.#chains.get(name)?.rules ?? [];
      if (!sameRules(wanted, rules.get(name) ?? [])) return false;
    }
    return true;
  }

  #setsStand(): boolean {
    const there = new Map(this.#nfTables.sets(this.#table).map(set => [set.name, set]));
    for (const [name, set] of this.#written.sets) {
      const found = there.get(name);
      if (!found || !sameSet(found, set)) return false;
      if (this.#dirtySets.has(name)) continue;
      const wanted = this.#sets.get(name)?.elements() ?? this.#lists.get(name)?.list.elements ?? [];
      if (!sameElements(wanted, this.#nfTables.elements(this.#table, set))) return false;
    }
    return true;
  }
}

/** With all that is in it. Whether it was there. */
export function removeTable(nfTables: NfTables, table: TableRef): boolean {
  if (!nfTables.table(table)) return false;
  const batch = new Batch();
  batch.deleteTable(table);
  try {
    nfTables.commit(batch);
    return true;
  } catch (error) {
    // Somebody else was faster.
    if (isNetlinkError(error, "ENOENT")) return false;
    throw error;
  }
}

const listsOf = (rules: readonly TableRule[]): ListSet[] => rules.flatMap(({ lists }) => lists ?? []);

const sameSet = (a: NftSet, b: NftSet): boolean =>
  a.key.join() === b.key.join() && (a.interval ?? false) === (b.interval ?? false) && a.data === b.data;

type Comparable = Pick<TableRule, "expressions" | "comment">;

/** The same questions and verdicts and comments, whatever was counted. */
function sameRules(a: readonly Comparable[], b: readonly Comparable[]): boolean {
  return a.length === b.length && a.every((rule, i) => sameRule(rule, b[i] as Comparable));
}

function sameRule(a: Comparable, b: Comparable): boolean {
  return (
    a.comment === b.comment &&
    a.expressions.length === b.expressions.length &&
    a.expressions.every((expression, i) => sameExpression(expression, b.expressions[i] as Expression))
  );
}

function sameExpression(a: Expression, b: Expression): boolean {
  if (a.kind !== b.kind) return false;
  if (a.kind === "counter") return true;
  if (a.kind === "verdict" && b.kind === "verdict") return sameVerdict(a.verdict, b.verdict);
  const other = b as unknown as Readonly<Record<string, unknown>>;
  const entries = Object.entries(a);
  return (
    entries.length === Object.keys(other).length && entries.every(([name, value]) => other[name] === value)
  );
}

function sameElements(wanted: readonly Element[], there: readonly Element[]): boolean {
  if (wanted.length !== there.length) return false;
  const byKey = new Map(there.map(element => [element.key, element]));
  return wanted.every(element => sameElement(element, byKey.get(element.key)));
}
