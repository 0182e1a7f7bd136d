/**
 * The packet filter on nftables: a table of our own for each IP version (owned-table.ts), spoken to over nfnetlink. A change
 * costs no process; each commit is one transaction for each IP version.
 */

import { isNetlinkError } from "../../../linux/errors.ts";
import type { NamespaceRef } from "../../../linux/namespace.ts";
import { NfTables } from "../../../linux/nf-tables/nf-tables.ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { PacketFilter, RuleCounter } from "../packet-filter.ts";
import { Family } from "./family.ts";
import { TABLE } from "./names.ts";
import { OwnedTable, removeTable } from "./owned-table.ts";

export interface NftablesOptions {
  readonly namespace?: NamespaceRef;
  /** Whether the kernel may keep others from changing our tables. Default: where it can. */
  readonly ownTables?: boolean;
}

/** @throws where the kernel has no nf_tables */
export function createNftablesFilter(config: FelixConfig, options: NftablesOptions = {}): PacketFilter {
  const nfTables = NfTables.open(options);
  return new NftablesFilter(config, nfTables, (options.ownTables ?? true) && nfTables.canOwnTables());
}

/**
 * Takes our tables out of the kernel, whoever made them. What was removed: `ip calico`, `ip6 calico`; nothing where the
 * kernel has no nf_tables.
 */
export function removeNftables(options: Pick<NftablesOptions, "namespace"> = {}): string[] {
  using nfTables = NfTables.open(options);
  const removed: string[] = [];
  if (!hasNfTables(nfTables)) return removed;
  for (const family of ["ip", "ip6"] as const) {
    const table = { family, name: TABLE };
    if (removeTable(nfTables, table)) removed.push(`${family} ${TABLE}`);
  }
  return removed;
}

function hasNfTables(nfTables: NfTables): boolean {
  try {
    nfTables.generation();
    return true;
  } catch (error) {
    if (isNetlinkError(error, "EINVAL", "EOPNOTSUPP", "EPROTONOSUPPORT")) return false;
    throw error;
  }
}

class NftablesFilter implements PacketFilter {
  readonly #nfTables: NfTables;
  readonly #families: readonly Family[];
  readonly #tables: readonly OwnedTable[];

  constructor(config: FelixConfig, nfTables: NfTables, canOwn: boolean) {
    this.#nfTables = nfTables;
    const versions: IpVersion[] = config.ipv6Support ? [4, 6] : [4];
    const table = (version: IpVersion) => ({ family: version === 4 ? "ip" : "ip6", name: TABLE }) as const;
    this.#tables = versions.map(version => new OwnedTable(nfTables, table(version), canOwn));
    this.#families = versions.map(
      (version, i) => new Family(version, config, (this.#tables[i] as OwnedTable).wanted),
    );
  }

  update(changes: Changes): void {
    for (const family of this.#families) family.update(changes);
  }

  get pending(): boolean {
    return this.#tables.some(table => table.pending);
  }

  /** The families share nothing: a failure of one must not keep the other from its commit. */
  async commit(): Promise<void> {
    this.#each(table => table.commit());
  }

  /** Rules and sets are of one table: who changes either has committed to it, and both are compared. */
  async resync(): Promise<void> {
    this.#each(table => table.resync());
  }

  async counters(): Promise<readonly RuleCounter[]> {
    const sums = new Map<string, { -readonly [Name in keyof RuleCounter]: RuleCounter[Name] }>();
    for (const table of this.#tables) {
      for (const { rule, packets, bytes } of table.counters()) {
        const { origin } = rule;
        if (!origin) continue;
        const key = `${origin.kind} ${origin.direction} ${origin.rule} ${origin.name}`;
        const sum = sums.get(key) ?? { ...origin, packets: 0, bytes: 0 };
        sum.packets += Number(packets);
        sum.bytes += Number(bytes);
        sums.set(key, sum);
      }
    }
    return [...sums.values()];
  }

  /** What is in the kernel stays. */
  close(): void {
    this.#nfTables.close();
  }

  #each(work: (table: OwnedTable) => void): void {
    const failures: unknown[] = [];
    for (const table of this.#tables) {
      try {
        work(table);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
