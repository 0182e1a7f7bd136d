/**
 * The chains that do not depend on endpoints: from the kernel's hooks to the dispatch chains, and what is the same for all
 * (calico.md 3.3, 3.7). The filter layer; the others in other-layers.ts. Pure.
 *
 * An `accept` ends our own chain of this hook only: chains of other tables see the packet still. So there is no difference here
 * between Calico's two allow actions, Accept and Return.
 */

import { lookup } from "../../../linux/nf-tables/expression.ts";
import type { BaseChain } from "../../../linux/nf-tables/model.ts";
import type { Encapsulation } from "../../calc/changes.ts";
import { denyRules, rejectRules } from "./actions.ts";
import type { RenderContext } from "./context.ts";
import {
  byInterfacePrefix,
  clearMark,
  connectionState,
  destinationTranslated,
  fromThisHost,
  icmp,
  inAddressSet,
  inPorts,
  loadInterface,
  type Match,
  markClear,
  markSet,
  notConnectionState,
  protocol,
  setMark,
  toThisHost,
} from "./match.ts";
import {
  ALL_HOSTS,
  ALLOW_CHAIN,
  BGP_PEERS,
  chainName,
  hostDispatch,
  hostForwardDispatch,
  INVALID_CHAIN,
  PASS_CHAIN,
  setName,
  VXLAN_HOSTS,
  workloadDispatch,
} from "./names.ts";
import { counted, doing, jump, plain, type TableRule } from "./rule.ts";

export interface ChainContent {
  readonly rules: readonly TableRule[];
  /** Where the kernel calls it. */
  readonly base?: BaseChain;
}
export type Chains = ReadonlyMap<string, ChainContent>;

const ICMPV6 = 58;
const TCP = 6;
const UDP = 17;
const IPIP = 4;
/** NDP and MLD: without them no IPv6 packet leaves a workload. Types of RFC 4861, 2710 and 3810. */
const NEIGHBOUR_DISCOVERY = [130, 131, 132, 133, 135, 136];

export function baseChain(
  type: BaseChain["type"],
  hook: BaseChain["hook"],
  priority: number,
  rules: readonly TableRule[],
): ChainContent {
  return { base: { type, hook, priority, policy: "accept" }, rules };
}

/** Chains that every layer goes to. */
export function sharedChains(context: RenderContext): Chains {
  const { accept, pass } = context.marks;
  return new Map([
    [ALLOW_CHAIN, { rules: [doing(setMark(accept))] }],
    [PASS_CHAIN, { rules: [doing(setMark(pass))] }],
    // Also asked in mangle, where nothing can be rejected.
    [INVALID_CHAIN, { rules: [counted([], "drop", "Belongs to no connection")] }],
  ]);
}

export function filterChains(encapsulation: Encapsulation, context: RenderContext): Chains {
  const { config, marks } = context;
  const chain = (name: string) => chainName("filter", name);
  const workloads = (side: "in" | "out") =>
    config.interfacePrefix.map(prefix => byInterfacePrefix(side, prefix));
  const accepted = plain(markSet(marks.accept), "accept", "Policy explicitly accepted packet.");
  const to = (name: string, match: Match = []) => jump(match, chain(name));
  return new Map([
    [
      "filter-FORWARD",
      baseChain("filter", "forward", 0, [to("FORWARD"), accepted, doing(setMark(marks.accept))]),
    ],
    ["filter-INPUT", baseChain("filter", "input", 0, [to("INPUT")])],
    ["filter-OUTPUT", baseChain("filter", "output", 0, [to("OUTPUT")])],
    [
      chain("FORWARD"),
      {
        rules: [
          doing(clearMark(marks.all & ~marks.accept)),
          to(hostForwardDispatch("ingress"), markClear(marks.accept)),
          ...workloads("in").map(match => to(workloadDispatch("egress"), match)),
          ...workloads("out").map(match => to(workloadDispatch("ingress"), match)),
          // A workload's known connections, once its chain and that of the workload they go to have let them pass.
          ...workloads("in").map(match => plain([...match, ...knownConnection], "accept")),
          to(hostForwardDispatch("egress")),
          to("cidr-block"),
        ],
      },
    ],
    [
      chain("INPUT"),
      {
        rules: [
          ...tunnelsIn(encapsulation, context),
          ...workloads("in").map(match => plain(match, { goto: chain("wl-to-host") })),
          accepted,
          doing(clearMark(marks.all)),
          to(hostDispatch("ingress")),
          accepted,
        ],
      },
    ],
    [
      chain("wl-to-host"),
      {
        rules: [
          ...(context.version === 6
            ? NEIGHBOUR_DISCOVERY.map(type => plain([...protocol(ICMPV6), ...icmp({ type })], "accept"))
            : []),
          to(workloadDispatch("egress")),
          plain(knownConnection, "accept"),
          // Its policies have let it pass: what remains is whether a workload may speak to the host at all.
          plain(bgpOfPeers, "accept", "BGP peer"),
          ...defaultToHost(context),
        ],
      },
    ],
    [
      chain("OUTPUT"),
      {
        rules: [
          accepted,
          ...workloads("out").map(match => plain(match, "return")),
          ...tunnelsOut(encapsulation, context),
          doing(clearMark(marks.all)),
          to(hostDispatch("egress"), destinationTranslated(false)),
          accepted,
        ],
      },
    ],
  ]);
}

const knownConnection: Match = connectionState("ESTABLISHED", "RELATED");

const bgpOfPeers: Match = [
  loadInterface("in"),
  lookup(BGP_PEERS),
  ...protocol(TCP),
  ...inPorts("destination", { low: 179, high: 179 }),
];

function defaultToHost(context: RenderContext): TableRule[] {
  const comment = "Configured DefaultEndpointToHostAction";
  const action = context.config.defaultEndpointToHostAction;
  if (action === "Drop") return denyRules([], comment, context);
  return [counted([], action === "Accept" ? "accept" : "return", comment)];
}

interface Tunnel {
  readonly what: string;
  readonly match: Match;
  /** The set of hosts that speak it with us. */
  readonly hosts: string;
}

function tunnels({ ipip, vxlan, vxlan6 }: Encapsulation, { version, config }: RenderContext): Tunnel[] {
  const port = { low: config.vxlanPort, high: config.vxlanPort };
  return [
    ...(ipip && version === 4 ? [{ what: "IPIP", match: protocol(IPIP), hosts: ALL_HOSTS }] : []),
    ...((version === 4 ? vxlan : vxlan6)
      ? [{ what: "VXLAN", match: [...protocol(UDP), ...inPorts("destination", port)], hosts: VXLAN_HOSTS }]
      : []),
  ];
}

/** Encapsulated packets come from our hosts only: what is in them meets no reverse-path check. */
function tunnelsIn(encapsulation: Encapsulation, context: RenderContext): TableRule[] {
  return tunnels(encapsulation, context).flatMap(({ what, match, hosts }) => [
    counted(
      [...match, ...inAddressSet(context.version, "source", setName(context.version, hosts)), ...toThisHost],
      "accept",
      `Allow ${what} packets from Calico hosts`,
    ),
    counted([...match, ...toThisHost], "drop", `Drop ${what} packets from non-Calico hosts`),
  ]);
}

function tunnelsOut(encapsulation: Encapsulation, context: RenderContext): TableRule[] {
  return tunnels(encapsulation, context).map(({ what, match, hosts }) => {
    const known = inAddressSet(context.version, "destination", setName(context.version, hosts));
    return counted([...match, ...known, ...fromThisHost], "accept", `Allow ${what} packets to Calico hosts`);
  });
}

/** `cali-from-wl-dispatch` begins with it: a workload that speaks our tunnels could inject packets into other hosts' networks. */
export function tunnelsOfWorkloads(context: RenderContext): TableRule[] {
  const { config } = context;
  const unknown = notConnectionState("ESTABLISHED", "RELATED");
  const port = { low: config.vxlanPort, high: config.vxlanPort };
  const encapped = (what: string, match: Match) =>
    denyRules([...match, ...unknown], `Drop ${what} encapped packets originating in workloads`, context);
  return [
    ...(config.allowVXLANPacketsFromWorkloads
      ? []
      : encapped("VXLAN", [...protocol(UDP), ...inPorts("destination", port)])),
    ...(config.allowIPIPPacketsFromWorkloads ? [] : encapped("IPinIP", protocol(IPIP))),
  ];
}

/** `cali-cidr-block`: a service's address that nobody has translated goes in circles between us and the router. */
export function serviceLoopRules(toServices: Match, context: RenderContext): TableRule[] {
  const { serviceLoopPrevention } = context.config;
  if (serviceLoopPrevention === "Disabled") return [];
  const comment = "Block traffic to service addresses that nobody answers for";
  return serviceLoopPrevention === "Reject"
    ? rejectRules(toServices, comment, context)
    : [counted(toServices, "drop", comment)];
}
