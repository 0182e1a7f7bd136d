/**
 * Expressions as the kernel dumps them, made equal to what was written: what it adds by itself (a range's other end,
 * flags of 0) is left out again. What we would never write reads as `foreign`, which is equal to nothing of ours.
 */

import { AttributeReader } from "../netlink/message.ts";
import { DataAttribute, ExpressionAttribute, NFTA_LIST_ELEM, VerdictAttribute } from "./constants.ts";
import { hexOf } from "./data.ts";
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
  NAT_IMPLIED_FLAGS,
  Nat,
  NFT_CONNLIMIT_F_INV,
  NFT_LIMIT_F_INV,
  NFT_LOOKUP_F_INV,
  NFT_PAYLOAD_CSUM_INET,
  Payload,
  Range,
  Reject,
  VERDICT_CODES,
} from "./expression-attributes.ts";

/** The elements of a list of expressions. */
export function readExpressions(list: AttributeReader): Expression[] {
  const expressions: Expression[] = [];
  while (list.next()) if (list.type === NFTA_LIST_ELEM) expressions.push(readExpression(list.nested()));
  return expressions;
}

export function readExpression(attributes: AttributeReader): Expression {
  let name = "";
  let data: AttributeReader | undefined;
  while (attributes.next()) {
    if (attributes.type === ExpressionAttribute.NAME) name = attributes.string();
    else if (attributes.type === ExpressionAttribute.DATA) data = attributes.nested();
  }
  if (name === "notrack") return { kind: "notrack" };
  return (data && READERS[name]?.(new Fields(data))) ?? { kind: "foreign", name };
}

/** The attributes of one expression by number. On the path of every expression of a dump, hence offsets, not objects. */
class Fields {
  readonly #view: DataView;
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];

  constructor(attributes: AttributeReader) {
    this.#view = attributes.view;
    while (attributes.next()) {
      this.#offsets[attributes.type] = attributes.offset;
      this.#lengths[attributes.type] = attributes.length;
    }
  }

  u8(type: number): number | undefined {
    const at = this.#offsets[type];
    return at === undefined ? undefined : this.#view.getUint8(at);
  }

  u16(type: number): number | undefined {
    const at = this.#offsets[type];
    return at === undefined ? undefined : this.#view.getUint16(at);
  }

  u32(type: number): number | undefined {
    const at = this.#offsets[type];
    return at === undefined ? undefined : this.#view.getUint32(at);
  }

  u64(type: number): bigint | undefined {
    const at = this.#offsets[type];
    return at === undefined ? undefined : this.#view.getBigUint64(at);
  }

  text(type: number): string | undefined {
    const at = this.#offsets[type];
    if (at === undefined) return undefined;
    const end = at + (this.#lengths[type] as number) - 1; // A zero byte.
    return Buffer.from(this.#view.buffer, this.#view.byteOffset).toString("utf8", at, end);
  }

  data(type: number): Data | undefined {
    return this.value(type).data;
  }

  value(type: number): { data?: Data; verdict?: Verdict } {
    const at = this.#offsets[type];
    return at === undefined
      ? {}
      : readData(new AttributeReader(this.#view, at, at + (this.#lengths[type] as number)));
  }
}

/** NFTA_DATA_VALUE or NFTA_DATA_VERDICT, whichever is there. */
export function readData(attributes: AttributeReader): { data?: Data; verdict?: Verdict } {
  while (attributes.next()) {
    if (attributes.type === DataAttribute.VALUE) return { data: hexOf(attributes.bytes()) };
    if (attributes.type !== DataAttribute.VERDICT) continue;
    const verdict = readVerdict(attributes.nested());
    return verdict === undefined ? {} : { verdict };
  }
  return {};
}

function readVerdict(attributes: AttributeReader): Verdict | undefined {
  let code = 0;
  let chain = "";
  while (attributes.next()) {
    if (attributes.type === VerdictAttribute.CODE) code = attributes.u32BigEndian() | 0;
    else if (attributes.type === VerdictAttribute.CHAIN) chain = attributes.string();
  }
  const name = keyOf(VERDICT_CODES, code);
  if (name === "jump") return { jump: chain };
  return name === "goto" ? { goto: chain } : name;
}

function keyOf<K extends string>(
  table: Readonly<Record<K, number>>,
  value: number | undefined,
): K | undefined {
  for (const key in table) if (table[key] === value) return key;
  return undefined;
}

/** Present where it has a value: properties that are absent and undefined are not equal. */
function given<K extends string, T>(key: K, value: T | undefined): { readonly [P in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]?: T });
}

/** Undefined where something in it is unknown to us. */
const READERS: Readonly<Record<string, ((f: Fields) => Expression | undefined) | undefined>> = {
  meta: f => {
    const key = keyOf(META_KEYS, f.u32(Meta.KEY));
    if (key === undefined) return undefined;
    const from = f.u32(Meta.SREG);
    return from === undefined
      ? { kind: "meta", key, to: f.u32(Meta.DREG) ?? 0 }
      : { kind: "meta-set", key, from };
  },
  cmp: f => {
    const op = keyOf(COMPARISONS, f.u32(Cmp.OP));
    const data = f.data(Cmp.DATA);
    return op && data !== undefined ? { kind: "cmp", op, register: f.u32(Cmp.SREG) ?? 0, data } : undefined;
  },
  range: f => {
    const op = f.u32(Range.OP) === COMPARISONS.neq ? "neq" : "eq";
    const [low, high] = [f.data(Range.FROM_DATA), f.data(Range.TO_DATA)];
    if (low === undefined || high === undefined) return undefined;
    return { kind: "range", op, register: f.u32(Range.SREG) ?? 0, low, high };
  },
  payload: f => {
    const base = keyOf(PAYLOAD_BASES, f.u32(Payload.BASE));
    const from = f.u32(Payload.SREG);
    const offset = f.u32(Payload.OFFSET) ?? 0;
    const length = f.u32(Payload.LEN) ?? 0;
    if (base === undefined) return undefined;
    if (from === undefined) return { kind: "payload", base, offset, length, to: f.u32(Payload.DREG) ?? 0 };
    const checksum =
      f.u32(Payload.CSUM_TYPE) === NFT_PAYLOAD_CSUM_INET ? f.u32(Payload.CSUM_OFFSET) : undefined;
    return { kind: "payload-set", base, offset, length, from, ...given("checksumOffset", checksum) };
  },
  ct: f => {
    const key = keyOf(CT_KEYS, f.u32(Ct.KEY));
    if (key === undefined) return undefined;
    const from = f.u32(Ct.SREG);
    if (from !== undefined) return { kind: "ct-set", key, from };
    const direction = keyOf(CT_DIRECTIONS, f.u8(Ct.DIRECTION));
    return { kind: "ct", key, to: f.u32(Ct.DREG) ?? 0, ...given("direction", direction) };
  },
  bitwise: f => {
    const [mask, xor] = [f.data(Bitwise.MASK), f.data(Bitwise.XOR)];
    if (mask === undefined || xor === undefined) return undefined;
    return { kind: "bitwise", from: f.u32(Bitwise.SREG) ?? 0, to: f.u32(Bitwise.DREG) ?? 0, mask, xor };
  },
  lookup: f => ({
    kind: "lookup",
    set: f.text(Lookup.SET) ?? "",
    from: f.u32(Lookup.SREG) ?? 0,
    invert: ((f.u32(Lookup.FLAGS) ?? 0) & NFT_LOOKUP_F_INV) !== 0,
    ...given("to", f.u32(Lookup.DREG)),
  }),
  counter: f => ({
    kind: "counter",
    packets: f.u64(Counter.PACKETS) ?? 0n,
    bytes: f.u64(Counter.BYTES) ?? 0n,
  }),
  immediate: f => {
    const { data, verdict } = f.value(Immediate.DATA);
    if (verdict !== undefined) return { kind: "verdict", verdict };
    return data === undefined ? undefined : { kind: "immediate", to: f.u32(Immediate.DREG) ?? 0, data };
  },
  limit: f => ({
    kind: "limit",
    per: keyOf(LIMIT_TYPES, f.u32(Limit.TYPE)) ?? "packets",
    rate: f.u64(Limit.RATE) ?? 0n,
    seconds: f.u64(Limit.UNIT) ?? 0n,
    burst: f.u32(Limit.BURST) ?? 0,
    over: ((f.u32(Limit.FLAGS) ?? 0) & NFT_LIMIT_F_INV) !== 0,
  }),
  connlimit: f => ({
    kind: "connlimit",
    count: f.u32(ConnLimit.COUNT) ?? 0,
    over: ((f.u32(ConnLimit.FLAGS) ?? 0) & NFT_CONNLIMIT_F_INV) !== 0,
  }),
  log: f => {
    if (f.u16(Log.QTHRESHOLD) || f.u32(Log.FLAGS)) return undefined;
    return {
      kind: "log",
      ...given("prefix", f.text(Log.PREFIX)),
      ...given("group", f.u16(Log.GROUP)),
      ...given("snaplen", f.u32(Log.SNAPLEN)),
      ...given("level", f.u32(Log.LEVEL)),
    };
  },
  reject: f => {
    const type = keyOf(REJECT_TYPES, f.u32(Reject.TYPE));
    return type && { kind: "reject", type, code: f.u8(Reject.ICMP_CODE) ?? 0 };
  },
  nat: f => {
    const type = keyOf(NAT_TYPES, f.u32(Nat.TYPE));
    const family = keyOf({ ip: 2, ip6: 10 }, f.u32(Nat.FAMILY));
    if (type === undefined || family === undefined) return undefined;
    const [addressMin, addressMax] = [f.u32(Nat.REG_ADDR_MIN), f.u32(Nat.REG_ADDR_MAX)];
    return {
      kind: "nat",
      type,
      family,
      ...given("addressMin", addressMin),
      ...given("addressMax", addressMax === addressMin ? undefined : addressMax),
      ...portRange(f, Nat.REG_PROTO_MIN, Nat.REG_PROTO_MAX),
      flags: (f.u32(Nat.FLAGS) ?? 0) & ~NAT_IMPLIED_FLAGS,
    };
  },
  masq: f => ({
    kind: "masq",
    ...portRange(f, Masq.REG_PROTO_MIN, Masq.REG_PROTO_MAX),
    flags: (f.u32(Masq.FLAGS) ?? 0) & ~NAT_IMPLIED_FLAGS,
  }),
  fib: f => {
    const result = keyOf(FIB_RESULTS, f.u32(Fib.RESULT));
    return result && { kind: "fib", result, flags: f.u32(Fib.FLAGS) ?? 0, to: f.u32(Fib.DREG) ?? 0 };
  },
};

/** The kernel writes the lower end as the upper one where there was none. */
function portRange(f: Fields, min: number, max: number): { portMin?: number; portMax?: number } {
  const [portMin, portMax] = [f.u32(min), f.u32(max)];
  return { ...given("portMin", portMin), ...given("portMax", portMax === portMin ? undefined : portMax) };
}
