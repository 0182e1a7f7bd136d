/**
 * The filter table between the kernel's hooks and the dispatch chains (calico.md 3.3). Pure.
 *
 *     FORWARD  cali-FORWARD: host endpoint the packet came in by, workload it comes from, workload it goes to, host
 *              endpoint it leaves by, service addresses nobody translated; then others' rules; then what is marked is accepted
 *     INPUT    cali-INPUT: tunnels' packets, workloads (cali-wl-to-host), host endpoint
 *     OUTPUT   cali-OUTPUT: to workloads always; tunnels' packets; host endpoint, unless the destination was translated:
 *              then the way out may be another by now, and mangle POSTROUTING judges it
 */

import { type Rule, rule } from "iptables-ts";
import { WORKLOAD_NEIGHBOR_DISCOVERY } from "../../../policy/failsafes.ts";
import { actionChains, denyRule, type RenderContext, rejectRule } from "./actions.ts";
import { failsafeChains } from "./failsafe-chains.ts";
import {
  ALL_HOSTS,
  dispatchChain,
  hostDispatchChain,
  hostForwardDispatchChain,
  KNOWN_CHAIN,
  setName,
  VXLAN_HOSTS,
} from "./names.ts";
import type { HostState, TableChains } from "./table-chains.ts";
import { connectionRules } from "./tier-rules.ts";

const BGP_PORT = 179;
const IPIP = 4;

export function filterChains(context: RenderContext, state: HostState): TableChains {
  const { config, marks } = context;
  const allow = (r: Rule) => (config.iptablesFilterAllowAction === "Return" ? r.return() : r.accept());
  const accepted = () => allow(rule().markSet(marks.accept));
  const workloads = config.interfacePrefix.map(prefix => `${prefix}+`);
  const blocked = cidrBlock(context, state);
  const hostJump = (chain: string, base = rule()) =>
    state.hostDispatch.has(chain) ? [base.jump(chain)] : [];
  const fromHost = hostJump(hostDispatchChain("ingress"));
  const toHost = hostJump(hostDispatchChain("egress"), rule().not.conntrackState("DNAT"));

  // A workload's known connections, once its chain and that of the workload they go to have let them pass.
  const known = (base: Rule) =>
    config.iptablesFilterAllowAction === "Accept"
      ? [base.conntrackState("RELATED", "ESTABLISHED").accept()]
      : [];
  const forward = [
    rule().clearMark(marks.all - marks.accept),
    ...hostJump(hostForwardDispatchChain("ingress"), rule().markClear(marks.accept)),
    ...workloads.map(name => rule().inInterface(name).jump(dispatchChain("egress"))),
    ...workloads.map(name => rule().outInterface(name).jump(dispatchChain("ingress"))),
    ...workloads.flatMap(name => known(rule().inInterface(name))),
    ...hostJump(hostForwardDispatchChain("egress")),
    ...(blocked.length > 0 ? [rule().jump("cali-cidr-block")] : []),
  ];
  const input = [
    ...tunnelInput(context, state),
    ...workloads.map(name => rule().inInterface(name).goto("cali-wl-to-host")),
    accepted(),
    rule().clearMark(marks.all),
    ...(fromHost.length > 0 ? [...fromHost, accepted()] : []),
  ];
  const output = [
    accepted(),
    ...workloads.map(name => rule().outInterface(name).return()),
    ...tunnelOutput(context, state),
    rule().clearMark(marks.all),
    ...(toHost.length > 0 ? [...toHost, accepted()] : []),
  ];
  return {
    chains: new Map([
      ["cali-FORWARD", forward],
      ["cali-INPUT", input],
      ["cali-wl-to-host", workloadToHost(context, state)],
      ["cali-OUTPUT", output],
      ["cali-cidr-block", blocked],
      [KNOWN_CHAIN, connectionRules(config.iptablesFilterAllowAction, context)],
      ...actionChains(context),
      ...failsafeChains(context),
    ]),
    hooks: new Map([
      ["FORWARD", [rule().jump("cali-FORWARD")]],
      ["INPUT", [rule().jump("cali-INPUT")]],
      ["OUTPUT", [rule().jump("cali-OUTPUT")]],
    ]),
    appends: new Map([
      [
        "FORWARD",
        [
          allow(rule().comment("Policy explicitly accepted packet.").markSet(marks.accept)),
          rule().setMark(marks.accept),
        ],
      ],
    ]),
  };
}

function workloadToHost(context: RenderContext, { endpoints }: HostState): Rule[] {
  const { config, version } = context;
  const discovery = version === 6 ? [...WORKLOAD_NEIGHBOR_DISCOVERY] : [];
  const peers = endpoints.filter(({ bgpPeer }) => bgpPeer);
  const action = rule().comment("Configured DefaultEndpointToHostAction");
  return [
    ...discovery.map(type => rule().protocol("icmpv6").icmpv6(type).accept()),
    rule().jump(dispatchChain("egress")),
    rule().conntrackState("RELATED", "ESTABLISHED").accept(),
    // Its policies have let it pass: what remains is whether a workload may speak to the host at all.
    ...peers.map(({ interfaceName }) =>
      rule()
        .comment("BGP peer")
        .inInterface(interfaceName)
        .protocol("tcp")
        .destinationPorts([BGP_PORT])
        .accept(),
    ),
    config.defaultEndpointToHostAction === "Accept"
      ? action.accept()
      : config.defaultEndpointToHostAction === "Return"
        ? action.return()
        : denyRule(action, context),
  ];
}

/** The outer packets of our tunnels come from other hosts of the cluster and from nobody else. */
function tunnelInput({ config, version }: RenderContext, { ipip, vxlan }: HostState): Rule[] {
  const rules: Rule[] = [];
  if (ipip) {
    const packets = rule().protocol(IPIP);
    const hosts = setName(version, ALL_HOSTS);
    rules.push(
      packets
        .comment("Allow IPIP packets from Calico hosts")
        .sourceSet(hosts)
        .destinationType("LOCAL")
        .accept(),
      packets.comment("Drop IPIP packets from non-Calico hosts").drop(),
    );
  }
  if (vxlan) {
    const packets = rule().protocol("udp").destinationPorts([config.vxlanPort]).destinationType("LOCAL");
    const hosts = setName(version, VXLAN_HOSTS);
    rules.push(
      packets.comment("Allow VXLAN packets from allowed hosts").sourceSet(hosts).accept(),
      packets.comment("Drop VXLAN packets from non-allowed hosts").drop(),
    );
  }
  return rules;
}

function tunnelOutput({ config, version }: RenderContext, { ipip, vxlan }: HostState): Rule[] {
  const rules: Rule[] = [];
  if (ipip) {
    const packets = rule().comment("Allow IPIP packets to other Calico hosts").protocol(IPIP);
    rules.push(packets.destinationSet(setName(version, ALL_HOSTS)).sourceType("LOCAL").accept());
  }
  if (vxlan) {
    const packets = rule().comment("Allow VXLAN packets to other allowed hosts").protocol("udp");
    rules.push(
      packets
        .destinationPorts([config.vxlanPort])
        .sourceType("LOCAL")
        .destinationSet(setName(version, VXLAN_HOSTS))
        .accept(),
    );
  }
  return rules;
}

/** A packet for an address of a service that nothing translated would go back to the router that sent it, and come again. */
function cidrBlock(context: RenderContext, { serviceCidrs }: HostState): Rule[] {
  const { serviceLoopPrevention } = context.config;
  if (serviceLoopPrevention === "Disabled") return [];
  return serviceCidrs.map(cidr => {
    const addressed = rule().destination(cidr);
    return serviceLoopPrevention === "Reject" ? rejectRule(addressed) : addressed.drop();
  });
}
