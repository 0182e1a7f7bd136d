/**
 * The chains of host endpoints in one table, with the dispatch chains that lead to them (calico.md 3.3, Appendix C). Pure.
 *
 *     raw      cali-fh-IFACE, cali-th-IFACE        untracked: allowed packets are not tracked and skip what follows
 *     mangle   cali-fh-IFACE                       before destinations are translated
 *              cali-th-IFACE                       what the host sends to a translated destination: filter OUTPUT did not know it
 *     filter   cali-fh-IFACE, cali-th-IFACE        to and from the host itself
 *              cali-fhfw-IFACE, cali-thfw-IFACE    through the host; allowed where no policy applies
 *
 * An interface with a host endpoint of its own is judged by that alone, where it has nothing to say too; the endpoint of all
 * interfaces judges the others, but not those of workloads.
 */

import { type Rule, rule } from "iptables-ts";
import type { Direction } from "../../../policy/model.ts";
import { ANY_INTERFACE, type LocalHostEndpoint } from "../../calc/changes.ts";
import type { RenderContext } from "./actions.ts";
import {
  DIRECTIONS,
  failsafeChain,
  hostChain,
  hostDispatchChain,
  hostForwardChain,
  hostForwardDispatchChain,
} from "./names.ts";
import { connectionRules, profilesOrDeny, tierRules } from "./tier-rules.ts";

export type HostEndpoints = ReadonlyMap<string, LocalHostEndpoint>;

/** One dispatch chain and what it leads to. */
interface Category {
  readonly dispatch: string;
  readonly direction: Direction;
  readonly chainOf: (interfaceName: string) => string;
  /** Undefined: nothing to say about this endpoint's packets. */
  readonly rulesOf: (endpoint: LocalHostEndpoint) => Rule[] | undefined;
}

/** All chains of the table that host endpoints need; none where there are none. */
export function hostChains(endpoints: HostEndpoints, context: RenderContext): Map<string, readonly Rule[]> {
  const chains = new Map<string, readonly Rule[]>();
  for (const category of categoriesOf(context)) {
    const judged = [...endpoints].map(([name, endpoint]) => [name, category.rulesOf(endpoint)] as const);
    if (judged.every(([, rules]) => rules === undefined)) continue;
    for (const [name, rules] of judged) if (rules) chains.set(category.chainOf(name), rules);
    chains.set(category.dispatch, dispatchRules(judged, category, context));
  }
  return chains;
}

function categoriesOf(context: RenderContext): Category[] {
  const everyDirection = (rulesOf: (direction: Direction) => Category["rulesOf"]) =>
    DIRECTIONS.map(direction => ({
      dispatch: hostDispatchChain(direction),
      direction,
      chainOf: (name: string) => hostChain(direction, name),
      rulesOf: rulesOf(direction),
    }));
  switch (context.table) {
    case "raw":
      return everyDirection(direction => endpoint => untrackedRules(endpoint, direction, context));
    case "mangle":
      return everyDirection(direction => endpoint => {
        if (direction === "egress") return normalRules(endpoint, direction, context);
        return preDnatRules(endpoint, context);
      });
    case "filter":
      return [
        ...everyDirection(direction => endpoint => normalRules(endpoint, direction, context)),
        ...DIRECTIONS.map(direction => ({
          dispatch: hostForwardDispatchChain(direction),
          direction,
          chainOf: (name: string) => hostForwardChain(direction, name),
          rulesOf: (endpoint: LocalHostEndpoint) => forwardRules(endpoint, direction, context),
        })),
      ];
    default:
      return [];
  }
}

function dispatchRules(
  judged: readonly (readonly [string, readonly Rule[] | undefined])[],
  { direction, chainOf }: Category,
  { config }: RenderContext,
): Rule[] {
  const on = (name: string) =>
    direction === "ingress" ? rule().inInterface(name) : rule().outInterface(name);
  const named = judged.filter(([name]) => name !== ANY_INTERFACE).sort(([a], [b]) => (a < b ? -1 : 1));
  const rules = named.map(([name, judgement]) =>
    judgement ? on(name).goto(chainOf(name)) : on(name).return(),
  );
  const [, others] = judged.find(([name]) => name === ANY_INTERFACE) ?? [];
  if (!others) return rules;
  const workloads = config.interfacePrefix.map(prefix => on(`${prefix}+`).return());
  return [...rules, ...workloads, rule().goto(chainOf(ANY_INTERFACE))];
}

function beginning(direction: Direction, { marks }: RenderContext): Rule[] {
  return [rule().jump(failsafeChain(direction)), rule().clearMark(marks.accept + marks.pass)];
}

function normalRules(endpoint: LocalHostEndpoint, direction: Direction, context: RenderContext): Rule[] {
  const { config, table } = context;
  const allow = table === "mangle" ? config.iptablesMangleAllowAction : config.iptablesFilterAllowAction;
  return [
    ...connectionRules(allow, context),
    ...beginning(direction, context),
    ...tierRules(endpoint.tiers, direction, "default-action", context).rules,
    ...profilesOrDeny(endpoint.profiles, direction, context),
  ];
}

function forwardRules(endpoint: LocalHostEndpoint, direction: Direction, context: RenderContext): Rule[] {
  const { config, marks } = context;
  const tiers = tierRules(endpoint.forwardTiers, direction, "default-action", context);
  // What comes in has the workload's own limits before it yet, or another interface's policy.
  const allow = direction === "ingress" ? "Return" : config.iptablesFilterAllowAction;
  const connections = tiers.asking > 0 ? connectionRules(allow, context) : [];
  return [
    ...connections,
    rule().clearMark(marks.accept + marks.pass),
    ...tiers.rules,
    // Where no policy applies, and where each passes the packet on: there are no profiles here.
    rule().comment("Allow forwarded traffic by default").setMark(marks.accept),
  ];
}

function untrackedRules(
  endpoint: LocalHostEndpoint,
  direction: Direction,
  context: RenderContext,
): Rule[] | undefined {
  const tiers = tierRules(endpoint.untrackedTiers, direction, "continue", context);
  if (tiers.asking === 0) return undefined;
  return [...beginning(direction, context), ...tiers.rules, rule().markSet(context.marks.accept).notrack()];
}

function preDnatRules(endpoint: LocalHostEndpoint, context: RenderContext): Rule[] | undefined {
  const tiers = tierRules(endpoint.preDnatTiers, "ingress", "continue", context);
  if (tiers.asking === 0) return undefined;
  return [
    ...connectionRules(context.config.iptablesMangleAllowAction, context),
    ...beginning("ingress", context),
    ...tiers.rules,
  ];
}
