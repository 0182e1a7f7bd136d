/**
 * The mangle table, where host endpoints or a DSCP need it: pre-DNAT policies in PREROUTING; in POSTROUTING what the host sends
 * to a destination that was translated after filter OUTPUT had seen it (calico.md 3.3). Pure.
 */

import { type Rule, rule } from "iptables-ts";
import { ipVersion } from "../../../net/ip.ts";
import { ANY_INTERFACE } from "../../calc/changes.ts";
import { actionChains, type RenderContext } from "./actions.ts";
import { failsafeChains } from "./failsafe-chains.ts";
import { ALL_POOLS, hostDispatchChain, setName } from "./names.ts";
import type { HostState, TableChains } from "./table-chains.ts";

export function mangleChains(context: RenderContext, state: HostState): TableChains {
  const { config, marks, version } = context;
  const allow = (r: Rule) => (config.iptablesMangleAllowAction === "Return" ? r.return() : r.accept());
  const fromHost = hostDispatchChain("ingress");
  const toHost = hostDispatchChain("egress");
  const dscp = dscpRules(context, state);
  const prerouting = [
    allow(rule().conntrackState("RELATED", "ESTABLISHED")),
    allow(rule().markSet(marks.accept)),
    rule().jump(fromHost),
    allow(rule().comment("Host endpoint policy accepted packet.").markSet(marks.accept)),
  ];
  const leavesCluster = rule().not.destinationSet(setName(version, ALL_POOLS));
  const postrouting = [
    ...(dscp.length > 0 ? [leavesCluster.jump("cali-qos-policy")] : []),
    // Always RETURN: this table is where others change packets, allowed ones too.
    ...(state.hostDispatch.has(toHost)
      ? [
          rule().markSet(marks.accept).return(),
          rule().clearMark(marks.all),
          rule().conntrackState("DNAT").jump(toHost),
          rule().comment("Host endpoint policy accepted packet.").markSet(marks.accept).return(),
        ]
      : []),
  ];
  return {
    chains: new Map([
      ["cali-PREROUTING", state.hostDispatch.has(fromHost) ? prerouting : []],
      ["cali-POSTROUTING", postrouting],
      ["cali-qos-policy", dscp],
      ...actionChains(context),
      ...failsafeChains(context),
    ]),
    hooks: new Map([
      ["PREROUTING", state.hostDispatch.has(fromHost) ? [rule().jump("cali-PREROUTING")] : []],
      ["POSTROUTING", postrouting.length > 0 ? [rule().jump("cali-POSTROUTING")] : []],
    ]),
    appends: new Map(),
  };
}

/** Of workloads by their addresses, of the host itself by the interface it sends by. */
function dscpRules({ config, version }: RenderContext, { endpoints, hostEndpoints }: HostState): Rule[] {
  const ofWorkloads = endpoints.flatMap(({ addresses, qos }) => {
    const value = qos?.dscp;
    if (value === undefined) return [];
    const own = addresses.filter(address => ipVersion(address) === version);
    return own.map(address => rule().source(address).setDscp(value));
  });
  const sent = rule().sourceType("LOCAL");
  const named = [...hostEndpoints].filter(([name]) => name !== ANY_INTERFACE);
  const ofHost = named.flatMap(([name, { dscp }]) =>
    dscp === undefined ? [] : [sent.outInterface(name).setDscp(dscp)],
  );
  const others = hostEndpoints.get(ANY_INTERFACE)?.dscp;
  if (others === undefined) return [...ofWorkloads, ...ofHost];
  const excepted = [...named.map(([name]) => name), ...config.interfacePrefix.map(prefix => `${prefix}+`)];
  const except = excepted.map(name => rule().outInterface(name).return());
  return [...ofWorkloads, ...ofHost, ...except, sent.setDscp(others)];
}
