import assert from "node:assert/strict";
import { ip } from "../../../net/ip.ts";
import { PolicyEvaluator } from "../../../policy/evaluate.ts";
import { policyKey } from "../../../policy/model.ts";
import { enforceStaged } from "../../../policy/staged.ts";
import { policyState } from "../../../policy/state.ts";

const document = (kind: string, name: string, spec: object, namespace?: string): object => ({
  apiVersion: "projectcalico.org/v3",
  kind,
  metadata: { name, ...(namespace && { namespace }) },
  spec,
});
const pod = (name: string, podIP: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: name } },
  status: { podIP },
});
const PODS = [pod("a", "10.0.0.1"), pod("b", "10.0.0.2")];
const DENY = { selector: "app == 'b'", types: ["Ingress"], ingress: [{ action: "Deny" }] };
const ALLOW = { selector: "app == 'b'", types: ["Ingress"], ingress: [{ action: "Allow" }] };

function enforced(documents: object[]): string[] {
  const { state, problems } = policyState(documents);
  assert.deepEqual(problems, []);
  return enforceStaged(state.policies).map(({ id }) => policyKey(id));
}

function verdicts(documents: object[]): string[] {
  const { state } = policyState([...PODS, ...documents]);
  const packet = { source: ip("10.0.0.1"), destination: ip("10.0.0.2"), protocol: 6, destinationPort: 80 };
  return (["ignore", "set"] as const).map(
    staged => new PolicyEvaluator(state, { staged }).verdict(packet).verdict,
  );
}

describe("policy/staged", () => {
  it("is in force nowhere until it is carried out", () => {
    assert.deepEqual(verdicts([document("StagedGlobalNetworkPolicy", "p", DENY)]), ["allow", "deny"]);
    assert.deepEqual(verdicts([document("StagedNetworkPolicy", "p", DENY, "default")]), ["allow", "deny"]);
    const kubernetes = { podSelector: { matchLabels: { app: "b" } } };
    assert.deepEqual(verdicts([document("StagedKubernetesNetworkPolicy", "p", kubernetes, "default")]), [
      "allow",
      "deny",
    ]);
  });

  it("takes the place of the policy of its name, or takes it away", () => {
    const now = document("GlobalNetworkPolicy", "p", DENY);
    assert.deepEqual(verdicts([now, document("StagedGlobalNetworkPolicy", "p", ALLOW)]), ["deny", "allow"]);
    const gone = document("StagedGlobalNetworkPolicy", "p", { stagedAction: "Delete" });
    assert.deepEqual(verdicts([now, gone]), ["deny", "allow"]);
    for (const stagedAction of ["Learn", "Ignore"]) {
      const note = document("StagedGlobalNetworkPolicy", "p", { ...ALLOW, stagedAction });
      assert.deepEqual(verdicts([now, note]), ["deny", "deny"]);
    }
  });

  it("stands for the enforced policy of its own kind and namespace only", () => {
    const now = [
      document("NetworkPolicy", "p", DENY, "one"),
      document("NetworkPolicy", "p", DENY, "two"),
      document("GlobalNetworkPolicy", "p", DENY),
      document("NetworkPolicy", "knp.default.p", DENY, "one"),
    ];
    const gone = (kind: string, namespace?: string) =>
      document(kind, "p", { stagedAction: "Delete" }, namespace);
    const rest = (...without: string[]) =>
      ["np/one/p", "np/two/p", "gnp/p", "np/one/knp.default.p"].filter(key => !without.includes(key)).sort();
    assert.deepEqual(enforced([...now, gone("StagedNetworkPolicy", "one")]).sort(), rest("np/one/p"));
    assert.deepEqual(enforced([...now, gone("StagedGlobalNetworkPolicy")]).sort(), rest("gnp/p"));
    assert.deepEqual(
      enforced([...now, gone("StagedKubernetesNetworkPolicy", "one")]).sort(),
      rest("np/one/knp.default.p"),
    );
  });

  it("leaves a tier that has nothing else to pass", () => {
    const tier = document("Tier", "t", { order: 1, defaultAction: "Deny" });
    const { state } = policyState([
      ...PODS,
      tier,
      document("StagedGlobalNetworkPolicy", "p", { ...DENY, tier: "t" }),
    ]);
    const evaluator = new PolicyEvaluator(state);
    assert.deepEqual(evaluator.tiersOf("default/b", "ingress"), []);
  });
});
