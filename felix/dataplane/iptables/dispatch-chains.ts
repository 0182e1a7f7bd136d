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

/** All dispatch chains of a direction for these interfaces; the root is always there. */
export function dispatchChains(
  direction: Direction,
  interfaces: Iterable<string>,
  config: FelixConfig,
): ReadonlyMap<string, readonly Rule[]> {
  const groups = new Map<string, string[]>();
  for (const name of interfaces) {
    const stem = stemOf(name, config.interfacePrefix);
    const group = groups.get(stem);
    if (group) group.push(name);
    else groups.set(stem, [name]);
  }
  const unknown = denyRule(rule().comment("Unknown interface"), config);
  const on = (name: string) =>
    direction === "ingress" ? rule().outInterface(name) : rule().inInterface(name);
  const chains = new Map<string, Rule[]>();
  const root: Rule[] = [];
  for (const [stem, members] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    members.sort();
    const leaves = members.map(name => on(name).goto(workloadChain(direction, name)));
    if (leaves.length === 1) root.push(leaves[0] as Rule);
    else {
      const chain = dispatchChain(direction, stem);
      chains.set(chain, [...leaves, unknown]);
      root.push(on(`${stem}+`).goto(chain));
    }
  }
  chains.set(dispatchChain(direction), [...root, unknown]);
  return chains;
}

/** The interface prefix and the character after it. */
function stemOf(name: string, prefixes: readonly string[]): string {
  const prefix = prefixes.find(p => name.startsWith(p)) ?? "";
  // A name that is nothing but the prefix shares no stem: `cali+` would catch everybody.
  return name.slice(0, Math.min(prefix.length + 1, MAX_STEM));
}
