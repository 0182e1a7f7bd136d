/**
 * Matches: pure functions from typed arguments to the words iptables expects. Every function that takes `not`
 * puts the exclamation mark where the extension wants it. What the kernel or the parser would refuse whatever
 * the state of the tables is refused here, where the caller still knows which policy it came from.
 */

import { InvalidRuleError } from "./errors.ts";
import { quote, quoteText } from "./quote.ts";

export type Port = number | readonly [first: number, last: number];
export type SetDirection = "src" | "dst" | "src,src" | "src,dst" | "dst,src" | "dst,dst";
export type ConntrackState = "NEW" | "ESTABLISHED" | "RELATED" | "INVALID" | "UNTRACKED" | "SNAT" | "DNAT";
export type AddressType =
  | "UNSPEC"
  | "UNICAST"
  | "LOCAL"
  | "BROADCAST"
  | "ANYCAST"
  | "MULTICAST"
  | "BLACKHOLE"
  | "UNREACHABLE"
  | "PROHIBIT"
  | "THROW"
  | "NAT"
  | "XRESOLVE";
/** Attributes of the packet that created the connection, or of the one that answers it. */
export type ConntrackTuple =
  | "ctorigsrc"
  | "ctorigdst"
  | "ctreplsrc"
  | "ctrepldst"
  | "ctorigsrcport"
  | "ctorigdstport"
  | "ctreplsrcport"
  | "ctrepldstport"
  | "ctproto";

/** IFNAMSIZ is 16 with the terminating zero. A final `+` matches every name with that beginning. */
const INTERFACE = /^[^\s/!"'\\-][^\s/"'\\]{0,14}$/;
/** XT_EXTENSION_MAXNAMELEN is 29 with the zero. */
const CHAIN = /^[^\s!"'\\-][^\s"'\\]{0,27}$/;
/** IPSET_MAXNAMELEN is 32 with the zero. */
const SET = /^[^\s!"'\\-][^\s"'\\]{0,30}$/;
const WORD = /^[A-Za-z0-9][A-Za-z0-9_./:-]*$/;
const ADDRESS = /^[0-9A-Fa-f.:]+(\/[0-9A-Fa-f.:]+)?$/;

const bang = (not: boolean) => (not ? "! " : "");
export const hex = (value: number) => `0x${(value >>> 0).toString(16)}`;

function checkInterface(name: string): string {
  if (!INTERFACE.test(name)) throw new InvalidRuleError("interface", name, "a name of 1 to 15 characters");
  return name;
}

export function checkChain(name: string): string {
  if (!CHAIN.test(name)) throw new InvalidRuleError("chain", name, "a name of 1 to 28 characters");
  return name;
}

export function checkSet(name: string): string {
  if (!SET.test(name)) throw new InvalidRuleError("set", name, "a name of 1 to 31 characters");
  return name;
}

export function checkAddress(address: string): string {
  if (!ADDRESS.test(address)) throw new InvalidRuleError("address", address, "an address or CIDR");
  return address;
}

export function checkUint(field: string, value: number, max: number): number {
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new InvalidRuleError(field, value, `0 to ${max}`);
  return value;
}

export const inInterface = (name: string, not = false) => `${bang(not)}-i ${checkInterface(name)}`;
export const outInterface = (name: string, not = false) => `${bang(not)}-o ${checkInterface(name)}`;

export function protocol(value: string | number, not = false): string {
  if (typeof value === "number") checkUint("protocol", value, 255);
  else if (!WORD.test(value)) throw new InvalidRuleError("protocol", value, "a name or number");
  return `${bang(not)}-p ${value}`;
}

export const source = (net: string, not = false) => `${bang(not)}-s ${checkAddress(net)}`;
export const destination = (net: string, not = false) => `${bang(not)}-d ${checkAddress(net)}`;

/** The multiport extension holds 15 numbers; a range takes two of them. */
export const MAX_PORT_SLOTS = 15;
export const portSlots = (ports: readonly Port[]) =>
  ports.reduce((n: number, p) => n + (typeof p === "number" ? 1 : 2), 0);

function portList(ports: readonly Port[]): string {
  if (ports.length === 0 || portSlots(ports) > MAX_PORT_SLOTS)
    throw new InvalidRuleError("ports", ports, `1 to ${MAX_PORT_SLOTS} slots, a range taking two`);
  return ports
    .map(port => {
      if (typeof port === "number") return checkUint("port", port, 65535);
      const [first, last] = port;
      if (first > last) throw new InvalidRuleError("port range", port, "first <= last");
      return `${checkUint("port", first, 65535)}:${checkUint("port", last, 65535)}`;
    })
    .join(",");
}

/** Needs a protocol with ports in the same rule, before it. */
export const sourcePorts = (ports: readonly Port[], not = false) =>
  `-m multiport ${bang(not)}--source-ports ${portList(ports)}`;
export const destinationPorts = (ports: readonly Port[], not = false) =>
  `-m multiport ${bang(not)}--destination-ports ${portList(ports)}`;

export const matchSet = (name: string, direction: SetDirection, not = false) =>
  `-m set ${bang(not)}--match-set ${checkSet(name)} ${direction}`;

export const mark = (value: number, mask = 0xffffffff, not = false) =>
  `-m mark ${bang(not)}--mark ${hex(value)}/${hex(mask)}`;
export const connmark = (value: number, mask = 0xffffffff, not = false) =>
  `-m connmark ${bang(not)}--mark ${hex(value)}/${hex(mask)}`;

export function conntrackState(states: readonly ConntrackState[], not = false): string {
  if (states.length === 0) throw new InvalidRuleError("conntrack state", states, "at least one");
  return `-m conntrack ${bang(not)}--ctstate ${states.join(",")}`;
}

export const conntrackTuple = (field: ConntrackTuple, value: string | number, not = false) =>
  `-m conntrack ${bang(not)}--${field} ${typeof value === "number" ? value : checkAddress(value)}`;

function icmpTypeCode(type: number, code?: number): string {
  checkUint("icmp type", type, 255);
  return code === undefined ? `${type}` : `${type}/${checkUint("icmp code", code, 255)}`;
}

/** Needs protocol icmp before it. */
export const icmp = (type: number, code?: number, not = false) =>
  `-m icmp ${bang(not)}--icmp-type ${icmpTypeCode(type, code)}`;
/** Needs protocol icmpv6 before it. */
export const icmpv6 = (type: number, code?: number, not = false) =>
  `-m icmp6 ${bang(not)}--icmpv6-type ${icmpTypeCode(type, code)}`;

/** limitIface looks the address up on the packet's in or out interface only. */
export function addressType(
  side: "src" | "dst",
  type: AddressType,
  limitIface?: "in" | "out",
  not = false,
): string {
  const limit = limitIface ? ` --limit-iface-${limitIface}` : "";
  return `-m addrtype ${bang(not)}--${side}-type ${type}${limit}`;
}

/** Matches packets whose way back is the interface they came in by; negated, those for which it is not. */
export function reversePath(
  options: { loose?: boolean; validMark?: boolean; acceptLocal?: boolean } = {},
  not = false,
): string {
  let text = "-m rpfilter";
  if (options.loose) text += " --loose";
  if (options.validMark) text += " --validmark";
  if (options.acceptLocal) text += " --accept-local";
  return not ? `${text} --invert` : text;
}

export interface Rate {
  readonly count: number;
  readonly per: "second" | "minute" | "hour" | "day";
  readonly burst?: number;
}

export function limit(rate: Rate): string {
  const burst = rate.burst === undefined ? "" : ` --limit-burst ${checkUint("burst", rate.burst, 10_000)}`;
  return `-m limit --limit ${checkUint("rate", rate.count, 10_000)}/${rate.per}${burst}`;
}

export interface HashLimit extends Rate {
  /** Name of the table under /proc/net/ipt_hashlimit, at most 15 characters. */
  readonly name: string;
  /** What has a bucket of its own; none: one bucket for all. */
  readonly by?: readonly ("srcip" | "dstip" | "srcport" | "dstport")[];
  readonly sourceMask?: number;
  readonly destinationMask?: number;
}

/** Matches up to the rate; negated, what is above it. */
export function hashLimit(options: HashLimit, not = false): string {
  const { name, count, per, burst, by = [], sourceMask, destinationMask } = options;
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(name))
    throw new InvalidRuleError("hashlimit name", name, "1 to 15 letters or digits");
  let text = `-m hashlimit --hashlimit-${not ? "above" : "upto"} ${checkUint("rate", count, 1_000_000)}/${per}`;
  if (burst !== undefined) text += ` --hashlimit-burst ${checkUint("burst", burst, 0xffffffff)}`;
  if (by.length > 0) text += ` --hashlimit-mode ${by.join(",")}`;
  if (sourceMask !== undefined) text += ` --hashlimit-srcmask ${checkUint("mask", sourceMask, 128)}`;
  if (destinationMask !== undefined)
    text += ` --hashlimit-dstmask ${checkUint("mask", destinationMask, 128)}`;
  return `${text} --hashlimit-name ${name}`;
}

export const connLimitAbove = (count: number, mask: number) =>
  `-m connlimit --connlimit-above ${checkUint("connections", count, 0xffffffff)} --connlimit-mask ${checkUint("mask", mask, 128)}`;

/** Needs protocol tcp before it. The first packet of a connection. */
export const tcpSyn = (not = false) => `-m tcp ${bang(not)}--tcp-flags FIN,SYN,RST,ACK SYN`;

/** XT_MAX_COMMENT_LEN is 256 with the zero; longer text is cut. */
export const comment = (text: string) => `-m comment --comment ${quoteText(text, 255)}`;

export const raw = (words: readonly string[]) => words.map(w => (w === "!" ? w : quote(w))).join(" ");
