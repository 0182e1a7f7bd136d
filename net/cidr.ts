/**
 * Address blocks as values. A {@link Cidr} is canonical text `<network>/<length>` with all host bits zero, so
 * that two spellings of one block are one string.
 */

import {
  AddressError,
  addressBits,
  bigIntToIp,
  type Ip,
  type IpVersion,
  ipToBigInt,
  ipVersion,
  ipv4ToNumber,
  parseIp,
} from "./ip.ts";

declare const cidrBrand: unique symbol;

/** An IP block in canonical text form, host bits zero. */
export type Cidr = string & { readonly [cidrBrand]: true };

/** An address together with the length of its subnet, as an interface carries it: `10.0.0.1/24`. */
export interface InterfaceAddress {
  readonly ip: Ip;
  readonly prefixLength: number;
}

/** Parses `ip/len` and keeps the host bits; a bare address has the full length. Undefined where it is neither. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const slash = text.indexOf("/");
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = addressBits(ipVersion(address));
  if (slash < 0) return { ip: address, prefixLength: bits };
  const length = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bits) return undefined;
  return { ip: address, prefixLength: Number(length) };
}

/** The block `text` lies in, masked; a bare address is a block of one. Undefined where it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const parsed = parseInterfaceAddress(text);
  return parsed && cidrOf(parsed.ip, parsed.prefixLength);
}

/** Like {@link parseCidr}; throws {@link AddressError}. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new AddressError(text, "a CIDR such as 10.0.0.0/8 or fd00::/64");
  return parsed;
}

/** The block of `prefixLength` bits that holds `address`. */
export function cidrOf(address: Ip, prefixLength: number): Cidr {
  const version = ipVersion(address);
  const hostBits = BigInt(addressBits(version) - prefixLength);
  if (hostBits === 0n) return `${address}/${prefixLength}` as Cidr;
  const network = (ipToBigInt(address) >> hostBits) << hostBits;
  return `${bigIntToIp(network, version)}/${prefixLength}` as Cidr;
}

/** The block of this one address: `/32` or `/128`. */
export function hostCidr(address: Ip): Cidr {
  return `${address}/${addressBits(ipVersion(address))}` as Cidr;
}

export function cidrVersion(block: Cidr): IpVersion {
  return block.includes(":") ? 6 : 4;
}

export function networkAddress(block: Cidr): Ip {
  return block.slice(0, block.indexOf("/")) as Ip;
}

export function prefixLength(block: Cidr): number {
  return Number(block.slice(block.indexOf("/") + 1));
}

export function isHostCidr(block: Cidr): boolean {
  return prefixLength(block) === addressBits(cidrVersion(block));
}

/** Number of addresses in the block. */
export function cidrSize(block: Cidr): bigint {
  return 1n << BigInt(addressBits(cidrVersion(block)) - prefixLength(block));
}

/**
 * Whether every address of `inner` (an address or a block) lies in `outer`. Asked per route and per packet of a test: IPv4
 * takes the short way, in numbers.
 */
export function contains(outer: Cidr, inner: Ip | Cidr): boolean {
  const outerSlash = outer.indexOf("/");
  const innerSlash = inner.indexOf("/");
  const length = Number(outer.slice(outerSlash + 1));
  const network = ipv4ToNumber(outer.slice(0, outerSlash));
  if (network >= 0) {
    if (innerSlash >= 0 && Number(inner.slice(innerSlash + 1)) < length) return false;
    const address = ipv4ToNumber(innerSlash < 0 ? inner : inner.slice(0, innerSlash));
    // A shift by 32 is a shift by 0 in JavaScript.
    return address >= 0 && (length === 0 || (network ^ address) >>> (32 - length) === 0);
  }
  const block = innerSlash < 0 ? hostCidr(inner as Ip) : (inner as Cidr);
  if (cidrVersion(block) === 4 || prefixLength(block) < length) return false;
  return cidrOf(networkAddress(block), length) === outer;
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return contains(a, b) || contains(b, a);
}

/** The address `ordinal` places after the first one of the block. */
export function nthAddress(block: Cidr, ordinal: number | bigint): Ip {
  return bigIntToIp(ipToBigInt(networkAddress(block)) + BigInt(ordinal), cidrVersion(block));
}

/** How many places after the block's first address `address` is; it must lie in the block. */
export function ordinalOf(block: Cidr, address: Ip): number {
  if (!contains(block, address)) throw new AddressError(address, `an address in ${block}`);
  return Number(ipToBigInt(address) - ipToBigInt(networkAddress(block)));
}
