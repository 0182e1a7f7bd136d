import assert from "node:assert/strict";
import type { EntityRule, GlobalNetworkPolicy, NetworkPolicy, Rule } from "../../../crd-schemas/index.ts";
import { policyKey, ruleForVersion, setsOf } from "../../../policy/model.ts";
import { resolvePolicy, resolveProfile, resolveTier } from "../../../policy/resolve.ts";

function np(spec: NetworkPolicy["spec"], name = "p"): NetworkPolicy {
  return {
    apiVersion: "projectcalico.org/v3",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "ns1" },
    spec,
  };
}

function gnp(spec: GlobalNetworkPolicy["spec"]): GlobalNetworkPolicy {
  return { apiVersion: "projectcalico.org/v3", kind: "GlobalNetworkPolicy", metadata: { name: "p" }, spec };
}

function subject(policy: NetworkPolicy | GlobalNetworkPolicy): string {
  return resolvePolicy(policy).selector.text;
}

/** The source selector that this entity comes to in a policy of namespace ns1, or in a global one. */
function source(entity: EntityRule, scope: "namespaced" | "global" = "namespaced"): string | undefined {
  const spec = { ingress: [{ action: "Allow", source: entity }] } satisfies GlobalNetworkPolicy["spec"];
  return resolvePolicy(scope === "global" ? gnp(spec) : np(spec)).ingress[0]!.source.selector?.selector.text;
}

function resolved(rule: Omit<Rule, "action">) {
  return resolvePolicy(gnp({ ingress: [{ action: "Allow", ...rule }] })).ingress[0]!;
}

const NS1 = 'projectcalico.org/namespace == "ns1"';

describe("policy/resolve", () => {
  describe("whom a policy applies to", () => {
    it("is always its own namespace for a NetworkPolicy", () => {
      assert.equal(subject(np({})), NS1);
      assert.equal(subject(np({ selector: "a == 'x' || has(b)" })), `((a == "x" || has(b)) && ${NS1})`);
      assert.equal(
        subject(np({ selector: "has(a)", serviceAccountSelector: "role == 'db'" })),
        `((has(a) && ${NS1}) && pcsa.role == "db")`,
      );
    });

    it("is everything for a GlobalNetworkPolicy, unless it is narrowed", () => {
      assert.equal(subject(gnp({})), "all()");
      assert.equal(
        subject(gnp({ selector: "has(a)", namespaceSelector: "all()" })),
        "(has(a) && has(projectcalico.org/namespace))",
      );
      assert.equal(
        subject(gnp({ namespaceSelector: "!team == 'x'", serviceAccountSelector: "all()" })),
        '(!pcns.team == "x" && has(projectcalico.org/serviceaccount))',
      );
    });
  });

  describe("whom a rule means", () => {
    it("is any address where it selects nothing", () => {
      assert.equal(source({}), undefined);
      assert.equal(source({ nets: ["10.0.0.0/8"] }), undefined);
      assert.equal(source({ selector: " " }), undefined);
    });

    it("is the policy's own namespace where it selects endpoints and says nothing of namespaces", () => {
      assert.equal(source({ selector: "has(a)" }), `(${NS1} && has(a))`);
      assert.equal(source({ notSelector: "has(a)" }), NS1);
      assert.equal(source({ selector: "has(a)" }, "global"), "has(a)");
      assert.equal(source({ notSelector: "has(a)" }, "global"), undefined);
    });

    it("is the namespaces it says", () => {
      assert.equal(
        source({ namespaceSelector: "team == 'x' && has(y)" }),
        '(pcns.team == "x" && has(pcns.y))',
      );
      assert.equal(
        source({ namespaceSelector: "all()", selector: "has(a)" }),
        "(has(projectcalico.org/namespace) && has(a))",
      );
      assert.equal(
        source({ namespaceSelector: "global()", selector: "has(a)" }),
        "(!has(projectcalico.org/namespace) && has(a))",
      );
    });

    it("is the service accounts it says", () => {
      assert.equal(
        source({ serviceAccounts: { names: ["b", "a"], selector: "role == 'db'" }, selector: "has(a)" }),
        `(${NS1} && ((pcsa.role == "db" && projectcalico.org/serviceaccount in {"a", "b"}) && has(a)))`,
      );
      assert.equal(
        source({ serviceAccounts: { names: ["a"] } }, "global"),
        'projectcalico.org/serviceaccount in {"a"}',
      );
    });

    it("is a service's addresses, with ports only where traffic goes to it", () => {
      const services = { name: "web", namespace: "" };
      const policy = resolvePolicy(
        np({
          types: ["Ingress", "Egress"],
          ingress: [{ action: "Allow", source: { services } }],
          egress: [{ action: "Allow", destination: { services } }],
        }),
      );
      const [from, to] = [policy.ingress[0]!.source.service!, policy.egress[0]!.destination.service!];
      assert.deepEqual([from.namespace, from.name, from.withPorts], ["ns1", "web", false]);
      assert.deepEqual(
        [to.withPorts, to.id.split(":")[0], from.id.split(":")[0]],
        [true, "svc", "svcnoport"],
      );
    });
  });

  describe("rules", () => {
    it("name protocols and merge ports", () => {
      const rule = resolved({
        protocol: 6,
        destination: { ports: ["90:100", 80, 81, 85, "95:120", "http"] },
      });
      assert.equal(rule.protocol, "TCP");
      assert.deepEqual(rule.destination.ports, [
        { low: 80, high: 81 },
        { low: 85, high: 85 },
        { low: 90, high: 120 },
      ]);
      assert.deepEqual(
        rule.destination.namedPorts.map(port => [port.name, port.protocol, port.selector.text]),
        [["http", "TCP", "all()"]],
      );
      assert.equal(resolved({ protocol: 99 }).protocol, 99);
    });

    it("look for named ports among the endpoints they select", () => {
      const rule = resolved({ protocol: "UDP", destination: { selector: "has(a)", ports: ["dns"] } });
      assert.equal(rule.destination.namedPorts[0]!.selector.text, "has(a)");
      assert.deepEqual(
        setsOf({ ingress: [rule, rule], egress: [] }).map(set => set.kind),
        ["selector", "named-port"],
      );
    });

    it("know when only one IP version can match", () => {
      assert.equal(resolved({ protocol: "ICMP" }).ipVersion, 4);
      assert.equal(resolved({ protocol: 58 }).ipVersion, 6);
      assert.equal(resolved({ destination: { nets: ["fd00::/8"] } }).ipVersion, 6);
      assert.equal(resolved({ destination: { notNets: ["fd00::/8"] } }).ipVersion, undefined);
      const mixed = resolved({ source: { nets: ["fd00::/8", "10.0.0.0/8"], notNets: ["10.1.0.0/16"] } });
      assert.deepEqual(ruleForVersion(mixed, 6)!.source.nets, ["fd00::/8"]);
      assert.deepEqual(ruleForVersion(mixed, 6)!.source.notNets, []);
      const never = resolved({ source: { nets: ["10.0.0.0/8"] }, destination: { nets: ["fd00::/8"] } });
      assert.deepEqual([ruleForVersion(never, 4), ruleForVersion(never, 6)], [undefined, undefined]);
    });

    it("match nothing where they ask what only a proxy could see", () => {
      const http = { methods: ["GET"] };
      const never = resolved({ http });
      const always = resolved({ http: {} });
      assert.equal(never.protocol, never.notProtocol);
      assert.notEqual(never.protocol, undefined);
      assert.equal(always.protocol, undefined);
    });

    it("are kept only for the directions the policy governs", () => {
      const rules = [{ action: "Pass" }] satisfies Rule[];
      assert.deepEqual(resolvePolicy(np({})).types, ["ingress"]);
      assert.deepEqual(resolvePolicy(np({ egress: rules })).types, ["egress"]);
      assert.deepEqual(resolvePolicy(np({ ingress: rules, egress: rules })).types, ["ingress", "egress"]);
      assert.deepEqual(resolvePolicy(np({ types: ["Ingress"], egress: rules })).egress, []);
    });
  });

  it("names policies as Calico does", () => {
    assert.equal(policyKey(resolvePolicy(gnp({})).id), "gnp/p");
    assert.equal(policyKey(resolvePolicy(np({}, "knp.default.x")).id), "np/ns1/knp.default.x");
  });

  it("resolves profiles and tiers", () => {
    const profile = resolveProfile({
      apiVersion: "projectcalico.org/v3",
      kind: "Profile",
      metadata: { name: "net" },
      spec: { labelsToApply: { net: "" }, ingress: [{ action: "Allow", source: { selector: "net == ''" } }] },
    });
    assert.equal(profile.ingress[0]!.source.selector!.selector.text, 'net == ""');
    assert.deepEqual([profile.labelsToApply, profile.egress], [{ net: "" }, []]);
    const tier = resolveTier({
      apiVersion: "projectcalico.org/v3",
      kind: "Tier",
      metadata: { name: "t" },
      spec: {},
    });
    assert.deepEqual(tier, { name: "t", order: undefined, defaultAction: "deny" });
  });
});
