/** Policy routing rules as RTM_NEWRULE messages: linux/fib_rules.h, struct fib_rule_hdr. */

import { type Cidr, cidrVersion, networkAddress, prefixLength } from "../../net/cidr.ts";
import { type IpVersion, ipToBytes } from "../../net/ip.ts";
import { AddressFamily } from "../libc.ts";
import { familyOf, readIp } from "./address-bytes.ts";
import { AttributeReader, Flag, type Message, type MessageWriter } from "./message.ts";

export interface Rule {
  readonly family: IpVersion;
  /** Lower is looked at first. The kernel chooses one below the lowest if absent. */
  readonly priority?: number;
  /** Default `table`: look there. */
  readonly action?: RuleAction;
  /** Where to look; only with the action `table`. */
  readonly table?: number;
  /** Matches packets whose mark, under `mask` (default all bits), is `mark`. */
  readonly mark?: number;
  readonly mask?: number;
  readonly from?: Cidr;
  readonly to?: Cidr;
  readonly inputInterface?: string;
  readonly outputInterface?: string;
  /** Applies to what does NOT match. */
  readonly invert?: boolean;
  /** Who made it, as for routes. */
  readonly protocol?: number;
}

/** FR_ACT_* */
const ACTIONS = { table: 1, goto: 2, nop: 3, blackhole: 6, unreachable: 7, prohibit: 8 } as const;
export type RuleAction = keyof typeof ACTIONS;

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
export const RuleMessageType = { NEW: RTM_NEWRULE, DELETE: RTM_DELRULE } as const;

const FIB_RULE_INVERT = 2;
const ALL_BITS = 0xffffffff;

const Attribute = {
  DST: 1,
  SRC: 2,
  IIFNAME: 3,
  PRIORITY: 6,
  FWMARK: 10,
  TABLE: 15,
  FWMASK: 16,
  OIFNAME: 17,
  PROTOCOL: 21,
} as const;

export function writeGetRules(writer: MessageWriter, version: IpVersion): void {
  writer.begin(RTM_GETRULE, Flag.REQUEST | Flag.DUMP);
  writer.u32(familyOf(version));
  writer.u32(0);
  writer.u32(0);
  writer.end();
}

/** Without EXCL the kernel would take the same rule twice, and deleting it would leave one. */
export function writeAddRule(writer: MessageWriter, rule: Rule): void {
  writer.begin(RTM_NEWRULE, Flag.REQUEST | Flag.CREATE | Flag.EXCL);
  writeRule(writer, rule);
  writer.end();
}

/** What is left out matches anything: the first rule that has all of `rule` goes. */
export function writeDeleteRule(writer: MessageWriter, rule: Rule): void {
  writer.begin(RTM_DELRULE, Flag.REQUEST);
  writeRule(writer, rule);
  writer.end();
}

export function readRule(message: Message): Rule | undefined {
  if (message.type !== RTM_NEWRULE && message.type !== RTM_DELRULE) return undefined;
  const { view, offset, end } = message;
  if (end - offset < 12) return undefined;
  const family = view.getUint8(offset);
  if (family !== AddressFamily.INET && family !== AddressFamily.INET6) return undefined;
  const toLength = view.getUint8(offset + 1);
  const fromLength = view.getUint8(offset + 2);
  const rule: { -readonly [K in keyof Rule]: Rule[K] } = {
    family: family === AddressFamily.INET ? 4 : 6,
    priority: 0,
    action: actionOf(view.getUint8(offset + 7)),
    table: view.getUint8(offset + 4),
  };
  if (view.getUint32(offset + 8, true) & FIB_RULE_INVERT) rule.invert = true;
  const attributes = new AttributeReader(view, offset + 12, end);
  while (attributes.next()) {
    switch (attributes.type) {
      case Attribute.DST:
        rule.to = `${readIp(attributes.bytes())}/${toLength}` as Cidr;
        break;
      case Attribute.SRC:
        rule.from = `${readIp(attributes.bytes())}/${fromLength}` as Cidr;
        break;
      case Attribute.IIFNAME:
        rule.inputInterface = attributes.string();
        break;
      case Attribute.OIFNAME:
        rule.outputInterface = attributes.string();
        break;
      case Attribute.PRIORITY:
        rule.priority = attributes.u32();
        break;
      case Attribute.FWMARK:
        rule.mark = attributes.u32();
        break;
      case Attribute.FWMASK:
        if (attributes.u32() !== ALL_BITS) rule.mask = attributes.u32();
        break;
      case Attribute.TABLE:
        rule.table = attributes.u32();
        break;
      case Attribute.PROTOCOL:
        if (attributes.u8() !== 0) rule.protocol = attributes.u8();
        break;
    }
  }
  if (rule.action !== "table") delete rule.table;
  return rule;
}

function writeRule(writer: MessageWriter, rule: Rule): void {
  for (const block of [rule.from, rule.to]) {
    if (block !== undefined && cidrVersion(block) !== rule.family) {
      throw new TypeError(`rule of IPv${rule.family} with ${block}`);
    }
  }
  const table = rule.table ?? 0;
  writer.u8(familyOf(rule.family));
  writer.u8(rule.to === undefined ? 0 : prefixLength(rule.to));
  writer.u8(rule.from === undefined ? 0 : prefixLength(rule.from));
  writer.u8(0);
  writer.u8(table < 256 ? table : 0);
  writer.u16(0);
  writer.u8(ACTIONS[rule.action ?? "table"]);
  writer.u32(rule.invert ? FIB_RULE_INVERT : 0);
  if (rule.to !== undefined) writer.attribute(Attribute.DST, ipToBytes(networkAddress(rule.to)));
  if (rule.from !== undefined) writer.attribute(Attribute.SRC, ipToBytes(networkAddress(rule.from)));
  if (rule.inputInterface !== undefined) writer.attributeString(Attribute.IIFNAME, rule.inputInterface);
  if (rule.outputInterface !== undefined) writer.attributeString(Attribute.OIFNAME, rule.outputInterface);
  if (rule.priority !== undefined) writer.attributeU32(Attribute.PRIORITY, rule.priority);
  if (rule.mark !== undefined) {
    writer.attributeU32(Attribute.FWMARK, rule.mark);
    writer.attributeU32(Attribute.FWMASK, rule.mask ?? ALL_BITS);
  }
  if (table >= 256) writer.attributeU32(Attribute.TABLE, table);
  if (rule.protocol !== undefined) writer.attributeU8(Attribute.PROTOCOL, rule.protocol);
}

function actionOf(number: number): RuleAction {
  for (const [name, value] of Object.entries(ACTIONS)) if (value === number) return name as RuleAction;
  return "nop";
}
