/** Blocks of addresses with a value each, and which of them hold an address: one look per length of prefix that occurs. */

import { type Cidr, cidrOf, cidrVersion, prefixLength } from "../../net/cidr.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";

export class NetTable<T> {
  readonly #blocks = new Map<Cidr, T[]>();
  readonly #lengths: Record<IpVersion, Set<number>> = { 4: new Set(), 6: new Set() };

  add(block: Cidr, value: T): void {
    this.#lengths[cidrVersion(block)].add(prefixLength(block));
    const there = this.#blocks.get(block);
    if (there) there.push(value);
    else this.#blocks.set(block, [value]);
  }

  /** One that has several blocks may come several times. */
  containing(address: Ip): T[] {
    const found: T[] = [];
    for (const length of this.#lengths[ipVersion(address)]) {
      const there = this.#blocks.get(cidrOf(address, length));
      if (there) found.push(...there);
    }
    return found;
  }
}
