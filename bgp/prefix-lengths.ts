/** Which lengths of prefix there are, so that a lookup of the longest match asks for those only. */

import { type Cidr, cidrVersion, prefixLength } from "../net/cidr.ts";
import type { IpVersion } from "../net/ip.ts";

export class PrefixLengths {
  readonly longestFirst: Record<IpVersion, readonly number[]> = { 4: [], 6: [] };
  /** How many prefixes there are of each length. */
  readonly #counts: Record<IpVersion, Map<number, number>> = { 4: new Map(), 6: new Map() };

  count(prefix: Cidr, change: 1 | -1): void {
    const version = cidrVersion(prefix);
    const counts = this.#counts[version];
    const length = prefixLength(prefix);
    const before = counts.get(length) ?? 0;
    if (before + change === 0) counts.delete(length);
    else counts.set(length, before + change);
    if (before === 0 || before + change === 0)
      this.longestFirst[version] = [...counts.keys()].sort((a, b) => b - a);
  }
}
