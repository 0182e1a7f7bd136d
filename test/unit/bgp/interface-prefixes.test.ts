import assert from "node:assert/strict";
import { interfacePrefixes } from "../../../bgp/interface-prefixes.ts";
import type { FelixConfiguration } from "../../../crd-schemas/index.ts";
import { byName, felixConfiguration } from "./resources.ts";

const common = felixConfiguration({ interfacePrefix: "cali, tap" });
const own = felixConfiguration({ interfacePrefix: "veth" }, "node.a");
const other = felixConfiguration({ interfacePrefix: "eth" }, "node.b");
const silent = felixConfiguration({}, "node.a");

describe("bgp/interface-prefixes", () => {
  const cases: [string, FelixConfiguration[], string | undefined, string[]][] = [
    ["Calico's where nobody says anything", [], undefined, ["cali"]],
    ["those of all nodes", [common, other], undefined, ["cali", "tap"]],
    ["those of all nodes where the node's own object has none", [common, silent], undefined, ["cali", "tap"]],
    ["the node's own", [common, own], undefined, ["veth"]],
    ["the environment's over both", [common, own], "eno,tap", ["eno", "tap"]],
    ["Calico's where the environment is empty", [], "", ["cali"]],
  ];
  for (const [what, configurations, environment, expected] of cases) {
    it(`are ${what}`, () => {
      assert.deepEqual(interfacePrefixes(byName(...configurations), "a", environment), expected);
    });
  }

  it("are not what is no text", () => {
    const odd = { ...own, spec: { interfacePrefix: 7 } } as never;
    assert.deepEqual(interfacePrefixes(byName<FelixConfiguration>(common, odd), "a", undefined), [
      "cali",
      "tap",
    ]);
    assert.deepEqual(interfacePrefixes(new Map([["default", null as never]]), "a", undefined), ["cali"]);
  });
});
