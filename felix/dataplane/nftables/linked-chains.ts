/**
 * Chains of a table, with who goes where: a policy's chain is in the kernel only while some other chain goes to it. What
 * nobody asks costs nothing.
 */

import type { TableRule } from "./rule.ts";
import type { ChainContent } from "./static-chains.ts";

export interface ChainSink {
  setChain(name: string, content: ChainContent): void;
  removeChain(name: string): void;
}

export class LinkedChains {
  readonly #table: ChainSink;
  readonly #targets = new Map<string, ReadonlySet<string>>();
  /** How many chains go there. */
  readonly #users = new Map<string, number>();
  /** Makes chains that are there when asked for; undefined: it knows none of the name. */
  readonly #makers = new Map<string, () => readonly TableRule[]>();

  constructor(table: ChainSink) {
    this.#table = table;
  }

  set(name: string, content: ChainContent): void {
    this.#table.setChain(name, content);
    this.#link(name, targetsOf(content.rules));
  }

  remove(name: string): void {
    this.#table.removeChain(name);
    this.#link(name, new Set());
  }

  /** A chain that is made while another one goes to it. Again: it has other rules now. */
  offer(name: string, make: () => readonly TableRule[]): void {
    this.#makers.set(name, make);
    if (this.#users.has(name)) this.set(name, { rules: make() });
  }

  withdraw(name: string): void {
    if (this.#makers.delete(name)) this.remove(name);
  }

  #link(name: string, targets: ReadonlySet<string>): void {
    const former = this.#targets.get(name) ?? new Set();
    if (targets.size > 0) this.#targets.set(name, targets);
    else this.#targets.delete(name);
    for (const target of targets) if (!former.has(target)) this.#use(target, 1);
    for (const target of former) if (!targets.has(target)) this.#use(target, -1);
  }

  #use(name: string, by: number): void {
    const before = this.#users.get(name) ?? 0;
    const users = before + by;
    if (users > 0) this.#users.set(name, users);
    else this.#users.delete(name);
    const make = this.#makers.get(name);
    if (!make) return;
    if (before === 0) this.set(name, { rules: make() });
    else if (users === 0) this.remove(name);
  }
}

function targetsOf(rules: readonly TableRule[]): Set<string> {
  const targets = new Set<string>();
  for (const { expressions } of rules) {
    const last = expressions.at(-1);
    if (last?.kind !== "verdict" || typeof last.verdict === "string") continue;
    targets.add("jump" in last.verdict ? last.verdict.jump : last.verdict.goto);
  }
  return targets;
}
