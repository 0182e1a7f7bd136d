/** What is written is read back as equal values, whatever it is; what the kernel makes of it is asked in test/interop. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { type Message, readMessages } from "../../../../linux/netlink/message.ts";
import { Batch } from "../../../../linux/nf-tables/batch.ts";
import {
  COMPARISONS,
  CT_KEYS,
  type Expression,
  META_KEYS,
  PAYLOAD_BASES,
} from "../../../../linux/nf-tables/expression.ts";
import { joinRanges, readElements, readRule, readSet } from "../../../../linux/nf-tables/message-reader.ts";
import { DATA_TYPES, type DataType, type Element, type NftSet } from "../../../../linux/nf-tables/model.ts";

const TABLE = { family: "ip", name: "t" } as const;
const plain = { noNullPrototype: true };
const keysOf = <K extends string>(table: Record<K, unknown>) => Object.keys(table) as K[];

const name = fc.stringMatching(/^[a-zA-Z][\w:/-]{0,40}$/);
const register = fc.integer({ min: 1, max: 15 });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const data = fc.uint8Array({ minLength: 1, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString("hex"));
const masked = fc
  .uint8Array({ minLength: 2, maxLength: 16 })
  .filter(bytes => bytes.length % 2 === 0)
  .map(bytes => Buffer.from(bytes).toString("hex"));
const verdict = fc.oneof(
  fc.constantFrom("accept", "drop", "continue", "return"),
  fc.record({ jump: name }, plain),
  fc.record({ goto: name }, plain),
);
const kind = <K extends Expression["kind"]>(value: K) => fc.constant(value);
const flag = fc.boolean();

const expression: fc.Arbitrary<Expression> = fc.oneof(
  fc.record({ kind: kind("meta"), key: fc.constantFrom(...keysOf(META_KEYS)), to: register }, plain),
  fc.record({ kind: kind("meta-set"), key: fc.constantFrom(...keysOf(META_KEYS)), from: register }, plain),
  fc.record({ kind: kind("cmp"), op: fc.constantFrom(...keysOf(COMPARISONS)), register, data }, plain),
  fc.record(
    { kind: kind("range"), op: fc.constantFrom("eq", "neq"), register, low: data, high: data },
    plain,
  ),
  fc.record(
    {
      kind: kind("payload"),
      base: fc.constantFrom(...keysOf(PAYLOAD_BASES)),
      offset: u32,
      length: u32,
      to: register,
    },
    plain,
  ),
  fc.record({ kind: kind("ct"), key: fc.constantFrom(...keysOf(CT_KEYS)), to: register }, plain),
  masked.map(mask => ({ kind: "bitwise", from: 1, to: 2, mask, xor: mask }) as const),
  fc.record({ kind: kind("lookup"), set: name, from: register, to: register, invert: flag }, plain),
  fc.record({ kind: kind("lookup"), set: name, from: register, invert: flag }, plain),
  fc.record({ kind: kind("counter"), packets: u64, bytes: u64 }, plain),
  fc.record({ kind: kind("immediate"), to: register, data }, plain),
  fc.record({ kind: kind("verdict"), verdict }, plain),
  fc.record(
    {
      kind: kind("limit"),
      per: fc.constantFrom("packets", "bytes"),
      rate: u64,
      seconds: u64,
      burst: u32,
      over: flag,
    },
    plain,
  ),
  fc.record({ kind: kind("connlimit"), count: u32, over: flag }, plain),
  fc.record({ kind: kind("log"), prefix: name, group: fc.nat(0xffff), snaplen: u32 }, plain),
  fc.record(
    { kind: kind("reject"), type: fc.constantFrom("icmp", "tcp-reset", "icmpx"), code: fc.nat(255) },
    plain,
  ),
  fc.constant({ kind: "nat", type: "dnat", family: "ip6", addressMin: 1, portMin: 2, flags: 4 } as const),
  fc.constant({ kind: "masq", portMin: 1, portMax: 2, flags: 16 } as const),
  fc.constant({ kind: "notrack" } as const),
  fc.record(
    { kind: kind("fib"), result: fc.constantFrom("oif", "addrtype"), flags: u32, to: register },
    plain,
  ),
);

function written(write: (batch: Batch) => void): Message[] {
  const batch = new Batch();
  write(batch);
  return [...readMessages(batch.seal())].slice(1, -1);
}

describe("linux/nf-tables reads what it writes", () => {
  it("rules of any expressions, with and without a comment", () => {
    const rules = fc.record(
      { expressions: fc.array(expression, { maxLength: 8 }), comment: fc.option(name, { nil: undefined }) },
      plain,
    );
    fc.assert(
      fc.property(rules, ({ expressions, comment }) => {
        const rule = { expressions, ...(comment !== undefined && { comment }) };
        const [message] = written(batch => batch.addRule(TABLE, "c", rule));
        assert.deepEqual(readRule(message!), { ...rule, chain: "c", handle: 0n });
      }),
    );
  });

  it("sets and maps of any types", () => {
    const type = fc.constantFrom(...keysOf(DATA_TYPES));
    const sets = fc.record(
      {
        name,
        key: fc.array(type, { minLength: 1, maxLength: 4 }),
        interval: fc.option(fc.constant(true), { nil: undefined }),
        data: fc.option(fc.oneof(type, fc.constant("verdict" as const)), { nil: undefined }),
        counters: fc.option(fc.constant(true), { nil: undefined }),
        size: fc.option(u32, { nil: undefined }),
      },
      plain,
    );
    fc.assert(
      fc.property(sets, drawn => {
        const set = Object.fromEntries(
          Object.entries(drawn).filter(([, value]) => value !== undefined),
        ) as unknown as NftSet;
        const [message] = written(batch => batch.addSet(TABLE, set));
        assert.deepEqual(readSet(message!), { table: "t", set });
      }),
    );
  });

  it("ranges that do not overlap, side by side or apart, in any order", () => {
    const set: NftSet = { name: "s", key: ["inet_service"] as readonly DataType[], interval: true };
    const hex = (value: number) => value.toString(16).padStart(4, "0");
    const ranges = fc
      .uniqueArray(fc.nat(0xffff), { minLength: 2, maxLength: 40 })
      .map(ends => ends.sort((a, b) => a - b))
      .map(ends =>
        ends.slice(0, ends.length & ~1).flatMap((low, i): Element[] => {
          const high = ends[i + 1];
          return i % 2 === 1 || high === undefined ? [] : [{ key: hex(low), keyEnd: hex(high) }];
        }),
      );
    fc.assert(
      fc.property(ranges, fc.nat(), (elements, seed) => {
        const shuffled = elements.toSorted((a, b) => (a.key < b.key ? 1 : -1) * (seed % 2 === 0 ? 1 : -1));
        const raw = written(batch => batch.addElements(TABLE, set, shuffled)).flatMap(
          message => readElements(message) ?? [],
        );
        assert.deepEqual(joinRanges(set, raw), elements);
      }),
    );
  });
});
