/** The bodies of nf_tables messages: attributes as nft writes them (linux/netfilter/nf_tables.h). */

import type { MessageWriter } from "../netlink/message.ts";
import {
  ChainAttribute,
  ElementAttribute,
  ElementFlag,
  ElementListAttribute,
  HookAttribute,
  NFTA_LIST_ELEM,
  RuleAttribute,
  SET_FIELD_LEN,
  SetAttribute,
  SetDescriptionAttribute,
  SetFlag,
  TableAttribute,
  VERDICT_DATA_TYPE,
} from "./constants.ts";
import { successor } from "./data.ts";
import { counter, type Data } from "./expression.ts";
import { writeData, writeExpression, writeExpressions, writeVerdict } from "./expression-writer.ts";
import {
  type BaseChain,
  type Chain,
  DATA_TYPES,
  type DataType,
  type Element,
  HOOKS,
  type NftSet,
  type Rule,
  type Table,
} from "./model.ts";
import { commentData, setUserData } from "./user-data.ts";

/** NF_DROP and NF_ACCEPT */
const POLICIES = { drop: 0, accept: 1 } as const;

export function writeTable(writer: MessageWriter, table: Table): void {
  writer.attributeString(TableAttribute.NAME, table.name);
  writer.attributeU32BigEndian(TableAttribute.FLAGS, table.flags);
}

export function writeChain(writer: MessageWriter, table: string, { name, base }: Chain): void {
  writer.attributeString(ChainAttribute.TABLE, table);
  writer.attributeString(ChainAttribute.NAME, name);
  if (base !== undefined) writeBase(writer, base);
}

function writeBase(writer: MessageWriter, base: BaseChain): void {
  writer.attributeString(ChainAttribute.TYPE, base.type);
  writer.attributeU32BigEndian(ChainAttribute.POLICY, POLICIES[base.policy]);
  const hook = writer.nest(ChainAttribute.HOOK);
  writer.attributeU32BigEndian(HookAttribute.HOOKNUM, HOOKS[base.hook]);
  writer.attributeU32BigEndian(HookAttribute.PRIORITY, base.priority >>> 0);
  writer.endNest(hook);
}

export function writeRule(
  writer: MessageWriter,
  table: string,
  chain: string,
  rule: Rule,
  place: { readonly handle?: bigint; readonly position?: bigint } = {},
): void {
  writer.attributeString(RuleAttribute.TABLE, table);
  writer.attributeString(RuleAttribute.CHAIN, chain);
  if (place.handle !== undefined) writer.attributeU64BigEndian(RuleAttribute.HANDLE, place.handle);
  if (place.position !== undefined) writer.attributeU64BigEndian(RuleAttribute.POSITION, place.position);
  writeExpressions(writer, RuleAttribute.EXPRESSIONS, rule.expressions);
  if (rule.comment !== undefined) writer.attribute(RuleAttribute.USERDATA, commentData(rule.comment));
}

/** Each field of a key begins at a multiple of four bytes. */
const paddedLength = (type: DataType): number => Math.ceil(DATA_TYPES[type].length / 4) * 4;

export function keyLength(key: readonly DataType[]): number {
  if (key.length === 1) return DATA_TYPES[key[0] as DataType].length;
  return key.reduce((sum, type) => sum + paddedLength(type), 0);
}

/** Six bits each, the first in the highest. */
export const keyType = (key: readonly DataType[]): number =>
  key.reduce((types, type) => (types << 6) | DATA_TYPES[type].number, 0);

/** Whether elements are ranges in each of several fields; ranges of one field are written as two elements. */
export const isConcatenatedRanges = (set: NftSet): boolean => set.interval === true && set.key.length > 1;

/** `id` is unique within the batch. */
export function writeSet(writer: MessageWriter, table: string, set: NftSet, id: number): void {
  const concatenated = isConcatenatedRanges(set);
  writer.attributeString(SetAttribute.TABLE, table);
  writer.attributeString(SetAttribute.NAME, set.name);
  writer.attributeU32BigEndian(
    SetAttribute.FLAGS,
    (set.interval ? SetFlag.INTERVAL : 0) |
      (set.data === undefined ? 0 : SetFlag.MAP) |
      (concatenated ? SetFlag.CONCAT : 0),
  );
  writer.attributeU32BigEndian(SetAttribute.KEY_TYPE, keyType(set.key));
  writer.attributeU32BigEndian(SetAttribute.KEY_LEN, keyLength(set.key));
  if (set.data === "verdict") {
    writer.attributeU32BigEndian(SetAttribute.DATA_TYPE, VERDICT_DATA_TYPE);
    writer.attributeU32BigEndian(SetAttribute.DATA_LEN, 0);
  } else if (set.data !== undefined) {
    writer.attributeU32BigEndian(SetAttribute.DATA_TYPE, DATA_TYPES[set.data].number);
    writer.attributeU32BigEndian(SetAttribute.DATA_LEN, DATA_TYPES[set.data].length);
  }
  writer.attributeU32BigEndian(SetAttribute.ID, id);
  if (concatenated || set.size !== undefined) writeDescription(writer, set, concatenated);
  writer.attribute(SetAttribute.USERDATA, setUserData(set));
  if (set.counters) {
    const expression = writer.nest(SetAttribute.EXPR);
    writeExpression(writer, counter());
    writer.endNest(expression);
  }
}

function writeDescription(writer: MessageWriter, set: NftSet, concatenated: boolean): void {
  const description = writer.nest(SetAttribute.DESC);
  if (set.size !== undefined) writer.attributeU32BigEndian(SetDescriptionAttribute.SIZE, set.size);
  if (concatenated) {
    const fields = writer.nest(SetDescriptionAttribute.CONCAT);
    for (const type of set.key) {
      const field = writer.nest(NFTA_LIST_ELEM);
      writer.attributeU32BigEndian(SET_FIELD_LEN, DATA_TYPES[type].length);
      writer.endNest(field);
    }
    writer.endNest(fields);
  }
  writer.endNest(description);
}

/** A list is an attribute, and of an attribute's length there are only 16 bits; an element takes at most a few hundred. */
const MAX_LIST_BYTES = 64_000;

/** As many of the elements from `start` on as fit into one message; the index of the first that did not. */
export function writeElements(
  writer: MessageWriter,
  table: string,
  set: NftSet,
  elements: readonly Element[],
  start: number,
): number {
  writer.attributeString(ElementListAttribute.TABLE, table);
  writer.attributeString(ElementListAttribute.SET, set.name);
  const begun = writer.length;
  const list = writer.nest(ElementListAttribute.ELEMENTS);
  const concatenated = isConcatenatedRanges(set);
  let number = 1;
  let at = start;
  for (; at < elements.length && writer.length - begun < MAX_LIST_BYTES; at++) {
    const element = elements[at] as Element;
    if (!set.interval || concatenated) {
      writeElement(writer, number++, element, 0);
      continue;
    }
    // A range of one field is its first value and the value after its last, which the greatest of all has not.
    writeElement(writer, number++, { ...element, keyEnd: undefined }, 0);
    const end = successor(element.keyEnd ?? element.key);
    if (end !== undefined) writeElement(writer, number++, { key: end }, ElementFlag.INTERVAL_END);
  }
  writer.endNest(list);
  return at;
}

function writeElement(
  writer: MessageWriter,
  number: number,
  element: Omit<Element, "keyEnd"> & { readonly keyEnd?: Data | undefined },
  flags: number,
): void {
  const nest = writer.nest(number);
  if (flags !== 0) writer.attributeU32BigEndian(ElementAttribute.FLAGS, flags);
  writeData(writer, ElementAttribute.KEY, element.key);
  if (element.keyEnd !== undefined) writeData(writer, ElementAttribute.KEY_END, element.keyEnd);
  if (element.verdict !== undefined) writeVerdict(writer, ElementAttribute.DATA, element.verdict);
  else if (element.data !== undefined) writeData(writer, ElementAttribute.DATA, element.data);
  writer.endNest(nest);
}
