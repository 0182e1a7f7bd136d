import assert from "node:assert/strict";
import fc from "fast-check";
import { parsePrefix } from "../../address.ts";
import { OptionError } from "../../errors.ts";
import {
  compilePrefixList,
  type PrefixEntry,
  parseInside,
  parsePrefixEntry,
} from "../../policy/prefix-list.ts";
import { Family } from "../../route.ts";

const entry = (text: string) => parsePrefixEntry(text, "prefixes");

function matches(list: readonly string[], prefix: string): boolean {
  const { family, address, length } = parsePrefix(prefix)!;
  return compilePrefixList(list.map(entry), family)?.(address, 0, length) ?? false;
}

/** What a list means, said the long way. */
function naive(entries: readonly PrefixEntry[], address: Uint8Array, length: number): boolean {
  return entries.some(
    one =>
      length >= one.ge && length <= one.le && bitsOf(address, one.length) === bitsOf(one.address, one.length),
  );
}

function bitsOf(address: Uint8Array, length: number): string {
  return [...address]
    .map(byte => byte.toString(2).padStart(8, "0"))
    .join("")
    .slice(0, length);
}

describe("prefix list", () => {
  const cases: [entry: string, prefix: string, expected: boolean][] = [
    ["10.0.0.0/8", "10.0.0.0/8", true],
    ["10.0.0.0/8", "10.0.0.0/9", false],
    ["10.0.0.0/8", "10.0.0.0/7", false],
    ["10.0.0.0/8 le 16", "10.0.0.0/8", true],
    ["10.0.0.0/8 le 16", "10.255.0.0/16", true],
    ["10.0.0.0/8 le 16", "10.255.0.0/17", false],
    ["10.0.0.0/8 ge 16", "10.0.0.0/15", false],
    ["10.0.0.0/8 ge 16", "10.1.2.3/32", true],
    ["10.0.0.0/8 ge 16", "11.1.2.3/32", false],
    ["10.0.0.0/8 ge 16 le 24", "10.1.2.0/24", true],
    ["10.0.0.0/8 ge 16 le 24", "10.1.2.0/25", false],
    ["10.1.2.3/32", "10.1.2.3/32", true],
    ["10.1.2.3/32", "10.1.2.2/32", false],
    ["10.1.2.2/31 le 32", "10.1.2.3/32", true],
    ["0.0.0.0/0", "0.0.0.0/0", true],
    ["0.0.0.0/0", "0.0.0.0/1", false],
    ["0.0.0.0/0 le 32", "203.0.113.7/32", true],
    ["10.0.0.0/5 le 6", "8.0.0.0/6", true],
    ["10.0.0.0/5 le 6", "12.0.0.0/6", true],
    ["10.0.0.0/5 le 6", "16.0.0.0/6", false],
    ["2001:db8::/32 ge 48 le 64", "2001:db8:1::/48", true],
    ["2001:db8::/32 ge 48 le 64", "2001:db8:1::/65", false],
    ["2001:db8::1/128", "2001:db8::1/128", true],
    ["::/0 le 128", "10.0.0.0/8", false],
  ];
  for (const [list, prefix, expected] of cases) {
    it(`${prefix} is ${expected ? "" : "not "}in ${list}`, () =>
      assert.equal(matches([list], prefix), expected));
  }

  it("entries inside each other each allow what they say, whatever the order", () => {
    for (const list of [
      ["10.0.0.0/8 ge 24 le 24", "10.1.0.0/16", "10.1.2.0/24 ge 32"],
      ["10.1.2.0/24 ge 32", "10.1.0.0/16", "10.0.0.0/8 ge 24 le 24"],
    ]) {
      const found = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.0/25", "10.1.2.9/32", "10.1.3.9/32"];
      assert.deepEqual(
        found.map(prefix => matches(list, prefix)),
        [false, true, true, false, true, false],
      );
    }
  });

  it("has no test at all for a family it says nothing of", () => {
    assert.equal(compilePrefixList([entry("10.0.0.0/8")], Family.ipv6Unicast), undefined);
    assert.equal(compilePrefixList([], Family.ipv4Unicast), undefined);
  });

  it("says what is wrong with an entry", () => {
    for (const text of [
      "10.0.0.0",
      "10.0.0/8",
      "10.0.0.0/33",
      "10.0.0.0/8 le 7",
      "10.0.0.0/8 ge 33",
      "10.0.0.0/8 ge 20 le 19",
      "10.0.0.0/8 gt 9",
      "",
      8,
    ])
      assert.throws(
        () => parsePrefixEntry(text, "rules[0].match.prefixes[3]"),
        (error: unknown) => {
          return (
            error instanceof OptionError &&
            error.option === "rules[0].match.prefixes[3]" &&
            error.value === text
          );
        },
      );
    assert.throws(() => parseInside("10.0.0.0/8 le 9", "nextHop"), OptionError);
  });

  it("masks host bits of an entry", () => {
    assert.equal(matches(["10.1.2.3/8"], "10.0.0.0/8"), true);
  });

  it("finds what a walk over all entries finds", () => {
    // Few distinct bits, so that entries and routes lie inside each other.
    const address = (size: number) =>
      fc
        .array(fc.constantFrom(0, 1, 0x10, 0x80, 0xff), { minLength: size, maxLength: size })
        .map(bytes => Uint8Array.from(bytes));
    const list = (family: Family, size: number) =>
      fc.array(
        fc
          .tuple(address(size), fc.nat(size * 8), fc.nat(size * 8), fc.nat(size * 8))
          .map(([bytes, ...lengths]): PrefixEntry => {
            const [length, ge, le] = lengths.sort((a, b) => a - b) as [number, number, number];
            return { family, address: bytes, length, ge, le };
          }),
        { minLength: 1, maxLength: 40 },
      );
    for (const [family, size] of [
      [Family.ipv4Unicast, 4],
      [Family.ipv6Unicast, 16],
    ] as const) {
      const routes = fc.array(fc.tuple(address(size), fc.nat(size * 8)), { minLength: 1, maxLength: 40 });
      fc.assert(
        fc.property(list(family, size), routes, (entries, asked) => {
          const test = compilePrefixList(entries, family)!;
          for (const [bytes, length] of asked) {
            const shifted = Uint8Array.of(7, 7, ...bytes);
            assert.equal(test(shifted, 2, length), naive(entries, bytes, length));
          }
        }),
        { numRuns: 300 },
      );
    }
  });
});
