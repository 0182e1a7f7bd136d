import assert from "node:assert/strict";
import fc from "fast-check";
import { NetlinkError } from "../../../../linux/errors.ts";
import {
  AttributeReader,
  Flag,
  HEADER_LENGTH,
  MessageWriter,
  readAcknowledgement,
  readMessages,
} from "../../../../linux/netlink/message.ts";
import { bytes, hex, written } from "./golden.ts";

/** An attribute tree as a value: leaves carry bytes. */
type Attribute = { type: number; payload: Uint8Array } | { type: number; children: Attribute[] };

const { tree } = fc.letrec<{ tree: Attribute[]; node: Attribute }>(tie => ({
  tree: fc.array(tie("node"), { maxLength: 5 }),
  node: fc.oneof(
    { maxDepth: 4 },
    fc.record(
      { type: fc.integer({ min: 1, max: 0x3fff }), payload: fc.uint8Array({ maxLength: 40 }) },
      { noNullPrototype: true },
    ),
    fc.record(
      { type: fc.integer({ min: 1, max: 0x3fff }), children: tie("tree") },
      { noNullPrototype: true },
    ),
  ),
}));

function write(writer: MessageWriter, attributes: Attribute[]): void {
  for (const attribute of attributes) {
    if ("payload" in attribute) {
      writer.attribute(attribute.type, attribute.payload);
    } else {
      const mark = writer.nest(attribute.type);
      write(writer, attribute.children);
      writer.endNest(mark);
    }
  }
}

/** Reads what `like` says there is; the format itself does not tell bytes from children. */
function read(reader: AttributeReader, like: Attribute[]): Attribute[] {
  return like.map(attribute => {
    assert.ok(reader.next());
    return "payload" in attribute
      ? { type: reader.type, payload: reader.bytes().slice() }
      : { type: reader.type, children: read(reader.nested(), attribute.children) };
  });
}

describe("linux/netlink/message", () => {
  it("round-trips any tree of attributes, in any number of messages", () => {
    fc.assert(
      fc.property(fc.array(tree, { minLength: 1, maxLength: 4 }), trees => {
        const writer = new MessageWriter();
        for (const [i, attributes] of trees.entries()) {
          writer.begin(24, Flag.REQUEST);
          write(writer, attributes);
          writer.end();
          writer.setSequence(100 + i);
        }
        const messages = [...readMessages(writer.bytes)];
        assert.equal(messages.length, trees.length);
        for (const [i, { type, flags, sequence, view, offset, end }] of messages.entries()) {
          assert.deepEqual([type, flags, sequence], [24, Flag.REQUEST, 100 + i]);
          const reader = new AttributeReader(view, offset, end);
          assert.deepEqual(read(reader, trees[i]!), trees[i]);
          assert.equal(reader.next(), false);
        }
      }),
    );
  });

  it("writes numbers in host order, ports in network order, text with its zero byte, padding to four", () => {
    const writer = new MessageWriter();
    writer.begin(16, 0x605, 7);
    writer.attributeU8(1, 0xab);
    writer.attributeU16(2, 0x1234);
    writer.attributeU16BigEndian(3, 4789);
    writer.attributeU32(4, 0x12345678);
    writer.attributeString(5, "veth");
    writer.end();
    assert.equal(
      hex(writer.bytes),
      "3c000000 10000506 07000000 00000000 " +
        "05000100 ab000000 06000200 34120000 06000300 12b50000 08000400 78563412 09000500 76657468 00000000",
    );
  });

  it("leaves nothing of an earlier message in the padding of a later one", () => {
    const writer = new MessageWriter();
    writer.begin(1, 0);
    writer.attribute(1, new Uint8Array(64).fill(0xff));
    writer.end();
    writer.reset();
    writer.begin(1, 0);
    writer.attributeU8(1, 1);
    writer.end();
    assert.equal(hex(writer.bytes), "18000000 01000000 00000000 00000000 05000100 01000000");
  });

  it("grows with what is written, wherever in a message the end of the buffer falls", () => {
    const FIRST_SIZE = 64 * 1024;
    const write = (writer: MessageWriter) => {
      writer.begin(24, 5, 9);
      writer.u8(1);
      writer.u8(2);
      writer.u16(3);
      writer.u32(4);
      writer.attributeU8(1, 5);
      writer.attributeU16(2, 6);
      writer.attributeU16BigEndian(3, 7);
      writer.attributeU32(4, 8);
      const nest = writer.nest(5);
      writer.attributeString(6, "nine");
      writer.attribute(7, Uint8Array.of(10));
      writer.endNest(nest);
      writer.end();
    };
    const expected = written(write);
    for (let room = 0; room <= 100; room++) {
      const writer = new MessageWriter();
      writer.raw(new Uint8Array(FIRST_SIZE - room).fill(0xff));
      write(writer);
      assert.equal(hex(writer.bytes.subarray(FIRST_SIZE - room)), expected, `${room} bytes before the end`);
      assert.ok(writer.bytes.subarray(0, FIRST_SIZE - room).every(byte => byte === 0xff));
    }
  });

  it("reads any bytes without throwing and without leaving the buffer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), garbage => {
        for (const { view, offset, end } of readMessages(garbage)) {
          assert.ok(offset >= HEADER_LENGTH && end <= garbage.length);
          const reader = new AttributeReader(view, offset, end);
          while (reader.next()) assert.ok(reader.offset + reader.length <= end);
        }
      }),
    );
  });

  it("reads the kernel's explanation of an error", () => {
    // As Linux 6.18 answered `ip route replace 10.13.0.0/16 via 99.0.0.1`, without and with NETLINK_CAP_ACK.
    const request =
      "2c00000018000105050000000000000002100000fe50000100000000080001000a0d00000800050063000001";
    const whole = bytes(
      `60000000 02000002 05000000 f7b7a4ca 9bffffff ${request} 20000100 4e657874686f702068617320696e76616c6964206761746577617900`,
    );
    const capped = bytes(
      `44000000 02000003 05000000 f7b7a4ca 9bffffff ${request.slice(0, 32)} 20000100 4e657874686f702068617320696e76616c6964206761746577617900`,
    );
    for (const answer of [whole, capped]) {
      const [message] = [...readMessages(answer)];
      assert.deepEqual(readAcknowledgement(message!), {
        errno: 101,
        explanation: "Nexthop has invalid gateway",
      });
    }
  });

  it("names errors", () => {
    assert.deepEqual(
      [1, 3, 17, 19, 101, 105, 85, 524, 4097].map(errno => new NetlinkError(errno, "x").code),
      ["EPERM", "ESRCH", "EEXIST", "ENODEV", "ENETUNREACH", "ENOBUFS", "ERESTART", "ENOTSUPP", "E4097"],
    );
    const error = new NetlinkError(17, "create veth v0", "in use");
    assert.equal(error.message, "create veth v0: in use (EEXIST)");
  });
});
