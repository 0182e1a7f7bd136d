/**
 * How our rules in the kernel are recognised: a comment with 16 characters of a hash chained over its chain's name and
 * every rule before it. So one comment vouches for its rule, its position and its predecessors. In chains of ours the last
 * rule carries one, and vouches for the chain; in others' chains each of our rules does. Calico's scheme, but for that:
 * there every rule carries its own, which costs every packet a match and the kernel a third more at each commit.
 *
 *     h0 = SHA224(chain name)      h_i = SHA224(h_{i-1} + rule)      comment = base64url(h_i)[0..16]
 */

import { hash } from "node:crypto";
import type { Rule } from "./rule.ts";

export const HASH_LENGTH = 16;

export function chainHashes(chain: string, rules: readonly Rule[]): string[] {
  let previous = hash("sha224", chain, "buffer");
  return rules.map(rule => {
    previous = hash("sha224", Buffer.concat([previous, Buffer.from(rule.text)]), "buffer");
    return previous.toString("base64url", 0, (HASH_LENGTH * 3) / 4);
  });
}

/** Finds the hash in a rule's text; "" when it has none. */
export function hashReader(hashPrefix: string): (rule: string) => string {
  const escaped = hashPrefix.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const pattern = new RegExp(`--comment "?${escaped}([A-Za-z0-9_-]{${HASH_LENGTH}})"?(?: |$)`);
  return rule => {
    const found = pattern.exec(rule)?.[1];
    // A copy: what a pattern finds in iptables-save's output would keep all of it in memory.
    return found === undefined ? "" : Buffer.from(found).toString();
  };
}
