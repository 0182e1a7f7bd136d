/** docs/bgp-standalone.md says what there is. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { BgpMetrics } from "../../../../bgp/metrics.ts";
import { PolicyCache } from "../../../../bgp/standalone/policies.ts";
import { readConfiguration } from "../../../../bgp/standalone/read.ts";
import { DOCUMENT, withReference } from "../../../../bgp/standalone/reference.ts";

describe("docs/bgp-standalone.md", () => {
  const text = readFileSync(DOCUMENT, "utf8");

  it("has the fields of the schema (node bgp/standalone/reference.ts writes them)", () => {
    assert.equal(text, withReference(text));
  });

  it("has examples that are accepted", async () => {
    const examples = Array.from(text.matchAll(/```yaml\n(.*?)```/gs), ([, example = ""]) => example);
    assert(examples.length >= 2);
    for (const example of examples) {
      const whole = /^as:/m.test(example) ? example : `as: 64512\nrouterId: 192.0.2.1\n${example}`;
      const tools = { readPassword: () => "secret", policies: new PolicyCache() };
      const { plan } = await readConfiguration({ name: "example", text: whole }, tools);
      assert(plan.neighbors.size > 0);
    }
  });

  it("names every metric", () => {
    const metrics = new BgpMetrics({ speaker: undefined, neighbors: () => [] });
    const names = metrics.registry.getMetricsAsArray().map(({ name }) => name);
    metrics.close();
    assert(names.length > 10);
    const said = text.replaceAll(/`(_\w+)`/g, (_, end: string) => `calyx_bgp_peer_prefixes${end}`);
    for (const name of names) assert(said.includes(name), name);
  });
});
