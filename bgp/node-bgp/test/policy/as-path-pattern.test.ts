import assert from "node:assert/strict";
import fc from "fast-check";
import { OptionError } from "../../errors.ts";
import { compileAsPathPattern } from "../../policy/as-path-pattern.ts";
import type { AsPathSegment } from "../../route.ts";

const path = (...asns: number[]): AsPathSegment[] => (asns.length === 0 ? [] : [{ type: "sequence", asns }]);
const matches = (pattern: string, asPath: readonly AsPathSegment[]) => compileAsPathPattern(pattern)(asPath);

describe("AS path pattern", () => {
  const cases: [pattern: string, asns: number[], expected: boolean][] = [
    ["", [], true],
    ["", [1], true],
    ["^$", [], true],
    ["^$", [1], false],
    ["64512", [1, 64512, 2], true],
    ["64512", [645121], false],
    ["^64512", [64512, 1], true],
    ["^64512", [1, 64512], false],
    ["64512$", [1, 64512], true],
    ["64512$", [64512, 1], false],
    ["^64512 .* 65000$", [64512, 65000], true],
    ["^64512 .* 65000$", [64512, 1, 2, 65000], true],
    ["^64512 .* 65000$", [64512], false],
    ["^.{2,3}$", [1, 2], true],
    ["^.{2,3}$", [1, 2, 3, 4], false],
    ["^.{2}$", [1], false],
    ["^.{2,}$", [1, 2, 3], true],
    ["64512-65534", [65000], true],
    ["^[^64512-65534]*$", [1, 2], true],
    ["^[^64512-65534]*$", [1, 65000, 2], false],
    ["^(1 2)+$", [1, 2, 1, 2], true],
    ["^(1 2)+$", [1, 2, 1], false],
    ["^(1|2 3)?4$", [2, 3, 4], true],
    ["^(1|2 3)?4$", [2, 4], false],
    ["1|2", [2], true],
    ["^(.*)*$", [1, 2, 3], true],
    ["4294967295", [4294967295], true],
  ];
  for (const [pattern, asns, expected] of cases) {
    it(`"${pattern}" ${expected ? "finds" : "does not find"} [${asns}]`, () => {
      assert.equal(matches(pattern, path(...asns)), expected);
    });
  }

  it("takes a set for each of its members, across segments", () => {
    const asPath: AsPathSegment[] = [
      { type: "sequence", asns: [1] },
      { type: "set", asns: [2, 3] },
      { type: "sequence", asns: [4] },
    ];
    assert.equal(matches("^1 3 4$", asPath), true);
    assert.equal(matches("^1 2 4$", asPath), true);
    assert.equal(matches("^1 2 3 4$", asPath), false);
    assert.equal(matches("^.{3}$", asPath), true);
  });

  it("says what it cannot read", () => {
    const wrong = [
      "a",
      "1,2",
      "(1",
      "1)",
      "[1",
      "1]",
      "[]x",
      "*",
      "1{2,1}",
      "1{",
      "^^1",
      "$1",
      "1-",
      "2-1",
      "4294967296",
      "[.]",
      "()".repeat(600),
    ];
    for (const pattern of wrong)
      assert.throws(() => compileAsPathPattern(pattern, "rules[0]"), OptionError, pattern);
    assert.throws(() => compileAsPathPattern("1 x 2", "rules[0].match.asPath.pattern"), {
      message: 'rules[0].match.asPath.pattern: "1 x 2" is not an AS path pattern readable from "x 2" on',
    });
  });

  it("refuses what would grow without measure, and is quick where backtracking would not be", () => {
    assert.throws(() => compileAsPathPattern("((((1{99}){99}){99}){99})"), OptionError);
    assert.throws(() => compileAsPathPattern("(((){255}){255}){255}"), OptionError);
    assert.throws(() => compileAsPathPattern("1{9999999999}"), OptionError);
    // 2^200 ways for a backtracking matcher.
    const ones = path(...Array<number>(200).fill(1));
    assert.equal(matches("^(1* 1*)* 2$", ones), false);
  });

  it("agrees with regular expressions over letters", () => {
    const { pattern } = fc.letrec<{ pattern: string; atom: string }>(tie => ({
      atom: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        fc.constantFrom("1", "2", "3", ".", "[1 3]", "[^2]", "1-2"),
        tie("pattern").map(inner => `(${inner})`),
      ),
      pattern: fc.oneof(
        { depthSize: "small", withCrossShrink: true },
        tie("atom"),
        fc
          .tuple(tie("atom"), fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{2,}"))
          .map(parts => parts.join("")),
        fc.tuple(tie("pattern"), tie("pattern")).map(parts => parts.join(" ")),
        fc.tuple(tie("pattern"), tie("pattern")).map(parts => `(${parts.join("|")})`),
      ),
    }));
    const segment = fc.record<AsPathSegment>({
      type: fc.constantFrom("sequence", "sequence", "set"),
      asns: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 3 }),
    });
    const paths = fc.array(segment, { maxLength: 3 });
    const anchors = fc.tuple(fc.constantFrom("", "^"), fc.constantFrom("", "$"));
    fc.assert(
      fc.property(pattern, anchors, paths, (text, [start, end], asPath) => {
        const letters = text.replace(/1-2/g, "[12]").replace(/ /g, "");
        const regexp = new RegExp(`${start}(?:${letters})${end}`);
        const expected = choices(asPath).some(choice => regexp.test(choice));
        assert.equal(matches(`${start}(${text})${end}`, asPath), expected);
      }),
      { numRuns: 2000 },
    );
  });
});

/** Every reading of a path, one member taken of each set. */
function choices(asPath: readonly AsPathSegment[]): string[] {
  return asPath.reduce<string[]>(
    (texts, { type, asns }) =>
      type === "set"
        ? texts.flatMap(text => asns.map(asn => text + asn))
        : texts.map(text => text + asns.join("")),
    [""],
  );
}
