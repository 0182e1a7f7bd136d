import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { parseSelector, Selector, SelectorError } from "../../../../policy/selector/index.ts";
import { ANY, NEVER } from "../../../../policy/selector/restrictions.ts";
import { labelSet, labelsOf, selectorNode } from "./arbitrary.ts";

function matches(selector: string, labels: Record<string, string> = {}): boolean {
  return parseSelector(selector).matches(labelsOf(labels));
}

function failure(selector: string): { offset: number; expected: string } {
  try {
    parseSelector(selector);
  } catch (error) {
    assert(error instanceof SelectorError, `${error}`);
    return { offset: error.offset, expected: error.expected };
  }
  assert.fail(`${selector} parsed`);
}

describe("policy/selector", () => {
  describe("language", () => {
    it("lets a missing label pass the negative tests and no other", () => {
      for (const s of ["a != 'x'", "a not in {'x'}", "!has(a)", "a not in {}"])
        assert.equal(matches(s), true, s);
      for (const s of [
        "a == ''",
        "a in {''}",
        "a contains ''",
        "a starts with ''",
        "a ends with ''",
        "has(a)",
      ])
        assert.equal(matches(s), false, s);
    });

    it("binds ! tighter than && and && tighter than ||", () => {
      assert.equal(parseSelector("!has(a) && has(b) || has(c)").text, "((!has(a) && has(b)) || has(c))");
      assert.equal(parseSelector("has(a) || has(b) && has(c)").text, "(has(a) || (has(b) && has(c)))");
    });

    it("takes operator words for labels where a label stands", () => {
      assert.equal(
        matches("in == 'x' && contains in {'y'} && has in {'z'}", { in: "x", contains: "y", has: "z" }),
        true,
      );
      assert.equal(matches("all == 'x' && has(all) && has(has)", { all: "x", has: "" }), true);
      assert.equal(matches("notin notin {'x'}"), true);
    });

    it("is indifferent to blanks, and to their absence", () => {
      assert.equal(
        parseSelector("a   startswith'x'&&b not\tin{'y','x',}").text,
        '(a starts with "x" && b not in {"x", "y"})',
      );
      assert.equal(parseSelector("a in{}||has(\tb )||all( )").text, "(a in {} || has(b) || all())");
    });

    it("does not confuse labels with what every object inherits", () => {
      assert.equal(matches("has(constructor) || has(__proto__) || has(toString)"), false);
    });

    it("allows global() alone only", () => {
      assert.equal(parseSelector(" global( ) ").text, "global()");
      assert.deepEqual(failure("has(a) && global()"), {
        offset: 10,
        expected: "global() to be the whole selector",
      });
      assert.equal(failure("(global())").offset, 1);
    });

    it("says where text goes wrong and what was expected", () => {
      assert.deepEqual(failure("a = 'x'"), {
        offset: 2,
        expected: "an operator (==, !=, in, not in, contains, starts with, ends with)",
      });
      assert.deepEqual(failure("has (a)").offset, 4);
      assert.deepEqual(failure("(has(a)"), { offset: 7, expected: '")"' });
      assert.deepEqual(failure("a == 'x"), { offset: 7, expected: "the closing '" });
      assert.deepEqual(failure("a in {'x' 'y'}"), { offset: 10, expected: '"," or "}"' });
      assert.deepEqual(failure("a in {,}"), { offset: 6, expected: "a string in quotes" });
      assert.deepEqual(failure("has(a) has(b)"), { offset: 7, expected: '"&&", "||" or the end' });
      assert.equal(failure("a ==\n'x'").offset, 4);
      assert.equal(failure(`${"l".repeat(513)} == 'x'`).offset, 0);
      assert.equal(failure("a containsx 'x'").offset, 2);
    });

    it("refuses nesting that would exhaust the stack", () => {
      assert.match(failure("(".repeat(100_000)).expected, /nesting/);
      assert.match(failure("!".repeat(100_000)).expected, /nesting/);
    });

    it("throws nothing but SelectorError, whatever the text", () => {
      const alphabet = fc.constantFrom(
        ..."ab!&|(){},='\" \t",
        "has(",
        "in",
        "not in",
        "all()",
        "==",
        "global()",
        "é",
      );
      fc.assert(
        fc.property(
          fc.array(alphabet).map(parts => parts.join("")),
          text => {
            try {
              parseSelector(parseSelector(text).text);
            } catch (error) {
              assert(error instanceof SelectorError, `${error}`);
              assert(error.offset >= 0 && error.offset <= text.length);
            }
          },
        ),
      );
    });
  });

  describe("canonical form and id", () => {
    it("is the one Calico hashes", () => {
      const ids = {
        "all()": "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug",
        "": "s:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug",
        'app == "web"': "s:oy593DLyi5BRwxLRqXScOfE9YMyW5S4KAhmzFg",
        "app=='web' && has( projectcalico.org/namespace )": "s:a6422AssQn42ZAYF6xChqTLfnsQe926B90tyvA",
        "cal_net2 == ''": "s:Ih31xIlOU609-QNfMqM8LJ7CSrEgxIeI6-pyyA",
      };
      for (const [text, id] of Object.entries(ids)) assert.equal(parseSelector(text).id, id, text);
    });

    it("sorts values by code point, not by UTF-16 unit", () => {
      assert.equal(
        parseSelector("a in {'\u{1F600}', '\uFFFD', '\u{1F601}'}").text,
        'a in {"\uFFFD", "\u{1F600}", "\u{1F601}"}',
      );
    });

    it("parses back to itself and means the same", () => {
      fc.assert(
        fc.property(selectorNode, fc.array(labelSet, { maxLength: 8 }), (node, labelSets) => {
          const original = new Selector(node);
          const again = parseSelector(original.text);
          assert.equal(again.text, original.text);
          assert.equal(again.id, original.id);
          for (const set of labelSets)
            assert.equal(again.matches(labelsOf(set)), original.matches(labelsOf(set)));
        }),
      );
    });
  });

  describe("restrictions", () => {
    function restrictions(text: string): unknown {
      const found = parseSelector(text).restrictions();
      if (found === NEVER) return NEVER;
      return Object.fromEntries([...found].map(([l, v]) => [l, v === ANY ? ANY : [...v]]));
    }

    it("add up over && and fall back to what all branches share over ||", () => {
      assert.deepEqual(restrictions("a == 'x' && has(b) && c != 'z'"), { a: ["x"], b: ANY });
      assert.deepEqual(restrictions("a == 'x' || a in {'y', 'z'}"), { a: ["x", "y", "z"] });
      assert.deepEqual(restrictions("a == 'x' && b == 'y' || has(a)"), { a: ANY });
      assert.deepEqual(restrictions("a == 'x' || b == 'y'"), {});
      assert.deepEqual(restrictions("a in {'x', 'y'} && a in {'y', 'z'} && a starts with 'y'"), { a: ["y"] });
    });

    it("see through negation", () => {
      assert.deepEqual(restrictions("!(a != 'x' || has(b))"), { a: ["x"] });
      assert.deepEqual(restrictions("!!has(a)"), { a: ANY });
    });

    it("know what can never match", () => {
      assert.equal(restrictions("a == 'x' && a == 'y'"), NEVER);
      assert.equal(restrictions("!all()"), NEVER);
      assert.equal(restrictions("a in {}"), NEVER);
      assert.deepEqual(restrictions("a in {} || b == 'x'"), { b: ["x"] });
    });

    it("never exclude a label set that matches", () => {
      fc.assert(
        fc.property(selectorNode, labelSet, (node, set) => {
          const selector = new Selector(node);
          fc.pre(selector.matches(labelsOf(set)));
          const found = selector.restrictions();
          assert(found !== NEVER);
          for (const [label, values] of found) {
            const value = labelsOf(set).get(label);
            assert(
              value !== undefined && (values === ANY || values.has(value)),
              `${label} of ${selector.text}`,
            );
          }
        }),
        { numRuns: 500 },
      );
    });
  });

  describe("shared conformance data", () => {
    const file = new URL("../../../../../shared/conformance/selectors.json", import.meta.url);
    interface Data {
      match: { selector: string; labels: Record<string, string>; match: boolean }[];
      invalid: string[];
      canonical: { input: string; canonical: string; uid: string | null }[];
      canonical2: { input: string; canonical: string }[];
    }
    let data: Data;

    before(function () {
      if (!existsSync(file)) {
        this.test!.title += ` (skipped: ${file.pathname} is not there)`;
        this.skip();
      }
      data = JSON.parse(readFileSync(file, "utf8"));
    });

    it("matches as expected", () => {
      for (const { selector, labels, match } of data.match)
        assert.equal(matches(selector, labels), match, `${selector} on ${JSON.stringify(labels)}`);
    });

    it("refuses what is invalid", () => {
      for (const text of data.invalid) assert.throws(() => parseSelector(text), SelectorError, text);
    });

    it("gives the canonical forms and ids", () => {
      for (const { input, canonical, uid } of data.canonical) {
        assert.equal(parseSelector(input).text, canonical);
        if (uid !== null) assert.equal(parseSelector(input).id, uid);
      }
      for (const { input, canonical } of data.canonical2) assert.equal(parseSelector(input).text, canonical);
    });
  });
});
