/**
 * The mangle table, where host endpoints or a DSCP need it: pre-DNAT policies in PREROUTING; in POSTROUTING what the host sends
 * to a destination that was translated after filter OUTPUT had seen it (calico.md 3.3). Pure.
 */

import { type Rule, rule } from "iptables-ts";
import { ipVersion } from "../../../net/ip.ts";
import { markChains, type RenderContext } from "./actions.ts";
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
      ...markChains(marks),
      ...failsafeChains(context),
    ]),
    hooks: new Map([
      ["PREROUTING", state.hostDispatch.has(fromHost) ? [rule().jump("cali-PREROUTING")] : []],
      ["POSTROUTING", postrouting.length > 0 ? [rule().jump("cali-POSTROUTING")] : []],
    ]),
    appends: new Map(),
  };
}

function dscpRules({ version }: RenderContext, { endpoints }: HostState): Rule[] {
  return endpoints.flatMap(({ addresses, qos }) => {
    const value = qos?.dscp;
    if (value === undefined) return [];
    const own = addresses.filter(address => ipVersion(address) === version);
    return own.map(address => rule().source(address).setDscp(value));
  });
}
