import assert from "node:assert/strict";
import type { Update } from "../../../../datastore/reflector.ts";
import type { DecidedPacket, Decision } from "../../../../felix/calc/staged-judge.ts";
import { ip } from "../../../../net/ip.ts";
import type { Direction } from "../../../../policy/model.ts";
import {
  Calculation,
  globalNetworkSet,
  globalPolicy,
  gone,
  HERE,
  hostEndpoint,
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
  interfaces: Pick<DecidedPacket, "inInterface" | "outInterface"> = {},
): string | undefined {
  const ends = { source: ip(source), destination: ip(destination), ...interfaces };
  const decisions = graph.judgeStaged(direction, { ...ends, protocol: 6, destinationPort: 80 });
  const text = (decision: Decision | undefined) =>
    decision && `${decision.verdict} ${Object.values(decision.reason).slice(1).join(" ")}`.trimEnd();
  return (
    decisions.map(({ inForce, staged }) => `${text(inForce)} -> ${text(staged)}`).join(", ") || undefined
  );
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

  describe("of host endpoints", () => {
    const uplink = hostEndpoint(
      "up",
      { node: HERE, interfaceName: "eth0", profiles: ["open"] },
      { role: "up" },
    );
    const eth0 = { index: 7, name: "eth0", addresses: [ip("192.0.2.1")] };
    const both = (rules: object) => ({ selector: "role == 'up'", ingress: [rules], egress: [rules] });

    function host(...updates: readonly Update[]): Calculation {
      const made = calculation(uplink, ...updates);
      made.interfaces(eth0, { index: 8, name: "eth1", addresses: [] });
      return made;
    }

    const received = (what: Calculation, inInterface = 7) =>
      told(what, "ingress", "198.51.100.7", "192.0.2.1", { inInterface });
    const sent = (what: Calculation) =>
      told(what, "egress", "192.0.2.1", "198.51.100.7", { outInterface: 7 });
    const forwarded = (what: Calculation, destination = "203.0.113.9") =>
      told(what, "ingress", "198.51.100.7", destination, { inInterface: 7, outInterface: 9 });

    it("says what the host itself would receive and send, by the interface", () => {
      const proposed = host(stagedGlobalPolicy("host", both({ action: "Deny" })));
      for (const way of [received, sent])
        assert.equal(way(proposed), "allow open 0 -> deny default sgnp/host 0");
      assert.equal(received(proposed, 8), undefined);
      assert.equal(received(proposed, 10), undefined);
      proposed.apply(stagedGlobalPolicy("host", { ...both({ action: "Deny" }), types: ["Ingress"] }));
      assert.equal(sent(proposed), undefined);
    });

    it("says what would be forwarded, which is allowed where nothing is about it", () => {
      const rules = { ...both({ action: "Deny" }), applyOnForward: true };
      assert.equal(forwarded(host(stagedGlobalPolicy("host", both({ action: "Deny" })))), undefined);
      assert.equal(
        forwarded(host(globalPolicy("host", rules), stagedGlobalPolicy("host", { stagedAction: "Delete" }))),
        "deny default gnp/host 0 -> allow",
      );
      assert.equal(
        forwarded(
          host(
            globalPolicy("all", { ...rules, order: 9 }),
            stagedGlobalPolicy("host", { ...rules, order: 1 }),
          ),
        ),
        "deny default gnp/all 0 -> deny default sgnp/host 0",
      );
    });

    it("says what each decides where a workload is behind it", () => {
      const proposed = host(
        globalPolicy("host", { ...both({ action: "Allow" }), applyOnForward: true }),
        stagedPolicy("default", "web", deny),
      );
      assert.equal(
        forwarded(proposed, "10.0.0.2"),
        "allow open 0 -> deny default snp/default/web 0, allow default gnp/host 0 -> undefined",
      );
    });

    it("follows who governs the interface", () => {
      const proposed = host(stagedGlobalPolicy("host", both({ action: "Deny" })));
      proposed.apply(hostEndpoint("any", { node: HERE, interfaceName: "*" }, { role: "up" }));
      assert.equal(received(proposed, 8), "deny -> deny default sgnp/host 0");
      proposed.apply(gone(uplink));
      assert.equal(received(proposed), "deny -> deny default sgnp/host 0");
      proposed.interfaces({ ...eth0, index: 9 });
      assert.equal(received(proposed), undefined);
      assert.ok(received(proposed, 9));
    });

    it("says nothing where a proposal would decide before connection tracking or translation", () => {
      for (const where of ["preDNAT", "doNotTrack"]) {
        const { selector } = both({});
        const early = { selector, ingress: [{ action: "Deny" }], applyOnForward: true, [where]: true };
        const proposed = host(
          stagedGlobalPolicy("host", both({ action: "Deny" })),
          stagedGlobalPolicy("early", early),
        );
        assert.equal(received(proposed), undefined, where);
        assert.ok(sent(proposed));
      }
    });
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
