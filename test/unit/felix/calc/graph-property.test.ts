import assert from "node:assert/strict";
import fc from "fast-check";
import { keyText } from "../../../../datastore/key.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import type { HostInterface } from "../../../../felix/calc/host-endpoints.ts";
import { ip } from "../../../../net/ip.ts";
import { PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { policyState } from "../../../../policy/state.ts";
import {
  Calculation,
  endpointSlice,
  globalNetworkSet,
  globalPolicy,
  gone,
  HERE,
  hostEndpoint,
  networkPolicy,
  networkSet,
  pool,
  profile,
  stagedGlobalPolicy,
  stagedPolicy,
  tier,
  workload,
} from "./resources.ts";

describe("felix/calc/graph, at random", () => {
  it("whatever happened on the way, ends where a fresh start with the same state does", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), steps => {
        const walked = new Calculation();
        const state = new Map<string, Update>();
        let interfaces: readonly HostInterface[] = [];
        for (const { what, drain } of steps) {
          if ("interfaces" in what) {
            interfaces = what.interfaces;
            walked.graph.setHostInterfaces(interfaces);
          } else {
            walked.graph.apply([what]);
            if (what.type === "put") state.set(keyText(what.key), what);
            else state.delete(keyText(what.key));
          }
          if (drain) walked.apply();
        }
        walked.apply();
        assert.ok(walked.problems.every(problem => problem.includes("is already that of")));
        const fresh = new Calculation();
        fresh.graph.setHostInterfaces(interfaces);
        fresh.apply(...state.values());
        assert.deepEqual(walked.picture.plain, fresh.picture.plain);
      }),
      { numRuns: 150 },
    );
  });

  it("whatever is staged, hands over what it would without", () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), steps => {
        const [plain, withStaged] = [new Calculation(), new Calculation()];
        for (const { what, drain } of steps) {
          if ("interfaces" in what) {
            for (const { graph } of [plain, withStaged]) graph.setHostInterfaces(what.interfaces);
          } else {
            withStaged.graph.apply([what]);
            if (!what.key.kind.startsWith("Staged")) plain.graph.apply([what]);
          }
          if (drain) assert.deepEqual(withStaged.apply(), plain.apply());
        }
        assert.deepEqual(withStaged.apply(), plain.apply());
      }),
      { numRuns: 150 },
    );
  });

  it("says of what is staged what the evaluator says", () => {
    const open = profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] });
    let told = 0;
    const tierOrPolicy = fc.oneof(policy, { weight: 2, arbitrary: staged }, tiers);
    const around = fc.record({ labels: fc.tuple(labels, labels), updates: fc.array(tierOrPolicy) });
    fc.assert(
      fc.property(around, ({ labels, updates }) => {
        const workloads = ["a", "b"].map((name, i) =>
          workload(name, {
            address: `10.0.0.${i + 1}`,
            namespace: "one",
            labels: labels[i] as never,
            profiles: ["open"],
          }),
        );
        const all = new Map(
          [open, tier("default", 1_000_000), ...workloads, ...updates].map(update => [
            keyText(update.key),
            update,
          ]),
        );
        const { graph } = new Calculation(...all.values());
        const documents = [...all.values()].map(update => update.type === "put" && update.value);
        const { state } = policyState(documents);
        const packet = {
          source: ip("10.0.0.1"),
          destination: ip("10.0.0.2"),
          protocol: "TCP",
          destinationPort: 80,
        } as const;
        const [now, then] = (["ignore", "set"] as const).map(
          way => new PolicyEvaluator(state, { staged: way, askAll: true }).verdict(packet).directions,
        );
        for (const [i, { direction, verdict, trace }] of now!.entries()) {
          const [decision] = graph.judgeStaged(direction, packet);
          const would = then![i]!;
          if (decision) told++;
          assert.equal(decision?.staged?.verdict ?? verdict, would.verdict);
          if (decision) assert.deepEqual(decision.inForce, { verdict, reason: trace.at(-1)!.reason });
          else assert.deepEqual(trace, would.trace);
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(told > 0);
  });
});

const few = <const T extends readonly unknown[]>(...values: T): fc.Arbitrary<T[number]> =>
  fc.constantFrom(...values);
const labels = fc.record({ app: few("x", "y", "z"), team: few("a", "b") }, { requiredKeys: [] });
const selector = few(
  "app == 'x'",
  "app != 'x'",
  "has(team)",
  "team in {'a'} || app == 'y'",
  "all()",
  "!has(app)",
);
const entity = fc.record(
  { selector, notSelector: selector, nets: few(["10.0.0.0/30"], ["10.0.0.1", "10.1.0.0/16"]) },
  { requiredKeys: [] },
);
const portRule = fc.record({
  action: few("Allow", "Deny"),
  protocol: few("TCP", "UDP"),
  destination: fc.record(
    { ports: few([80], ["http"], ["http", 443]), selector },
    { requiredKeys: ["ports"] },
  ),
});
const ruleOnServices = few("web", "api").map(name => ({
  action: "Allow" as const,
  source: { services: { name, namespace: "one" } },
}));
const rules = fc.array(
  fc.oneof(fc.record({ action: few("Allow", "Deny", "Pass", "Log"), source: entity }), portRule),
  {
    maxLength: 3,
  },
);
const policySpec = fc.record(
  {
    selector,
    order: few(1, 2, 2.5),
    tier: few("default", "t1", "t2"),
    ingress: fc.oneof({ weight: 4, arbitrary: rules }, { weight: 1, arbitrary: fc.tuple(ruleOnServices) }),
    egress: rules,
    types: few(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
    performanceHints: few(["AssumeNeededOnEveryNode"]),
  },
  { requiredKeys: ["selector", "ingress", "egress"] },
);
const namespace = few("one", "two");
const profileNames = fc.uniqueArray(few("kns.one", "kns.two", "p"), { maxLength: 2 });
const addresses = fc.uniqueArray(few("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1"), {
  minLength: 0,
  maxLength: 2,
});
const ports = fc.uniqueArray(
  few(
    { name: "http", protocol: "TCP", port: 80 } as const,
    { name: "http", protocol: "UDP", port: 81 } as const,
    { name: "dns", protocol: "UDP", port: 53 } as const,
  ),
  { maxLength: 2 },
);
const policy = fc.tuple(few("p1", "p2", "p3"), policySpec).map(args => globalPolicy(...args));
const staged = fc.oneof(
  fc
    .tuple(few("p1", "p2", "p3"), policySpec, few("Set", "Set", "Delete", "Learn"))
    .map(([name, spec, stagedAction]) => stagedGlobalPolicy(name, { ...spec, stagedAction })),
  fc
    .tuple(namespace, few("p1", "p2"), policySpec)
    .map(([ns, name, spec]) => stagedPolicy(ns, name, spec as never)),
);
const tiers = fc.tuple(few("t1", "t2"), few(1, 2, undefined), few("Deny", "Pass")).map(args => tier(...args));
const put: fc.Arbitrary<Update> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        pod: few("a", "b", "c"),
        node: few(HERE, "there"),
        namespace,
        labels,
        profiles: profileNames,
        address: addresses,
        ports,
        interfaceName: few("cali1", "cali2", "cali3"),
      })
      .map(({ pod, ...options }) => workload(pod, options)),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        name: few("h1", "h2", "h3"),
        node: few(HERE, "there"),
        interfaceName: few("eth0", "eth1", "*", undefined),
        labels,
        ports,
        profiles: profileNames,
        expectedIPs: fc.uniqueArray(few("10.0.0.1", "10.0.0.2", "10.0.0.3"), { minLength: 1, maxLength: 2 }),
      })
      .map(({ name, labels: own, interfaceName, ...spec }) =>
        hostEndpoint(name, { ...spec, ...(interfaceName && { interfaceName }) }, own),
      ),
  },
  fc.tuple(namespace, few("s1", "s2"), addresses, labels).map(args => networkSet(...args)),
  fc.tuple(few("s1", "s2"), fc.constant(["10.2.0.0/16"]), labels).map(args => globalNetworkSet(...args)),
  fc
    .record({ name: few("kns.one", "kns.two", "p"), labelsToApply: labels, ingress: rules, egress: rules })
    .map(({ name, ...spec }) => profile(name, spec as never)),
  { weight: 3, arbitrary: policy },
  { weight: 2, arbitrary: staged },
  fc
    .tuple(few("p1", "p2", "g"), policySpec, few("applyOnForward", "doNotTrack", "preDNAT"))
    .map(([name, { egress, types, ...spec }, where]) =>
      globalPolicy(name, {
        ...spec,
        applyOnForward: true,
        [where]: true,
        ...(where !== "preDNAT" && { egress, ...(types && { types }) }),
      }),
    ),
  {
    weight: 2,
    arbitrary: fc
      .tuple(namespace, few("p1", "p2"), policySpec)
      .map(([ns, name, spec]) => networkPolicy(ns, name, spec as never)),
  },
  fc
    .tuple(few("s1", "s2"), few("web", "api"), addresses, fc.subarray([80, 443]))
    .map(([name, service, ips, numbers]) =>
      endpointSlice("one", name, { service, addresses: ips, ports: numbers }),
    ),
  tiers,
  fc.tuple(few("i1", "i2"), few("10.65.0.0/16", "10.66.0.0/16"), fc.boolean()).map(args => pool(...args)),
);
const interfaces = fc.record({
  interfaces: fc.uniqueArray(
    fc.record({
      index: few(2, 3, 4),
      name: few("eth0", "eth1", "eth2"),
      addresses: fc.uniqueArray(few(ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3")), { maxLength: 2 }),
    }),
    { selector: ({ name }) => name },
  ),
});
const step = fc.record({
  what: fc.oneof(
    { weight: 6, arbitrary: put },
    { weight: 2, arbitrary: put.map(gone) },
    { weight: 1, arbitrary: interfaces },
  ),
  drain: fc.boolean(),
});
