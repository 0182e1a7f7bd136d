/**
 * IP addresses as values.
 *
 * An {@link Ip} is a string in canonical text form: dotted quad for IPv4, RFC 5952 for IPv6 (which is also
 * what Go prints, so it is what Calico's keys hold). Canonical text makes addresses comparable with `===`,
 * usable as Map keys and readable in JSON; whoever computes with them goes through bytes or bigints.
 */

declare const ipBrand: unique symbol;

/** An IPv4 or IPv6 address in canonical text form. */
export type Ip = string & { readonly [ipBrand]: true };

export type IpVersion = 4 | 6;

/** Text that should have been an address, a CIDR or a MAC and is not. */
export class AddressError extends Error {
  readonly code = "INVALID_ADDRESS";
  readonly text: string;
  constructor(text: string, expected: string) {
    super(`"${text}" is not ${expected}`);
    this.name = "AddressError";
    this.text = text;
  }
}

/** The canonical form of `text`, or undefined where it is no address (zones such as `%eth0` are none). */
export function parseIp(text: string): Ip | undefined {
  const v4 = ipv4ToNumber(text);
  if (v4 >= 0) return text as Ip;
  const bytes = text.includes(":") ? ipv6TextToBytes(text) : undefined;
  return bytes && bytesToIp(bytes);
}

/** Like {@link parseIp}; throws {@link AddressError}. */
export function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new AddressError(text, "an IP address");
  return parsed;
}

export function ipVersion(address: Ip): IpVersion {
  return address.includes(":") ? 6 : 4;
}

/** 32 or 128. */
export function addressBits(version: IpVersion): 32 | 128 {
  return version === 4 ? 32 : 128;
}

/** Network byte order, 4 or 16 bytes. */
export function ipToBytes(address: Ip): Uint8Array {
  const v4 = ipv4ToNumber(address);
  if (v4 >= 0) return Uint8Array.of(v4 >>> 24, v4 >>> 16, v4 >>> 8, v4);
  return ipv6TextToBytes(address) as Uint8Array;
}

/** From 4 or 16 bytes in network byte order. */
export function bytesToIp(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join(".") as Ip;
  if (bytes.length !== 16) throw new AddressError(String(bytes), "4 or 16 bytes");
  return ipv6BytesToText(bytes) as Ip;
}

export function ipToBigInt(address: Ip): bigint {
  const v4 = ipv4ToNumber(address);
  if (v4 >= 0) return BigInt(v4);
  let value = 0n;
  for (const byte of ipToBytes(address)) value = (value << 8n) | BigInt(byte);
  return value;
}

export function bigIntToIp(value: bigint, version: IpVersion): Ip {
  const bytes = new Uint8Array(version === 4 ? 4 : 16);
  for (let i = bytes.length - 1; i >= 0; i--) {
    bytes[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytesToIp(bytes);
}

/** Numeric order, IPv4 before IPv6. */
export function compareIps(a: Ip, b: Ip): number {
  const versions = ipVersion(a) - ipVersion(b);
  if (versions !== 0) return versions;
  const [x, y] = [ipToBigInt(a), ipToBigInt(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The address as an unsigned 32-bit number, or -1 where `text` is no canonical dotted quad. */
export function ipv4ToNumber(text: string): number {
  if (text.length < 7 || text.length > 15) return -1;
  let value = 0;
  let octet = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 46 /* . */) {
      if (octet < 0 || ++dots > 3) return -1;
      value = value * 256 + octet;
      octet = -1;
    } else {
      if (c < 48 || c > 57 || octet === 0) return -1; // leading zeros are octal to some parsers: refused
      octet = (octet < 0 ? 0 : octet * 10) + (c - 48);
      if (octet > 255) return -1;
    }
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : -1;
}

function ipv6TextToBytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsToBytes(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groupsToBytes(halves[1] as string, true) : [];
  if (!head || !tail) return undefined;
  const gap = 16 - head.length - tail.length;
  if (halves.length === 2 ? gap < 2 : gap !== 0) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function groupsToBytes(text: string, quadAllowed: boolean): number[] | undefined {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (quadAllowed && i === groups.length - 1 && group.includes(".")) {
      const v4 = ipv4ToNumber(group);
      if (v4 < 0) return undefined;
      bytes.push(v4 >>> 24, (v4 >>> 16) & 255, (v4 >>> 8) & 255, v4 & 255);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    }
  }
  return bytes;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function ipv6BytesToText(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  const mapped = groups.slice(0, 5).every(g => g === 0) && groups[5] === 0xffff;
  if (mapped) return `::ffff:${bytes.subarray(12).join(".")}`;
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const hex = groups.map(g => g.toString(16));
  if (best.start < 0) return hex.join(":");
  return `${hex.slice(0, best.start).join(":")}::${hex.slice(best.start + best.length).join(":")}`;
}
