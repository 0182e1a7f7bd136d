/**
 * A set that is in the kernel with another type than is wanted, left there by another agent whose rules use it. The kernel neither
 * changes a set's type nor destroys one that is used; so rules have to do without it first, and meanwhile allow less, never more.
 */

import { IpSetError, type Iptables, rule } from "iptables-ts";
import { TABLES } from "./ownership.ts";

/** Policies and profiles: without one of its rules such a chain could allow what that one denies. */
const DECIDING = /^cali-(pi|po|pri|pro)-/;

/** The set's name; undefined where something else went wrong. */
export function setInTheWay(error: unknown): string | undefined {
  if (!(error instanceof IpSetError) || error.code !== "in-use") return undefined;
  return /^destroy (\S+)/.exec(error.text ?? "")?.[1];
}

/** Takes every rule that uses the set out, and has policies that use it deny everything. What it returns puts all back. */
export function withoutSet(iptables: Iptables, set: string): () => void {
  const restore: (() => void)[] = [];
  for (const name of TABLES) {
    const table = iptables.table(name);
    for (const chain of [...table.chainNames()]) {
      const rules = table.rulesOf(chain) ?? [];
      const others = rules.filter(({ matches }) => !matches.includes(`--match-set ${set} `));
      if (others.length === rules.length) continue;
      table.setChain(chain, DECIDING.test(chain) ? [rule().drop()] : others);
      restore.push(() => table.setChain(chain, rules));
    }
  }
  return () => {
    for (const one of restore) one();
  };
}
