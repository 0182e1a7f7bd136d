/**
 * What the kernel refused of a transaction. It says of each refused message its errno and, as an offset, the attribute
 * it stumbled over, never a text; the text is made here: what the message was to do, and which name or expression the
 * attribute is.
 */

import { NetlinkError } from "../errors.ts";
import { ATTRIBUTE_HEADER_LENGTH, AttributeReader, HEADER_LENGTH } from "../netlink/message.ts";
import type { Batch } from "./batch.ts";
import {
  ElementAttribute,
  ElementListAttribute,
  MessageType,
  NFGENMSG_LENGTH,
  RuleAttribute,
} from "./constants.ts";
import { readData } from "./expression-reader.ts";

export interface Refusal {
  readonly errno: number;
  /** In words: what was asked. */
  readonly operation: string;
  /** The attribute that it was about, in words. */
  readonly about?: string;
}

/** Nothing of the transaction has happened. `code` is that of the first refusal, but for ERESTART, which says all. */
export class TransactionError extends NetlinkError {
  readonly refusals: readonly Refusal[];

  constructor(refusals: readonly [Refusal, ...Refusal[]]) {
    const [first, ...others] = refusals;
    const more = others.length === 0 ? "" : `, and ${others.length} others`;
    super(first.errno, first.operation, `${first.about ?? "refused"}${more}`);
    this.name = "TransactionError";
    this.refusals = refusals;
  }
}

/** `offset` counts from the beginning of the message; 0 or undefined where the kernel gave none. */
export function refusal(batch: Batch, sequence: number, errno: number, offset: number | undefined): Refusal {
  const message = batch.message(sequence);
  if (message === undefined) return { errno, operation: "commit" };
  const { operation, start, end } = message;
  if (!offset) return { errno, operation };
  const bytes = batch.seal().subarray(start, end);
  const about = attributeAt(bytes, offset);
  return about === undefined ? { errno, operation } : { errno, operation, about };
}

/** The expression of a rule, the element of a set, or else the name in the attribute. */
function attributeAt(message: Uint8Array, offset: number): string | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const type = view.getUint16(4, true);
  const attributes = new AttributeReader(view, HEADER_LENGTH + NFGENMSG_LENGTH, message.length);
  if (seek(attributes, offset) === 0) return undefined;
  if (type === MessageType.NEWRULE && attributes.type === RuleAttribute.EXPRESSIONS) {
    const list = attributes.nested();
    const number = seek(list, offset);
    return number === 0 ? undefined : `expression ${number}, ${words(list.nested()).join(" ")}`;
  }
  const isElements = type === MessageType.NEWSETELEM || type === MessageType.DELSETELEM;
  if (isElements && attributes.type === ElementListAttribute.ELEMENTS) {
    const list = attributes.nested();
    return seek(list, offset) === 0 ? undefined : `element ${elementKey(list.nested())}`;
  }
  return text(attributes);
}

/** Moves on to the attribute that `offset` lies in; its number, from 1, or 0. */
function seek(attributes: AttributeReader, offset: number): number {
  for (let number = 1; attributes.next(); number++) {
    const start = attributes.offset - ATTRIBUTE_HEADER_LENGTH;
    if (offset >= start && offset < attributes.offset + attributes.length) return number;
  }
  return 0;
}

/** What can be read in an expression: its name, and those of sets and chains. */
function words(attributes: AttributeReader): string[] {
  const found: string[] = [];
  while (attributes.next()) {
    const word = text(attributes);
    if (word !== undefined) found.push(word);
    else found.push(...words(attributes.nested()));
  }
  return found;
}

function elementKey(attributes: AttributeReader): string | undefined {
  while (attributes.next()) {
    if (attributes.type === ElementAttribute.KEY) return readData(attributes.nested()).data;
  }
  return undefined;
}

/** Names end with a zero byte; numbers and nested attributes hardly do so after two readable ones. */
function text(attribute: AttributeReader): string | undefined {
  const read = attribute.string();
  return read.length + 1 === attribute.length && /^[\x21-\x7e]{2,}$/.test(read) ? read : undefined;
}
