import assert from "node:assert/strict";
import type { Update } from "../../../../datastore/reflector.ts";
import { ip } from "../../../../net/ip.ts";
import type { Direction } from "../../../../policy/model.ts";
import {
  Calculation,
  globalNetworkSet,
  globalPolicy,
  gone,
  networkPolicy,
  profile,
  put,
  stagedGlobalPolicy,
  stagedPolicy,
  tier,
  workload,
} from "./resources.ts";

const LOGGED = { flowLogsLocalReporter: "Enabled" };

const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
const a = workload("a", { address: "10.0.0.1", labels: { app: "a" }, profiles: ["open"] });
const b = workload("b", {
  address: "10.0.0.2",
  labels: { app: "b", "projectcalico.org/orchestrator": "k8s" },
  profiles: ["open"],
});

const ingress = (action: string, more: object = {}) => ({
  selector: "app == 'b'",
  types: ["Ingress"] as const,
  ingress: [{ action, ...more }],
});
// biome-ignore lint/suspicious/noExplicitAny: as the resources of tests are
const deny = ingress("Deny") as any;

function calculation(...updates: readonly Update[]): Calculation {
  return Calculation.configured(LOGGED, open, a, b, ...updates);
}

/** `now -> then`, each with what decides; undefined where nothing staged applies. */
function told(
  { graph }: Calculation,
  direction: Direction = "ingress",
  source = "10.0.0.1",
  destination = "10.0.0.2",
): string | undefined {
  const packet = { source: ip(source), destination: ip(destination), protocol: 6, destinationPort: 80 };
  const decision = graph.judgeStaged(direction, packet);
  const text = ({ verdict, reason }: NonNullable<typeof decision>["staged"]) =>
    `${verdict} ${Object.values(reason).slice(1).join(" ")}`;
  return decision && `${text(decision.inForce)} -> ${text(decision.staged)}`;
}

describe("felix/calc/staged-judge", () => {
  it("says what would be decided, and by which staged policy", () => {
    assert.equal(told(calculation()), undefined);
    const proposed = calculation(stagedPolicy("default", "web", deny));
    assert.equal(told(proposed), "allow open 0 -> deny default snp/default/web 0");
    assert.equal(
      told(calculation(stagedGlobalPolicy("web", deny))),
      "allow open 0 -> deny default sgnp/web 0",
    );
    const kubernetes = put(
      "StagedKubernetesNetworkPolicy",
      "web",
      { podSelector: { matchLabels: { app: "b" } }, ingress: [{ ports: [{ protocol: "TCP", port: 80 }] }] },
      { namespace: "default" },
    );
    assert.equal(told(calculation(kubernetes)), "allow open 0 -> allow default sknp/default/web 0");
  });

  it("says nothing of an endpoint, direction or address that nothing staged is for", () => {
    const proposed = calculation(stagedPolicy("default", "web", deny));
    assert.equal(told(proposed, "egress"), undefined);
    assert.equal(told(proposed, "ingress", "10.0.0.2", "10.0.0.1"), undefined);
    assert.equal(told(proposed, "ingress", "10.0.0.1", "192.0.2.1"), undefined);
    for (const stagedAction of ["Learn", "Ignore"])
      assert.equal(told(calculation(stagedGlobalPolicy("web", { ...deny, stagedAction }))), undefined);
  });

  it("puts it in the place of the policy of its name, or takes that away, also where it no longer applies", () => {
    const now = globalPolicy("web", deny);
    const text = "deny default gnp/web 0 ->";
    assert.equal(
      told(calculation(now, stagedGlobalPolicy("web", ingress("Allow")))),
      `${text} allow default sgnp/web 0`,
    );
    assert.equal(
      told(calculation(now, stagedGlobalPolicy("web", { stagedAction: "Delete" }))),
      `${text} allow open 0`,
    );
    assert.equal(
      told(calculation(now, stagedGlobalPolicy("web", { ...deny, selector: "app == 'a'" }))),
      `${text} allow open 0`,
    );
  });

  it("asks in the order of tiers and policies, and follows changes of it", () => {
    const first = globalPolicy("first", { ...ingress("Allow"), tier: "t", order: 5 });
    const proposal = (order: number) => stagedGlobalPolicy("new", { ...deny, tier: "t", order });
    const follows = calculation(tier("t", 1), first, proposal(9));
    assert.match(told(follows)!, /-> allow t gnp\/first 0$/);
    follows.apply(proposal(1));
    assert.match(told(follows)!, /-> deny t sgnp\/new 0$/);
    follows.apply(stagedGlobalPolicy("new", { ...ingress("Pass"), tier: "t", order: 1 }));
    assert.match(told(follows)!, /-> allow open 0$/);
    follows.apply(stagedGlobalPolicy("new", { ...ingress("Log"), tier: "s" }), tier("s", 0));
    assert.match(told(follows)!, /-> deny s$/);
    follows.apply(tier("s", 0, "Pass"));
    assert.match(told(follows)!, /-> allow t gnp\/first 0$/);
    follows.apply(gone(tier("t")), gone(first), gone(proposal(1)));
    assert.equal(told(follows), undefined);
  });

  it("follows endpoints and profiles", () => {
    const follows = calculation(stagedPolicy("default", "web", { ...deny, selector: "role == 'x'" }));
    assert.equal(told(follows), undefined);
    follows.apply(profile("open", { labelsToApply: { role: "x" }, ingress: [{ action: "Deny" }] }));
    assert.equal(told(follows), "deny open 0 -> deny default snp/default/web 0");
    follows.apply(workload("b", { address: "10.0.0.3", profiles: ["open"] }));
    assert.equal(told(follows), undefined);
    assert.ok(told(follows, "ingress", "10.0.0.1", "10.0.0.3"));
    follows.apply(gone(b));
    assert.equal(told(follows, "ingress", "10.0.0.1", "10.0.0.3"), undefined);
  });

  it("knows who is in sets that only proposals use, and hands over none of them", () => {
    const rule = { source: { selector: "has(outside)", namespaceSelector: "global()" } };
    const outside = globalNetworkSet("s", ["198.51.100.0/24"], { outside: "" });
    const proposed = calculation(outside, stagedGlobalPolicy("web", ingress("Deny", rule)));
    assert.equal(proposed.picture.sets.size, 0);
    assert.match(told(proposed, "ingress", "198.51.100.7")!, /-> deny default sgnp\/web 0$/);
    assert.match(told(proposed, "ingress", "203.0.113.7")!, /-> deny default$/);
    assert.equal(proposed.apply(globalNetworkSet("s", ["203.0.113.0/24"], { outside: "" })).sets.size, 0);
    assert.match(told(proposed, "ingress", "203.0.113.7")!, /sgnp\/web 0$/);
    // Carried out: the same set, whole; and put back to a proposal.
    proposed.apply(globalPolicy("web", ingress("Deny", rule)));
    assert.deepEqual(proposed.onlySet, ["203.0.113.0/24"]);
    proposed.apply(gone(globalPolicy("web", {})));
    assert.equal(proposed.picture.sets.size, 0);
    assert.match(told(proposed, "ingress", "203.0.113.7")!, /sgnp\/web 0$/);
    assert.equal(proposed.apply(gone(stagedGlobalPolicy("web", {}))).sets.size, 0);
    assert.equal(proposed.graph.sizes.sets, 0);
  });

  it("holds nothing where flows are not logged", () => {
    const rule = { source: { selector: "app == 'a'" } };
    const off = Calculation.configured({}, open, a, b, stagedGlobalPolicy("web", ingress("Deny", rule)));
    assert.equal(told(off), undefined);
    assert.equal(off.graph.sizes.sets, 0);
  });

  it("never reaches what is in force", () => {
    const enforced = networkPolicy("default", "web", deny);
    const [plain, proposed] = [calculation(enforced), calculation(enforced)];
    const before = JSON.stringify(proposed.picture.plain);
    for (const update of [
      stagedPolicy("default", "web", ingress("Allow", { source: { selector: "app == 'a'" } }) as never),
      stagedPolicy("default", "other", deny),
      stagedPolicy("default", "web", { stagedAction: "Delete" }),
      gone(stagedPolicy("default", "web", {})),
    ])
      assert.deepEqual(proposed.apply(update), plain.apply());
    assert.equal(JSON.stringify(proposed.picture.plain), before);
  });
});
