/**
 * `cali-failsafe-in` and `-out`: ports of this host that no policy closes, and what IPv6 needs to find neighbours, without
 * which no port is open to anybody. In raw, where nothing knows connections, the answers of the other side's chain are let
 * through as well. Pure.
 */

import { cidrVersion } from "../../../net/cidr.ts";
import type { FailsafePort } from "../../calc/failsafe-ports.ts";
import type { RenderContext } from "./context.ts";
import { type End, icmp, inNet, inPorts, protocol } from "./match.ts";
import { failsafeChain } from "./names.ts";
import { counted, plain, type TableRule } from "./rule.ts";
import type { Chains } from "./static-chains.ts";

const ICMPV6 = 58;
/** NDP and MLD: types of RFC 4861, 2710 and 3810, router advertisements among them. */
const NEIGHBOUR_DISCOVERY = [130, 131, 132, 133, 134, 135, 136];
const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

export function failsafeChains(context: RenderContext): Chains {
  const { failsafeInboundHostPorts: inbound, failsafeOutboundHostPorts: outbound } = context.config;
  const raw = context.layer === "raw";
  const discovery = context.version === 6 ? NEIGHBOUR_DISCOVERY.map(discoveryRule) : [];
  const open = (ports: readonly FailsafePort[], other: End, side: End) =>
    ports.flatMap(port => openPort(port, other, side, context));
  return new Map([
    [
      failsafeChain(context.layer, "ingress"),
      {
        rules: [
          ...discovery,
          ...open(inbound, "source", "destination"),
          ...(raw ? open(outbound, "source", "source") : []),
        ],
      },
    ],
    [
      failsafeChain(context.layer, "egress"),
      {
        rules: [
          ...discovery,
          ...open(outbound, "destination", "destination"),
          ...(raw ? open(inbound, "destination", "source") : []),
        ],
      },
    ],
  ]);
}

const discoveryRule = (type: number): TableRule =>
  plain([...protocol(ICMPV6), ...icmp({ type })], "accept", "Neighbour discovery");

/** `other`: where the other host's address stands; `side`: where the port does. */
function openPort(
  { protocol: name, net, port }: FailsafePort,
  other: End,
  side: End,
  context: RenderContext,
): TableRule[] {
  const { version } = context;
  if (net !== undefined && cidrVersion(net) !== version) return [];
  const match = [
    ...protocol(PROTOCOLS[name]),
    ...inPorts(side, { low: port, high: port }),
    ...(net === undefined ? [] : inNet(version, other, net, true)),
  ];
  return [counted(match, "accept", `Failsafe ${name} ${port}`)];
}
