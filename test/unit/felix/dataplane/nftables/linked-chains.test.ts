import assert from "node:assert/strict";
import { LinkedChains } from "../../../../../felix/dataplane/nftables/linked-chains.ts";
import { doing, jump } from "../../../../../felix/dataplane/nftables/rule.ts";
import { RememberedTable } from "./table.ts";

describe("felix/dataplane/nftables/linked-chains", () => {
  it("has a chain that is offered while another one goes to it, whichever came first", () => {
    const table = new RememberedTable();
    const chains = new LinkedChains(table);
    const names = () => [...table.chains.keys()].sort();
    chains.offer("policy", () => [jump([], "helper")]);
    chains.offer("helper", () => [doing([])]);
    assert.deepEqual(names(), []);
    chains.set("one", { rules: [jump([], "policy"), jump([], "policy")] });
    assert.deepEqual(names(), ["helper", "one", "policy"]);
    chains.set("two", { rules: [jump([], "policy")] });
    chains.set("one", { rules: [] });
    assert.deepEqual(names(), ["helper", "one", "policy", "two"]);
    chains.remove("two");
    assert.deepEqual(names(), ["one"]);
    chains.set("one", { rules: [jump([], "later")] });
    chains.offer("later", () => [doing([])]);
    assert.deepEqual(names(), ["later", "one"]);
    chains.withdraw("later");
    assert.deepEqual(names(), ["one"]);
  });

  it("makes it again when it is offered with other rules", () => {
    const table = new RememberedTable();
    const chains = new LinkedChains(table);
    chains.set("one", { rules: [jump([], "policy")] });
    chains.offer("policy", () => []);
    chains.offer("policy", () => [jump([], "helper")]);
    chains.offer("helper", () => []);
    assert.deepEqual([...table.chains.keys()].sort(), ["helper", "one", "policy"]);
    chains.offer("policy", () => []);
    assert.deepEqual([...table.chains.keys()].sort(), ["one", "policy"]);
  });
});
