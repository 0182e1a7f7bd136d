/**
 * Sets whose members may have more than one reason to be in: two endpoints with one address, an address that a
 * network set lists too. A member is in while its count is above zero; only crossings of zero are changes.
 *
 * Changes pile up per set until drained, and an addition and a removal of the same member cancel out.
 */

import { cidrOf } from "../../net/cidr.ts";
import { type Ip, ipVersion } from "../../net/ip.ts";
import type { SetChange, SetMember, SetType } from "./changes.ts";

interface CountedSet {
  readonly type: SetType;
  /** Whether it is handed over at all. */
  shown: boolean;
  readonly counts: Map<SetMember, number>;
  /** How many blocks of each length are members (`4/24`); addresses are not counted. */
  readonly lengths: Map<string, number>;
  /** Not yet handed over: the whole set is news. */
  fresh: boolean;
  added: Set<SetMember>;
  removed: Set<SetMember>;
}

export class CountedMembers {
  readonly #sets = new Map<string, CountedSet>();
  readonly #dirty = new Set<string>();
  /** Sets that were handed over and are gone. */
  readonly #gone = new Set<string>();

  create(id: string, type: SetType, shown = true): void {
    this.#sets.set(id, {
      type,
      shown,
      counts: new Map(),
      lengths: new Map(),
      fresh: true,
      added: new Set(),
      removed: new Set(),
    });
    if (shown) this.#announce(id);
  }

  /** Hands it over whole from now on, or takes it back; it is counted either way. */
  setShown(id: string, shown: boolean): void {
    const set = this.#sets.get(id);
    if (!set || set.shown === shown) return;
    set.shown = shown;
    set.fresh = true;
    set.added = new Set();
    set.removed = new Set();
    if (shown) this.#announce(id);
    else this.#withdraw(id);
  }

  delete(id: string): void {
    const set = this.#sets.get(id);
    if (!set) return;
    this.#sets.delete(id);
    if (set.shown) this.#withdraw(id);
  }

  /** Whether there is such a set. */
  has(id: string): boolean {
    return this.#sets.has(id);
  }

  get size(): number {
    return this.#sets.size;
  }

  add(id: string, member: SetMember): void {
    const set = this.#sets.get(id);
    if (!set) return;
    const count = set.counts.get(member) ?? 0;
    set.counts.set(member, count + 1);
    if (count === 0) countLength(set, member, 1);
    if (count > 0 || set.fresh) return;
    if (!set.removed.delete(member)) set.added.add(member);
    this.#dirty.add(id);
  }

  remove(id: string, member: SetMember): void {
    const set = this.#sets.get(id);
    const count = set?.counts.get(member);
    if (!set || count === undefined) return;
    if (count > 1) {
      set.counts.set(member, count - 1);
      return;
    }
    set.counts.delete(member);
    countLength(set, member, -1);
    if (set.fresh) return;
    if (!set.added.delete(member)) set.removed.add(member);
    this.#dirty.add(id);
  }

  members(id: string): ReadonlySet<SetMember> {
    return new Set(this.#sets.get(id)?.counts.keys());
  }

  /** Whether it is a member as it stands. */
  contains(id: string, member: SetMember): boolean {
    return this.#sets.get(id)?.counts.has(member) ?? false;
  }

  /** Whether the address is a member or in a block that is one. */
  covers(id: string, address: Ip): boolean {
    const set = this.#sets.get(id);
    if (!set) return false;
    if (set.counts.has(address)) return true;
    const version = ipVersion(address);
    for (const length of set.lengths.keys()) {
      if (Number(length[0]) !== version) continue;
      if (set.counts.has(cidrOf(address, Number(length.slice(2))))) return true;
    }
    return false;
  }

  #announce(id: string): void {
    this.#gone.delete(id);
    this.#dirty.add(id);
  }

  #withdraw(id: string): void {
    this.#dirty.delete(id);
    this.#gone.add(id);
  }

  /** What changed since the last call. */
  drain(): Map<string, SetChange | undefined> {
    const changes = new Map<string, SetChange | undefined>();
    for (const id of this.#gone) changes.set(id, undefined);
    this.#gone.clear();
    for (const id of this.#dirty) {
      const set = this.#sets.get(id) as CountedSet;
      if (set.fresh) {
        changes.set(id, { kind: "whole", type: set.type, members: new Set(set.counts.keys()) });
        set.fresh = false;
      } else if (set.added.size > 0 || set.removed.size > 0) {
        changes.set(id, { kind: "delta", added: set.added, removed: set.removed });
        set.added = new Set();
        set.removed = new Set();
      }
    }
    this.#dirty.clear();
    return changes;
  }
}

function countLength({ lengths }: CountedSet, member: SetMember, difference: 1 | -1): void {
  const slash = member.indexOf("/");
  if (slash < 0) return;
  const length = `${member.includes(":") ? 6 : 4}/${member.slice(slash + 1)}`;
  const count = (lengths.get(length) ?? 0) + difference;
  if (count > 0) lengths.set(length, count);
  else lengths.delete(length);
}
