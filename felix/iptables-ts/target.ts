/**
 * Targets: what happens to a packet that a rule matched. A value of words, plus the chain it refers to, if any,
 * so that tables can count who needs whom.
 */

import { InvalidRuleError } from "./errors.ts";
import { checkAddress, checkChain, checkUint, hex, type Port, raw as rawWords } from "./match.ts";
import { quoteText } from "./quote.ts";

export interface Target {
  readonly text: string;
  /** The chain that a jump or goto leads to. */
  readonly chain?: string;
}

export type RejectWith =
  | "icmp-net-unreachable"
  | "icmp-host-unreachable"
  | "icmp-proto-unreachable"
  | "icmp-port-unreachable"
  | "icmp-net-prohibited"
  | "icmp-host-prohibited"
  | "icmp-admin-prohibited"
  | "icmp6-no-route"
  | "icmp6-adm-prohibited"
  | "icmp6-addr-unreachable"
  | "icmp6-port-unreachable"
  | "tcp-reset";

export type LogLevel = "emerg" | "alert" | "crit" | "error" | "warning" | "notice" | "info" | "debug";
const LOG_LEVELS: readonly LogLevel[] = [
  "emerg",
  "alert",
  "crit",
  "error",
  "warning",
  "notice",
  "info",
  "debug",
];

export const accept: Target = { text: "-j ACCEPT" };
export const drop: Target = { text: "-j DROP" };
export const returnToCaller: Target = { text: "-j RETURN" };
export const notrack: Target = { text: "-j CT --notrack" };

export const jump = (chain: string): Target => ({ text: `-j ${checkChain(chain)}`, chain });
/** Like a jump, but RETURN there goes back to the caller of the chain this rule is in. */
export const goto = (chain: string): Target => ({ text: `-g ${checkChain(chain)}`, chain });

export const reject = (reason?: RejectWith): Target => ({
  text: reason ? `-j REJECT --reject-with ${reason}` : "-j REJECT",
});

/** The kernel keeps 29 bytes of a prefix; longer text is cut. */
export function log(options: { prefix?: string; level?: LogLevel } = {}): Target {
  let text = "-j LOG";
  if (options.prefix) text += ` --log-prefix ${quoteText(options.prefix, 29)}`;
  if (options.level) text += ` --log-level ${LOG_LEVELS.indexOf(options.level)}`;
  return { text };
}

/** mark = (mark & ~mask) ^ value. With the mask left out: sets the bits of `value`, leaves all others. */
export const setMark = (value: number, mask = value): Target => ({
  text: `-j MARK --set-xmark ${hex(value)}/${hex(mask)}`,
});
export const clearMark = (mask: number): Target => setMark(0, mask);

export const saveConnmark = (mask = 0xffffffff): Target => ({
  text: `-j CONNMARK --save-mark --nfmask ${hex(mask)} --ctmask ${hex(mask)}`,
});
export const restoreConnmark = (mask = 0xffffffff): Target => ({
  text: `-j CONNMARK --restore-mark --nfmask ${hex(mask)} --ctmask ${hex(mask)}`,
});
export const setConnmark = (value: number, mask = value): Target => ({
  text: `-j CONNMARK --set-xmark ${hex(value)}/${hex(mask)}`,
});

export interface NatOptions {
  /** Needs protocol tcp or udp in the rule. */
  readonly toPorts?: Port;
  readonly randomFully?: boolean;
}

function ports(port: Port): string {
  if (typeof port === "number") return `${checkUint("port", port, 65535)}`;
  return `${checkUint("port", port[0], 65535)}-${checkUint("port", port[1], 65535)}`;
}

function natTo(address: string, port: Port | undefined): string {
  const [first, last] = address.split("-");
  checkAddress(first ?? "");
  if (last !== undefined) checkAddress(last);
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${ports(port)}` : `${address}:${ports(port)}`;
}

export function masquerade(options: NatOptions = {}): Target {
  let text = "-j MASQUERADE";
  if (options.toPorts !== undefined) text += ` --to-ports ${ports(options.toPorts)}`;
  if (options.randomFully) text += " --random-fully";
  return { text };
}

/** `address`: one, or a range "10.0.0.1-10.0.0.9". */
export const snat = (address: string, options: NatOptions = {}): Target => ({
  text: `-j SNAT --to-source ${natTo(address, options.toPorts)}${options.randomFully ? " --random-fully" : ""}`,
});

export const dnat = (address: string, port?: Port): Target => ({
  text: `-j DNAT --to-destination ${natTo(address, port)}`,
});

/** The kernel keeps 63 bytes of a prefix; longer text is cut. */
export function nflog(options: { group: number; prefix?: string; size?: number }): Target {
  let text = `-j NFLOG --nflog-group ${checkUint("group", options.group, 65535)}`;
  if (options.prefix) text += ` --nflog-prefix ${quoteText(options.prefix, 63)}`;
  if (options.size !== undefined) text += ` --nflog-size ${checkUint("size", options.size, 0xffffffff)}`;
  return { text };
}

/** Only in the mangle table. */
export const setDscp = (value: number): Target => ({
  text: `-j DSCP --set-dscp ${hex(checkUint("dscp", value, 63))}`,
});

/** Any other target: `target("TRACE")`, `target("TEE", "--gateway", "10.0.0.1")`. */
export function target(name: string, ...options: string[]): Target {
  if (!/^[A-Z][A-Za-z0-9]*$/.test(name))
    throw new InvalidRuleError("target", name, "the name of an extension");
  return { text: ["-j", name, ...(options.length > 0 ? [rawWords(options)] : [])].join(" ") };
}
