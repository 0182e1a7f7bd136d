/** The packet that a question means, once it is known who its ends are. */

import { type Protocol, protocolHasPorts } from "../../../crd-schemas/index.ts";
import { canonicalProtocol, type IcmpMatch } from "../../../policy/model.ts";
import type { Packet } from "../../../policy/packet.ts";
import { didYouMean } from "../../nearest.ts";
import { commonAddresses, type NamedEnd } from "./names.ts";

export interface PacketQuestion {
  readonly protocol: Protocol;
  /** Of the target: its number or its name there. */
  readonly port?: number | string;
  readonly sourcePort?: number;
  readonly icmp?: IcmpMatch;
}

export interface PacketProblem {
  /** The field of the question. */
  readonly field: "to" | "port";
  readonly problem: string;
}

/** Clients' ports, where nobody asks for another one. */
export const EPHEMERAL = 32768;

/** Echo requests, unless another type is asked about. */
const ECHO = { ICMP: 8, ICMPv6: 128 } as const;

export function packetOf(question: PacketQuestion, from: NamedEnd, to: NamedEnd): Packet | PacketProblem {
  const protocol = canonicalProtocol(question.protocol)!;
  const icmp = protocol === "ICMP" || protocol === "ICMPv6" ? protocol : undefined;
  const addresses = commonAddresses(from, to, icmp && (icmp === "ICMP" ? [4] : [6]));
  if (addresses === undefined) {
    const why = icmp === undefined ? "" : ` for ${icmp}`;
    return {
      field: "to",
      problem: `${to.name} and ${from.name} have no address of the same IP version${why}`,
    };
  }
  const port = typeof question.port === "string" ? namedPort(question.port, protocol, to) : question.port;
  if (typeof port === "string") return { field: "port", problem: port };
  const [source, destination] = addresses;
  return {
    source,
    destination,
    protocol,
    ...(protocolHasPorts(protocol) && { sourcePort: question.sourcePort ?? EPHEMERAL }),
    ...(port !== undefined && { destinationPort: port }),
    ...(icmp && { icmp: { code: 0, ...(question.icmp ?? { type: ECHO[icmp] }) } }),
  };
}

/** The port of that name, or what is wrong with it. */
function namedPort(name: string, protocol: Protocol, { name: owner, ports }: NamedEnd): number | string {
  const ofProtocol = ports.filter(port => canonicalProtocol(port.protocol) === protocol);
  const found = ofProtocol.find(port => port.name === name);
  if (found) return found.port;
  const known = ofProtocol.flatMap(port => port.name ?? []);
  const has = known.length === 0 ? "no named ports" : `of ${protocol} ${known.join(", ")}`;
  return `${owner} has no port "${name}"${didYouMean(name, known)}; it has ${has}`;
}

/** `5432/TCP`, `ICMP`, `protocol 47`. */
export function packetText({
  protocol,
  destinationPort,
  icmp,
}: Pick<Packet, "protocol" | "destinationPort" | "icmp">): string {
  if (destinationPort !== undefined) return `${destinationPort}/${protocol}`;
  const isEcho = (Object.values(ECHO) as (number | undefined)[]).includes(icmp?.type);
  if (icmp !== undefined && !isEcho) return `${protocol} type ${icmp.type}`;
  return typeof protocol === "number" ? `protocol ${protocol}` : protocol;
}
