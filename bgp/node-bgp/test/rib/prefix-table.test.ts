import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePrefix } from "../../address.ts";
import { PrefixTable } from "../../rib/prefix-table.ts";
import { Family } from "../../route.ts";

const texts = {
  [Family.ipv4Unicast]: fc
    .tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }))
    .map(([ip, length]) => `${ip}/${length}`),
  [Family.ipv6Unicast]: fc
    .tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }))
    .map(([ip, length]) => `${ip}/${length}`),
};

describe("the prefix table", () => {
  for (const family of Object.values(Family)) {
    it(`of ${family} behaves like a map from text to id`, () => {
      const operation = fc.record({ add: fc.boolean(), text: texts[family] });
      fc.assert(
        fc.property(fc.array(operation, { maxLength: 200 }), operations => {
          const table = new PrefixTable(family);
          const model = new Map<string, number>();
          for (const { add, text } of operations) {
            const prefix = parsePrefix(text);
            if (prefix === undefined) continue;
            const { address, length } = prefix;
            if (add) {
              const id = table.ensure(address, 0, length);
              model.set(table.format(id), id);
            } else {
              const id = table.find(address, 0, length);
              if (id === 0) continue;
              assert.equal(model.get(table.format(id)), id);
              model.delete(table.format(id));
              table.delete(id);
            }
          }
          assert.equal(table.count, model.size);
          assert.equal(new Set(model.values()).size, model.size);
          for (const [text, id] of model) {
            const { address, length } = parsePrefix(text)!;
            assert.equal(table.find(address, 0, length), id);
          }
        }),
      );
    });
  }

  it("finds everything while it grows and prefixes come and go", () => {
    const table = new PrefixTable(Family.ipv4Unicast);
    const present = new Map<number, number>();
    let random = 1;
    for (let step = 0; step < 100_000; step++) {
      random = (Math.imul(random, 1103515245) + 12345) & 0x7fffffff;
      const number = random % 30_000;
      const address = Uint8Array.of(10, number >> 16, number >> 8, number);
      const id = present.get(number);
      assert.equal(table.find(address, 0, 32), id ?? 0);
      if (id === undefined) present.set(number, table.ensure(address, 0, 32));
      // Removals become rarer, so that it grows, and shrinks at times.
      else if (random % 7 < 3 + ((step >> 13) & 3)) {
        table.delete(id);
        present.delete(number);
      }
    }
    assert.equal(table.count, present.size);
    assert.ok(table.count > 5000);
  });

  it("holds a hundred thousand prefixes, and forgets every second one", () => {
    const table = new PrefixTable(Family.ipv4Unicast);
    const address = (i: number) => Uint8Array.of(10 + (i >> 16), i >> 8, i, 0);
    for (let i = 0; i < 100_000; i++) table.ensure(address(i), 0, 24);
    for (let i = 0; i < 100_000; i += 2) table.delete(table.find(address(i), 0, 24));
    for (let i = 0; i < 100_000; i++) assert.equal(table.find(address(i), 0, 24) !== 0, i % 2 === 1);
  });
});
