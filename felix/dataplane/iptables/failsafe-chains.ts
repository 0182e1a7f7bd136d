/**
 * `cali-failsafe-in` and `-out`: what stays open whatever a host endpoint's policies say. Pure.
 *
 * In the raw table, before connections are tracked, the answers are let through too: otherwise an untracked policy could take
 * half of a connection. To be accepted there only means to be tracked and judged by the later tables.
 */

import { type Rule, rule } from "iptables-ts";
import { cidrVersion } from "../../../net/cidr.ts";
import { type FailsafePort, HOST_NEIGHBOR_DISCOVERY } from "../../../policy/failsafes.ts";
import type { Direction } from "../../../policy/model.ts";
import type { RenderContext } from "./actions.ts";
import { DIRECTIONS, failsafeChain } from "./names.ts";

export function failsafeChains(context: RenderContext): Map<string, readonly Rule[]> {
  return new Map(DIRECTIONS.map(direction => [failsafeChain(direction), failsafeRules(direction, context)]));
}

function failsafeRules(direction: Direction, { config, version, table }: RenderContext): Rule[] {
  const inbound = config.failsafeInboundHostPorts;
  const outbound = config.failsafeOutboundHostPorts;
  const [opened, answered] = direction === "ingress" ? [inbound, outbound] : [outbound, inbound];
  const accept = ({ protocol, net, port }: FailsafePort, end: "sourcePorts" | "destinationPorts"): Rule[] => {
    if (net !== undefined && cidrVersion(net) !== version) return [];
    const ported = rule().protocol(protocol)[end]([port]);
    if (net === undefined) return [ported.accept()];
    return [(direction === "ingress" ? ported.source(net) : ported.destination(net)).accept()];
  };
  // A host whose neighbors do not find it is not reached by its open ports either.
  const discovery = version === 6 ? HOST_NEIGHBOR_DISCOVERY : [];
  return [
    ...[...discovery].map(type => rule().protocol("icmpv6").icmpv6(type).accept()),
    ...opened.flatMap(port => accept(port, "destinationPorts")),
    ...(table === "raw" ? answered.flatMap(port => accept(port, "sourcePorts")) : []),
  ];
}
