/**
 * Members of ipsets in the one spelling that the kernel prints, so that what is wanted and what is read back can be compared
 * as strings: host bits cleared, /32 and /128 bare, IPv6 compressed, protocols by name. A prefix of length 0, which
 * the hash types cannot hold, is stored as its two halves.
 */

import { isIP } from "node:net";

export class InvalidMemberError extends Error {
  override readonly name = "InvalidMemberError";
  readonly code = "invalid-member";
  readonly member: string;

  constructor(member: string, type: string) {
    super(`${JSON.stringify(member)} is not a member for a set of type ${type}`);
    this.member = member;
  }
}

/** ipset's names; a protocol not listed is printed as its number. */
const PROTOCOLS: Record<string, string> = {
  "1": "icmp",
  "6": "tcp",
  "17": "udp",
  "58": "ipv6-icmp",
  "132": "sctp",
  "136": "udplite",
  icmpv6: "ipv6-icmp",
};

/**
 * The elements the kernel holds for one member: one, or two for a default route. `type` is an ipset type such as
 * "hash:net" or "hash:ip,port". Throws InvalidMemberError.
 */
export function elementsOf(type: string, ipVersion: 4 | 6, member: string): string[] {
  // Most members there are, by the million.
  if (ipVersion === 4 && (type === "hash:net" || type === "hash:ip") && isIP(member) === 4) return [member];
  const dimensions = type.slice(type.indexOf(":") + 1).split(",");
  const parts = member.split(",");
  if (parts.length !== dimensions.length) throw new InvalidMemberError(member, type);
  let elements = [""];
  for (const [i, dimension] of dimensions.entries()) {
    const spellings = spell(dimension, ipVersion, parts[i]!);
    if (!spellings) throw new InvalidMemberError(member, type);
    elements = elements.flatMap(head => spellings.map(s => (i === 0 ? s : `${head},${s}`)));
  }
  return elements;
}

/** The one spelling of a member; a prefix of length 0 stays one. Throws InvalidMemberError. */
export function canonicalMember(type: string, ipVersion: 4 | 6, member: string): string {
  const elements = elementsOf(type, ipVersion, member);
  if (elements.length === 1) return elements[0]!;
  // Only a part of length 0 has two elements: spell that part as itself, the others as the kernel does.
  const first = elements[0]!.split(",");
  return member
    .split(",")
    .map((part, i) => (part.endsWith("/0") ? everything(ipVersion) : first[i]))
    .join(",");
}

/** The network of all addresses. */
export function everything(ipVersion: 4 | 6): string {
  return ipVersion === 4 ? "0.0.0.0/0" : "::/0";
}

function spell(dimension: string, ipVersion: 4 | 6, part: string): string[] | undefined {
  switch (dimension) {
    case "ip":
    case "net": {
      const slash = part.indexOf("/");
      const address = slash < 0 ? part : part.slice(0, slash);
      const bits = ipVersion === 4 ? 32 : 128;
      const length = slash < 0 ? bits : Number(part.slice(slash + 1));
      if (isIP(address) !== ipVersion) return undefined;
      if (!Number.isInteger(length) || length < 0 || length > bits) return undefined;
      if (dimension === "ip" && length !== bits) return undefined;
      if (length === 0) return ipVersion === 4 ? ["0.0.0.0/1", "128.0.0.0/1"] : ["::/1", "8000::/1"];
      const net = ipVersion === 4 ? maskIpv4(address, length) : maskIpv6(address, length);
      return [length === bits ? net : `${net}/${length}`];
    }
    case "port": {
      const [, protocol = "tcp", port = ""] = /^(?:([A-Za-z0-9-]+):)?([A-Za-z0-9/-]+)$/.exec(part) ?? [];
      if (port === "") return undefined;
      if (/^\d+$/.test(port) && Number(port) > 65535) return undefined;
      const name = protocol.toLowerCase();
      return [`${PROTOCOLS[name] ?? name}:${port}`];
    }
    case "iface":
      return /^[^\s,"'\\]{1,23}$/.test(part) ? [part] : undefined;
    case "mac":
      return /^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$/.test(part) ? [part.toUpperCase()] : undefined;
    case "mark":
      return [`0x${Number(part).toString(16).padStart(8, "0")}`];
    default:
      return undefined;
  }
}

function maskIpv4(address: string, length: number): string {
  if (length === 32) return address;
  const value = address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
  const net = value - (value % 2 ** (32 - length));
  return [24, 16, 8, 0].map(shift => Math.floor(net / 2 ** shift) % 256).join(".");
}

function maskIpv6(address: string, length: number): string {
  const words = ipv6Words(address);
  return ipv6Text(
    words.map((word, i) => word & (0xffff << Math.min(16, Math.max(0, 16 * (i + 1) - length)))),
  );
}

function ipv6Words(address: string): number[] {
  const dotted = address.lastIndexOf(".") > 0;
  let text = address;
  if (dotted) {
    const colon = address.lastIndexOf(":");
    const [a = 0, b = 0, c = 0, d = 0] = address
      .slice(colon + 1)
      .split(".")
      .map(Number);
    text = `${address.slice(0, colon + 1)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  }
  const [head = "", tail] = text.split("::");
  const parse = (part: string) => (part === "" ? [] : part.split(":").map(word => Number.parseInt(word, 16)));
  const before = parse(head);
  if (tail === undefined) return before;
  const after = parse(tail);
  return [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** As inet_ntop of glibc prints it: the longest run of zeros (of two or more) shortened, mapped addresses dotted. */
function ipv6Text(words: readonly number[]): string {
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const hex = (part: readonly number[]) => part.map(word => word.toString(16)).join(":");
  const dotted = best === 0 && (bestLength === 6 || (bestLength === 5 && words[5] === 0xffff));
  if (dotted) {
    const [a = 0, b = 0] = words.slice(6);
    const v4 = `${a >> 8}.${a & 255}.${b >> 8}.${b & 255}`;
    return bestLength === 6 ? `::${v4}` : `::ffff:${v4}`;
  }
  if (best < 0) return hex(words);
  return `${hex(words.slice(0, best))}::${hex(words.slice(best + bestLength))}`;
}
