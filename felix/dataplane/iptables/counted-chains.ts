/** Which iptables rule counts the packets of which rule of the model, and what the counters say. */

import type { ChainCounters, TableName } from "iptables-ts";
import type { RuleCounter } from "../packet-filter.ts";
import type { RenderedRules } from "./policy-chains.ts";

/** The policy or profile a chain was made of. */
export type ChainOwner = Pick<RuleCounter, "kind" | "name" | "direction">;

type CountedChain = ChainOwner & Pick<RenderedRules, "counting">;

export class CountedChains {
  readonly #tables = new Map<TableName, Map<string, CountedChain>>();

  set(table: TableName, chain: string, counted: CountedChain | undefined): void {
    const chains = this.#tables.get(table) ?? new Map();
    this.#tables.set(table, chains);
    if (counted) chains.set(chain, counted);
    else chains.delete(chain);
  }

  /** One entry for each rule and each table it is in; chains that are not in the kernel count nothing. */
  read(kernel: ReadonlyMap<TableName, ChainCounters>): RuleCounter[] {
    const counters: RuleCounter[] = [];
    for (const [table, chains] of this.#tables) {
      for (const [chain, { counting, ...owner }] of chains) {
        const counted = kernel.get(table)?.get(chain);
        if (!counted) continue;
        for (const [rule, at] of counting.entries()) {
          const { packets, bytes } = (at === undefined ? undefined : counted[at]) ?? { packets: 0, bytes: 0 };
          counters.push({ ...owner, rule, packets, bytes });
        }
      }
    }
    return counters;
  }
}

/** One entry for each rule of the model: what its tables and IP versions counted together. */
export function sumCounters(counters: readonly RuleCounter[]): RuleCounter[] {
  const sums = new Map<string, RuleCounter>();
  for (const one of counters) {
    const key = `${one.kind} ${one.direction} ${one.rule} ${one.name}`;
    const sum = sums.get(key);
    sums.set(key, sum ? { ...sum, packets: sum.packets + one.packets, bytes: sum.bytes + one.bytes } : one);
  }
  return [...sums.values()];
}
