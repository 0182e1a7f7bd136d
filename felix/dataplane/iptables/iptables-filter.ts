/**
 * The packet filter on iptables and ipset: one {@link Family} per IP version, each with its sets and its tables.
 *
 * `update` only translates what changed into chains and members; iptables-ts knows what the kernel has and writes the
 * difference, sets before the rules that use them, stale sets after the rules that did.
 */

import { createIpSetBackend, detectBackend, IpSets, Iptables, type Run, type TableName } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Changes, LocalEndpoint, PoolInfo, SetChange, SetMember } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import type { PacketFilter, RuleCounter } from "../packet-filter.ts";
import { DispatchChains } from "./dispatch-chains.ts";
import { allocateMarks, type MarkBits } from "./marks.ts";
import { type Direction, policyChain, profileChain, setName, workloadChain } from "./names.ts";
import { policyRules, profileRules, type RenderContext } from "./policy-chains.ts";
import {
  ALL_POOLS,
  filterChains,
  MASQUERADED_POOLS,
  natChains,
  rawChains,
  type StaticChains,
  spoofingExceptions,
} from "./static-chains.ts";
import { workloadChains } from "./workload-chains.ts";

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];
/** Mangle is claimed too: what an earlier Calico left there is swept. */
const TABLES: readonly TableName[] = ["raw", "mangle", "nat", "filter"];

/** @throws where neither iptables variant is installed or permitted */
export async function createIptablesFilter(
  config: FelixConfig,
  options: { run?: Run } = {},
): Promise<PacketFilter> {
  const versions: IpVersion[] = config.ipv6Support ? [4, 6] : [4];
  const families = await Promise.all(versions.map(version => Family.create(version, config, options)));
  return new IptablesFilter(families);
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

  /** The families share nothing: a failure of one must not keep the other from its commit. */
  async commit(): Promise<void> {
    await settleAll(this.#families.map(family => family.commit()));
  }

  async resync(what: "rules" | "sets"): Promise<void> {
    await settleAll(this.#families.map(family => family.resync(what)));
  }

  async counters(): Promise<readonly RuleCounter[]> {
    return [];
  }
}

async function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(promises)).find(result => result.status === "rejected");
  if (failed) throw failed.reason;
}

class Family {
  readonly #version: IpVersion;
  readonly #config: FelixConfig;
  readonly #marks: MarkBits;
  readonly #context: RenderContext;
  readonly #iptables: Iptables;
  readonly #sets: IpSets;
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #pools = new Map<string, PoolInfo>();
  readonly #dispatch: DispatchChains;

  private constructor(version: IpVersion, config: FelixConfig, iptables: Iptables, sets: IpSets) {
    this.#version = version;
    this.#config = config;
    this.#iptables = iptables;
    this.#sets = sets;
    this.#marks = allocateMarks(config.iptablesMarkMask);
    this.#dispatch = new DispatchChains(config);
    this.#context = { version, config, marks: this.#marks };
    this.#setStatic("filter", filterChains(version, config, this.#marks));
    this.#setStatic("raw", rawChains(config, this.#marks));
    this.#setStatic("nat", natChains(version, config));
    this.#setPools();
    this.#setDispatch();
  }

  static async create(version: IpVersion, config: FelixConfig, options: { run?: Run }): Promise<Family> {
    const variants = { Auto: undefined, NFT: "nft", Legacy: "legacy" } as const;
    const variant = variants[config.iptablesBackend];
    const backend = await detectBackend({ ipVersion: version, ...options, ...(variant && { variant }) });
    const iptables = new Iptables({ backend, tables: TABLES, chainPrefix: "cali-", hashPrefix: "cali:" });
    const sets = new IpSets({
      backend: createIpSetBackend(options),
      ipVersion: version,
      prefix: `cali${version}0`,
      tempPrefix: `cali${version}t`,
    });
    return new Family(version, config, iptables, sets);
  }

  get pending(): boolean {
    return this.#sets.needsUpdate || this.#iptables.needsApply || this.#sets.needsDeletion;
  }

  async commit(): Promise<void> {
    if (this.#sets.needsUpdate) await this.#sets.applyUpdates();
    if (this.#iptables.needsApply) await this.#iptables.apply();
    if (this.#sets.needsDeletion) await this.#sets.applyDeletions();
  }

  async resync(what: "rules" | "sets"): Promise<void> {
    if (what === "rules") await this.#iptables.check();
    else await this.#sets.check();
  }

  update(changes: Changes): void {
    for (const [id, change] of changes.sets) this.#updateSet(id, change);
    const filter = this.#iptables.table("filter");
    for (const direction of DIRECTIONS) {
      for (const [id, policy] of changes.policies) {
        const chain = policyChain(direction, id);
        if (policy) filter.setChain(chain, policyRules(policy[direction], this.#context));
        else filter.removeChain(chain);
      }
      for (const [name, profile] of changes.profiles) {
        const chain = profileChain(direction, name);
        if (profile) filter.setChain(chain, profileRules(profile[direction], this.#context));
        else filter.removeChain(chain);
      }
    }
    if (changes.endpoints.size > 0) this.#updateEndpoints(changes.endpoints);
    if (changes.pools.size > 0) {
      for (const [name, pool] of changes.pools) {
        if (pool) this.#pools.set(name, pool);
        else this.#pools.delete(name);
      }
      this.#setPools();
    }
  }

  #updateSet(id: string, change: SetChange | undefined): void {
    const name = setName(this.#version, id);
    if (!change) this.#sets.removeSet(name);
    else if (change.kind === "whole") {
      const type = change.type === "net" ? ("hash:net" as const) : ("hash:ip,port" as const);
      this.#sets.setMembers(
        name,
        { type, maxElements: this.#config.maxIpsetSize },
        this.#ofVersion(change.members),
      );
    } else {
      this.#sets.removeMembers(name, this.#ofVersion(change.removed));
      this.#sets.addMembers(name, this.#ofVersion(change.added));
    }
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

  #updateEndpoints(endpoints: Changes["endpoints"]): void {
    const filter = this.#iptables.table("filter");
    // First all that goes: an interface may pass from one endpoint to another, in any order.
    for (const [id, endpoint] of endpoints) {
      const former = this.#endpoints.get(id)?.interfaceName;
      if (former === endpoint?.interfaceName) continue;
      this.#endpoints.delete(id);
      if (former === undefined) continue;
      this.#dispatch.remove(former);
      for (const direction of DIRECTIONS) filter.removeChain(workloadChain(direction, former));
    }
    for (const [id, endpoint] of endpoints) {
      if (!endpoint) continue;
      this.#endpoints.set(id, endpoint);
      this.#dispatch.add(endpoint.interfaceName);
      for (const [chain, rules] of workloadChains(endpoint, this.#config, this.#marks, this.#version))
        filter.setChain(chain, rules);
    }
    this.#setDispatch();
    this.#setSpoofingExceptions();
  }

  #setDispatch(): void {
    const filter = this.#iptables.table("filter");
    for (const [chain, rules] of this.#dispatch.drain()) {
      if (rules) filter.setChain(chain, rules);
      else filter.removeChain(chain);
    }
  }

  #setSpoofingExceptions(): void {
    const endpoints = this.#config.workloadSourceSpoofing === "Any" ? this.#endpoints.values() : [];
    this.#iptables.table("raw").setChain("cali-rpf-skip", spoofingExceptions(endpoints, this.#version));
  }

  #setPools(): void {
    const ofVersion = [...this.#pools.values()].filter(
      pool => pool.cidr.includes(":") === (this.#version === 6),
    );
    const spec = { type: "hash:net", maxElements: this.#config.maxIpsetSize } as const;
    const masqueraded = ofVersion.filter(pool => pool.masquerade);
    this.#sets.setMembers(
      setName(this.#version, ALL_POOLS),
      spec,
      ofVersion.map(pool => pool.cidr),
    );
    this.#sets.setMembers(
      setName(this.#version, MASQUERADED_POOLS),
      spec,
      masqueraded.map(pool => pool.cidr),
    );
  }

  #setStatic(name: TableName, { chains, hooks, appends }: StaticChains): void {
    const table = this.#iptables.table(name);
    for (const [chain, rules] of chains) table.setChain(chain, rules);
    for (const [chain, rules] of hooks) {
      if (this.#config.chainInsertMode === "Append")
        table.setAppends(chain, [...rules, ...(appends.get(chain) ?? [])]);
      else table.setInsertions(chain, rules);
    }
    for (const [chain, rules] of appends) {
      if (this.#config.chainInsertMode === "Insert" || !hooks.has(chain)) table.setAppends(chain, rules);
    }
    if (name === "raw") this.#setSpoofingExceptions();
  }
}
