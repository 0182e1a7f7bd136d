import assert from "node:assert/strict";
import { isIP } from "node:net";
import fc from "fast-check";
import { canonicalAddress, formatAddress, formatPrefix, parseAddress, parsePrefix } from "../address.ts";

describe("addresses", () => {
  it("have one spelling", () => {
    const cases: [string, string | undefined][] = [
      ["10.0.0.1", "10.0.0.1"],
      ["::ffff:10.0.0.1", "10.0.0.1"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["::1.2.3.4", "::102:304"],
      ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
      ["1:2:3:0:5:6:7:8", "1:2:3:0:5:6:7:8"],
      ["fe80::1%eth0", "fe80::1%eth0"],
      ["fd00::1%eth0", "fd00::1"],
      ["10.0.0", undefined],
      ["10.0.0.01", undefined],
      ["10.0.0.256", undefined],
      ["", undefined],
      ["a.b.c.d", undefined],
      ["1.2.3.4.5", undefined],
    ];
    for (const [text, expected] of cases) assert.equal(canonicalAddress(text), expected, text);
  });
  it("come back from their bytes, and agree with Node on what is one", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.string({ unit: fc.constantFrom("0", "1", "9", ".", ":", "a") })),
        text => {
          const bytes = parseAddress(text);
          assert.equal(bytes !== undefined, isIP(text) !== 0, text);
          if (bytes !== undefined) assert.deepEqual(parseAddress(formatAddress(bytes)), bytes);
        },
      ),
      { numRuns: 1000 },
    );
  });
  it("of a prefix lose their host bits", () => {
    const canonical = (text: string) => {
      const prefix = parsePrefix(text);
      return prefix && formatPrefix(prefix);
    };
    assert.equal(canonical("10.1.2.3/9"), "10.0.0.0/9");
    assert.equal(canonical("10.1.2.3/32"), "10.1.2.3/32");
    assert.equal(canonical("fd00::ffff/127"), "fd00::fffe/127");
    assert.equal(canonical("255.255.255.255/0"), "0.0.0.0/0");
    assert.equal(canonical("10.0.0.0/33"), undefined);
    assert.equal(canonical("10.0.0.0"), undefined);
    assert.equal(canonical("10.0.0.0/08"), undefined);
  });
});
