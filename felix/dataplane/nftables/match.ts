/**
 * What iptables calls matches and nft calls statements, as expressions: load something of the packet, compare it. Each
 * function gives a piece of a rule that ends it where the packet is not of that kind. Pure.
 */

import {
  firstAddress,
  hostU32,
  interfaceData,
  interfacePrefixData,
  maskData,
  u8,
  u16,
} from "../../../linux/nf-tables/data.ts";
import {
  bitwise,
  cmp,
  ct,
  type Expression,
  FibFlag,
  fib,
  lookup,
  meta,
  payload,
  type Register,
  range,
  setMeta,
} from "../../../linux/nf-tables/expression.ts";
import { type Cidr, prefixLength } from "../../../net/cidr.ts";
import { addressBits, type IpVersion } from "../../../net/ip.ts";
import type { IcmpMatch, PortRange } from "../../../policy/model.ts";

export type Match = readonly Expression[];
export type End = "source" | "destination";

/** Where the addresses stand in the network header. */
const ADDRESSES = {
  4: { source: 12, destination: 16, length: 4 },
  6: { source: 8, destination: 24, length: 16 },
} as const satisfies Record<IpVersion, unknown>;
const PORTS = { source: 0, destination: 2 } as const;

/** IP_CT_*, as bits that nft's `ct state` has. */
export const ConnectionState = { INVALID: 1, ESTABLISHED: 2, RELATED: 4, NEW: 8 } as const;
/** IPS_DST_NAT */
const DESTINATION_TRANSLATED = 1 << 5;
/** RTN_LOCAL */
const LOCAL = hostU32(2);
const ZERO = hostU32(0);

export type InterfaceSide = "in" | "out";
const interfaceKey = (side: InterfaceSide) => (side === "in" ? "iifname" : "oifname");

export const byInterface = (side: InterfaceSide, name: string): Match => [
  meta(interfaceKey(side)),
  cmp("eq", interfaceData(name)),
];

export const byInterfacePrefix = (side: InterfaceSide, prefix: string): Match => [
  meta(interfaceKey(side)),
  cmp("eq", interfacePrefixData(prefix)),
];

export const loadInterface = (side: InterfaceSide): Expression => meta(interfaceKey(side));

export const protocol = (number: number): Match => [meta("l4proto"), cmp("eq", u8(number))];
export const notProtocol = (number: number): Match => [meta("l4proto"), cmp("neq", u8(number))];

export function loadAddress(version: IpVersion, end: End, to: Register = 1): Expression {
  const { [end]: offset, length } = ADDRESSES[version];
  return payload("network", offset, length, to);
}

/** Whether the address at that end is in the net, or is not. */
export function inNet(version: IpVersion, end: End, net: Cidr, is: boolean): Match {
  const whole = prefixLength(net) === addressBits(version);
  return [
    loadAddress(version, end),
    ...(whole ? [] : [bitwise(maskData(net))]),
    cmp(is ? "eq" : "neq", firstAddress(net)),
  ];
}

export const inAddressSet = (version: IpVersion, end: End, set: string, is = true): Match => [
  loadAddress(version, end),
  lookup(set, { invert: !is }),
];

/** Registers for the fields of `address . protocol . port`, one after the other. */
const ADDRESS_PORT_REGISTERS = { 4: [1, 9, 10], 6: [1, 2, 13] } as const satisfies Record<IpVersion, unknown>;

export function inAddressPortSet(version: IpVersion, end: End, set: string, is = true): Match {
  const [address, number, port] = ADDRESS_PORT_REGISTERS[version];
  return [
    loadAddress(version, end, address),
    meta("l4proto", number),
    payload("transport", PORTS[end], 2, port),
    lookup(set, { invert: !is }),
  ];
}

/** The protocol has to be known to have ports. */
export const inPorts = (end: End, { low, high }: PortRange, is = true): Match => [
  payload("transport", PORTS[end], 2),
  low === high ? cmp(is ? "eq" : "neq", u16(low)) : range(is ? "eq" : "neq", u16(low), u16(high)),
];

export const inPortSet = (end: End, set: string, is = true): Match => [
  payload("transport", PORTS[end], 2),
  lookup(set, { invert: !is }),
];

/** Type and code are the first two bytes; the protocol has to be known. */
export function icmp({ type, code }: IcmpMatch, is = true): Match {
  const op = is ? "eq" : "neq";
  return code === undefined
    ? [payload("transport", 0, 1), cmp(op, u8(type))]
    : [payload("transport", 0, 2), cmp(op, u8(type) + u8(code))];
}

/** Some of the bits are set. */
export const markSet = (bits: number): Match => [meta("mark"), bitwise(hostU32(bits)), cmp("neq", ZERO)];

/** None of the bits is set. */
export const markClear = (bits: number): Match => [meta("mark"), bitwise(hostU32(bits)), cmp("eq", ZERO)];

export const setMark = (bits: number): Match => [
  meta("mark"),
  bitwise(hostU32(~bits), hostU32(bits)),
  setMeta("mark"),
];

export const clearMark = (bits: number): Match => [meta("mark"), bitwise(hostU32(~bits)), setMeta("mark")];

/** One of the states. */
export const connectionState = (...states: readonly (keyof typeof ConnectionState)[]): Match => [
  ct("state"),
  bitwise(hostU32(states.reduce((bits, state) => bits | ConnectionState[state], 0))),
  cmp("neq", ZERO),
];

/** None of the states. */
export const notConnectionState = (...states: readonly (keyof typeof ConnectionState)[]): Match => [
  ct("state"),
  bitwise(hostU32(states.reduce((bits, state) => bits | ConnectionState[state], 0))),
  cmp("eq", ZERO),
];

/** Whether the connection's destination was translated. */
export const destinationTranslated = (is: boolean): Match => [
  ct("status"),
  bitwise(hostU32(DESTINATION_TRANSLATED)),
  cmp(is ? "neq" : "eq", ZERO),
];

export const toThisHost: Match = [fib("addrtype", FibFlag.DADDR), cmp("eq", LOCAL)];
export const fromThisHost: Match = [fib("addrtype", FibFlag.SADDR), cmp("eq", LOCAL)];
/** The source is an address of this host, but not of the interface by which the packet leaves. */
export const fromOtherInterfaceOfThisHost: Match = [
  fib("addrtype", FibFlag.SADDR | FibFlag.OIF),
  cmp("neq", LOCAL),
  ...fromThisHost,
];

/** The way back to the source does not lead by the interface the packet came in by: strict reverse path. */
export const reversePathFails: Match = [
  fib("oif", FibFlag.SADDR | FibFlag.MARK | FibFlag.IIF),
  cmp("eq", ZERO),
];
