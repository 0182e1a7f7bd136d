/** The ports of Kubernetes' policies: by protocol, sorted, those that overlap or touch as one. */

import { formatPort, type Port, type PortMatch, type Protocol } from "../../crd-schemas/index.ts";
import { mergeRanges } from "../port-ranges.ts";

/** The protocols that Kubernetes knows. */
export const TRANSPORTS = ["TCP", "UDP", "SCTP"] as const;

export interface PolicyPort {
  /** None: of whichever protocol the port of that name is. */
  readonly protocol: Protocol | undefined;
  /** `all` ports of the protocol. */
  readonly port: PortMatch | "all";
}

export interface ProtocolPorts {
  readonly protocol: Protocol | undefined;
  /** Empty: all of them. */
  readonly ports: Port[];
}

/** No list at all, and only that, means any protocol. */
export function portsByProtocol(ports: readonly PolicyPort[] | undefined): ProtocolPorts[] {
  if (ports === undefined) return [{ protocol: undefined, ports: [] }];
  const byProtocol = new Map<Protocol | undefined, PortMatch[] | "all">();
  for (const { protocol, port } of ports) {
    const known = byProtocol.get(protocol) ?? [];
    if (port === "all" || known === "all") byProtocol.set(protocol, "all");
    else byProtocol.set(protocol, [...known, port]);
  }
  return [...byProtocol].map(([protocol, list]) => ({
    protocol,
    ports: list === "all" ? [] : mergedPorts(list).map(formatPort),
  }));
}

function mergedPorts(ports: readonly PortMatch[]): PortMatch[] {
  const ranges = mergeRanges(ports.filter(port => port.type === "range"));
  return [
    ...ranges.map(range => ({ type: "range", ...range }) as const),
    ...ports.filter(port => port.type === "named"),
  ];
}
