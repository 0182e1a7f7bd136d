/** A table that only remembers what it was told, and packets that walk through it. */

import { type Changes, NO_CHANGES } from "../../../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../../../felix/calc/config.ts";
import { Family, type TableSink } from "../../../../../felix/dataplane/nftables/family.ts";
import type { KeptSet } from "../../../../../felix/dataplane/nftables/kept-set.ts";
import type { ListSet } from "../../../../../felix/dataplane/nftables/rule.ts";
import type { ChainContent } from "../../../../../felix/dataplane/nftables/static-chains.ts";
import { type IpVersion, ipVersion } from "../../../../../net/ip.ts";
import { type NftPacket, type Walk, type WalkedTable, walk } from "./packet-walk.ts";

export const configOf = (values: Readonly<Record<string, unknown>> = {}) =>
  resolveConfig([{ source: "test", values }]).config;

export class RememberedTable implements TableSink {
  readonly chains = new Map<string, ChainContent>();
  readonly #sets = new Map<string, KeptSet>();

  setChain(name: string, content: ChainContent): void {
    this.chains.set(name, content);
  }

  removeChain(name: string): void {
    this.chains.delete(name);
  }

  addSet(set: KeptSet): void {
    this.#sets.set(set.set.name, set);
  }

  touchSet(): void {}

  removeSet(name: string): void {
    this.#sets.delete(name);
  }

  /** As it stands, for one walk. */
  get walked(): WalkedTable {
    const sets = [...this.#sets].map(
      ([name, kept]) => [name, { set: kept.set, elements: kept.elements() }] as const,
    );
    const lists = [...this.chains.values()]
      .flatMap(({ rules }) => rules.flatMap(rule => rule.lists ?? []))
      .map((list: ListSet) => [list.set.name, list] as const);
    return { chains: this.chains, sets: new Map([...sets, ...lists]) };
  }
}

/** Both IP versions, as the filter has them. */
export class RememberedFilter {
  readonly tables: Readonly<Record<IpVersion, RememberedTable>> = {
    4: new RememberedTable(),
    6: new RememberedTable(),
  };
  readonly #families: readonly Family[];

  constructor(values: Readonly<Record<string, unknown>> = {}) {
    const config = configOf(values);
    this.#families = ([4, 6] as const).map(version => new Family(version, config, this.tables[version]));
  }

  update(changes: Partial<Changes>): this {
    for (const family of this.#families) family.update({ ...NO_CHANGES, ...changes });
    return this;
  }

  /** Through the chains of these hooks one after the other, as long as none drops it. */
  through(packet: NftPacket, ...hooks: readonly string[]): Walk {
    const table = this.tables[ipVersion(packet.source)].walked;
    let all: Walk = { verdict: undefined, mark: 0, logged: 0, flows: [], untracked: false, comments: [] };
    for (const hook of hooks) {
      const one = walk(table, hook, packet, all.mark);
      all = {
        verdict: one.verdict,
        mark: one.mark,
        logged: all.logged + one.logged,
        flows: [...all.flows, ...one.flows],
        untracked: all.untracked || one.untracked,
        comments: [...all.comments, ...one.comments],
      };
      if (one.verdict === "drop") break;
    }
    return all;
  }
}
