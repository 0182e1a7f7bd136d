/**
 * Everything of one IP version: its sets, its tables, and what of the host's state their chains are made of. `update` only
 * translates what changed into chains and members; iptables-ts knows what the kernel has and writes the difference.
 */

import { type Backend, type IpSetBackend, Iptables } from "iptables-ts";
import { type Cidr, cidrVersion } from "../../../net/cidr.ts";
import type { IpVersion } from "../../../net/ip.ts";
import type { Direction, Policy, Profile } from "../../../policy/model.ts";
import type { Changes, Encapsulation, LocalEndpoint, LocalHostEndpoint } from "../../calc/changes.ts";
import type { FelixConfig } from "../../calc/config.ts";
import { allocateMarks, type MarkBits } from "../marks.ts";
import type { RuleCounter } from "../packet-filter.ts";
import type { RenderContext } from "./actions.ts";
import { type ChainOwner, CountedChains } from "./counted-chains.ts";
import { FamilySets } from "./family-sets.ts";
import { filterChains } from "./filter-chains.ts";
import { hostChains } from "./host-chains.ts";
import { mangleChains } from "./mangle-chains.ts";
import { ALL_HOSTS, DIRECTIONS, policyChain, profileChain, VXLAN_HOSTS } from "./names.ts";
import { natChains } from "./nat-chains.ts";
import { OWNERSHIP, TABLES } from "./ownership.ts";
import { policyRules, profileRules, type RenderedRules } from "./policy-chains.ts";
import { rawChains } from "./raw-chains.ts";
import { setInTheWay, withoutSet } from "./set-in-the-way.ts";
import type { HostState, TableChains } from "./table-chains.ts";
import { WorkloadChains } from "./workload-chains.ts";

type Table = (typeof TABLES)[number];

const CHAINS_OF: Readonly<Record<Table, (context: RenderContext, state: HostState) => TableChains>> = {
  raw: rawChains,
  mangle: mangleChains,
  nat: natChains,
  filter: filterChains,
};

export interface FamilyOptions {
  readonly version: IpVersion;
  readonly config: FelixConfig;
  readonly backend: Backend;
  readonly setBackend: IpSetBackend;
  /** Removes what an agent that used something else than this backend left behind. */
  readonly sweep: () => Promise<unknown>;
}

export class Family {
  readonly #version: IpVersion;
  readonly #config: FelixConfig;
  readonly #marks: MarkBits;
  readonly #iptables: Iptables;
  readonly #sets: FamilySets;
  readonly #workloads: WorkloadChains;
  readonly #policies = new Map<string, Policy>();
  readonly #profiles = new Map<string, Profile>();
  /** Endpoints that need more than their policies. */
  readonly #special = new Map<string, LocalEndpoint>();
  readonly #hostEndpoints = new Map<string, LocalHostEndpoint>();
  /** Chains of host endpoints by table, as they were last set. */
  readonly #hostChains = new Map<Table, ReadonlySet<string>>();
  readonly #counted = new CountedChains();
  #sweep: FamilyOptions["sweep"] | undefined;
  #encapsulation: Encapsulation = { ipip: false, vxlan: false, vxlan6: false };
  #serviceCidrs: readonly Cidr[] = [];

  constructor({ version, config, backend, setBackend, sweep }: FamilyOptions) {
    this.#version = version;
    this.#config = config;
    this.#sweep = sweep;
    this.#iptables = new Iptables({ backend, tables: TABLES, ...OWNERSHIP });
    this.#sets = new FamilySets(version, config.maxIpsetSize, setBackend);
    this.#marks = allocateMarks(config.iptablesMarkMask);
    this.#workloads = new WorkloadChains(this.#context("filter"));
    if (config.natOutgoingExclusions === "IPPoolsAndHostIPs") this.#sets.require(ALL_HOSTS);
    this.#setTables();
    this.#setWorkloads();
  }

  get pending(): boolean {
    return this.#sets.pending || this.#iptables.needsApply || this.#sweep !== undefined;
  }

  async commit(): Promise<void> {
    await this.#applySets();
    if (this.#iptables.needsApply) await this.#iptables.apply();
    await this.#sets.applyDeletions();
    // Only now, that what is wanted is in force; what remains of another time is tried again and holds up nothing.
    if (
      await this.#sweep?.().then(
        () => true,
        () => false,
      )
    )
      this.#sweep = undefined;
  }

  async #applySets(): Promise<void> {
    try {
      await this.#sets.applyUpdates();
    } catch (error) {
      const set = setInTheWay(error);
      if (set === undefined) throw error;
      const restore = withoutSet(this.#iptables, set);
      try {
        await this.#iptables.apply();
      } finally {
        restore();
      }
      // nf_tables lets go of it a little later: where this is too early, the next commit makes it.
      await this.#sets.applyUpdates();
    }
  }

  async resync(what: "rules" | "sets"): Promise<void> {
    if (what === "rules") await this.#iptables.check();
    else await this.#sets.resync();
  }

  /** The program kept between commits. */
  close(): void {
    void this.#iptables.close();
  }

  async counters(): Promise<RuleCounter[]> {
    return this.#counted.read(await this.#iptables.counters());
  }

  update(changes: Changes): void {
    this.#sets.update(changes);
    for (const [id, policy] of changes.policies) this.#setPolicy(id, policy);
    for (const [name, profile] of changes.profiles) this.#setProfile(name, profile);
    let tablesTouched = false;
    if (changes.endpoints.size > 0) {
      this.#workloads.update(changes.endpoints);
      this.#setWorkloads();
      tablesTouched = this.#noteEndpoints(changes.endpoints);
    }
    if (changes.hostEndpoints.size > 0) {
      this.#updateHostEndpoints(changes.hostEndpoints);
      tablesTouched = true;
    }
    if (changes.encapsulation) {
      this.#encapsulation = changes.encapsulation;
      tablesTouched = true;
    }
    if (changes.serviceCidrs) {
      this.#serviceCidrs = changes.serviceCidrs.filter(cidr => cidrVersion(cidr) === this.#version);
      tablesTouched = true;
    }
    if (tablesTouched) this.#setTables();
  }

  #context(table: Table): RenderContext {
    return { version: this.#version, config: this.#config, marks: this.#marks, table };
  }

  #setPolicy(id: string, policy: Policy | undefined): void {
    if (policy) this.#policies.set(id, policy);
    else this.#policies.delete(id);
    for (const direction of DIRECTIONS) {
      const chain = policyChain(direction, id);
      const tables = policy ? this.#tablesOf(policy, direction) : [];
      for (const table of TABLES) {
        const rendered =
          policy && tables.includes(table) ? policyRules(policy, direction, this.#context(table)) : undefined;
        this.#setCounted(table, chain, { kind: "policy", name: id, direction }, rendered);
      }
    }
  }

  #setProfile(name: string, profile: Profile | undefined): void {
    if (profile) this.#profiles.set(name, profile);
    else this.#profiles.delete(name);
    for (const direction of DIRECTIONS) {
      const chain = profileChain(direction, name);
      const tables = profile ? this.#normalTables(direction) : [];
      for (const table of TABLES) {
        const rendered =
          profile && tables.includes(table)
            ? profileRules(profile, direction, this.#context(table))
            : undefined;
        this.#setCounted(table, chain, { kind: "profile", name, direction }, rendered);
      }
    }
  }

  /** Where a policy may be asked, whoever asks it. Chains that nobody leads to are not programmed. */
  #tablesOf({ doNotTrack, preDNAT }: Policy, direction: Direction): readonly Table[] {
    if (doNotTrack) return ["raw"];
    return preDNAT ? ["mangle"] : this.#normalTables(direction);
  }

  #normalTables(direction: Direction): readonly Table[] {
    return direction === "egress" && this.#hostEndpoints.size > 0 ? ["mangle", "filter"] : ["filter"];
  }

  #setCounted(table: Table, chain: string, owner: ChainOwner, rendered: RenderedRules | undefined): void {
    if (rendered) this.#iptables.table(table).setChain(chain, rendered.rules);
    else this.#iptables.table(table).removeChain(chain);
    this.#counted.set(table, chain, rendered && { ...owner, counting: rendered.counting });
  }

  #updateHostEndpoints(changes: Changes["hostEndpoints"]): void {
    const had = this.#hostEndpoints.size > 0;
    for (const [name, endpoint] of changes) {
      if (endpoint) this.#hostEndpoints.set(name, endpoint);
      else this.#hostEndpoints.delete(name);
    }
    // With the first one policies are needed in one more table, with the last one no longer.
    if (had !== this.#hostEndpoints.size > 0) {
      for (const [id, policy] of this.#policies) this.#setPolicy(id, policy);
      for (const [name, profile] of this.#profiles) this.#setProfile(name, profile);
    }
    for (const name of TABLES) {
      const table = this.#iptables.table(name);
      const chains = hostChains(this.#hostEndpoints, this.#context(name));
      for (const former of this.#hostChains.get(name) ?? [])
        if (!chains.has(former)) table.removeChain(former);
      for (const [chain, rules] of chains) table.setChain(chain, rules);
      this.#hostChains.set(name, new Set(chains.keys()));
    }
  }

  #setWorkloads(): void {
    const filter = this.#iptables.table("filter");
    for (const [chain, rules] of this.#workloads.drain()) {
      if (rules) filter.setChain(chain, rules);
      else filter.removeChain(chain);
    }
  }

  /** Whether chains that do not belong to one endpoint have to be looked at again. */
  #noteEndpoints(endpoints: Changes["endpoints"]): boolean {
    let touched = false;
    for (const [id, endpoint] of endpoints) {
      const had = this.#special.delete(id);
      const special = endpoint !== undefined && isSpecial(endpoint);
      if (special) this.#special.set(id, endpoint);
      touched ||= had || special;
    }
    return touched;
  }

  #setTables(): void {
    const { ipip, vxlan, vxlan6 } = this.#encapsulation;
    const state = {
      ipip: ipip && this.#version === 4,
      vxlan: this.#version === 4 ? vxlan : vxlan6,
      serviceCidrs: this.#serviceCidrs,
      hostEndpoints: new Map([...this.#hostEndpoints].sort(([a], [b]) => (a < b ? -1 : 1))),
      endpoints: [...this.#special.values()].sort((a, b) => (a.interfaceName < b.interfaceName ? -1 : 1)),
    };
    if (state.ipip) this.#sets.require(ALL_HOSTS);
    if (state.vxlan) this.#sets.require(VXLAN_HOSTS);
    for (const table of TABLES) {
      const hostDispatch = this.#hostChains.get(table) ?? new Set();
      this.#setTable(table, CHAINS_OF[table](this.#context(table), { ...state, hostDispatch }));
    }
  }

  #setTable(name: Table, { chains, hooks, appends }: TableChains): void {
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
  }
}

function isSpecial({ floatingIps, qos, bgpPeer, allowedSources }: LocalEndpoint): boolean {
  return floatingIps.length > 0 || qos?.dscp !== undefined || bgpPeer === true || allowedSources.length > 0;
}
