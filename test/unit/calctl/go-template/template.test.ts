import assert from "node:assert/strict";
import fc from "fast-check";
import { compileTemplate, TemplateError } from "../../../../calctl/go-template/index.ts";

const PEERS = [
  {
    kind: "BGPPeerList",
    apiVersion: "projectcalico.org/v3",
    metadata: { resourceVersion: "7" },
    items: [
      {
        kind: "BGPPeer",
        metadata: { name: "tor1", labels: { b: "2", a: "1" } },
        spec: { peerIP: "10.0.0.1", asNumber: 64567 },
      },
      {
        kind: "BGPPeer",
        metadata: { name: "tor2" },
        spec: { peerIP: "10.0.0.2", node: "rack2", filters: ["f1", "f2"] },
      },
    ],
  },
];

function render(template: string, data: unknown = PEERS): string {
  return compileTemplate(template)(data);
}

describe("go-template", () => {
  describe("what Calico's documents show", () => {
    it("ranges over the results and their items, with Go's field names", () => {
      assert.equal(
        render(
          '{{range .}}{{range .Items}}{{.ObjectMeta.Name}},{{.Spec.PeerIP}},{{.Spec.ASNumber}}{{"\\n"}}{{end}}{{end}}',
        ),
        "tor1,10.0.0.1,64567\ntor2,10.0.0.2,\n",
      );
    });
    it("finds fields by their JSON names too, and metadata through the resource", () => {
      assert.equal(
        render("{{range .}}{{range .items}}{{.metadata.name}}={{.Name}} {{end}}{{end}}"),
        "tor1=tor1 tor2=tor2 ",
      );
    });
    it("joins lists", () => {
      assert.equal(
        render('{{range .}}{{range .Items}}[{{join .Spec.Filters ","}}]{{end}}{{end}}'),
        "[][f1,f2]",
      );
      assert.equal(render('{{joinAndTruncate . "," 8}}', ["alpha", "beta"]), "alpha...");
    });
  });

  describe("control", () => {
    const cases: [template: string, data: unknown, expected: string][] = [
      ["{{if .a}}yes{{else}}no{{end}}", { a: 0 }, "no"],
      ["{{if eq .a 1}}one{{else if eq .a 2}}two{{else}}many{{end}}", { a: 2 }, "two"],
      ["{{if eq .a 1}}one{{else if eq .a 2}}two{{else}}many{{end}}", { a: 3 }, "many"],
      ["{{with .a}}{{.b}}{{else}}none{{end}}", { a: { b: "B" } }, "B"],
      ["{{with .a}}{{.b}}{{else}}none{{end}}", {}, "none"],
      ["{{range .}}x{{else}}empty{{end}}", [], "empty"],
      ["{{range $i, $x := .}}{{$i}}:{{$x}} {{end}}", ["a", "b"], "0:a 1:b "],
      ["{{range $k, $v := .}}{{$k}}={{$v}};{{end}}", { z: 1, a: 2 }, "a=2;z=1;"],
      ["{{range $x := .}}{{$x}}{{end}}", ["a", "b"], "ab"],
      ["{{range 3}}{{.}}{{end}}", null, "012"],
      [
        "{{range .}}{{if eq . 2}}{{continue}}{{end}}{{if eq . 4}}{{break}}{{end}}{{.}}{{end}}",
        [1, 2, 3, 4, 5],
        "13",
      ],
      ["{{range .}}{{$.x}}{{end}}", { x: "t" }, "t"],
      ["{{$n := 1}}{{range .}}{{$n = .}}{{end}}{{$n}}", [5, 6], "6"],
      ["{{$n := 1}}{{range .}}{{$n := .}}{{end}}{{$n}}", [5, 6], "1"],
    ];
    for (const [template, data, expected] of cases)
      it(template, () => assert.equal(render(template, data), expected));
  });

  describe("functions", () => {
    const cases: [template: string, expected: string][] = [
      ["{{len .list}} {{len .text}}", "3 5"],
      ["{{index .list 1}} {{index .map `k.x`}}", "b v"],
      ["{{slice .text 1 3}}", "el"],
      ['{{printf "%s-%d-%v-%q" "a" 7 true "b"}}', 'a-7-true-"b"'],
      ['{{printf "%-5s|%5s|%05d|%.2f|%x|%%" "a" "b" 42 3.14159 255}}', "a    |    b|00042|3.14|ff|%"],
      ['{{printf "%d" "x"}} {{printf "%s"}}', "%!d(string=x) %!s(MISSING)"],
      ["{{eq 1 1}} {{ne 1 2}} {{lt 1 2}} {{ge 1 2}} {{eq `a` `b` `a`}}", "true true true false true"],
      ["{{and 1 0 .list.boom}}{{or 0 `x` .text.boom}}{{not 0}}", "0xtrue"],
      ["{{.text | printf `%s!` | print}}", "hello!"],
      ["{{(index .list 0) | len}}", "1"],
      ["{{print .list .map .nothing}}", "[a b c] map[k.x:v] "],
      ["{{println 1 2}}", "1 2\n"],
    ];
    const data = { list: ["a", "b", "c"], text: "hello", map: { "k.x": "v" } };
    for (const [template, expected] of cases)
      it(template, () => assert.equal(render(template, data), expected));
  });

  it("trims white space beside {{- and -}}, and leaves comments out", () => {
    assert.equal(render("a \n {{- 1 -}} \n b {{/* no }} */}}c {{- /* x */ -}} d"), "a1b cd");
  });
  it("knows Go's string escapes and raw strings", () => {
    assert.equal(render(String.raw`{{"\t\x41\u00e9\"\101"}}`), '\tAé"A');
    assert.equal(render("{{`\\n`}}"), "\\n");
  });

  describe("says where a template is wrong", () => {
    const cases: [template: string, message: RegExp][] = [
      ["ab\n{{foo .}}", /^template:2:3: function "foo" is not defined$/],
      ["{{range .}}x", /^template:1:3: \{\{end\}\} is missing$/],
      ["x{{end}}", /unexpected \{\{end\}\}/],
      ["{{.a", /^template:1:1: action is not closed/],
      ['{{"abc}}', /string is not closed/],
      ["{{$x}}", /variable \$x is not defined/],
      ["{{if}}x{{end}}", /a value is missing/],
      ["{{break}}", /outside of \{\{range\}\}/],
      ["{{/* x }}", /comment is not closed/],
      ['{{template "x"}}', /not supported/],
      ["{{1 | 2}}", /piped into a literal/],
      ["{{else}}", /unexpected \{\{else\}\}/],
    ];
    for (const [template, message] of cases)
      it(template, () =>
        assert.throws(
          () => compileTemplate(template),
          error =>
            error instanceof TemplateError && error.code === "TEMPLATE_SYNTAX" && message.test(error.message),
        ),
      );
  });

  describe("says where a template does not fit the data", () => {
    const cases: [template: string, data: unknown, message: RegExp][] = [
      ["{{.a.b}}", { a: "x" }, /x has no field b/],
      ["{{index . 9}}", [1], /index 9 is out of range/],
      ["{{range .}}{{end}}", "text", /cannot range over text/],
      ["{{lt . 1}}", "a", /cannot be ordered/],
      ["{{len}}", {}, /len takes 1 argument, not 0/],
      ["{{.a 1}}", { a: 1 }, /only a function can be given arguments/],
    ];
    for (const [template, data, message] of cases)
      it(template, () =>
        assert.throws(
          () => render(template, data),
          error =>
            error instanceof TemplateError &&
            error.code === "TEMPLATE_EVALUATION" &&
            message.test(error.message),
        ),
      );
  });

  it("gives text without actions back as it is", () => {
    fc.assert(
      fc.property(
        fc.string().filter(text => !text.includes("{{")),
        text => assert.equal(render(text), text),
      ),
    );
  });
  it("answers any input with text or a TemplateError", () => {
    const piece = fc.constantFrom(
      "{{",
      "}}",
      "range",
      "if",
      "end",
      "else",
      " ",
      ".",
      ".a",
      "$x",
      ":=",
      "|",
      "(",
      ")",
      '"s"',
      "1",
      "eq",
      "-",
      "\n",
      "with",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), pieces => {
        try {
          render(pieces.join(""), { a: [1, { a: 2 }] });
        } catch (error) {
          assert.ok(error instanceof TemplateError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});
