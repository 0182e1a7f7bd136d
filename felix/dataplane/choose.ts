/**
 * iptables or nftables: which of the two packet filters this host gets (`nftablesMode`, calico.md 3.7), and how one takes
 * over from the other.
 *
 * `Enabled` and `Disabled` say it. `Auto` takes nftables where iptables is not installed or kube-proxy uses nftables, so that
 * the rules of a host are in one place; else iptables.
 */

import { detectBackend, IpSetError, IptablesError, type Run } from "iptables-ts";
import type { Clock } from "../../daemon/clock.ts";
import type { Logger } from "../../daemon/log.ts";
import type { NamespaceRef } from "../../linux/namespace.ts";
import { NfTables } from "../../linux/nf-tables/nf-tables.ts";
import type { FelixConfig } from "../calc/config.ts";
import { createIptablesFilter } from "./iptables/iptables-filter.ts";
import { removeIptables } from "./iptables/remove.ts";
import { createNftablesFilter, removeNftables } from "./nftables/nftables-filter.ts";
import type { PacketFilter } from "./packet-filter.ts";
import { Takeover } from "./takeover.ts";

export type PacketFilterKind = "iptables" | "nftables";

export interface ChooseOptions {
  /** Runs iptables and ipset; default: in the process's namespace. */
  readonly run?: Run;
  /** Where nf_tables is spoken to; default: the process's namespace. */
  readonly namespace?: NamespaceRef;
}

/** kube-proxy's own table, in its nftables mode. */
const KUBE_PROXY_TABLE = "kube-proxy";

export async function choosePacketFilter(
  { nftablesMode }: Pick<FelixConfig, "nftablesMode">,
  options: ChooseOptions = {},
): Promise<PacketFilterKind> {
  if (nftablesMode !== "Auto") return nftablesMode === "Enabled" ? "nftables" : "iptables";
  const tables = readTables(options);
  if (tables === undefined) return "iptables";
  if (tables.includes(KUBE_PROXY_TABLE)) return "nftables";
  return (await isIptablesInstalled(options)) ? "iptables" : "nftables";
}

/**
 * The packet filter of that kind. Once its rules are in force, and not before, what the other kind has left behind is removed,
 * be it ours or Calico's: there is no moment without rules. To be closed before there is another one.
 *
 * @throws where the kernel or its programs are missing
 */
export async function createPacketFilter(
  kind: PacketFilterKind,
  config: FelixConfig,
  options: ChooseOptions & { readonly logger: Logger; readonly clock: Clock },
): Promise<PacketFilter> {
  const { run, namespace, logger, clock } = options;
  const place = namespace === undefined ? {} : { namespace };
  const programs = run === undefined ? {} : { run };
  if (kind === "nftables") {
    const former = { name: "iptables", remove: () => removeIptables(programs).catch(ifNotInstalled) };
    return new Takeover({ filter: createNftablesFilter(config, place), former, logger, clock });
  }
  const former = { name: "nftables", remove: async () => removeNftables(place) };
  const filter = await createIptablesFilter(config, { ...programs, ...place });
  return new Takeover({ filter, former, logger, clock });
}

/** What is not installed has left nothing. */
function ifNotInstalled(error: unknown): readonly string[] {
  if ((error instanceof IptablesError || error instanceof IpSetError) && error.code === "unavailable")
    return [];
  throw error;
}

/** Names of all tables; undefined where the kernel has no nf_tables. */
function readTables({ namespace }: ChooseOptions): string[] | undefined {
  try {
    using nfTables = NfTables.open(namespace === undefined ? {} : { namespace });
    return nfTables.tables().map(({ name }) => name);
  } catch {
    return undefined;
  }
}

async function isIptablesInstalled({ run }: ChooseOptions): Promise<boolean> {
  try {
    const backend = await detectBackend({ ipVersion: 4, keepRunning: false, ...(run && { run }) });
    backend.close?.();
    return true;
  } catch {
    return false;
  }
}
