/** A table as it should be, and what has changed about it since that was last written. */

import type { Element, NftSet } from "../../../linux/nf-tables/model.ts";
import { sameRules } from "./compare.ts";
import type { TableSink } from "./family.ts";
import type { KeptSet } from "./kept-set.ts";
import type { ListSet, TableRule } from "./rule.ts";
import type { ChainContent } from "./static-chains.ts";

export class WantedTable implements TableSink {
  /** Names of chains, there or not, that have changed. */
  readonly dirtyChains = new Set<string>();
  readonly dirtySets = new Set<string>();
  readonly #chains = new Map<string, ChainContent>();
  readonly #sets = new Map<string, KeptSet>();
  /** Sets that rules name, and how many rules do. */
  readonly #lists = new Map<string, { readonly list: ListSet; rules: number }>();
  /** By set, the chains with rules that ask it, and how many. */
  readonly #askers = new Map<string, Map<string, number>>();

  get chains(): ReadonlyMap<string, ChainContent> {
    return this.#chains;
  }

  setChain(name: string, content: ChainContent): void {
    const former = this.#chains.get(name);
    if (former && sameRules(former.rules, content.rules)) return;
    this.#chains.set(name, content);
    this.#link(name, content.rules, 1);
    this.#link(name, former?.rules ?? [], -1);
    this.dirtyChains.add(name);
  }

  removeChain(name: string): void {
    const former = this.#chains.get(name);
    if (!former) return;
    this.#chains.delete(name);
    this.#link(name, former.rules, -1);
    this.dirtyChains.add(name);
  }

  addSet(set: KeptSet): void {
    this.#sets.set(set.set.name, set);
    this.dirtySets.add(set.set.name);
  }

  touchSet(set: KeptSet): void {
    if (set.changed) this.dirtySets.add(set.set.name);
  }

  removeSet(name: string): void {
    if (this.#sets.delete(name)) this.dirtySets.add(name);
  }

  keptSet(name: string): KeptSet | undefined {
    return this.#sets.get(name);
  }

  /** Undefined where none is wanted. */
  set(name: string): NftSet | undefined {
    return this.#sets.get(name)?.set ?? this.#lists.get(name)?.list.set;
  }

  /** All that belong into the set. Of large ones this is work: differences are in {@link KeptSet.take}. */
  elements(name: string): readonly Element[] {
    return this.#sets.get(name)?.elements() ?? this.#lists.get(name)?.list.elements ?? [];
  }

  /** All of them. */
  setNames(): string[] {
    return [...this.#sets.keys(), ...this.#lists.keys()];
  }

  /** The chain's rules ask a set that has become another one. */
  touchAskers(set: string): void {
    for (const chain of this.#askers.get(set)?.keys() ?? []) this.dirtyChains.add(chain);
  }

  /** As if nothing of it had ever been written. */
  touchAll(): void {
    for (const name of this.#chains.keys()) this.dirtyChains.add(name);
    for (const name of this.setNames()) this.dirtySets.add(name);
  }

  #link(chain: string, rules: readonly TableRule[], by: 1 | -1): void {
    for (const { lists, expressions } of rules) {
      for (const list of lists ?? []) this.#useList(list, by);
      for (const expression of expressions)
        if (expression.kind === "lookup") this.#countAsker(expression.set, chain, by);
    }
  }

  #useList(list: ListSet, by: number): void {
    const { name } = list.set;
    const entry = this.#lists.get(name) ?? { list, rules: 0 };
    entry.rules += by;
    if (entry.rules > 0) this.#lists.set(name, entry);
    else this.#lists.delete(name);
    this.dirtySets.add(name);
  }

  #countAsker(set: string, chain: string, by: number): void {
    const askers = this.#askers.get(set) ?? new Map<string, number>();
    this.#askers.set(set, askers);
    const rules = (askers.get(chain) ?? 0) + by;
    if (rules > 0) askers.set(chain, rules);
    else askers.delete(chain);
    if (askers.size === 0) this.#askers.delete(set);
  }
}
