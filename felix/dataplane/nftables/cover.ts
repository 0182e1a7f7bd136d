/**
 * The fewest CIDRs that hold the same addresses as those given, kept up to date as some come and go. An interval set of the
 * kernel refuses ranges that overlap. CIDRs overlap only where one holds the other, so the answer is those that no other
 * one holds; `0.0.0.0/0` may be the only one left.
 */

import { type Cidr, cidrOf, networkAddress, prefixLength } from "../../../net/cidr.ts";

/** What became of the cover: some CIDRs belong to it now, others no longer. */
export interface CoverChange {
  readonly added: Iterable<Cidr>;
  readonly removed: Iterable<Cidr>;
}

export class CidrCover {
  readonly #members = new Set<Cidr>();
  /** How many members have a length. There are few lengths, so a holder is found by trying each. */
  readonly #lengths = new Map<number, number>();
  readonly #cover = new Set<Cidr>();

  get size(): number {
    return this.#members.size;
  }

  [Symbol.iterator](): Iterator<Cidr> {
    return this.#cover.values();
  }

  /** All at once: the difference is of before and after. */
  update(added: Iterable<Cidr>, removed: Iterable<Cidr>): CoverChange {
    const gone = new Set<Cidr>();
    const come = new Set<Cidr>();
    const leaves = (block: Cidr) => {
      this.#cover.delete(block);
      if (!come.delete(block)) gone.add(block);
    };
    const enters = (block: Cidr) => {
      this.#cover.add(block);
      if (!gone.delete(block)) come.add(block);
    };
    const uncovered: Cidr[] = [];
    for (const block of removed) {
      if (!this.#members.delete(block)) continue;
      this.#count(block, -1);
      if (!this.#cover.has(block)) continue;
      leaves(block);
      uncovered.push(block);
    }
    const candidates = uncovered.length === 0 ? [] : this.#within(uncovered);
    for (const block of added) {
      if (this.#members.has(block)) continue;
      this.#members.add(block);
      this.#count(block, 1);
      candidates.push(block);
    }
    // Widest first: what they hold need not enter at all.
    candidates.sort((a, b) => prefixLength(a) - prefixLength(b));
    let holdsOthers = false;
    for (const block of candidates) {
      if (!this.#members.has(block) || this.#cover.has(block) || this.#isHeld(block)) continue;
      enters(block);
      holdsOthers ||= this.#hasLongerThan(prefixLength(block));
    }
    if (holdsOthers) {
      for (const block of [...this.#cover]) if (this.#isHeld(block)) leaves(block);
    }
    return { added: come, removed: gone };
  }

  /** Members that one of the blocks holds. */
  #within(blocks: readonly Cidr[]): Cidr[] {
    const lengths = [...new Set(blocks.map(prefixLength))];
    const wanted = new Set(blocks);
    if (lengths.every(length => !this.#hasLongerThan(length))) return [];
    return [...this.#members].filter(member => {
      const length = prefixLength(member);
      const address = networkAddress(member);
      return lengths.some(shorter => shorter < length && wanted.has(cidrOf(address, shorter)));
    });
  }

  /** Whether another one of the cover holds it. */
  #isHeld(block: Cidr): boolean {
    const length = prefixLength(block);
    const address = networkAddress(block);
    for (const shorter of this.#lengths.keys()) {
      if (shorter >= length) continue;
      if (this.#cover.has(cidrOf(address, shorter))) return true;
    }
    return false;
  }

  #hasLongerThan(length: number): boolean {
    for (const other of this.#lengths.keys()) if (other > length) return true;
    return false;
  }

  #count(block: Cidr, by: number): void {
    const length = prefixLength(block);
    const count = (this.#lengths.get(length) ?? 0) + by;
    if (count === 0) this.#lengths.delete(length);
    else this.#lengths.set(length, count);
  }
}

/** Of a list that does not change. */
export function coverOf(blocks: Iterable<Cidr>): Cidr[] {
  const cover = new CidrCover();
  cover.update(blocks, []);
  return [...cover];
}
