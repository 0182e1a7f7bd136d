/**
 * The ipsets of one IP version: those the calculation tells of, and those of the pools. It mixes both versions in a set;
 * here each member goes where it belongs.
 */

import type { IpSetBackend } from "iptables-ts";
import { IpSets } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes, PoolInfo, SetChange, SetMember } from "../../calc/changes.ts";
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, setName, VXLAN_HOSTS } from "./names.ts";
import { setOwnership } from "./ownership.ts";

/** Rules may name these before the calculation has told what is in them: nothing. */
const ALWAYS = [ALL_HOSTS, VXLAN_HOSTS];

export class FamilySets {
  readonly #version: IpVersion;
  readonly #maxElements: number;
  readonly #sets: IpSets;
  readonly #pools = new Map<string, PoolInfo>();

  constructor(version: IpVersion, maxElements: number, backend: IpSetBackend) {
    this.#version = version;
    this.#maxElements = maxElements;
    this.#sets = new IpSets({
      backend,
      ipVersion: version,
      ...setOwnership(version),
    });
    this.#setPools();
  }

  update({ sets, pools }: Pick<Changes, "sets" | "pools">): void {
    for (const [id, change] of sets) this.#updateSet(id, change);
    if (pools.size === 0) return;
    for (const [name, pool] of pools) {
      if (pool) this.#pools.set(name, pool);
      else this.#pools.delete(name);
    }
    this.#setPools();
  }

  /** Makes sure that rules can name it. */
  require(id: (typeof ALWAYS)[number]): void {
    if (!this.#sets.has(setName(this.#version, id))) this.#set(id, "hash:net", []);
  }

  get pending(): boolean {
    return this.#sets.needsUpdate || this.#sets.needsDeletion;
  }

  async applyUpdates(): Promise<void> {
    if (this.#sets.needsUpdate) await this.#sets.applyUpdates();
  }

  async applyDeletions(): Promise<void> {
    if (this.#sets.needsDeletion) await this.#sets.applyDeletions();
  }

  async resync(): Promise<void> {
    await this.#sets.check();
  }

  #updateSet(id: string, change: SetChange | undefined): void {
    const name = setName(this.#version, id);
    if (!change) this.#sets.removeSet(name);
    else if (change.kind === "whole")
      this.#set(id, change.type === "net" ? "hash:net" : "hash:ip,port", change.members);
    else {
      this.#sets.removeMembers(name, this.#ofVersion(change.removed));
      this.#sets.addMembers(name, this.#ofVersion(change.added));
    }
  }

  #setPools(): void {
    const pools = [...this.#pools.values()];
    const masqueraded = pools.filter(pool => pool.masquerade);
    this.#set(
      ALL_POOLS,
      "hash:net",
      pools.map(pool => pool.cidr),
    );
    this.#set(
      MASQUERADED_POOLS,
      "hash:net",
      masqueraded.map(pool => pool.cidr),
    );
  }

  #set(id: string, type: "hash:net" | "hash:ip,port", members: Iterable<SetMember>): void {
    const spec = { type, maxElements: this.#maxElements };
    this.#sets.setMembers(setName(this.#version, id), spec, this.#ofVersion(members));
  }

  *#ofVersion(members: Iterable<SetMember>): Generator<SetMember> {
    for (const member of members) {
      // A colon before any comma is an IPv6 address; the port of an `ip,proto:port` comes after one.
      const colon = member.indexOf(":");
      const comma = member.indexOf(",");
      const isV6 = colon >= 0 && (comma < 0 || colon < comma);
      if (isV6 === (this.#version === 6)) yield member;
    }
  }
}
