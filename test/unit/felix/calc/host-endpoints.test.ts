import assert from "node:assert/strict";
import type { LocalHostEndpoint } from "../../../../felix/calc/changes.ts";
import { ip } from "../../../../net/ip.ts";
import { Calculation, globalPolicy, gone, HERE, hostEndpoint, profile, tier, workload } from "./resources.ts";

const eth0 = { index: 2, name: "eth0", addresses: [ip("192.0.2.1"), ip("2001:db8::1")] };
const eth1 = { index: 3, name: "eth1", addresses: [ip("198.51.100.1")] };
const allow = { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] };

function governed(calculation: Calculation): Record<string, string> {
  return Object.fromEntries([...calculation.picture.hostEndpoints].map(([name, { id }]) => [name, id]));
}

function judged(calculation: Calculation, interfaceName: string): LocalHostEndpoint {
  const found = calculation.picture.hostEndpoints.get(interfaceName);
  assert.ok(found, `${interfaceName} is not governed`);
  return found;
}

/** The policies of each stage, in order, ingress ones. */
function policies(endpoint: LocalHostEndpoint) {
  const names = (tiers: LocalHostEndpoint["tiers"]) => tiers.flatMap(({ ingress }) => ingress);
  return {
    normal: names(endpoint.tiers),
    forward: names(endpoint.forwardTiers),
    untracked: names(endpoint.untrackedTiers),
    preDnat: names(endpoint.preDnatTiers),
  };
}

describe("felix/calc/host-endpoints", () => {
  describe("govern an interface", () => {
    it("by its name, whether it is there or not", () => {
      const calculation = new Calculation(hostEndpoint("a", { node: HERE, interfaceName: "eth0" }));
      assert.deepEqual(governed(calculation), { eth0: "a" });
      calculation.interfaces(eth0);
      assert.deepEqual(governed(calculation), { eth0: "a" });
      calculation.apply(gone(hostEndpoint("a", { node: HERE })));
      assert.deepEqual(governed(calculation), {});
    });

    it("by an address it has, of either IP version, while it has it", () => {
      const calculation = new Calculation(
        hostEndpoint("a", { node: HERE, expectedIPs: ["2001:db8::1"] }),
        hostEndpoint("b", { node: HERE, expectedIPs: ["203.0.113.1", "198.51.100.1"] }),
      );
      assert.deepEqual(governed(calculation), {});
      calculation.interfaces(eth0, eth1);
      assert.deepEqual(governed(calculation), { eth0: "a", eth1: "b" });
      calculation.interfaces(eth0, { ...eth1, name: "eth2" });
      assert.deepEqual(governed(calculation), { eth0: "a", eth2: "b" });
      calculation.interfaces({ ...eth0, addresses: [] });
      assert.deepEqual(governed(calculation), {});
    });

    it("as the rest, which is told under the name of no interface", () => {
      const calculation = new Calculation(
        hostEndpoint("rest", { node: HERE, interfaceName: "*" }),
        hostEndpoint("one", { node: HERE, interfaceName: "eth0" }),
      );
      calculation.interfaces(eth0, eth1);
      assert.deepEqual(governed(calculation), { eth0: "one", "*": "rest" });
    });

    it("of their own host only", () => {
      const calculation = new Calculation(hostEndpoint("a", { node: "there", interfaceName: "eth0" }));
      assert.deepEqual(governed(calculation), {});
    });

    it("the first by name where several mean the same one; the others are reported once and take their turn", () => {
      const first = hostEndpoint("a", { node: HERE, expectedIPs: ["192.0.2.1"] });
      const calculation = new Calculation(hostEndpoint("b", { node: HERE, interfaceName: "eth0" }));
      calculation.interfaces(eth0);
      calculation.apply(first);
      assert.deepEqual(governed(calculation), { eth0: "a" });
      const message = "HostEndpoint b: interface eth0 is already that of a: the endpoint is ignored there";
      assert.deepEqual(calculation.problems, [message]);
      calculation.interfaces(eth0, eth1);
      assert.equal(calculation.problems.length, 1);
      calculation.apply(gone(first));
      assert.deepEqual(governed(calculation), { eth0: "b" });
      calculation.apply(
        hostEndpoint("x", { node: HERE, interfaceName: "*" }),
        hostEndpoint("w", { node: HERE, interfaceName: "*" }),
      );
      assert.deepEqual(governed(calculation), { eth0: "b", "*": "w" });
      assert.match(calculation.problems[1] as string, /HostEndpoint x: any interface is already that of w/);
    });
  });

  describe("are judged", () => {
    it("at four places by policies made for each", () => {
      const calculation = new Calculation(
        hostEndpoint("a", { node: HERE, interfaceName: "eth0" }),
        workload("w"),
        globalPolicy("normal", allow),
        globalPolicy("forward", { ...allow, applyOnForward: true }),
        globalPolicy("untracked", { ...allow, applyOnForward: true, doNotTrack: true }),
        globalPolicy("pre", { ingress: [{ action: "Allow" }], applyOnForward: true, preDNAT: true }),
      );
      const endpoint = judged(calculation, "eth0");
      assert.deepEqual(policies(endpoint), {
        normal: ["gnp/forward", "gnp/normal"],
        forward: ["gnp/forward"],
        untracked: ["gnp/untracked"],
        preDnat: ["gnp/pre"],
      });
      assert.equal(endpoint.tiers[0]?.defaultAction, "deny");
      assert.equal(endpoint.forwardTiers[0]?.defaultAction, "deny");
      // Before connection tracking and DNAT no end of tier denies.
      assert.equal(endpoint.untrackedTiers[0]?.defaultAction, "pass");
      assert.equal(endpoint.preDnatTiers[0]?.defaultAction, "pass");
      assert.deepEqual(calculation.endpoint("caliw").tiers[0]?.ingress, ["gnp/forward", "gnp/normal"]);
    });

    it("anew when a policy is made for another place, with the same selector", () => {
      const policy = (more: object) => globalPolicy("p", { ingress: allow.ingress, ...more });
      const calculation = new Calculation(
        hostEndpoint("a", { node: HERE, interfaceName: "eth0" }),
        workload("w"),
        policy({}),
      );
      const found = () => ({
        ...policies(judged(calculation, "eth0")),
        workload: calculation.endpoint("caliw").tiers.flatMap(({ ingress }) => ingress),
      });
      const none = { normal: [], forward: [], untracked: [], preDnat: [], workload: [] };
      const one = ["gnp/p"];
      assert.deepEqual(found(), { ...none, normal: one, workload: one });
      calculation.apply(policy({ applyOnForward: true }));
      assert.deepEqual(found(), { ...none, normal: one, forward: one, workload: one });
      calculation.apply(policy({ applyOnForward: true, doNotTrack: true }));
      assert.deepEqual(found(), { ...none, untracked: one });
      calculation.apply(policy({ applyOnForward: true, preDNAT: true }));
      assert.deepEqual(found(), { ...none, preDnat: one });
      calculation.apply(policy({}));
      assert.deepEqual(found(), { ...none, normal: one, workload: one });
      calculation.apply(gone(policy({})));
      assert.deepEqual(found(), none);
    });

    it("by tiers in order, with their labels and those of their profiles", () => {
      const calculation = new Calculation(
        tier("late", 20),
        tier("early", 10, "Pass"),
        profile("p", { labelsToApply: { role: "gateway" } }),
        globalPolicy("late", { ...allow, tier: "late", selector: "role == 'gateway'" }),
        globalPolicy("early", { ...allow, tier: "early", selector: "site == 'x'" }),
        globalPolicy("other", { ...allow, selector: "role == 'db'" }),
        hostEndpoint("a", { node: HERE, interfaceName: "eth0", profiles: ["p"] }, { site: "x" }),
      );
      const endpoint = judged(calculation, "eth0");
      assert.deepEqual(
        endpoint.tiers.map(({ name, defaultAction }) => [name, defaultAction]),
        [
          ["early", "pass"],
          ["late", "deny"],
        ],
      );
      assert.deepEqual(endpoint.profiles, ["p"]);
      assert.ok(calculation.picture.profiles.has("p"));
    });

    it("with the profile that allows everything, which every datastore lists", () => {
      const name = "projectcalico-default-allow";
      const calculation = new Calculation(
        profile(name, { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }),
        hostEndpoint("a", { node: HERE, interfaceName: "*", profiles: [name] }),
      );
      assert.deepEqual(judged(calculation, "*").profiles, [name]);
      assert.equal(calculation.picture.profiles.get(name)?.egress[0]?.action, "allow");
    });
  });

  it("carry the DSCP that their annotation gives what the host sends", () => {
    const marked = hostEndpoint("a", { node: HERE, interfaceName: "eth0" }) as { value: object };
    const annotations = { "qos.projectcalico.org/dscp": "AF11" };
    const calculation = new Calculation({
      ...marked,
      value: { ...marked.value, metadata: { name: "a", annotations } },
    } as never);
    assert.equal(judged(calculation, "eth0").dscp, 10);
  });

  it("make policies active while they govern an interface", () => {
    const calculation = new Calculation(
      hostEndpoint("a", { node: HERE, expectedIPs: ["192.0.2.1"] }, { role: "gateway" }),
      globalPolicy("p", { ...allow, selector: "role == 'gateway'" }),
    );
    assert.equal(calculation.picture.policies.size, 0);
    calculation.interfaces(eth0);
    assert.deepEqual([...calculation.picture.policies.keys()], ["gnp/p"]);
    calculation.interfaces(eth1);
    assert.equal(calculation.picture.policies.size, 0);
  });

  it("are told anew only when something about them changed", () => {
    const calculation = new Calculation(
      hostEndpoint("a", { node: HERE, expectedIPs: ["192.0.2.1"] }),
      hostEndpoint("b", { node: HERE, interfaceName: "*" }, { site: "x" }),
    );
    calculation.interfaces(eth0);
    assert.equal(calculation.interfaces(eth0, eth1).hostEndpoints.size, 0);
    const changes = calculation.apply(globalPolicy("p", { ...allow, selector: "site == 'x'" }));
    assert.deepEqual([...changes.hostEndpoints.keys()], ["*"]);
  });
});
