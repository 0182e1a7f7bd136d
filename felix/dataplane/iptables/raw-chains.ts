/**
 * The raw table, before connections are tracked: workloads may use no source address but their own, our tunnels' packets are
 * not worth tracking, and host endpoints' untracked policies act here (calico.md 3.3). Pure.
 */

import { type Rule, rule } from "iptables-ts";
import type { IpVersion } from "../../../net/ip.ts";
import { actionChains, type RenderContext } from "./actions.ts";
import { failsafeChains } from "./failsafe-chains.ts";
import { hostDispatchChain } from "./names.ts";
import type { HostState, TableChains } from "./table-chains.ts";

export function rawChains(context: RenderContext, state: HostState): TableChains {
  const { config, marks, version } = context;
  const workloads = config.interfacePrefix.map(prefix => `${prefix}+`);
  const untracked = (chain: string, base = rule()) =>
    state.hostDispatch.has(chain) ? [base.jump(chain), rule().markSet(marks.accept).accept()] : [];
  const vxlan = state.vxlan ? [rule().protocol("udp").destinationPorts([config.vxlanPort]).notrack()] : [];
  const prerouting = [
    rule().clearMark(marks.all),
    ...vxlan,
    ...workloads.map(name => rule().inInterface(name).setMark(marks.scratch0)),
    rule().markSet(marks.scratch0).jump("cali-rpf-skip"),
    // Never rejected: this table cannot answer, and the source that would be told is not the sender.
    rule().markSet(marks.scratch0).not.reversePath({ validMark: true }).drop(),
    ...untracked(hostDispatchChain("ingress"), rule().markClear(marks.scratch0)),
  ];
  const output = [rule().clearMark(marks.all), ...untracked(hostDispatchChain("egress")), ...vxlan];
  const spoofing = config.workloadSourceSpoofing === "Any" ? state.endpoints : [];
  return {
    chains: new Map([
      ["cali-PREROUTING", prerouting],
      ["cali-rpf-skip", spoofingExceptions(spoofing, version)],
      ["cali-OUTPUT", output],
      ...actionChains(context),
      ...failsafeChains(context),
    ]),
    hooks: new Map([
      ["PREROUTING", [rule().jump("cali-PREROUTING")]],
      ["OUTPUT", [rule().jump("cali-OUTPUT")]],
    ]),
    appends: new Map(),
  };
}

/** `cali-rpf-skip`: prefixes that an endpoint may send from although they are not its own. */
export function spoofingExceptions(
  endpoints: Iterable<{ readonly interfaceName: string; readonly allowedSources: readonly string[] }>,
  version: IpVersion,
): Rule[] {
  const rules: Rule[] = [];
  for (const { interfaceName, allowedSources } of endpoints) {
    for (const source of allowedSources) {
      if (source.includes(":") === (version === 6))
        rules.push(rule().inInterface(interfaceName).source(source).accept());
    }
  }
  return rules;
}
