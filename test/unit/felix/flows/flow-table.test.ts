import assert from "node:assert/strict";
import { isWanted } from "../../../../felix/flows/flow.ts";
import { FlowTable } from "../../../../felix/flows/flow-table.ts";
import { ip } from "../../../../net/ip.ts";
import { flow } from "./flows.ts";

describe("felix/flows/flow-table", () => {
  const table = () => new FlowTable({ maxFlows: 3, windowMs: 1000 });

  it("adds up what one rule decided between the same two ends", () => {
    const flows = table();
    flows.add(flow());
    flows.add(flow({ packets: 2, bytes: 100, first: 1_000_500, last: 1_000_600 }));
    assert.deepEqual(flows.list(1_000_600), [flow({ packets: 3, bytes: 160, last: 1_000_600 })]);
  });

  it("knows of the last packet what staged policies would make of it", () => {
    const flows = table();
    const staged = { verdict: "deny", decidedBy: { kind: "no-profile" } } as const;
    flows.add(flow());
    flows.add(flow({ staged }));
    assert.deepEqual(flows.list(1_000_000), [flow({ packets: 2, bytes: 120, staged })]);
    flows.add(flow());
    assert.deepEqual(flows.list(1_000_000), [flow({ packets: 3, bytes: 180 })]);
  });

  it("keeps apart what differs in an end, the port, the direction, the verdict or the rule", () => {
    const flows = new FlowTable({ maxFlows: 100, windowMs: 1000 });
    const different = [
      flow(),
      flow({ source: { address: ip("10.0.0.9") } }),
      flow({ destination: { address: ip("10.0.0.9") } }),
      flow({ port: 81 }),
      flow({ protocol: "UDP" }),
      flow({ direction: "egress" }),
      flow({ verdict: "deny" }),
      flow({ decidedBy: { kind: "policy", name: "np/default/web", rule: 1 } }),
      flow({ decidedBy: { kind: "profile", name: "np/default/web", rule: 0 } }),
      flow({ decidedBy: { kind: "no-profile" } }),
    ];
    for (const each of different) flows.add(each);
    assert.deepEqual(flows.list(1_000_000), different);
  });

  it("forgets what was not seen for the length of the window", () => {
    const flows = table();
    flows.add(flow());
    flows.add(flow({ port: 81, last: 1_000_900 }));
    assert.equal(flows.list(1_001_000).length, 2);
    assert.deepEqual(
      flows.list(1_001_001).map(({ port }) => port),
      [81],
    );
  });

  it("has a limit: those seen longest ago go first", () => {
    const flows = table();
    for (const port of [1, 2, 3]) flows.add(flow({ port }));
    flows.add(flow({ port: 1 }));
    flows.add(flow({ port: 4 }));
    assert.deepEqual(
      flows.list(1_000_000).map(({ port }) => port),
      [3, 1, 4],
    );
  });
});

describe("felix/flows/flow", () => {
  it("is wanted by namespace of either end, by verdict, by what decided", () => {
    const one = flow({ source: { address: ip("10.0.0.1"), kind: "workload", namespace: "a", name: "x" } });
    assert.ok(isWanted(one, {}));
    assert.ok(isWanted(one, { namespace: "a" }));
    assert.ok(!isWanted(one, { namespace: "b" }));
    assert.ok(isWanted(one, { verdict: "allow" }));
    assert.ok(!isWanted(one, { verdict: "deny" }));
    for (const policy of ["np/default/web", "web"]) assert.ok(isWanted(one, { policy }));
    for (const policy of ["eb", "default/web", ""]) assert.ok(!isWanted(one, { policy }));
    assert.ok(
      isWanted(flow({ decidedBy: { kind: "tier-default", tier: "security" } }), { policy: "security" }),
    );
    assert.ok(!isWanted(flow({ decidedBy: { kind: "no-profile" } }), { policy: "web" }));
    const staged = { verdict: "allow", decidedBy: { kind: "forward-default" } } as const;
    assert.ok(!isWanted(flow({ staged }), { policy: "other" }));
  });
});
