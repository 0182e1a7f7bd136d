/**
 * The kinds of packets that a set of rules can tell apart by protocol, ports and ICMP type: each kind stands for
 * all packets in it, and together they are all packets there are. So whoever asks about one packet of each kind
 * has asked about everything, declared by an endpoint or not.
 */

import type { Protocol } from "../../crd-schemas/index.ts";
import type { IpVersion } from "../../net/ip.ts";
import type { EntityMatch, IcmpMatch, Rule } from "../model.ts";
import type { PortRange } from "../port-ranges.ts";
import { ALL_PORTS, portIntervals } from "./port-intervals.ts";

export interface TrafficKind {
  /** "other": all protocols that no rule names; `packet` has one of them. */
  readonly protocol: Protocol | "other";
  /** For protocols with ports. */
  readonly sourcePorts?: PortRange;
  readonly destinationPorts?: PortRange;
  /** For ICMP: a type, a type and code, or what no rule names ("other"). */
  readonly icmp?: IcmpMatch | "other";
  /** One of them. */
  readonly packet: {
    readonly protocol: Protocol;
    readonly sourcePort?: number;
    readonly destinationPort?: number;
    readonly icmp?: Required<IcmpMatch>;
  };
}

/** Ports of an endpoint that rules may mean by a name, or of a service's address. */
export interface KnownPort {
  readonly protocol: Protocol;
  readonly port: number;
}

export const WITH_PORTS: readonly Protocol[] = ["TCP", "UDP", "SCTP"];
const IPIP = 4;
const ICMP_OF = { 4: "ICMP", 6: "ICMPv6" } as const;

/** Clients' ports, where no rule asks about them. */
export const EPHEMERAL = 32768;

/** `sourcePorts`, `destinationPorts`: those of the two ends, however rules come to mean them. */
export function trafficKinds(
  rules: Iterable<Rule>,
  version: IpVersion,
  {
    sourcePorts = [],
    destinationPorts = [],
  }: { readonly sourcePorts?: readonly KnownPort[]; readonly destinationPorts?: readonly KnownPort[] } = {},
): TrafficKind[] {
  const asked = [...rules];
  // Workloads may be forbidden to make IP-in-IP tunnels, by no rule.
  const protocols = new Set<Protocol>([IPIP]);
  for (const { protocol, notProtocol } of asked) {
    if (protocol !== undefined) protocols.add(protocol);
    if (notProtocol !== undefined) protocols.add(notProtocol);
  }
  const icmp = ICMP_OF[version];
  const plain = [...protocols].filter(name => !WITH_PORTS.includes(name) && name !== icmp);
  return [
    ...WITH_PORTS.flatMap(protocol => portKinds(protocol, asked, sourcePorts, destinationPorts)),
    ...icmpKinds(icmp, asked),
    ...plain.map(protocol => ({ protocol, packet: { protocol } })),
    { protocol: "other", packet: { protocol: unnamedProtocol(protocols) } } as const,
  ];
}

function portKinds(
  protocol: Protocol,
  rules: readonly Rule[],
  sourcePorts: readonly KnownPort[],
  destinationPorts: readonly KnownPort[],
): TrafficKind[] {
  const about = rules.filter(rule => rule.protocol === undefined || rule.protocol === protocol);
  const intervals = (ends: readonly EntityMatch[], known: readonly KnownPort[]): PortRange[] =>
    portIntervals([
      ...ends.flatMap(end => [...end.ports, ...end.notPorts]),
      ...known.filter(one => one.protocol === protocol).map(({ port }) => ({ low: port, high: port })),
    ]);
  const sources = about.map(rule => rule.source);
  const asksSource = sources.some(asksPorts);
  const from = asksSource ? intervals(sources, sourcePorts) : [ALL_PORTS];
  const to = intervals(
    about.map(rule => rule.destination),
    destinationPorts,
  );
  return from.flatMap(source =>
    to.map(destination => ({
      protocol,
      sourcePorts: source,
      destinationPorts: destination,
      packet: { protocol, sourcePort: representative(source), destinationPort: destination.low },
    })),
  );
}

export function asksPorts({ ports, notPorts, namedPorts, notNamedPorts }: EntityMatch): boolean {
  return ports.length + notPorts.length + namedPorts.length + notNamedPorts.length > 0;
}

function representative({ low, high }: PortRange): number {
  return low <= EPHEMERAL && EPHEMERAL <= high ? EPHEMERAL : low;
}

/** Each type and code that is named, each named type with a code that is not, and a type that is not. */
function icmpKinds(protocol: Protocol, rules: readonly Rule[]): TrafficKind[] {
  const codes = new Map<number, Set<number>>();
  for (const { icmp, notIcmp } of rules) {
    for (const match of [icmp, notIcmp]) {
      if (match === undefined) continue;
      const known = codes.get(match.type) ?? new Set();
      if (match.code !== undefined) known.add(match.code);
      codes.set(match.type, known);
    }
  }
  const kinds: TrafficKind[] = [];
  for (const [type, named] of codes) {
    for (const code of named)
      kinds.push({ protocol, icmp: { type, code }, packet: { protocol, icmp: { type, code } } });
    const code = unnamed(named);
    kinds.push({ protocol, icmp: { type }, packet: { protocol, icmp: { type, code } } });
  }
  const type = unnamed(new Set(codes.keys()), protocol === "ICMP" ? 8 : 128);
  return [...kinds, { protocol, icmp: "other", packet: { protocol, icmp: { type, code: 0 } } }];
}

function unnamed(named: ReadonlySet<number>, preferred = 0): number {
  for (let value = preferred; ; value = (value + 1) % 256) if (!named.has(value)) return value;
}

/** 253 and 254 are for experiments (RFC 3692): nobody's, unless a rule says so. */
function unnamedProtocol(named: ReadonlySet<Protocol>): Protocol {
  for (let number = 253; ; number--) if (!named.has(number)) return number;
}
