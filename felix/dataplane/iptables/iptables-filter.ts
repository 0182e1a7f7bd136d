/**
 * The packet filter on iptables and ipset: one {@link Family} per IP version, each with its sets and its tables. They share
 * nothing.
 */

import { createIpSetBackend, detectBackend, type Run } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { PacketFilter, RuleCounter } from "../packet-filter.ts";
import { sumCounters } from "./counted-chains.ts";
import { Family } from "./family.ts";
import { removeRules } from "./remove.ts";

const VARIANTS = { Auto: undefined, NFT: "nft", Legacy: "legacy" } as const;

/** @throws where neither iptables variant is installed or permitted */
export async function createIptablesFilter(
  config: FelixConfig,
  options: { run?: Run } = {},
): Promise<PacketFilter> {
  const versions: IpVersion[] = config.ipv6Support ? [4, 6] : [4];
  const variant = VARIANTS[config.iptablesBackend];
  const families = versions.map(async version => {
    const backend = await detectBackend({ ipVersion: version, ...options, ...(variant && { variant }) });
    const other = backend.variant === "nft" ? "legacy" : "nft";
    return new Family({
      version,
      config,
      backend,
      setBackend: createIpSetBackend(options),
      sweep: () => removeRules(version, other, options.run),
    });
  });
  return new IptablesFilter(await Promise.all(families));
}

class IptablesFilter implements PacketFilter {
  readonly #families: readonly Family[];

  constructor(families: readonly Family[]) {
    this.#families = families;
  }

  update(changes: Changes): void {
    for (const family of this.#families) family.update(changes);
  }

  get pending(): boolean {
    return this.#families.some(family => family.pending);
  }

  /** A failure of one version must not keep the other from its commit. */
  async commit(): Promise<void> {
    await settleAll(this.#families.map(family => family.commit()));
  }

  async resync(what: "rules" | "sets"): Promise<void> {
    await settleAll(this.#families.map(family => family.resync(what)));
  }

  async counters(): Promise<readonly RuleCounter[]> {
    const counters = await Promise.all(this.#families.map(family => family.counters()));
    return sumCounters(counters.flat());
  }
}

async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(result => result.status === "rejected");
  if (failed) throw failed.reason;
}
