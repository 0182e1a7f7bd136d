import assert from "node:assert/strict";
import fc from "fast-check";
import {
  bytesField,
  Fields,
  integerField,
  messageField,
  textField,
} from "../../../../datastore/etcd/protobuf.ts";

const number = fc.integer({ min: 1, max: 1000 });
const integer = fc.oneof(fc.maxSafeNat(), fc.nat(300));

describe("Protocol Buffers", () => {
  it("are written as the specification's examples are", () => {
    assert.deepEqual(integerField(1, 150), Buffer.from([0x08, 0x96, 0x01]));
    assert.deepEqual(textField(2, "testing"), Buffer.from([0x12, 7, ...Buffer.from("testing")]));
    assert.deepEqual(messageField(3, integerField(1, 150)), Buffer.from([0x1a, 3, 0x08, 0x96, 0x01]));
  });

  it("are read as they were written", () => {
    fc.assert(
      fc.property(number, integer, fc.string({ unit: "binary" }), fc.uint8Array(), (n, i, text, bytes) => {
        const inner = [integerField(n, i), bytesField(n, bytes)];
        const fields = new Fields(
          Buffer.concat([integerField(n, i), textField(n, text), messageField(n, ...inner)]),
        );
        assert.ok(fields.next());
        assert.deepEqual([fields.field, fields.integer()], [n, i]);
        assert.ok(fields.next());
        assert.equal(fields.text(), text.toWellFormed());
        assert.ok(fields.next());
        const message = fields.message();
        assert.ok(message.next());
        assert.equal(message.integer(), i);
        assert.ok(message.next());
        assert.deepEqual(message.bytes(), Buffer.from(bytes));
        assert.ok(!message.next());
        assert.ok(!fields.next());
      }),
    );
  });

  it("may hold fields that nobody asks for, of every type", () => {
    const fixed64 = Buffer.from([(9 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    const fixed32 = Buffer.from([(10 << 3) | 5, 1, 2, 3, 4]);
    const unknown = [integerField(7, 2 ** 40), fixed64, textField(8, "new"), fixed32];
    const fields = new Fields(Buffer.concat([...unknown, integerField(1, 5), ...unknown]));
    const seen: number[] = [];
    while (fields.next()) {
      seen.push(fields.field);
      if (fields.field === 1) assert.equal(fields.integer(), 5);
    }
    assert.deepEqual(seen, [7, 9, 8, 10, 1, 7, 9, 8, 10]);
  });

  it("are refused when they were cut off", () => {
    const whole = Buffer.concat([integerField(1, 300), textField(2, "text")]);
    const readAll = (buffer: Buffer) => {
      const fields = new Fields(buffer);
      let count = 0;
      while (fields.next()) count++;
      return count;
    };
    assert.equal(readAll(whole), 2);
    for (let length = 1; length < whole.length; length++) {
      if (length === 3) continue; // between two fields
      assert.throws(() => readAll(whole.subarray(0, length)), RangeError);
    }
  });
});
