import assert from "node:assert/strict";
import { flatten } from "../../../calctl/documents/flatten.ts";
import { parseSource } from "../../../input/parse.ts";
import { problemText } from "../../../input/problem.ts";

function parse(text: string) {
  return parseSource({ name: "in.yml", text });
}

function values(text: string): unknown[] {
  const { documents, problems } = parse(text);
  assert.deepEqual(problems, []);
  return documents.flatMap(document => [...flatten(document)].map(({ value }) => value));
}

function complaints(text: string): string[] {
  return parse(text).problems.map(problemText);
}

describe("documents", () => {
  it("come out of YAML with several documents, empty ones left out", () => {
    assert.deepEqual(values("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n"), [{ a: 1 }, { b: 2 }]);
  });
  it("come out of JSON, tabs and all", () => {
    assert.deepEqual(values('{\n\t"a": [1,\n\t\t{"b": null}]\n}'), [{ a: [1, { b: null }] }]);
  });
  it("come out of JSON with its keys once each, whatever its strings look like", () => {
    assert.deepEqual(values('{"a": "x\\": 1", "b\\"": {"c" : [{}, "d:"]}}'), [
      { a: 'x": 1', 'b"': { c: [{}, "d:"] } },
    ]);
    assert.deepEqual(complaints('{"a": 1,\n "b": {"c": 1, "c": 2}}'), [
      'in.yml:2:16: key "c" appears twice in one map',
    ]);
  });
  it("are YAML where they are nearly JSON", () => {
    assert.deepEqual(values('{"a": 1, b: [2,],}'), [{ a: 1, b: [2] }]);
    assert.deepEqual(values('[1]\n---\n{"a": 2}'), [1, { a: 2 }]);
  });
  it("know anchors and merge keys", () => {
    assert.deepEqual(values("x: &x {a: 1}\ny:\n  <<: *x\n  b: 2\n"), [{ x: { a: 1 }, y: { a: 1, b: 2 } }]);
  });
  it("are not YAML 1.1: on is text, and 1:20 is no number of base 60", () => {
    assert.deepEqual(values("a: on\nb: 1:20\nc: 2001-01-01\n"), [{ a: "on", b: "1:20", c: "2001-01-01" }]);
  });
  it("come out of lists, List and <Kind>List, however nested", () => {
    assert.deepEqual(
      values(`
- {kind: A}
- kind: List
  apiVersion: v1
  items:
    - {kind: B}
    - kind: TierList
      apiVersion: projectcalico.org/v3
      items: [{metadata: {name: t}}, {kind: Tier, apiVersion: x}]
`),
      [
        { kind: "A" },
        { kind: "B" },
        { apiVersion: "projectcalico.org/v3", kind: "Tier", metadata: { name: "t" } },
        { apiVersion: "x", kind: "Tier" },
      ],
    );
  });

  it("remember where JSON was written", () => {
    const [document] = parse('{\n  "a": [\n    {"b": 1},\n    {"c": 2}\n  ]\n}').documents;
    assert.deepEqual(document!.locate(["a", 1, "c"]), { file: "in.yml", line: 4, column: 6 });
    assert.deepEqual(document!.locate(["a", 1, "nowhere"]), { file: "in.yml", line: 4, column: 5 });
  });

  describe("remember where they were written", () => {
    const text = `kind: List
items:
  - kind: Profile
    spec:
      ingress:
        - action: allow
          source: {nets: [10.0.0.0/8, "x"]}
    metadata:
      labels:
        a.b/c: "1"
`;
    const [item] = [...flatten(parse(text).documents[0]!)];
    const cases: [path: (string | number)[], line: number, column: number][] = [
      [[], 3, 5],
      [["spec", "ingress"], 5, 7],
      [["spec", "ingress", 0], 6, 11],
      [["spec", "ingress", 0, "action"], 6, 11],
      [["spec", "ingress", 0, "source", "nets", 1], 7, 39],
      [["metadata", "labels", "a.b/c"], 10, 9],
    ];
    for (const [path, line, column] of cases)
      it(path.join(".") || "(the item)", () =>
        assert.deepEqual(item!.locate(path), { file: "in.yml", line, column }),
      );
    it("of what is missing: the field it is missing in", () => {
      assert.deepEqual(item!.locate(["spec", "egress", 3]), { file: "in.yml", line: 4, column: 5 });
    });
    it("behind an alias: where the anchor is", () => {
      const [document] = parse("a: &x\n  b: 1\nc: *x\n").documents;
      assert.equal(document!.locate(["c", "b"]).line, 2);
    });
    it("in the second document", () => {
      assert.equal(parse("a: 1\n---\nb: 2\n").documents[1]!.locate(["b"]).line, 3);
    });
  });

  describe("that are malformed are told of once each, all of them", () => {
    const cases: [what: string, text: string, expected: RegExp[]][] = [
      ["a key twice", "a: 1\nb: 2\na: 3\n", [/^in\.yml:3:1: key "a" appears twice in one map$/]],
      ["keys twice in two documents", "a: 1\na: 2\n---\nb: 1\nb: 2\n", [/^in\.yml:2:1: /, /^in\.yml:5:1: /]],
      ["bad indentation", "  a: 1\n b: 2\n", [/^in\.yml:2:2: malformed YAML: /]],
      ["a tab as indentation", "a:\n\tb: 2\n", [/^in\.yml:2:1: malformed YAML: tabs/]],
      ["an open bracket", "a: [1,\nb: 2\n", [/^in\.yml:\d+:\d+: malformed YAML: /]],
      ["truncated JSON", '{"a": {"b": 1}', [/^in\.yml:1:15: malformed YAML: /]],
      [
        "an unknown tag",
        "a: !!python/object:os.system {}\n",
        [/^in\.yml:1:4: malformed YAML: unresolved tag/],
      ],
      ["an alias to nothing", "a: *nope\n", [/^in\.yml:1:1: malformed YAML: unresolved alias/]],
      ["nesting without end", "[".repeat(100_000), [/too deeply nested/]],
    ];
    for (const [what, text, expected] of cases)
      it(what, () => {
        const found = complaints(text);
        assert.equal(found.length, expected.length, found.join("\n"));
        for (const [i, pattern] of expected.entries()) assert.match(found[i]!, pattern);
      });
    it("an alias bomb, quickly", () => {
      const levels = ["a: &a [x,x,x,x,x,x,x,x,x,x]"];
      for (const [i, name] of [..."bcdefghi"].entries())
        levels.push(`${name}: &${name} [${Array(10).fill(`*${"abcdefghi"[i]}`).join(",")}]`);
      const started = performance.now();
      assert.match(complaints(levels.join("\n"))[0]!, /aliases expand to too much/);
      assert.ok(performance.now() - started < 1000);
    });
  });

  it("takes empty input for no documents", () => {
    for (const text of ["", "\n\n", "---\n", "# only a comment\n", "null\n"])
      assert.deepEqual(values(text), []);
  });
});
