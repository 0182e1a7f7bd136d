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

  it("holds a hundred thousand prefixes, and forgets every second one", () => {
    const table = new PrefixTable(Family.ipv4Unicast);
    const address = (i: number) => Uint8Array.of(10 + (i >> 16), i >> 8, i, 0);
    for (let i = 0; i < 100_000; i++) table.ensure(address(i), 0, 24);
    for (let i = 0; i < 100_000; i += 2) table.delete(table.find(address(i), 0, 24));
    for (let i = 0; i < 100_000; i++) assert.equal(table.find(address(i), 0, 24) !== 0, i % 2 === 1);
  });
});
