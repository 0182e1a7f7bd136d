/** Expressions as bytes, in the order and with the attributes that nft writes (expression-reader.ts reads them). */

import type { MessageWriter } from "../netlink/message.ts";
import {
  DataAttribute,
  ExpressionAttribute,
  FAMILIES,
  NFTA_LIST_ELEM,
  VerdictAttribute,
} from "./constants.ts";
import {
  COMPARISONS,
  CT_DIRECTIONS,
  CT_KEYS,
  type Data,
  type Expression,
  FIB_RESULTS,
  META_KEYS,
  NAT_TYPES,
  PAYLOAD_BASES,
  REJECT_TYPES,
  type Verdict,
} from "./expression.ts";
import {
  Bitwise,
  Cmp,
  ConnLimit,
  Counter,
  Ct,
  Fib,
  Immediate,
  LIMIT_TYPES,
  Limit,
  Log,
  Lookup,
  Masq,
  Meta,
  Nat,
  NF_NAT_RANGE_PROTO_SPECIFIED,
  NFT_CONNLIMIT_F_INV,
  NFT_LIMIT_F_INV,
  NFT_LOOKUP_F_INV,
  NFT_PAYLOAD_CSUM_INET,
  Payload,
  Range,
  Reject,
  VERDICT_CODES,
} from "./expression-attributes.ts";

export function writeExpressions(
  writer: MessageWriter,
  type: number,
  expressions: readonly Expression[],
): void {
  const list = writer.nest(type);
  for (const expression of expressions) {
    const element = writer.nest(NFTA_LIST_ELEM);
    writeExpression(writer, expression);
    writer.endNest(element);
  }
  writer.endNest(list);
}

/** NFTA_EXPR_NAME and NFTA_EXPR_DATA. */
export function writeExpression(writer: MessageWriter, expression: Expression): void {
  if (expression.kind === "foreign") throw new TypeError(`an expression ${expression.name} can only be read`);
  const { name, write } = WRITERS[expression.kind];
  writer.attributeString(ExpressionAttribute.NAME, name);
  if (write === undefined) return;
  const data = writer.nest(ExpressionAttribute.DATA);
  (write as (w: MessageWriter, e: Expression) => void)(writer, expression);
  writer.endNest(data);
}

type Kind = Exclude<Expression["kind"], "foreign">;

/** The kernel's name of each, and its attributes. */
const WRITERS: {
  readonly [K in Kind]: {
    readonly name: string;
    readonly write?: (w: MessageWriter, e: Extract<Expression, { kind: K }>) => void;
  };
} = {
  meta: {
    name: "meta",
    write: (w, e) => {
      w.attributeU32BigEndian(Meta.KEY, META_KEYS[e.key]);
      w.attributeU32BigEndian(Meta.DREG, e.to);
    },
  },
  "meta-set": {
    name: "meta",
    write: (w, e) => {
      w.attributeU32BigEndian(Meta.KEY, META_KEYS[e.key]);
      w.attributeU32BigEndian(Meta.SREG, e.from);
    },
  },
  cmp: {
    name: "cmp",
    write: (w, e) => {
      w.attributeU32BigEndian(Cmp.SREG, e.register);
      w.attributeU32BigEndian(Cmp.OP, COMPARISONS[e.op]);
      writeData(w, Cmp.DATA, e.data);
    },
  },
  range: {
    name: "range",
    write: (w, e) => {
      w.attributeU32BigEndian(Range.SREG, e.register);
      w.attributeU32BigEndian(Range.OP, COMPARISONS[e.op]);
      writeData(w, Range.FROM_DATA, e.low);
      writeData(w, Range.TO_DATA, e.high);
    },
  },
  payload: {
    name: "payload",
    write: (w, e) => {
      w.attributeU32BigEndian(Payload.DREG, e.to);
      w.attributeU32BigEndian(Payload.BASE, PAYLOAD_BASES[e.base]);
      w.attributeU32BigEndian(Payload.OFFSET, e.offset);
      w.attributeU32BigEndian(Payload.LEN, e.length);
    },
  },
  "payload-set": {
    name: "payload",
    write: (w, e) => {
      w.attributeU32BigEndian(Payload.SREG, e.from);
      w.attributeU32BigEndian(Payload.BASE, PAYLOAD_BASES[e.base]);
      w.attributeU32BigEndian(Payload.OFFSET, e.offset);
      w.attributeU32BigEndian(Payload.LEN, e.length);
      if (e.checksumOffset === undefined) return;
      w.attributeU32BigEndian(Payload.CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
      w.attributeU32BigEndian(Payload.CSUM_OFFSET, e.checksumOffset);
    },
  },
  ct: {
    name: "ct",
    write: (w, e) => {
      w.attributeU32BigEndian(Ct.KEY, CT_KEYS[e.key]);
      w.attributeU32BigEndian(Ct.DREG, e.to);
      if (e.direction !== undefined) w.attributeU8(Ct.DIRECTION, CT_DIRECTIONS[e.direction]);
    },
  },
  "ct-set": {
    name: "ct",
    write: (w, e) => {
      w.attributeU32BigEndian(Ct.KEY, CT_KEYS[e.key]);
      w.attributeU32BigEndian(Ct.SREG, e.from);
    },
  },
  bitwise: {
    name: "bitwise",
    write: (w, e) => {
      w.attributeU32BigEndian(Bitwise.SREG, e.from);
      w.attributeU32BigEndian(Bitwise.DREG, e.to);
      w.attributeU32BigEndian(Bitwise.LEN, e.mask.length / 2);
      writeData(w, Bitwise.MASK, e.mask);
      writeData(w, Bitwise.XOR, e.xor);
    },
  },
  lookup: {
    name: "lookup",
    write: (w, e) => {
      w.attributeU32BigEndian(Lookup.SREG, e.from);
      if (e.to !== undefined) w.attributeU32BigEndian(Lookup.DREG, e.to);
      w.attributeString(Lookup.SET, e.set);
      if (e.invert) w.attributeU32BigEndian(Lookup.FLAGS, NFT_LOOKUP_F_INV);
    },
  },
  counter: {
    name: "counter",
    write: (w, e) => {
      if (e.packets === 0n && e.bytes === 0n) return;
      w.attributeU64BigEndian(Counter.BYTES, e.bytes);
      w.attributeU64BigEndian(Counter.PACKETS, e.packets);
    },
  },
  immediate: {
    name: "immediate",
    write: (w, e) => {
      w.attributeU32BigEndian(Immediate.DREG, e.to);
      writeData(w, Immediate.DATA, e.data);
    },
  },
  verdict: {
    name: "immediate",
    write: (w, e) => {
      w.attributeU32BigEndian(Immediate.DREG, 0);
      writeVerdict(w, Immediate.DATA, e.verdict);
    },
  },
  limit: {
    name: "limit",
    write: (w, e) => {
      w.attributeU64BigEndian(Limit.RATE, e.rate);
      w.attributeU64BigEndian(Limit.UNIT, e.seconds);
      if (e.burst !== 0) w.attributeU32BigEndian(Limit.BURST, e.burst);
      w.attributeU32BigEndian(Limit.TYPE, LIMIT_TYPES[e.per]);
      w.attributeU32BigEndian(Limit.FLAGS, e.over ? NFT_LIMIT_F_INV : 0);
    },
  },
  connlimit: {
    name: "connlimit",
    write: (w, e) => {
      w.attributeU32BigEndian(ConnLimit.COUNT, e.count);
      w.attributeU32BigEndian(ConnLimit.FLAGS, e.over ? NFT_CONNLIMIT_F_INV : 0);
    },
  },
  log: {
    name: "log",
    write: (w, e) => {
      if (e.prefix !== undefined) w.attributeString(Log.PREFIX, e.prefix);
      if (e.group !== undefined) w.attributeU16BigEndian(Log.GROUP, e.group);
      if (e.snaplen !== undefined) w.attributeU32BigEndian(Log.SNAPLEN, e.snaplen);
      if (e.level !== undefined) w.attributeU32BigEndian(Log.LEVEL, e.level);
    },
  },
  reject: {
    name: "reject",
    write: (w, e) => {
      w.attributeU32BigEndian(Reject.TYPE, REJECT_TYPES[e.type]);
      w.attributeU8(Reject.ICMP_CODE, e.code);
    },
  },
  nat: {
    name: "nat",
    write: (w, e) => {
      w.attributeU32BigEndian(Nat.TYPE, NAT_TYPES[e.type]);
      w.attributeU32BigEndian(Nat.FAMILY, FAMILIES[e.family]);
      if (e.addressMin !== undefined) w.attributeU32BigEndian(Nat.REG_ADDR_MIN, e.addressMin);
      if (e.addressMax !== undefined) w.attributeU32BigEndian(Nat.REG_ADDR_MAX, e.addressMax);
      if (e.portMin !== undefined) w.attributeU32BigEndian(Nat.REG_PROTO_MIN, e.portMin);
      if (e.portMax !== undefined) w.attributeU32BigEndian(Nat.REG_PROTO_MAX, e.portMax);
      const flags = natFlags(e);
      if (flags !== 0) w.attributeU32BigEndian(Nat.FLAGS, flags);
    },
  },
  masq: {
    name: "masq",
    write: (w, e) => {
      const flags = natFlags(e);
      if (flags !== 0) w.attributeU32BigEndian(Masq.FLAGS, flags);
      if (e.portMin !== undefined) w.attributeU32BigEndian(Masq.REG_PROTO_MIN, e.portMin);
      if (e.portMax !== undefined) w.attributeU32BigEndian(Masq.REG_PROTO_MAX, e.portMax);
    },
  },
  fib: {
    name: "fib",
    write: (w, e) => {
      w.attributeU32BigEndian(Fib.FLAGS, e.flags);
      w.attributeU32BigEndian(Fib.RESULT, FIB_RESULTS[e.result]);
      w.attributeU32BigEndian(Fib.DREG, e.to);
    },
  },
  notrack: { name: "notrack" },
};

const natFlags = (e: { readonly portMin?: number; readonly flags: number }): number =>
  e.flags | (e.portMin === undefined ? 0 : NF_NAT_RANGE_PROTO_SPECIFIED);

export function writeData(writer: MessageWriter, type: number, data: Data): void {
  const nest = writer.nest(type);
  writer.attribute(DataAttribute.VALUE, Buffer.from(data, "hex"));
  writer.endNest(nest);
}

export function writeVerdict(writer: MessageWriter, type: number, verdict: Verdict): void {
  const data = writer.nest(type);
  const nest = writer.nest(DataAttribute.VERDICT);
  const [code, chain] = verdictCode(verdict);
  writer.attributeU32BigEndian(VerdictAttribute.CODE, code >>> 0);
  if (chain !== undefined) writer.attributeString(VerdictAttribute.CHAIN, chain);
  writer.endNest(nest);
  writer.endNest(data);
}

function verdictCode(verdict: Verdict): [code: number, chain?: string] {
  if (typeof verdict === "string") return [VERDICT_CODES[verdict]];
  return "jump" in verdict ? [VERDICT_CODES.jump, verdict.jump] : [VERDICT_CODES.goto, verdict.goto];
}
