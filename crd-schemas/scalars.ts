/**
 * The scalar types of the data model: values with a syntax of their own.
 *
 * In the CRDs a scalar is a string or int-or-string whose `title` is one of {@link SCALARS}; the generator
 * turns that into a table of paths, and validation parses what stands there. Parsing canonicalises (`tcp` is
 * TCP, `"80"` is 80, AS `1.2` is 65538), so code above validation compares with `===`. Addresses, CIDRs and
 * durations stay as the user wrote them: `calctl get` shows what was applied.
 *
 * A parser gives undefined for text that is not of its type; empty text is "not given", as in Go's JSON.
 */

import { cidrOf, networkAddress, parseCidr, parseInterfaceAddress } from "../net/cidr.ts";
import { addressBits, ipVersion, parseIp } from "../net/ip.ts";

export const PROTOCOL_NUMBERS = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
} as const;

export type ProtocolName = keyof typeof PROTOCOL_NUMBERS;

/** An IP protocol by name or number; names are not turned into numbers, nor numbers into names. */
export type Protocol = ProtocolName | number;

const PROTOCOL_BY_LOWER_CASE = new Map(
  (Object.keys(PROTOCOL_NUMBERS) as ProtocolName[]).map(name => [name.toLowerCase(), name]),
);

export function parseProtocol(value: string | number): Protocol | undefined {
  if (typeof value === "number") return isIntegerBetween(value, 0, 255) ? value : undefined;
  const named = PROTOCOL_BY_LOWER_CASE.get(value.toLowerCase());
  return named ?? parseDecimal(value, 255);
}

/** The number on the wire. */
export function protocolNumber(protocol: Protocol): number {
  return typeof protocol === "number" ? protocol : PROTOCOL_NUMBERS[protocol];
}

/** Whether packets of this protocol carry ports, as far as rules may name them: TCP, UDP and SCTP. */
export function protocolHasPorts(protocol: Protocol): boolean {
  const number = protocolNumber(protocol);
  return number === 6 || number === 17 || number === 132;
}

/** A port as a number, a range `"low:high"`, or a name that endpoints give to one of theirs. */
export type Port = number | string;

export type PortMatch =
  | { readonly type: "range"; readonly low: number; readonly high: number }
  | { readonly type: "named"; readonly name: string };

/** What a port in a rule stands for; undefined where it is malformed. */
export function parsePort(value: string | number): PortMatch | undefined {
  if (typeof value === "number") {
    return isIntegerBetween(value, 1, 65535) ? { type: "range", low: value, high: value } : undefined;
  }
  const range = /^(\d{1,5}):(\d{1,5})$/.exec(value);
  if (range) {
    const low = Number(range[1]);
    const high = Number(range[2]);
    return low >= 1 && low <= high && high <= 65535 ? { type: "range", low, high } : undefined;
  }
  if (/^\d+$/.test(value)) {
    const number = Number(value);
    return number >= 1 && number <= 65535 ? { type: "range", low: number, high: number } : undefined;
  }
  return /^[a-zA-Z0-9_.-]{1,128}$/.test(value) ? { type: "named", name: value } : undefined;
}

/** The JSON form: a number for a single port, text for a range or a name. */
export function formatPort(port: PortMatch): Port {
  if (port.type === "named") return port.name;
  return port.low === port.high ? port.low : `${port.low}:${port.high}`;
}

/** A four-byte AS number (RFC 6793). */
export type ASNumber = number;

/** From a number, decimal text, or `high.low` (asdot, RFC 5396). */
export function parseASNumber(value: string | number): ASNumber | undefined {
  if (typeof value === "number") return isIntegerBetween(value, 0, 0xffffffff) ? value : undefined;
  const parts = value.split(".");
  if (parts.length === 1) return parseDecimal(value, 0xffffffff);
  if (parts.length !== 2) return undefined;
  const high = parseDecimal(parts[0]!, 0xffff);
  const low = parseDecimal(parts[1]!, 0xffff);
  return high === undefined || low === undefined ? undefined : high * 65536 + low;
}

const DSCP_NAMES = new Map<string, number>([
  ["DF", 0],
  ["LE", 1],
  ["EF", 46],
  ["VA", 44],
  ...[0, 1, 2, 3, 4, 5, 6, 7].map(n => [`CS${n}`, n * 8] as const),
  ...[1, 2, 3, 4].flatMap(n => [1, 2, 3].map(m => [`AF${n}${m}`, n * 8 + m * 2] as const)),
]);

/** A DiffServ code point as a number or by its name in upper case; {@link dscpNumber} gives the bits. */
export type DSCP = number | string;

export function parseDSCP(value: string | number): DSCP | undefined {
  if (typeof value === "number") return isIntegerBetween(value, 0, 63) ? value : undefined;
  const name = value.toUpperCase();
  return DSCP_NAMES.has(name) ? name : parseDecimal(value, 63);
}

export function dscpNumber(dscp: DSCP): number | undefined {
  return typeof dscp === "number" ? dscp : DSCP_NAMES.get(dscp);
}

/** A length of time as Go writes it: `90s`, `1m30s`, `1.5h`. */
export type Duration = string;

const MS_PER_UNIT: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds, possibly fractional; undefined where the text is no Go duration. */
export function parseDuration(text: string): number | undefined {
  const match = /^([-+]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (!match) return text === "0" || text === "+0" || text === "-0" ? 0 : undefined;
  let ms = 0;
  for (const [, amount, unit] of match[2]!.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    ms += Number(amount) * MS_PER_UNIT[unit!]!;
  }
  return match[1] === "-" ? -ms : ms;
}

/** The text Go prints for this many milliseconds: `1m30s`, `1.5s`, `250ms`, `0s`. */
export function formatDuration(ms: number): Duration {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms === 0) return "0s";
  const trimmed = (value: number, digits: number): string => String(Number(value.toFixed(digits)));
  if (ms < 1e-3) return `${Math.round(ms * 1e6)}ns`;
  if (ms < 1) return `${trimmed(ms * 1e3, 3)}µs`;
  if (ms < 1000) return `${trimmed(ms, 6)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = trimmed((ms % 60_000) / 1000, 9);
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

/** An address, or a block without bits beyond its prefix length. */
function isNet(text: string): boolean {
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined) return false;
  const { ip, prefixLength } = parsed;
  // Most are single addresses, of which there is nothing to mask.
  return prefixLength === addressBits(ipVersion(ip)) || ip === networkAddress(cidrOf(ip, prefixLength));
}

/** How one scalar type is read: `parse` gives the canonical value or undefined. */
export interface Scalar {
  readonly expected: string;
  /** The TypeScript type after canonicalisation, where it is not string. */
  readonly type?: "Protocol" | "Port" | "ASNumber" | "DSCP" | "Duration";
  readonly parse: (value: string | number) => string | number | undefined;
}

const text =
  (accepts: (value: string) => boolean) =>
  (value: string | number): string | undefined =>
    typeof value === "string" && (value === "" || accepts(value)) ? value : undefined;

/** Scalars by the title they have in the CRDs. Selectors are not among them: their parser lives above. */
export const SCALARS = {
  Protocol: {
    expected: "TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 0 to 255",
    type: "Protocol",
    parse: parseProtocol,
  },
  Port: {
    expected: 'a port from 1 to 65535, a range "low:high", or a name of letters, digits, ".", "_" and "-"',
    type: "Port",
    parse: value => {
      const port = parsePort(value);
      return port && formatPort(port);
    },
  },
  ASNumber: {
    expected: 'an AS number from 0 to 4294967295, or "high.low"',
    type: "ASNumber",
    parse: parseASNumber,
  },
  DSCP: {
    expected: "a number from 0 to 63, or a name such as DF, EF, AF11 or CS1",
    type: "DSCP",
    parse: parseDSCP,
  },
  Duration: {
    expected: "a duration such as 90s, 1m30s or 500ms",
    type: "Duration",
    parse: text(value => parseDuration(value) !== undefined),
  },
  IP: { expected: "an IP address", parse: text(value => parseIp(value) !== undefined) },
  CIDR: {
    expected: "a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length",
    parse: text(value => value.includes("/") && isNet(value)),
  },
  Net: {
    expected: "an IP address, or a CIDR such as 10.0.0.0/8 with no bit set beyond the prefix length",
    parse: text(isNet),
  },
  UnmaskedNet: {
    expected: "an IP address or a CIDR such as 10.0.0.0/8",
    parse: text(value => parseCidr(value) !== undefined),
  },
  InterfaceAddress: {
    expected: "an IP address, with or without a prefix length, such as 10.0.0.1/24",
    parse: text(value => parseInterfaceAddress(value) !== undefined),
  },
  MAC: {
    expected: "a MAC address such as ee:ee:ee:ee:ee:ee",
    parse: text(value => /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(value)),
  },
} satisfies Record<string, Scalar>;

export type ScalarName = keyof typeof SCALARS;

function isIntegerBetween(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}

function parseDecimal(value: string, highest: number): number | undefined {
  if (!/^\d{1,10}$/.test(value)) return undefined;
  const number = Number(value);
  return number <= highest ? number : undefined;
}
