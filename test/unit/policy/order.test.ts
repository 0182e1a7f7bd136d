import assert from "node:assert/strict";
import type { PolicyKind } from "../../../policy/model.ts";
import { comparePolicies, compareTiers } from "../../../policy/order.ts";

describe("policy/order", () => {
  it("takes tiers by order, then name; without order at the default's place; nonexistent ones last", () => {
    const tiers = [
      { name: "gone", order: 1, exists: false },
      { name: "kube-baseline", order: 10_000_000 },
      { name: "unordered", order: undefined },
      { name: "default", order: 1_000_000 },
      { name: "first", order: -1 },
    ];
    assert.deepEqual(
      tiers.sort(compareTiers).map(tier => tier.name),
      ["first", "default", "unordered", "kube-baseline", "gone"],
    );
  });

  it("takes policies by order, then name, namespace and kind; without order last", () => {
    const policy = (order: number | undefined, name: string, namespace?: string) => ({
      order,
      id: {
        kind: (namespace ? "NetworkPolicy" : "GlobalNetworkPolicy") as PolicyKind,
        name,
        ...(namespace && { namespace }),
      },
    });
    const policies = [
      policy(undefined, "a"),
      policy(Number.POSITIVE_INFINITY, "b"),
      policy(2, "z"),
      policy(10, "a", "ns2"),
      policy(10, "a", "ns1"),
      policy(10, "a"),
    ];
    assert.deepEqual(
      policies.sort(comparePolicies).map(({ order, id }) => `${order} ${id.namespace ?? "-"}/${id.name}`),
      ["2 -/z", "10 -/a", "10 ns1/a", "10 ns2/a", "undefined -/a", "Infinity -/b"],
    );
  });
});
