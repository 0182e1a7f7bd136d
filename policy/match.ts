/**
 * Whether a rule matches a packet, given who is in which set. The sets are the caller's: the evaluator computes them from a
 * state, the agent keeps them up to date, a kernel has them as IP sets.
 */

import type { Protocol } from "../crd-schemas/index.ts";
import { type Cidr, contains } from "../net/cidr.ts";
import { type Ip, ipVersion } from "../net/ip.ts";
import type {
  EntityMatch,
  IcmpMatch,
  NamedPortRef,
  PortRange,
  Rule,
  SelectorRef,
  ServiceRef,
} from "./model.ts";
import type { Packet } from "./packet.ts";

/** Who is in the sets that rules refer to. */
export interface Membership {
  /** For selectors, and for services where the port does not matter. */
  inSet(set: SelectorRef | ServiceRef, address: Ip): boolean;
  /** For named ports, and for services where it does. The protocol is canonical. */
  inPortSet(
    set: NamedPortRef | ServiceRef,
    address: Ip,
    protocol: Protocol,
    port: number | undefined,
  ): boolean;
}

/** `packet.protocol` must be canonical (model.ts). Every criterion of the rule must hold. */
export function matchesRule(rule: Rule, packet: Packet, membership: Membership): boolean {
  return (
    matchesHeader(rule, packet) &&
    matchesEntity(rule.source, packet.source, packet.protocol, packet.sourcePort, membership) &&
    matchesEntity(rule.destination, packet.destination, packet.protocol, packet.destinationPort, membership)
  );
}

/** What a rule asks of a packet besides its two ends. */
export function matchesHeader(rule: Rule, { protocol, icmp, destination }: Packet): boolean {
  return (
    (rule.ipVersion === undefined || rule.ipVersion === ipVersion(destination)) &&
    (rule.protocol === undefined || rule.protocol === protocol) &&
    (rule.notProtocol === undefined || rule.notProtocol !== protocol) &&
    (rule.icmp === undefined || isIcmp(rule.icmp, icmp)) &&
    (rule.notIcmp === undefined || !isIcmp(rule.notIcmp, icmp))
  );
}

export function matchesEntity(
  end: EntityMatch,
  address: Ip,
  protocol: Protocol,
  port: number | undefined,
  membership: Membership,
): boolean {
  return matchesAddress(end, address, membership) && matchesPorts(end, address, protocol, port, membership);
}

/** The criteria that protocol and port have no part in. */
export function matchesAddress(end: EntityMatch, address: Ip, membership: Membership): boolean {
  const { nets, notNets, selector, notSelector, service } = end;
  const inNet = (net: Cidr): boolean => contains(net, address);
  return (
    (nets.length === 0 || nets.some(inNet)) &&
    !notNets.some(inNet) &&
    (selector === undefined || membership.inSet(selector, address)) &&
    (notSelector === undefined || !membership.inSet(notSelector, address)) &&
    (service === undefined || service.withPorts || membership.inSet(service, address))
  );
}

/** The other criteria. A port that is named belongs to an address, so that is asked for here too. */
export function matchesPorts(
  end: EntityMatch,
  address: Ip,
  protocol: Protocol,
  port: number | undefined,
  membership: Membership,
): boolean {
  const { ports, namedPorts, notPorts, notNamedPorts, service } = end;
  const inRange = ({ low, high }: PortRange): boolean => port !== undefined && low <= port && port <= high;
  const isNamed = (ref: NamedPortRef): boolean => membership.inPortSet(ref, address, protocol, port);
  return (
    ((ports.length === 0 && namedPorts.length === 0) || ports.some(inRange) || namedPorts.some(isNamed)) &&
    !notPorts.some(inRange) &&
    !notNamedPorts.some(isNamed) &&
    (service === undefined || !service.withPorts || membership.inPortSet(service, address, protocol, port))
  );
}

function isIcmp(wanted: IcmpMatch, found: Packet["icmp"]): boolean {
  return (
    found !== undefined &&
    found.type === wanted.type &&
    (wanted.code === undefined || found.code === wanted.code)
  );
}
