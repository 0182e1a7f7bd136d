/**
 * The chains that judge workloads, kept for all workloads of the host. Pure.
 *
 *     cali-to-wl-dispatch --interface--> cali-gi-HASH            what goes to the workload
 *     cali-from-wl-dispatch --interface--> cali-go-HASH          what comes from it
 *                           \-> cali-fw-IFACE -> cali-go-HASH    where it has limits of its own
 *
 * Workloads with the same tiers and profiles share a chain, named by what is in it, and those with other policies at least its
 * beginning and end: a host of a hundred pods has a handful, and what the kernel has to look through at each commit shrinks with
 * them (docs/dataplanes.md).
 *
 *     connections (cali-known); the tiers, each ending in its default action -> cali-gi-HASH: the last one's end, the profiles, drop
 */

import { type Rule, rule } from "iptables-ts";
import { ipVersion } from "../../../net/ip.ts";
import type { Direction } from "../../../policy/model.ts";
import type { LocalEndpoint } from "../../calc/changes.ts";
import type { QosLimits } from "../../calc/qos.ts";
import { denyRule, type RenderContext, rejectRule } from "./actions.ts";
import { DispatchChains } from "./dispatch-chains.ts";
import { DIRECTIONS, groupChain, KNOWN_CHAIN, workloadChain } from "./names.ts";
import { connectionRules, profilesOrDeny, tierRules } from "./tier-rules.ts";

export class WorkloadChains {
  readonly #context: RenderContext;
  readonly #dispatch: DispatchChains;
  /** Interfaces by endpoint. */
  readonly #interfaces = new Map<string, string>();
  /** The shared chains that an interface needs, and how many interfaces need a shared chain. */
  readonly #sharedBy = new Map<string, readonly string[]>();
  readonly #users = new Map<string, number>();
  readonly #changes = new Map<string, readonly Rule[] | undefined>();

  constructor(context: RenderContext) {
    this.#context = context;
    this.#dispatch = new DispatchChains(context);
  }

  /** All that goes first: an interface may pass from one endpoint to another, in any order. */
  update(endpoints: ReadonlyMap<string, LocalEndpoint | undefined>): void {
    const touched = new Set<string>();
    for (const [id, endpoint] of endpoints) {
      const former = this.#interfaces.get(id);
      if (former === undefined || former === endpoint?.interfaceName) continue;
      this.#interfaces.delete(id);
      this.#remove(former, touched);
    }
    for (const [id, endpoint] of endpoints) {
      if (!endpoint) continue;
      this.#interfaces.set(id, endpoint.interfaceName);
      this.#set(endpoint, touched);
    }
    for (const chain of touched) if (!this.#users.has(chain)) this.#changes.set(chain, undefined);
  }

  /** Chains that are different since the last call; undefined: there is no such chain any more. */
  drain(): Map<string, readonly Rule[] | undefined> {
    const changes = new Map([...this.#changes, ...this.#dispatch.drain()]);
    this.#changes.clear();
    return changes;
  }

  #set(endpoint: LocalEndpoint, touched: Set<string>): void {
    const { interfaceName } = endpoint;
    const shared: string[] = [];
    const leads = { ingress: "", egress: "" };
    for (const direction of DIRECTIONS) {
      const group = this.#group(endpoint, direction, shared);
      const limits = endpoint.enabled ? limitRules(endpoint.qos?.[direction] ?? {}, this.#context) : [];
      const own = workloadChain(direction, interfaceName);
      this.#changes.set(own, limits.length > 0 ? [...limits, rule().goto(group)] : undefined);
      leads[direction] = limits.length > 0 ? own : group;
    }
    for (const chain of shared) this.#users.set(chain, (this.#users.get(chain) ?? 0) + 1);
    this.#leave(interfaceName, touched);
    this.#sharedBy.set(interfaceName, shared);
    this.#dispatch.set(interfaceName, leads);
  }

  #remove(interfaceName: string, touched: Set<string>): void {
    this.#leave(interfaceName, touched);
    this.#sharedBy.delete(interfaceName);
    this.#dispatch.remove(interfaceName);
    for (const direction of DIRECTIONS) this.#changes.set(workloadChain(direction, interfaceName), undefined);
  }

  #leave(interfaceName: string, touched: Set<string>): void {
    for (const chain of this.#sharedBy.get(interfaceName) ?? []) {
      const left = (this.#users.get(chain) ?? 0) - 1;
      if (left > 0) this.#users.set(chain, left);
      else this.#users.delete(chain);
      touched.add(chain);
    }
  }

  /** The chain of all that is judged like this endpoint; it and those it needs are added to `shared`. */
  #group(endpoint: LocalEndpoint, direction: Direction, shared: string[]): string {
    const { beginning, end } = groupRules(endpoint, direction, this.#context);
    const tail = end.length > 0 ? [rule().goto(this.#share(end, direction, shared))] : [];
    return this.#share([...beginning, ...tail], direction, shared);
  }

  /** The chain with these rules, made if this is the first that needs it. */
  #share(rules: readonly Rule[], direction: Direction, shared: string[]): string {
    const chain = groupChain(direction, rules.map(({ text }) => text).join("\n"));
    if (!this.#users.has(chain)) this.#changes.set(chain, rules);
    shared.push(chain);
    return chain;
  }
}

/** What is this group's own, and what others may end with too. */
function groupRules(
  endpoint: LocalEndpoint,
  direction: Direction,
  context: RenderContext,
): { beginning: readonly Rule[]; end: readonly Rule[] } {
  // Nothing of this version is rightly its own or for it. Besides, policies that only such endpoints have are then
  // referred to by no chain, hence not programmed: half the work where everything has one address.
  if (!endpoint.addresses.some(address => ipVersion(address) === context.version))
    return { beginning: [denyRule(rule().comment(`No IPv${context.version} address`), context)], end: [] };
  if (!endpoint.enabled)
    return { beginning: [denyRule(rule().comment("Endpoint admin disabled"), context)], end: [] };
  // What leaves may be for a workload of this host: its limits, and whether it is there at all, count for known connections too.
  const connections =
    direction === "ingress" && context.config.iptablesFilterAllowAction === "Accept"
      ? [rule().jump(KNOWN_CHAIN)]
      : connectionRules("Return", context);
  const { rules, asking } = tierRules(endpoint.tiers, direction, "default-action", context);
  const end = [...rules.slice(asking), ...profilesOrDeny(endpoint.profiles, direction, context)];
  if (asking === 0) return { beginning: [...connections, ...end], end: [] };
  return { beginning: [...connections, ...rules.slice(0, asking)], end };
}

/**
 * What an endpoint may send or receive, whatever policy says. Buckets and counts belong to a rule, so these stand in a chain of
 * their own that is not written again when policies change.
 */
function limitRules(limits: QosLimits, context: RenderContext): Rule[] {
  const { marks } = context;
  const rules: Rule[] = [];
  if (limits.packetRate !== undefined) {
    const rate = { count: limits.packetRate, per: "second", burst: limits.packetBurst ?? 5 } as const;
    rules.push(
      rule().clearMark(marks.scratch0),
      rule().limit(rate).setMark(marks.scratch0),
      rule().comment("Drop packets over the rate limit").markClear(marks.scratch0).drop(),
    );
  }
  if (limits.maxConnections !== undefined) {
    const fresh = rule().comment("Reject connections over the limit").conntrackState("NEW");
    rules.push(rejectRule(fresh.connLimitAbove(limits.maxConnections, 0)));
  }
  return rules;
}
