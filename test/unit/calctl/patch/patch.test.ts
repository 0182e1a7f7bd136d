import assert from "node:assert/strict";
import fc from "fast-check";
import { PatchError } from "../../../../calctl/patch/error.ts";
import { jsonPatch } from "../../../../calctl/patch/json-patch.ts";
import { mergePatch } from "../../../../calctl/patch/merge.ts";
import { strategicMergePatch } from "../../../../calctl/patch/strategic.ts";

describe("merge patch (RFC 7396)", () => {
  // The table of the RFC's appendix A.
  const cases: [target: unknown, patch: unknown, result: unknown][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases)
    it(`${JSON.stringify(target)} + ${JSON.stringify(patch)}`, () =>
      assert.deepEqual(mergePatch(target, patch), result));
});

describe("strategic merge patch", () => {
  it("merges maps and replaces the lists of specs", () => {
    assert.deepEqual(
      strategicMergePatch(
        { spec: { a: 1, ingress: [{ action: "Allow" }] } },
        { spec: { b: 2, ingress: [{ action: "Deny" }] } },
      ),
      { spec: { a: 1, b: 2, ingress: [{ action: "Deny" }] } },
    );
  });
  it("deletes what is null", () => {
    assert.deepEqual(strategicMergePatch({ spec: { a: 1, b: 2 } }, { spec: { a: null } }), {
      spec: { b: 2 },
    });
  });
  it("adds to finalizers and merges owner references by uid", () => {
    assert.deepEqual(
      strategicMergePatch(
        { metadata: { finalizers: ["a"], ownerReferences: [{ uid: "1", name: "x" }] } },
        {
          metadata: {
            finalizers: ["b", "a"],
            ownerReferences: [{ uid: "1", controller: true }, { uid: "2" }],
          },
        },
      ),
      {
        metadata: {
          finalizers: ["a", "b"],
          ownerReferences: [{ uid: "1", name: "x", controller: true }, { uid: "2" }],
        },
      },
    );
  });
  it("obeys $patch, $retainKeys and $deleteFromPrimitiveList", () => {
    assert.deepEqual(strategicMergePatch({ spec: { a: 1 }, x: 1 }, { spec: { $patch: "replace", b: 2 } }), {
      spec: { b: 2 },
      x: 1,
    });
    assert.deepEqual(strategicMergePatch({ spec: { a: 1 }, x: 1 }, { spec: { $patch: "delete" } }), { x: 1 });
    assert.deepEqual(
      strategicMergePatch({ s: { a: 1, b: 2, c: 3 } }, { s: { $retainKeys: ["a", "d"], d: 4 } }),
      { s: { a: 1, d: 4 } },
    );
    assert.deepEqual(
      strategicMergePatch(
        { metadata: { finalizers: ["a", "b"] } },
        { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } },
      ),
      { metadata: { finalizers: ["b"] } },
    );
    assert.throws(() => strategicMergePatch({}, { $patch: "melt" }), PatchError);
  });
});

describe("JSON patch (RFC 6902)", () => {
  const cases: [operations: object[], target: unknown, result: unknown][] = [
    [[{ op: "add", path: "/a", value: 1 }], {}, { a: 1 }],
    [[{ op: "add", path: "/l/1", value: "x" }], { l: ["a", "b"] }, { l: ["a", "x", "b"] }],
    [[{ op: "add", path: "/l/-", value: "x" }], { l: ["a"] }, { l: ["a", "x"] }],
    [[{ op: "remove", path: "/l/0" }], { l: ["a", "b"] }, { l: ["b"] }],
    [[{ op: "replace", path: "/a~1b/m~0n", value: 2 }], { "a/b": { "m~n": 1 } }, { "a/b": { "m~n": 2 } }],
    [[{ op: "move", from: "/a", path: "/b" }], { a: 1 }, { b: 1 }],
    [[{ op: "copy", from: "/a", path: "/b" }], { a: { x: 1 } }, { a: { x: 1 }, b: { x: 1 } }],
    [[{ op: "test", path: "/a", value: { x: [1] } }], { a: { x: [1] } }, { a: { x: [1] } }],
    [[{ op: "replace", path: "", value: 3 }], { a: 1 }, 3],
  ];
  for (const [operations, target, result] of cases)
    it(JSON.stringify(operations), () => assert.deepEqual(jsonPatch(target, operations), result));

  const refused: [operation: object, message: RegExp][] = [
    [{ op: "remove", path: "/nope" }, /operation 0: \/nope does not exist/],
    [{ op: "replace", path: "/nope", value: 1 }, /does not exist/],
    [{ op: "add", path: "/l/9", value: 1 }, /not in a list of 1 element/],
    [{ op: "add", path: "/x/y", value: 1 }, /\/x does not exist/],
    [{ op: "test", path: "/a", value: 2 }, /test failed: \/a is 1/],
    [{ op: "add", path: "a", value: 1 }, /must begin with \//],
    [{ op: "add", path: "/b" }, /value is missing/],
    [{ op: "frob", path: "/a" }, /unknown op "frob"/],
    [{ op: "move", from: "/l", path: "/l/0" }, /into itself/],
  ];
  for (const [operation, message] of refused)
    it(`refuses ${JSON.stringify(operation)}`, () => {
      const target = { a: 1, l: ["x"] };
      assert.throws(
        () => jsonPatch(target, [operation]),
        error => error instanceof PatchError && message.test(error.message),
      );
    });
  it("does all operations or none", () => {
    const target = { a: 1 };
    assert.throws(() =>
      jsonPatch(target, [
        { op: "add", path: "/b", value: 1 },
        { op: "remove", path: "/c" },
      ]),
    );
    assert.deepEqual(target, { a: 1 });
  });
  it("undoes an addition with a removal", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.integer()),
        fc.string(),
        fc.integer(),
        (target, name, value) => {
          fc.pre(!Object.hasOwn(target, name) && name !== "__proto__");
          const path = `/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
          assert.deepEqual(
            {
              ...(jsonPatch(target, [
                { op: "add", path, value },
                { op: "remove", path },
              ]) as object),
            },
            { ...target },
          );
        },
      ),
    );
  });
});
