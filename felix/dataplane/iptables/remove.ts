/**
 * Takes everything of this dataplane out of the kernel, ours and Calico's: chains, the jumps to them and sets, of both variants
 * and both IP versions. For those who filter in another way now, and for uninstalling.
 */

import { setTimeout } from "node:timers/promises";
import { createIpSetBackend, detectBackend, IpSets, Iptables, type Run, type Variant } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import { OWNERSHIP, setOwnership, TABLES } from "./ownership.ts";

/** nf_tables lets go of sets some time after the rules that used them. */
const SET_ATTEMPTS = 20;
const SET_PAUSE_MS = 50;

const VERSIONS: readonly IpVersion[] = [4, 6];
const VARIANTS: readonly Variant[] = ["nft", "legacy"];

/**
 * What was removed: `iptables-nft/filter/cali-FORWARD`, `ipset/cali40s:…`. Nothing where nothing was there; a variant that is not
 * installed is passed over. Sets that somebody else's rules use stay. @throws IptablesError, IpSetError where the kernel refuses
 */
export async function removeIptables({ run }: { readonly run?: Run } = {}): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const version of VERSIONS) {
    for (const variant of VARIANTS) removed.push(...(await removeRules(version, variant, run)));
    removed.push(...(await removeSets(version, run)));
  }
  return removed;
}

/** The rules of one version and variant, whose sets stay. */
export async function removeRules(ipVersion: IpVersion, variant: Variant, run?: Run): Promise<string[]> {
  const options = { ipVersion, variant, keepRunning: false, ...(run && { run }) };
  const backend = await detectBackend(options).catch(() => undefined);
  if (!backend) return [];
  // Nothing is defined, so everything of ours is to go.
  const { written, removed } = await new Iptables({ backend, tables: TABLES, ...OWNERSHIP }).apply();
  const program = `${ipVersion === 4 ? "iptables" : "ip6tables"}-${variant}`;
  return [...written, ...removed].map(chain => `${program}/${chain}`);
}

async function removeSets(version: IpVersion, run?: Run): Promise<string[]> {
  const backend = createIpSetBackend(run && { run });
  const sets = new IpSets({ backend, ipVersion: version, ...setOwnership(version) });
  await sets.applyUpdates();
  const removed: string[] = [];
  for (let attempt = 0; attempt < SET_ATTEMPTS && sets.needsDeletion; attempt++) {
    if (attempt > 0) await setTimeout(SET_PAUSE_MS);
    removed.push(...(await sets.applyDeletions()).destroyed);
  }
  return removed.map(name => `ipset/${name}`);
}
