/** nf_tables objects as the kernel dumps them, as equal values to those that were written. */

import { AttributeReader, type Message } from "../netlink/message.ts";
import {
  ChainAttribute,
  ElementAttribute,
  ElementFlag,
  ElementListAttribute,
  FAMILIES,
  type Family,
  HookAttribute,
  MessageType,
  NFGENMSG_LENGTH,
  RuleAttribute,
  SetAttribute,
  SetDescriptionAttribute,
  SetFlag,
  TableAttribute,
  VERDICT_DATA_TYPE,
} from "./constants.ts";
import { predecessor } from "./data.ts";
import type { Data, Expression, Verdict } from "./expression.ts";
import { readData, readExpression, readExpressions } from "./expression-reader.ts";
import {
  type BaseChain,
  type Chain,
  DATA_TYPES,
  type DataType,
  type ElementEntry,
  HOOKS,
  type NftSet,
  type RuleEntry,
  type TableEntry,
} from "./model.ts";
import { readComment } from "./user-data.ts";

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const attributesOf = (message: Message): AttributeReader =>
  new AttributeReader(message.view, message.offset + NFGENMSG_LENGTH, message.end);

function familyOf(message: Message): Family | undefined {
  const number = message.view.getUint8(message.offset);
  return (Object.keys(FAMILIES) as Family[]).find(family => FAMILIES[family] === number);
}

export function readTable(message: Message): TableEntry | undefined {
  const family = familyOf(message);
  if (message.type !== MessageType.NEWTABLE || family === undefined) return undefined;
  const table: Mutable<TableEntry> = { family, name: "", flags: 0 };
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type === TableAttribute.NAME) table.name = attributes.string();
    else if (attributes.type === TableAttribute.FLAGS) table.flags = attributes.u32BigEndian();
    else if (attributes.type === TableAttribute.OWNER) table.owner = attributes.u32BigEndian();
  }
  return table;
}

/** A chain and the table it is in. */
export function readChain(message: Message): { table: string; chain: Chain } | undefined {
  if (message.type !== MessageType.NEWCHAIN) return undefined;
  let table = "";
  let name = "";
  let type: string | undefined;
  let policy = 1;
  let hook: { number: number; priority: number } | undefined;
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type === ChainAttribute.TABLE) table = attributes.string();
    else if (attributes.type === ChainAttribute.NAME) name = attributes.string();
    else if (attributes.type === ChainAttribute.TYPE) type = attributes.string();
    else if (attributes.type === ChainAttribute.POLICY) policy = attributes.u32BigEndian();
    else if (attributes.type === ChainAttribute.HOOK) hook = readHook(attributes.nested());
  }
  if (hook === undefined) return { table, chain: { name } };
  const place = (Object.keys(HOOKS) as (keyof typeof HOOKS)[]).find(key => HOOKS[key] === hook.number);
  const base: BaseChain = {
    type: type as BaseChain["type"],
    hook: place as BaseChain["hook"],
    priority: hook.priority,
    policy: policy === 0 ? "drop" : "accept",
  };
  return { table, chain: { name, base } };
}

function readHook(attributes: AttributeReader): { number: number; priority: number } {
  const hook = { number: 0, priority: 0 };
  while (attributes.next()) {
    if (attributes.type === HookAttribute.HOOKNUM) hook.number = attributes.u32BigEndian();
    else if (attributes.type === HookAttribute.PRIORITY) hook.priority = attributes.u32BigEndian() | 0;
  }
  return hook;
}

export function readRule(message: Message): RuleEntry | undefined {
  if (message.type !== MessageType.NEWRULE) return undefined;
  const rule: Mutable<RuleEntry> = { chain: "", handle: 0n, expressions: [] };
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type === RuleAttribute.CHAIN) rule.chain = attributes.string();
    else if (attributes.type === RuleAttribute.HANDLE) rule.handle = attributes.u64BigEndian();
    else if (attributes.type === RuleAttribute.EXPRESSIONS)
      rule.expressions = readExpressions(attributes.nested());
    else if (attributes.type === RuleAttribute.USERDATA) {
      const comment = readComment(attributes.bytes());
      if (comment !== undefined) rule.comment = comment;
    }
  }
  return rule;
}

/** A set and the table it is in; anonymous ones, which belong to a rule, are left out. */
export function readSet(message: Message): { table: string; set: NftSet } | undefined {
  if (message.type !== MessageType.NEWSET) return undefined;
  const set: Mutable<NftSet> = { name: "", key: [] };
  let table = "";
  let flags = 0;
  let dataType: number | undefined;
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type === SetAttribute.TABLE) table = attributes.string();
    else if (attributes.type === SetAttribute.NAME) set.name = attributes.string();
    else if (attributes.type === SetAttribute.FLAGS) flags = attributes.u32BigEndian();
    else if (attributes.type === SetAttribute.KEY_TYPE) set.key = dataTypes(attributes.u32BigEndian());
    else if (attributes.type === SetAttribute.DATA_TYPE) dataType = attributes.u32BigEndian();
    else if (attributes.type === SetAttribute.EXPR) set.counters = true;
    else if (attributes.type === SetAttribute.DESC) {
      const size = readSize(attributes.nested());
      if (size !== undefined) set.size = size;
    }
  }
  if (flags & SetFlag.ANONYMOUS) return undefined;
  if (flags & SetFlag.INTERVAL) set.interval = true;
  if (dataType === VERDICT_DATA_TYPE) set.data = "verdict";
  else if (dataType !== undefined) {
    const [data] = dataTypes(dataType);
    if (data !== undefined) set.data = data;
  }
  return { table, set };
}

function readSize(attributes: AttributeReader): number | undefined {
  while (attributes.next())
    if (attributes.type === SetDescriptionAttribute.SIZE) return attributes.u32BigEndian();
  return undefined;
}

/** Six bits each; none where one is unknown to us. */
function dataTypes(numbers: number): DataType[] {
  const types: DataType[] = [];
  for (let rest = numbers; rest > 0; rest >>>= 6) {
    const type = (Object.keys(DATA_TYPES) as DataType[]).find(key => DATA_TYPES[key].number === (rest & 63));
    if (type === undefined) return [];
    types.unshift(type);
  }
  return types;
}

/** An element as it lies in the kernel: a range of one field is two of them. */
interface RawElement {
  key: Data;
  keyEnd?: Data;
  isEnd: boolean;
  verdict?: Verdict;
  data?: Data;
  counter?: Extract<Expression, { kind: "counter" }>;
}

export function readElements(message: Message): RawElement[] | undefined {
  if (message.type !== MessageType.NEWSETELEM) return undefined;
  const elements: RawElement[] = [];
  const attributes = attributesOf(message);
  while (attributes.next()) {
    if (attributes.type !== ElementListAttribute.ELEMENTS) continue;
    const list = attributes.nested();
    while (list.next()) elements.push(readElement(list.nested()));
  }
  return elements;
}

function readElement(attributes: AttributeReader): RawElement {
  const element: RawElement = { key: "", isEnd: false };
  while (attributes.next()) {
    switch (attributes.type) {
      case ElementAttribute.KEY:
        element.key = readData(attributes.nested()).data ?? "";
        break;
      case ElementAttribute.KEY_END:
        element.keyEnd = readData(attributes.nested()).data ?? "";
        break;
      case ElementAttribute.DATA:
        Object.assign(element, readData(attributes.nested()));
        break;
      case ElementAttribute.FLAGS:
        element.isEnd = (attributes.u32BigEndian() & ElementFlag.INTERVAL_END) !== 0;
        break;
      case ElementAttribute.EXPR: {
        const expression = readExpression(attributes.nested());
        if (expression.kind === "counter") element.counter = expression;
        break;
      }
    }
  }
  return element;
}

/** Puts the two halves of each range together again. */
export function joinRanges(set: NftSet, raw: readonly RawElement[]): ElementEntry[] {
  if (!set.interval || set.key.length > 1) return raw.map(element => entry(element, element.keyEnd));
  // Where one range ends another may begin; the end comes first then. Hex of one length sorts as the bytes do.
  const order = (a: RawElement, b: RawElement) =>
    a.key < b.key ? -1 : a.key > b.key ? 1 : Number(b.isEnd) - Number(a.isEnd);
  const entries: ElementEntry[] = [];
  let open: RawElement | undefined;
  for (const element of raw.toSorted(order)) {
    if (open !== undefined) entries.push(entry(open, predecessor(element.key)));
    open = element.isEnd ? undefined : element;
  }
  if (open !== undefined) entries.push(entry(open, "f".repeat(open.key.length)));
  return entries;
}

/** `keyEnd` only where it says something. */
function entry({ key, verdict, data, counter }: RawElement, keyEnd: Data | undefined): ElementEntry {
  return {
    key,
    ...(keyEnd !== undefined && keyEnd !== key && { keyEnd }),
    ...(verdict !== undefined && { verdict }),
    ...(data !== undefined && { data }),
    ...(counter !== undefined && { packets: counter.packets, bytes: counter.bytes }),
  };
}
