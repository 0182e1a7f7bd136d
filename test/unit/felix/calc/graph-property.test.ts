import assert from "node:assert/strict";
import fc from "fast-check";
import { keyText } from "../../../../datastore/key.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import type { HostInterface } from "../../../../felix/calc/host-endpoints.ts";
import { ip } from "../../../../net/ip.ts";
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
  { weight: 3, arbitrary: fc.tuple(few("p1", "p2", "p3"), policySpec).map(args => globalPolicy(...args)) },
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
  fc.tuple(few("t1", "t2"), few(1, 2, undefined), few("Deny", "Pass")).map(args => tier(...args)),
  fc.tuple(few("i1", "i2"), few("10.65.0.0/16", "10.66.0.0/16"), fc.boolean()).map(args => pool(...args)),
);
const interfaces = fc.record({
  interfaces: fc.uniqueArray(
    fc.record({
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
