import assert from "node:assert/strict";
import { freeCooled, newBlock } from "../../../ipam/block.ts";
import {
  blockToJson,
  configToJson,
  handleToJson,
  parseAffinity,
  parseBlock,
  parseConfig,
  parseHandle,
} from "../../../ipam/records.ts";
import { cidr } from "../../../net/cidr.ts";

describe("IPAM records", () => {
  const stored = {
    cidr: "10.65.0.0/30",
    affinity: "host:node1",
    affinity_claim_time: "2026-01-01T00:00:00Z",
    allocations: [0, null, 1, null],
    unallocated: [1, 3],
    attributes: [
      {
        handle_id: "k8s-pod-network.1",
        secondary: { node: "node1" },
        alternateOwnerAttrs: { pod: "p" },
        newer: 1,
      },
      { releasedAt: "2026-01-01T00:00:00Z" },
    ],
    sequenceNumber: 7,
    sequenceNumberForAllocation: { "0": 3, "2": 5 },
    deleted: false,
    fieldOfANewerCalico: { x: [1] },
  };

  it("come back as they were, unknown fields and all", () => {
    assert.deepEqual(JSON.parse(JSON.stringify(blockToJson(parseBlock(stored)!))), stored);
    const handle = { block: { "10.65.0.0/26": 1 }, deleted: false, newer: true };
    assert.deepEqual(handleToJson(parseHandle(handle)!), handle);
    const config = {
      strict_affinity: true,
      auto_allocate_blocks: false,
      maxBlocksPerHost: 3,
      kubeVirtVMAddressPersistence: "Enabled",
      ipCooldownSeconds: 9,
    };
    assert.deepEqual(configToJson(parseConfig(config)), config);
  });

  it("keep Calico's nanosecond sequence numbers exact, in a store that reads them exactly", () => {
    const sequenceNumber = 1735689600000000001n;
    const block = parseBlock({
      ...stored,
      sequenceNumber,
      sequenceNumberForAllocation: { "0": sequenceNumber },
    })!;
    const text = JSON.stringify(blockToJson(block));
    assert.match(text, /"sequenceNumber":1735689600000000001,/);
    assert.match(text, /"sequenceNumberForAllocation":\{"0":1735689600000000001\}/);
  });

  it("of our own blocks count in numbers that JSON holds exactly", () => {
    const block = newBlock(cidr("10.65.0.0/30"), "host:a", Date.parse("2200-01-01T00:00:00Z"));
    assert.ok(block.sequenceNumber < BigInt(Number.MAX_SAFE_INTEGER));
  });

  it("marked deleted are absent", () => {
    assert.equal(parseBlock({ ...stored, deleted: true }), undefined);
    assert.equal(parseHandle({ block: {}, deleted: true }), undefined);
    assert.equal(parseAffinity({ state: "confirmed", deleted: "true" }), undefined);
  });

  it("take an affinity without a state for confirmed, and an old block's hostAffinity for its affinity", () => {
    assert.equal(parseAffinity({})!.state, "confirmed");
    const old = parseBlock({ ...stored, affinity: undefined, hostAffinity: "node9" })!;
    assert.equal(old.affinity, "host:node9");
    assert.equal("hostAffinity" in blockToJson(old), false);
  });

  it("that break the format are refused", () => {
    assert.throws(() => parseBlock({ ...stored, allocations: [null] }), { code: "CORRUPT" });
    assert.throws(() => parseBlock({ cidr: "nonsense" }), { code: "CORRUPT" });
    assert.throws(() => parseAffinity({ state: "maybe" }), { code: "CORRUPT" });
  });

  it("missing configuration means Calico's defaults", () => {
    assert.deepEqual(parseConfig({}), {
      strictAffinity: false,
      autoAllocateBlocks: true,
      maxBlocksPerHost: 0,
      ipCooldownSeconds: 0,
      extra: {},
    });
  });

  it("released by Calico are freed when they have cooled", () => {
    const block = freeCooled(parseBlock(stored)!, 60, Date.parse("2026-01-01T00:01:00Z"));
    assert.deepEqual(block.allocations, [0, null, null, null]);
    assert.deepEqual(block.unallocated, [1, 3, 2]);
    assert.deepEqual([...block.sequenceNumberForAllocation], [[0, 3n]]);
    assert.equal(block.attributes.length, 1);
  });
});
