/**
 * From the interface a packet came in by, or goes out to, to the chain that judges that workload: a map the dispatch chain
 * asks, whatever the number of workloads. What is judged alike shares a chain; only limits are an endpoint's own:
 *
 *     filter-cali-to-wl-dispatch --map--> filter-cali-gi-HASH
 *                                \------> filter-cali-tw-IFACE --> filter-cali-gi-HASH     with limits of its own
 *
 * What matches no interface we know of is dropped: a veth that exists before its policy does stays dark.
 */

import { interfaceData } from "../../../linux/nf-tables/data.ts";
import { verdictMap } from "../../../linux/nf-tables/expression.ts";
import { ipVersion } from "../../../net/ip.ts";
import type { Direction } from "../../../policy/model.ts";
import type { LocalEndpoint } from "../../calc/changes.ts";
import { denyRules } from "./actions.ts";
import type { RenderContext } from "./context.ts";
import { workloadRules } from "./endpoint-chains.ts";
import { ElementSet } from "./kept-set.ts";
import type { LinkedChains } from "./linked-chains.ts";
import { clearMark, loadInterface, markClear } from "./match.ts";
import { chainName, DIRECTIONS, dispatchMap, groupChain, workloadChain, workloadDispatch } from "./names.ts";
import { limitRules } from "./qos-rules.ts";
import { doing, plain } from "./rule.ts";
import { tunnelsOfWorkloads } from "./static-chains.ts";

const DISABLED = chainName("filter", "disabled");
const NO_ADDRESS = chainName("filter", "no-address");

export class WorkloadChains {
  /** Interface to chain. */
  readonly maps: Readonly<Record<Direction, ElementSet>>;
  readonly #chains: LinkedChains;
  readonly #context: RenderContext;
  /** By interface, the groups it belongs to. */
  readonly #groups = new Map<string, readonly string[]>();
  readonly #members = new Map<string, number>();

  constructor(chains: LinkedChains, context: RenderContext) {
    this.#chains = chains;
    this.#context = context;
    const map = (direction: Direction) => {
      const name = dispatchMap("filter", workloadDispatch(direction));
      return new ElementSet({ name, key: ["ifname"], data: "verdict" }, [], { growsInPlace: true });
    };
    this.maps = { ingress: map("ingress"), egress: map("egress") };
    const { accept, pass } = context.marks;
    for (const direction of DIRECTIONS) {
      const side = direction === "ingress" ? "out" : "in";
      chains.set(chainName("filter", workloadDispatch(direction)), {
        rules: [
          doing(clearMark(accept | pass)),
          ...(direction === "egress" ? tunnelsOfWorkloads(context) : []),
          doing([loadInterface(side), verdictMap(this.maps[direction].set.name)]),
          // Also what a chain lets go that for this packet has no rules yet: nothing but an allowed one goes on.
          ...denyRules(markClear(accept), "Unknown interface", context),
        ],
      });
    }
    chains.set(DISABLED, { rules: denyRules([], "Endpoint admin disabled", context) });
    chains.set(NO_ADDRESS, { rules: denyRules([], `No IPv${context.version} address`, context) });
  }

  set(endpoint: LocalEndpoint): void {
    const { interfaceName } = endpoint;
    const former = this.#groups.get(interfaceName) ?? [];
    const groups = DIRECTIONS.map(direction => this.#join(endpoint, direction));
    this.#groups.set(interfaceName, groups);
    for (const [i, direction] of DIRECTIONS.entries()) {
      const group = groups[i] as string;
      const own = workloadChain(direction, interfaceName);
      const limits = endpoint.enabled ? limitRules(endpoint.qos?.[direction] ?? {}, this.#context) : [];
      if (limits.length > 0) this.#chains.set(own, { rules: [...limits, plain([], { goto: group })] });
      else this.#chains.remove(own);
      const jump = limits.length > 0 ? own : group;
      this.maps[direction].put({ key: interfaceData(interfaceName), verdict: { jump } });
    }
    this.#leave(former);
  }

  remove(interfaceName: string): void {
    for (const direction of DIRECTIONS) {
      this.maps[direction].remove(interfaceData(interfaceName));
      this.#chains.remove(workloadChain(direction, interfaceName));
    }
    this.#leave(this.#groups.get(interfaceName) ?? []);
    this.#groups.delete(interfaceName);
  }

  /** The chain of all that is judged like this endpoint, made if this is the first. */
  #join(endpoint: LocalEndpoint, direction: Direction): string {
    // Nothing of this version is rightly its own or for it. Besides, policies that only such endpoints have need no
    // chain: half the work where everything has one address.
    if (!endpoint.addresses.some(address => ipVersion(address) === this.#context.version)) return NO_ADDRESS;
    if (!endpoint.enabled) return DISABLED;
    const { tiers, profiles } = endpoint;
    const asked = tiers.map(tier => [tier.name, tier.defaultAction, tier[direction]]);
    const group = groupChain("filter", direction, JSON.stringify([asked, profiles]));
    const members = this.#members.get(group) ?? 0;
    this.#members.set(group, members + 1);
    if (members === 0) this.#chains.set(group, { rules: workloadRules(endpoint, direction, this.#context) });
    return group;
  }

  #leave(groups: readonly string[]): void {
    for (const group of groups) {
      const members = this.#members.get(group);
      if (members === undefined) continue;
      if (members > 1) this.#members.set(group, members - 1);
      else {
        this.#members.delete(group);
        this.#chains.remove(group);
      }
    }
  }
}
