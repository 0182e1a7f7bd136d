/**
 * Kinds of packets put together again for people and programs: `TCP 80, 443`, `UDP 1-52, 54-65535`, `everything`.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import type { IcmpMatch } from "../model.ts";
import { mergeRanges, type PortRange } from "../port-ranges.ts";
import { ALL_PORTS, portRangeText } from "./port-intervals.ts";
import type { TrafficKind } from "./traffic-kinds.ts";

/** Packets of one protocol. */
export interface Traffic {
  readonly protocol: Protocol | "other";
  /** Destination ports, sorted; undefined for all, and for protocols without ports. */
  readonly ports?: readonly PortRange[];
  /** Where only packets from these ports are meant. */
  readonly sourcePorts?: readonly PortRange[];
  /** Where only these types are meant; "other" for those that no rule names. */
  readonly icmp?: readonly (IcmpMatch | "other")[];
}

/** `all`: every kind there is, so that a protocol can be seen to be complete. */
export function mergeTraffic(kinds: readonly TrafficKind[], all: readonly TrafficKind[]): Traffic[] {
  const total = Map.groupBy(all, kind => kind.protocol);
  return [...Map.groupBy(kinds, kind => kind.protocol)].flatMap(([protocol, members]) => {
    if (members.length === total.get(protocol)?.length) return [{ protocol }];
    const types = members.flatMap(({ icmp }) => (icmp === undefined ? [] : [icmp]));
    if (types.length > 0) return [{ protocol, icmp: types }];
    return portTraffic(protocol, members);
  });
}

/** What goes to the same ports from several is one, as far as it is drawn up of whole intervals. */
function portTraffic(protocol: Protocol | "other", kinds: readonly TrafficKind[]): Traffic[] {
  const bySource = Map.groupBy(kinds, ({ sourcePorts = ALL_PORTS }) => portRangeText(sourcePorts));
  const rows = [...bySource.values()].map(members => ({
    source: members[0]!.sourcePorts ?? ALL_PORTS,
    ports: mergeRanges(members.map(({ destinationPorts = ALL_PORTS }) => destinationPorts)),
  }));
  const byPorts = Map.groupBy(rows, row => row.ports.map(portRangeText).join());
  return [...byPorts.values()].map(members => {
    const { ports } = members[0]!;
    const sourcePorts = mergeRanges(members.map(row => row.source));
    return {
      protocol,
      ...(!isAll(ports) && { ports }),
      ...(!isAll(sourcePorts) && { sourcePorts }),
    };
  });
}

function isAll([first, ...others]: readonly PortRange[]): boolean {
  return others.length === 0 && first?.low === ALL_PORTS.low && first.high === ALL_PORTS.high;
}

/** In whichever way is shorter: what it is, or what it is not. */
export function trafficText(kinds: readonly TrafficKind[], all: readonly TrafficKind[]): string {
  if (kinds.length === all.length) return "everything";
  if (kinds.length === 0) return "nothing";
  const rest = all.filter(kind => !kinds.includes(kind));
  const said = mergeTraffic(kinds, all).map(oneText).join("; ");
  const left = `everything except ${mergeTraffic(rest, all).map(oneText).join("; ")}`;
  return left.length < said.length ? left : said;
}

function oneText({ protocol, ports, sourcePorts, icmp }: Traffic): string {
  const name = typeof protocol === "number" ? `protocol ${protocol}` : protocol;
  if (protocol === "other") return "all other protocols";
  if (icmp) return `${name} ${icmp.map(icmpText).join(", ")}`;
  const from = sourcePorts ? ` from ${sourcePorts.map(portRangeText).join(", ")}` : "";
  return `${name}${ports ? ` ${portsText(ports)}` : ""}${from}`;
}

/** Whichever says it in fewer words: the ports, or those missing. */
function portsText(ports: readonly PortRange[]): string {
  const missing = complement(ports);
  return missing.length < ports.length
    ? `except ${missing.map(portRangeText).join(", ")}`
    : ports.map(portRangeText).join(", ");
}

function complement(ports: readonly PortRange[]): PortRange[] {
  const rest: PortRange[] = [];
  let next = ALL_PORTS.low;
  for (const { low, high } of ports) {
    if (next < low) rest.push({ low: next, high: low - 1 });
    next = high + 1;
  }
  if (next <= ALL_PORTS.high) rest.push({ low: next, high: ALL_PORTS.high });
  return rest;
}

function icmpText(icmp: IcmpMatch | "other"): string {
  if (icmp === "other") return "of other types";
  return icmp.code === undefined ? `type ${icmp.type}` : `type ${icmp.type} code ${icmp.code}`;
}
