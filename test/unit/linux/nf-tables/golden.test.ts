import assert from "node:assert/strict";
import { HEADER_LENGTH, readMessages } from "../../../../linux/netlink/message.ts";
import { Batch } from "../../../../linux/nf-tables/batch.ts";
import { NFGENMSG_LENGTH } from "../../../../linux/nf-tables/constants.ts";
import { keptGoldens } from "./goldens.ts";
import { OBJECTS, RULES } from "./nft-cases.ts";
import type { NftMessage } from "./nft-debug.ts";

/** What the batch holds, without what frames it. */
function messagesOf(batch: Batch): NftMessage[] {
  const bytes = Buffer.from(batch.seal());
  return [...readMessages(bytes)].slice(1, -1).map(message => ({
    type: message.type & 0xff,
    body: bytes.subarray(message.offset, message.end).toString("hex"),
  }));
}

describe("linux/nf-tables writes the bytes that nft writes", () => {
  const { messages } = keptGoldens();

  for (const { nft, family, chain, expressions, comment } of RULES) {
    it(nft, () => {
      const batch = new Batch();
      batch.addRule({ family, name: "t" }, chain, {
        expressions,
        ...(comment !== undefined && { comment }),
      });
      assert.deepEqual(messagesOf(batch), messages[nft]);
    });
  }

  for (const { nft, build } of OBJECTS) {
    it(nft, () => {
      const batch = new Batch();
      build(batch);
      assert.deepEqual(messagesOf(batch), messages[nft]);
    });
  }
});

describe("linux/nf-tables/batch", () => {
  it("frames the messages: only the last asks for an answer", () => {
    const batch = new Batch({ ifGeneration: 7 });
    batch.deleteTable({ family: "ip6", name: "a" });
    const bytes = Buffer.from(batch.seal());
    const [begin, , end] = [...readMessages(bytes)].map(message =>
      bytes.subarray(message.offset - HEADER_LENGTH, message.end).toString("hex"),
    );
    assert.equal(begin, "1c000000100001000000000000000000" + "0000000a" + "0800010000000007");
    assert.equal(end, "14000000110005000200000000000000" + "0000000a");
    assert.equal(batch.size, 1);
  });

  it("splits elements over messages, none longer than an attribute can be", () => {
    const batch = new Batch();
    const elements = Array.from({ length: 10_000 }, (_, i) => ({ key: i.toString(16).padStart(8, "0") }));
    batch.addElements({ family: "ip", name: "t" }, { name: "s", key: ["ipv4_addr"] }, elements);
    const messages = [...readMessages(batch.seal())].slice(1, -1);
    assert.ok(messages.length > 1);
    for (const message of messages) assert.ok(message.end - message.offset - NFGENMSG_LENGTH < 65_536);
  });

  it("is committed once", () => {
    const batch = new Batch();
    batch.seal();
    assert.throws(() => batch.deleteTable({ family: "ip", name: "t" }), /committed already/);
  });

  it("says which message does what", () => {
    const batch = new Batch();
    batch.addChain({ family: "ip", name: "t" }, { name: "c" });
    batch.flushChain({ family: "ip", name: "t" }, "c");
    assert.equal(batch.message(2)?.operation, "flush chain c of ip t");
    assert.equal(batch.message(3), undefined);
  });
});
