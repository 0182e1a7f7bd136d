import assert from "node:assert/strict";
import type { Update } from "../../../../datastore/reflector.ts";
import { FlowSuspects } from "../../../../felix/calc/flow-suspects.ts";
import { Calculation, globalPolicy, gone, HERE, hostEndpoint, profile, tier, workload } from "./resources.ts";

function suspects(...updates: readonly Update[]) {
  const calculation = new Calculation();
  const found = new FlowSuspects();
  const apply = (...more: readonly Update[]) => {
    const { closing, opening } = found.update(calculation.apply(...more));
    const plain = (what: typeof closing) => (what === "all" ? what : [...what].sort());
    return { closing: plain(closing), opening: plain(opening) };
  };
  apply(...updates);
  return apply;
}

const a = (labels = {}) => workload("a", { address: "10.0.0.1", labels: { app: "a", ...labels } });
const b = workload("b", { address: ["10.0.0.2", "fd00::2"], labels: { app: "b" } });
const far = (name: string, address: string, labels = {}) =>
  workload(name, { address, node: "there", labels });
const policy = (rules: readonly object[]) =>
  globalPolicy("p", { selector: "app == 'a'", types: ["Ingress"], ingress: rules });
const nobody = { closing: [], opening: [] };
const both = (...addresses: string[]) => ({ closing: addresses, opening: addresses });

describe("felix/calc/flow-suspects", () => {
  it("are those whose policies, profiles or tiers changed", () => {
    const apply = suspects(a(), b, tier("t", 1), profile("x"));
    assert.deepEqual(apply(policy([{ action: "Allow" }])), both("10.0.0.1"));
    assert.deepEqual(apply(policy([])), both("10.0.0.1"));
    assert.deepEqual(apply(gone(policy([]))), both("10.0.0.1"));
    assert.deepEqual(apply(globalPolicy("q", { selector: "app == 'nobody'" })), nobody);
    const withProfile = workload("b", {
      address: ["10.0.0.2", "fd00::2"],
      labels: { app: "b" },
      profiles: ["x"],
    });
    assert.deepEqual(apply(withProfile), both("10.0.0.2", "fd00::2"));
    assert.deepEqual(apply(profile("x", { ingress: [{ action: "Allow" }] })), both("10.0.0.2", "fd00::2"));
  });

  it("are not those who changed in what policy does not care for, nor those elsewhere", () => {
    const apply = suspects(a(), b);
    assert.deepEqual(apply(a({ note: "x" }), far("c", "10.0.0.3")), nobody);
    assert.deepEqual(apply(gone(b)), nobody);
  });

  for (const [rule, grows, shrinks] of [
    [{ action: "Allow", source: { selector: "has(x)" } }, "opens", "closes"],
    [{ action: "Allow", source: { notSelector: "has(x)" } }, "closes", "opens"],
    [{ action: "Deny", source: { selector: "has(x)" } }, "closes", "opens"],
    [{ action: "Deny", source: { notSelector: "has(x)" } }, "opens", "closes"],
    [{ action: "Pass", source: { selector: "has(x)" } }, "closes", "closes"],
    [{ action: "Log", source: { selector: "has(x)" } }, "nothing", "nothing"],
  ] as const) {
    it(`a set in ${JSON.stringify(rule)}: one more ${grows}, one less ${shrinks}`, () => {
      const apply = suspects(a(), b, policy([rule]));
      const one = far("c", "10.0.0.3", { x: "" });
      const expected = {
        opens: { closing: [], opening: ["10.0.0.1"] },
        closes: both("10.0.0.1"),
        nothing: nobody,
      };
      assert.deepEqual(apply(one), expected[grows]);
      assert.deepEqual(apply(gone(one)), expected[shrinks]);
    });
  }

  it("are all where a host endpoint is concerned", () => {
    const up = hostEndpoint("up", { node: HERE, interfaceName: "eth0" }, { app: "a" });
    const apply = suspects(a(), b);
    assert.equal(apply(up).closing, "all");
    assert.equal(apply(policy([])).closing, "all");
    assert.equal(apply(gone(up)).closing, "all");
    assert.deepEqual(apply(policy([{ action: "Allow" }])), both("10.0.0.1"));
  });
});
