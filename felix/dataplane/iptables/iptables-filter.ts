/**
 * The packet filter on iptables and ipset: one {@link Family} per IP version, each with its sets and its tables. They share
 * nothing.
 */

import { createIpSetBackend, detectBackend, type Run } from "iptables-ts";
import { Ipset } from "../../../linux/ipset/ipset.ts";
import type { NamespaceRef } from "../../../linux/namespace.ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { PacketFilter, RuleCounter } from "../packet-filter.ts";
import { sumCounters } from "./counted-chains.ts";
import { Family } from "./family.ts";
import { netlinkSets } from "./netlink-sets.ts";
import { removeRules } from "./remove.ts";

const VARIANTS = { Auto: undefined, NFT: "nft", Legacy: "legacy" } as const;

export interface IptablesFilterOptions {
  /** Runs iptables; default: in the process's namespace. */
  readonly run?: Run;
  /** Where sets are spoken to over netlink. Default: the process's namespace; with a runner and without this, by its `ipset`. */
  readonly namespace?: NamespaceRef;
}

/** @throws where neither iptables variant is installed or permitted */
export async function createIptablesFilter(
  config: FelixConfig,
  { run, namespace }: IptablesFilterOptions = {},
): Promise<PacketFilter> {
  const versions: IpVersion[] = config.ipv6Support ? [4, 6] : [4];
  const variant = VARIANTS[config.iptablesBackend];
  const programs = run && { run };
  const backends = await Promise.all(
    versions.map(ipVersion => detectBackend({ ipVersion, ...programs, ...(variant && { variant }) })),
  );
  const ipset = run && namespace === undefined ? undefined : Ipset.open({ namespace });
  const setBackend = ipset ? netlinkSets(ipset) : createIpSetBackend(programs);
  const families = backends.map(backend => {
    const { ipVersion: version } = backend;
    const other = backend.variant === "nft" ? "legacy" : "nft";
    const sweep = () => removeRules(version, other, run);
    return new Family({ version, config, backend, setBackend, sweep });
  });
  return new IptablesFilter(families, () => ipset?.close());
}

class IptablesFilter implements PacketFilter {
  readonly #families: readonly Family[];
  readonly #onClose: () => void;

  constructor(families: readonly Family[], onClose: () => void) {
    this.#families = families;
    this.#onClose = onClose;
  }

  update(changes: Changes): void {
    for (const family of this.#families) family.update(changes);
  }

  get pending(): boolean {
    return this.#families.some(family => family.pending);
  }

  /**
   * A failure of one version must not keep the other from its commit. One after the other: nf_tables has one lock for both, and who finds
   * that the rules have changed since he looked begins again, which costs more than waiting.
   */
  async commit(): Promise<void> {
    const failures: unknown[] = [];
    for (const family of this.#families) await family.commit().catch(error => failures.push(error));
    if (failures.length > 0) throw failures[0];
  }

  async resync(what: "rules" | "sets"): Promise<void> {
    await settleAll(this.#families.map(family => family.resync(what)));
  }

  async counters(): Promise<readonly RuleCounter[]> {
    const counters = await Promise.all(this.#families.map(family => family.counters()));
    return sumCounters(counters.flat());
  }

  close(): void {
    for (const family of this.#families) family.close();
    this.#onClose();
  }
}

async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(result => result.status === "rejected");
  if (failed) throw failed.reason;
}
