/**
 * From the interface a packet came in by, or goes out to, to that workload's chain. Linear search through hundreds
 * of interfaces would cost every packet, so names are grouped by the character after the interface prefix, in chains
 * of their own; one endpoint more or less then rewrites one small chain.
 *
 * What matches no interface we know of is dropped: a veth that exists before its policy does stays dark.
 */

import { type Rule, rule } from "iptables-ts";
import type { FelixConfig } from "../../calc/config.ts";
import { type Direction, dispatchChain, workloadChain } from "./names.ts";
import { denyRule } from "./policy-chains.ts";

/** Together with the wildcard, as long as an interface's name may be. */
const MAX_STEM = 14;

/** The dispatch chains of both directions, told of interfaces one by one. */
export class DispatchChains {
  readonly #config: FelixConfig;
  /** Interfaces by stem. */
  readonly #groups = new Map<string, Set<string>>();
  readonly #touched = new Set<string>();
  /** The root chains name every group, and the interface itself where it is alone in its group. */
  #rootTouched = true;

  constructor(config: FelixConfig) {
    this.#config = config;
  }

  add(name: string): void {
    const stem = this.#stemOf(name);
    const group = this.#groups.get(stem) ?? new Set();
    if (group.has(name)) return;
    this.#groups.set(stem, group.add(name));
    this.#touched.add(stem);
    if (group.size <= 2) this.#rootTouched = true;
  }

  remove(name: string): void {
    const stem = this.#stemOf(name);
    const group = this.#groups.get(stem);
    if (!group?.delete(name)) return;
    this.#touched.add(stem);
    if (group.size <= 1) this.#rootTouched = true;
    if (group.size === 0) this.#groups.delete(stem);
  }

  /** Chains that are different since the last call; undefined: there is no such chain any more. */
  drain(): Map<string, readonly Rule[] | undefined> {
    const changes = new Map<string, readonly Rule[] | undefined>();
    const unknown = denyRule(rule().comment("Unknown interface"), this.#config);
    for (const direction of DIRECTIONS) {
      for (const stem of this.#touched) {
        const leaves = this.#leaves(direction, stem);
        changes.set(dispatchChain(direction, stem), leaves.length > 1 ? [...leaves, unknown] : undefined);
      }
      if (this.#rootTouched) changes.set(dispatchChain(direction), [...this.#root(direction), unknown]);
    }
    this.#touched.clear();
    this.#rootTouched = false;
    return changes;
  }

  #root(direction: Direction): Rule[] {
    return [...this.#groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([stem, group]) => {
        if (group.size === 1) return this.#leaves(direction, stem)[0] as Rule;
        return on(direction, `${stem}+`).goto(dispatchChain(direction, stem));
      });
  }

  #leaves(direction: Direction, stem: string): Rule[] {
    const names = [...(this.#groups.get(stem) ?? [])].sort();
    return names.map(name => on(direction, name).goto(workloadChain(direction, name)));
  }

  #stemOf(name: string): string {
    return stemOf(name, this.#config.interfacePrefix);
  }
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

function on(direction: Direction, name: string): Rule {
  return direction === "ingress" ? rule().outInterface(name) : rule().inInterface(name);
}

/** The interface prefix and the character after it. */
function stemOf(name: string, prefixes: readonly string[]): string {
  const prefix = prefixes.find(p => name.startsWith(p)) ?? "";
  // A name that is nothing but the prefix shares no stem: `cali+` would catch everybody.
  return name.slice(0, Math.min(prefix.length + 1, MAX_STEM));
}
