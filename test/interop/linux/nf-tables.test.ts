import assert from "node:assert/strict";
import { RulesetGeneration } from "../../../linux/nf-tables/generation.ts";
import { run, ScratchNamespaces } from "./scratch-namespace.ts";

describe("linux/nf-tables", () => {
  const namespaces = new ScratchNamespaces();

  it("counts commits, also those of iptables", () => {
    const namespace = namespaces.create();
    using generation = RulesetGeneration.open({ namespace });
    const before = generation.read();
    assert.equal(generation.read(), before);
    run(namespace, "nft", "add", "table", "ip", "x");
    const after = generation.read();
    assert.notEqual(after, before);
    run(namespace, "iptables-nft", "-A", "FORWARD", "-j", "ACCEPT");
    assert.notEqual(generation.read(), after);
  });
});
