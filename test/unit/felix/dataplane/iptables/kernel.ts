/** The iptables packet filter in front of a kernel made of Maps. */

import { type Changes, NO_CHANGES } from "../../../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../../../felix/calc/config.ts";
import { createIptablesFilter } from "../../../../../felix/dataplane/iptables/iptables-filter.ts";
import type { PacketFilter } from "../../../../../felix/dataplane/packet-filter.ts";
import { FakeKernel } from "../../../../../felix/iptables-ts/test/fake-kernel.ts";
import type { IpVersion } from "../../../../../net/ip.ts";
import type { Ruleset } from "./packet-walk.ts";

export const configOf = (values: Readonly<Record<string, unknown>> = {}) =>
  resolveConfig([{ source: "test", values }]).config;

export class FilteringKernel {
  readonly kernel: FakeKernel;
  readonly filter: PacketFilter;

  private constructor(kernel: FakeKernel, filter: PacketFilter) {
    this.kernel = kernel;
    this.filter = filter;
  }

  static create(values: Readonly<Record<string, unknown>> = {}): Promise<FilteringKernel> {
    return FilteringKernel.restart(new FakeKernel(), values);
  }

  /** A new filter in front of a kernel that has seen others. */
  static async restart(
    kernel: FakeKernel,
    values: Readonly<Record<string, unknown>> = {},
  ): Promise<FilteringKernel> {
    return new FilteringKernel(kernel, await createIptablesFilter(configOf(values), { run: kernel.run }));
  }

  async commit(changes: Partial<Changes> = {}): Promise<this> {
    this.filter.update({ ...NO_CHANGES, ...changes });
    await this.filter.commit();
    return this;
  }

  chain(name: string, version: IpVersion = 4, table = "filter"): string[] | undefined {
    return this.kernel.rules(table, name, version === 4 ? "iptables-nft" : "ip6tables-nft");
  }

  /** The chain that judges what goes to the workload, or what comes from it. */
  judging(direction: "to" | "from", interfaceName: string, version: IpVersion = 4): string | undefined {
    const chains = this.kernel.table("filter", version === 4 ? "iptables-nft" : "ip6tables-nft");
    for (const name of chains.keys()) {
      if (!name.startsWith(`cali-${direction}-wl-dispatch`)) continue;
      const leaf = this.chain(name, version)?.find(rule => rule.includes(` ${interfaceName} -g `));
      if (leaf) return leaf.split(" ").at(-1);
    }
    return undefined;
  }

  ruleset(version: IpVersion, table = "filter"): Ruleset {
    const program = version === 4 ? "iptables-nft" : "ip6tables-nft";
    return { chains: this.kernel.table(table, program), sets: this.kernel.sets };
  }
}
