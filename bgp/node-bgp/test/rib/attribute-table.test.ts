import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeAttributes } from "../../message/attribute-encoder.ts";
import { AttributeTable } from "../../rib/attribute-table.ts";
import { ByteArena } from "../../rib/byte-arena.ts";
import type { PathAttributes } from "../../route.ts";
import { anyAttributes } from "../kit/attributes.ts";

const withMed = (med: number): PathAttributes => ({ origin: "igp", asPath: [], nextHop: "10.0.0.9", med });

const encoded = (attributes: PathAttributes) =>
  Buffer.from(encodeAttributes(attributes, { fourOctetAs: true, withNextHop: true })).toString("hex");

/** Sweeps everything, in steps; `keep` says what is referred to. */
function sweep(table: AttributeTable, keep: Iterable<number>, during: () => void = () => {}): void {
  table.beginSweep();
  for (const id of keep) table.mark(id);
  during();
  for (let at = 1; at !== 0; at = table.sweep(at, 7)) during();
}

describe("the attribute table", () => {
  it("gives one id to what is equal, and another to what is not: source, bytes, ready-made or not", () => {
    fc.assert(
      fc.property(anyAttributes, anyAttributes, (a, b) => {
        const table = new AttributeTable();
        const id = table.internAttributes(1, a);
        assert.equal(table.internAttributes(1, structuredClone(a)), id);
        assert.notEqual(table.internAttributes(2, a), id);
        assert.notEqual(table.internAttributes(1, a, true), id);
        assert.equal(table.internAttributes(1, b) === id, encoded(a) === encoded(b));
      }),
    );
  });

  it("gives the attributes back, and the next hop with its link-local one", () => {
    const table = new AttributeTable();
    const attributes: PathAttributes = { ...withMed(5), nextHop: "fd00::9", linkLocalNextHop: "fe80::9" };
    assert.deepEqual({ ...table.attributesOf(table.internAttributes(1, attributes)) }, attributes);
    const { nextHop: _, ...local } = withMed(5);
    const decoded = table.decode(table.internAttributes(0, local));
    assert.deepEqual([{ ...decoded.attributes }, decoded.nextHops], [local, []]);
  });

  it("refuses what cannot stand in a message", () => {
    const table = new AttributeTable();
    assert.equal(table.internAttributes(1, { ...withMed(1), asPath: [{ type: "sequence", asns: [0] }] }), 0);
    const communities = Array.from({ length: 20_000 }, (_, i) => `1:${i}`);
    assert.equal(table.internAttributes(1, { ...withMed(1), communities }), 0);
    assert.equal(table.size, 0);
  });

  it("frees what nobody refers to, and uses its ids again", () => {
    const table = new AttributeTable();
    const ids = Array.from({ length: 1000 }, (_, i) => table.internAttributes(1, withMed(i)));
    const kept = ids.filter((_, i) => i % 10 === 0);
    sweep(table, kept);
    assert.equal(table.size, 100);
    for (let i = 0; i < 1000; i += 10) assert.equal(table.attributesOf(ids[i]!).med, i);
    for (let i = 0; i < 1000; i += 10) assert.equal(table.internAttributes(1, withMed(i)), ids[i]);
    const { end } = table;
    for (let i = 0; i < 900; i++) table.internAttributes(2, withMed(i));
    assert.equal(table.end, end);
  });

  it("keeps what is asked for while it sweeps", () => {
    const table = new AttributeTable();
    const ids = Array.from({ length: 100 }, (_, i) => table.internAttributes(1, withMed(i)));
    let next = 0;
    const asked: number[] = [];
    sweep(table, [], () => {
      next += 17;
      const med = next % 100;
      asked.push(table.internAttributes(1, withMed(med)), table.internAttributes(3, withMed(next)));
      assert.equal(table.attributesOf(asked.at(-2)!).med, med);
    });
    assert.ok(asked.length > 20);
    for (const id of asked) assert.notEqual(table.lengthOf(id), 0);
    assert.ok(table.size < ids.length);
  });

  it("moves its epoch when ids may have become others'", () => {
    const table = new AttributeTable();
    table.internAttributes(1, withMed(1));
    const { epoch } = table;
    table.internAttributes(1, withMed(2));
    assert.equal(table.epoch, epoch);
    sweep(table, []);
    assert.notEqual(table.epoch, epoch);
  });
});

describe("the arena", () => {
  it("holds records where it says, and forgets memory that is mostly holes", () => {
    const arena = new ByteArena();
    const record = (i: number) => new Uint8Array(1000).fill(i & 0xff);
    const live = new Map<number, number>();
    for (let i = 0; i < 5000; i++) live.set(i, arena.add(record(i), 1000));
    for (const [i, address] of live) {
      if (i % 10 === 0) continue;
      arena.release(address, 1000);
      live.delete(i);
    }
    for (const [i, address] of live) if (arena.isSparse(address)) live.set(i, arena.move(address, 1000));
    const before = arena.segments;
    for (let i = 5000; i < 8000; i++) live.set(i, arena.add(record(i), 1000));
    assert.equal(arena.segments, before, "empty segments are used again");
    for (const [i, address] of live) {
      const at = arena.offset(address);
      assert.deepEqual(arena.segment(address).subarray(at, at + 1000), record(i));
    }
  });
});
