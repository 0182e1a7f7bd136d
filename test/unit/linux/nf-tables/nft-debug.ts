/**
 * What `nft --debug=mnl` prints: the messages that it sends, as bytes again. Some attributes mean nothing to the kernel
 * where they stand, and nft itself writes them only at times; they are left out, and lengths corrected:
 * the id of a set beside its name, and the operation "mask and xor" of bitwise, which is the default.
 */

import { ExpressionAttribute, MessageType, RuleAttribute } from "../../../../linux/nf-tables/constants.ts";

export interface NftMessage {
  /** Without the subsystem. */
  readonly type: number;
  /** From the nfgenmsg header on. */
  readonly body: string;
}

const SUBSYSTEM_AND_TYPE = /^\| (\d+) \|/;
const ATTRIBUTE = /^\|(\d{5})\|(.)(.)\|(\d{5})\|/;
const BYTES = /^\| (..) (..) (..) (..)\s+\|/;

/** Requests that change something, in order; not those that read, and not what frames them. */
export function readNftDebug(output: string): NftMessage[] {
  const messages: { type: number; bytes: number[] }[] = [];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: nft colours its output.
  for (const line of output.replaceAll(/\x1b\[[0-9;]*m/g, "").split("\n")) {
    if (line.includes("message length")) messages.push({ type: -1, bytes: [] });
    const message = messages.at(-1);
    if (message === undefined || /message length|sequence number|port ID/.test(line)) continue;
    const attribute = ATTRIBUTE.exec(line);
    if (line.includes("type | flags")) message.type = Number(SUBSYSTEM_AND_TYPE.exec(line)?.[1]);
    else if (attribute !== null) {
      const [, length, nested, , type] = attribute;
      const header = new Uint16Array([Number(length), Number(type) | (nested === "N" ? 0x8000 : 0)]);
      message.bytes.push(...new Uint8Array(header.buffer));
    } else {
      const bytes = BYTES.exec(line)?.slice(1);
      if (bytes !== undefined) message.bytes.push(...bytes.map(byte => Number.parseInt(byte, 16)));
    }
  }
  const CHANGES: readonly number[] = [
    ...[MessageType.NEWTABLE, MessageType.DELTABLE, MessageType.NEWCHAIN, MessageType.DELCHAIN],
    ...[MessageType.NEWRULE, MessageType.DELRULE, MessageType.NEWSET, MessageType.DELSET],
    ...[MessageType.NEWSETELEM, MessageType.DELSETELEM],
  ];
  return messages
    .filter(({ type }) => CHANGES.includes(type))
    .map(({ type, bytes }) => ({ type: type & 0xff, body: normalized(type, Buffer.from(bytes)) }));
}

interface Attribute {
  type: number;
  content: Buffer | Attribute[];
}

const SET_ID_BESIDE_NAME = 4;
const BITWISE_OP = 6;

function normalized(type: number, body: Buffer): string {
  let attributes = parse(body.subarray(4));
  const isElements = type === MessageType.NEWSETELEM || type === MessageType.DELSETELEM;
  if (isElements) attributes = attributes.filter(attribute => attribute.type !== SET_ID_BESIDE_NAME);
  const expressions = attributes.find(attribute => attribute.type === RuleAttribute.EXPRESSIONS);
  if (type === MessageType.NEWRULE && expressions !== undefined) {
    for (const { content } of expressions.content as Attribute[]) dropSuperfluous(content as Attribute[]);
  }
  return body.subarray(0, 4).toString("hex") + write(attributes).toString("hex");
}

function dropSuperfluous(expression: Attribute[]): void {
  const name = expression.find(({ type }) => type === ExpressionAttribute.NAME)?.content.toString();
  const data = expression.find(({ type }) => type === ExpressionAttribute.DATA);
  const superfluous = { "lookup\0": SET_ID_BESIDE_NAME, "bitwise\0": BITWISE_OP }[name as string];
  if (data === undefined || superfluous === undefined) return;
  data.content = (data.content as Attribute[]).filter(({ type }) => type !== superfluous);
}

function parse(bytes: Buffer): Attribute[] {
  const attributes: Attribute[] = [];
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    const type = bytes.readUInt16LE(at + 2);
    const content = bytes.subarray(at + 4, at + length);
    attributes.push(
      type & 0x8000
        ? { type: type & 0x3fff, content: parse(content) }
        : { type, content: Buffer.from(content) },
    );
    at += (length + 3) & ~3;
  }
  return attributes;
}

function write(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(
    attributes.map(({ type, content }) => {
      const payload = Array.isArray(content) ? write(content) : content;
      const bytes = Buffer.alloc((4 + payload.length + 3) & ~3);
      bytes.writeUInt16LE(4 + payload.length, 0);
      bytes.writeUInt16LE(type | (Array.isArray(content) ? 0x8000 : 0), 2);
      payload.copy(bytes, 4);
      return bytes;
    }),
  );
}
