import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type FlowDecision,
  flowName,
  flowPrefix,
  readFlowPrefix,
} from "../../../../felix/dataplane/flow-prefix.ts";

const plain = { noNullPrototype: true };
const decisions: fc.Arbitrary<FlowDecision> = fc.record(
  {
    action: fc.constantFrom("allow", "deny", "pass"),
    direction: fc.constantFrom("ingress", "egress"),
    reason: fc.oneof(
      fc.record(
        {
          kind: fc.constantFrom("policy", "profile"),
          name: fc.string({ minLength: 1, maxLength: 300, unit: "binary" }),
          rule: fc.nat(999_999_999),
        },
        plain,
      ),
      fc.record(
        {
          kind: fc.constant("tier-default" as const),
          tier: fc.string({ minLength: 1, maxLength: 99 }),
        },
        plain,
      ),
      fc.constant({ kind: "no-profile" as const }),
    ),
  },
  plain,
);

function nameOf(reason: FlowDecision["reason"]): string | undefined {
  if (reason.kind === "tier-default") return reason.tier;
  return reason.kind === "no-profile" ? undefined : reason.name;
}

describe("felix/dataplane/flow-prefix", () => {
  it("writes decisions as Calico does", () => {
    const policy = { kind: "policy", name: "np/default/web", rule: 0 } as const;
    const profile = { kind: "profile", name: "kns.default", rule: 2 } as const;
    assert.equal(flowPrefix({ action: "allow", direction: "egress", reason: policy }), "APE0|np/default/web");
    assert.equal(flowPrefix({ action: "deny", direction: "ingress", reason: profile }), "DRI2|kns.default");
    const end = { kind: "tier-default", tier: "default" } as const;
    assert.equal(flowPrefix({ action: "deny", direction: "ingress", reason: end }), "DPI|default");
    assert.equal(flowPrefix({ action: "pass", direction: "egress", reason: end }), "PPE|default");
    assert.equal(flowPrefix({ action: "deny", direction: "ingress", reason: { kind: "no-profile" } }), "DRI");
  });

  it("fits into the kernel's 63 characters and a line of a restore file, and can be read back", () => {
    fc.assert(
      fc.property(decisions, decision => {
        const prefix = flowPrefix(decision);
        assert.match(prefix, /^[!#-&(-[\]-~]{3,63}$/);
        const name = nameOf(decision.reason);
        const read = readFlowPrefix(prefix, (_, written) =>
          name !== undefined && written === flowName(name) ? name : undefined,
        );
        assert.deepEqual(read, decision);
      }),
    );
  });

  it("keeps long names apart that begin alike", () => {
    const long = `np/${"n".repeat(63)}/`;
    assert.notEqual(flowName(`${long}a`), flowName(`${long}b`));
    assert.match(flowName(`${long}a`), /^np\/n{24}_[\w-]{22}$/);
  });

  it("leaves a name that nobody knows as it is written", () => {
    assert.deepEqual(
      readFlowPrefix("APE0|np/default/web", () => undefined),
      {
        action: "allow",
        direction: "egress",
        reason: { kind: "policy", name: "np/default/web", rule: 0 },
      },
    );
  });

  it("reads nothing into what others log", () => {
    for (const prefix of [
      "",
      "calico-packet: ",
      "APE",
      "DRI|x",
      "XPE0|a",
      "APX0|a",
      "APE0|",
      "ape0|a",
      "APE0",
    ])
      assert.equal(
        readFlowPrefix(prefix, () => undefined),
        undefined,
        prefix,
      );
  });
});
