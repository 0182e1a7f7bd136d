import assert from "node:assert/strict";
import fc from "fast-check";
import type { Revision } from "../../../datastore/datastore.ts";
import { key } from "../../../datastore/key.ts";
import { decodeValue } from "../../../datastore/metadata.ts";

const BLOCK = key("IPAMBlock", "10.0.0.0/26");
const REVISION = "1" as Revision;

const read = (text: string) => decodeValue(BLOCK, text, REVISION).value;

describe("a block's integers", () => {
  it("are exact, however long, wherever they stand", () => {
    const integer = fc.oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.bigInt({ min: BigInt(Number.MAX_SAFE_INTEGER) - 2n, max: BigInt(Number.MAX_SAFE_INTEGER) + 2n }),
    );
    fc.assert(
      fc.property(integer, fc.constantFrom("", " ", "\n  "), (n, space) => {
        const { a, b, c } = read(`{"a":${space}${n}${space},"b":[${space}${n},${space}${n}],"c":{"0":${n}}}`);
        for (const value of [a, ...b, c[0]]) {
          assert.equal(BigInt(value), n);
          assert.equal(typeof value, Number.isSafeInteger(Number(n)) ? "number" : "bigint");
        }
      }),
    );
  });

  it("are not looked for in texts and fractions", () => {
    const value = { handle_id: "a:12345678901234567890", fraction: 0.1234567890123456, large: 1e300 };
    assert.deepEqual(read(JSON.stringify(value)), value);
  });
});
