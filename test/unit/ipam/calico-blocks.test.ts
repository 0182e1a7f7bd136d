import assert from "node:assert/strict";
import { key } from "../../../datastore/key.ts";
import { memoryDatastore } from "../../../datastore/memory.ts";
import { blockToJson, parseBlock } from "../../../ipam/records.ts";

describe("a block that Calico wrote", () => {
  it("keeps its sequence number, which is nanoseconds, to the last digit", async () => {
    const datastore = memoryDatastore();
    const path = "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-30";
    const text = JSON.stringify({
      cidr: "10.65.0.0/30",
      affinity: "host:node1",
      allocations: [0, null, null, null],
      unallocated: [1, 2, 3],
      attributes: [{ handle_id: "h", secondary: { node: "node1" } }],
      sequenceNumber: 0,
      sequenceNumberForAllocation: { "0": 0 },
      deleted: false,
    }).replaceAll(/(sequenceNumber"|"0"):0/g, "$1:1735689600123456789");
    datastore.store.put(path, text);
    const k = key("IPAMBlock", "10.65.0.0/30");
    const { value, revision } = await datastore.get(k);
    const block = parseBlock(value);
    assert.ok(block);
    assert.equal(block.sequenceNumber, 1735689600123456789n);
    await datastore.update(k, blockToJson({ ...block, sequenceNumber: block.sequenceNumber + 1n }), revision);
    const again = parseBlock((await datastore.get(k)).value);
    assert.equal(again?.sequenceNumber, 1735689600123456790n);
    assert.equal(again?.sequenceNumberForAllocation.get(0), 1735689600123456789n);
  });
});
