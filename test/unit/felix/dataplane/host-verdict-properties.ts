/**
 * What a host's rules do with packets for itself, from itself and through it: the end that the policy model gives them,
 * whatever host endpoints and policies of all four categories there are. Asked of every dataplane, each with its own walk.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { protocolNumber } from "../../../../crd-schemas/index.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import type { Changes } from "../../../../felix/calc/changes.ts";
import { resolveConfig } from "../../../../felix/calc/config.ts";
import { type Ip, ip, ipVersion } from "../../../../net/ip.ts";
import { type Packet, PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { DEFAULT_SETTINGS } from "../../../../policy/host-settings.ts";
import { Calculation, globalPolicy, HERE, hostEndpoint, profile, tier, workload } from "../calc/resources.ts";
import { ADDRESSES, few, packet, ruleResource } from "./iptables/arbitrary.ts";
import type { WalkingPacket } from "./iptables/packet-walk.ts";
import { stateOf } from "./verdict-properties.ts";

/** To this host, from it, or through it. */
export type Way = "in" | "out" | "through";

export interface WalkedHost {
  /** With this configuration in force and all of it applied. */
  create(
    changes: Changes,
    values: Readonly<Record<string, unknown>>,
  ): (packet: WalkingPacket, way: Way, ownAddresses: readonly Ip[]) => "allow" | "deny";
}

const HOST = { 4: ip("192.0.2.9"), 6: ip("2001:db8::9") } as const;
const WORKLOADS = ["a", "b"] as const;

/** Who is at an end of a packet, and by which interface the host knows him. */
type End = "host" | (typeof WORKLOADS)[number] | "eth0" | "eth1";

const interfaceOf = (end: End) => (end === "a" || end === "b" ? `cali${end}` : end === "host" ? "" : end);

function addressOf(end: End, version: 4 | 6): Ip {
  if (end === "host") return HOST[version];
  return ip(ADDRESSES[version][{ a: 0, b: 1, eth0: 3, eth1: 4 }[end]] as string);
}

const ends = fc.constantFrom<(readonly [End, End])[]>(
  ["eth0", "host"],
  ["host", "eth0"],
  ["eth1", "host"],
  ["host", "eth1"],
  ["eth0", "eth1"],
  ["eth0", "a"],
  ["a", "eth1"],
  ["a", "host"],
  ["host", "b"],
  ["a", "b"],
);

const rules = fc.array(ruleResource, { maxLength: 3 });
const policy = fc
  .record({
    category: few("normal", "normal", "applyOnForward", "doNotTrack", "preDNAT"),
    selector: few("all()", "role == 'host'", "app == 'x'"),
    order: few(1, 2),
    tier: few("default", "t1"),
    ingress: rules,
    egress: rules,
  })
  .map(({ category, ingress, egress, ...rest }) => ({
    ...rest,
    ingress,
    types: category === "preDNAT" ? ["Ingress"] : ["Ingress", "Egress"],
    ...(category !== "preDNAT" && { egress }),
    ...(category !== "normal" && { applyOnForward: true }),
    ...(category === "doNotTrack" && { doNotTrack: true }),
    ...(category === "preDNAT" && { preDNAT: true }),
  }));

const resources = fc
  .record({
    policies: fc.array(policy, { maxLength: 4 }),
    defaultAction: few("Deny", "Pass"),
    interfaces: fc.subarray(["eth0", "eth1", "*"], { minLength: 1 }),
    profiles: fc.subarray(["open", "p"]),
    p: rules,
  })
  .map(({ policies, defaultAction, interfaces, profiles, p }): Update[] => [
    tier("t1", 1, defaultAction as "Deny"),
    profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }),
    profile("p", { ingress: p, egress: p }),
    ...policies.map((spec, i) => globalPolicy(`g${i}`, spec)),
    ...interfaces.map(name =>
      hostEndpoint(
        `h-${name === "*" ? "any" : name}`,
        { node: HERE, interfaceName: name, expectedIPs: Object.values(HOST), profiles },
        { role: "host", ...(name === "eth0" && { app: "x" }) },
      ),
    ),
    ...WORKLOADS.map(name =>
      workload(name, {
        address: [addressOf(name, 4), addressOf(name, 6)],
        profiles: ["open"],
        labels: { app: name === "a" ? "x" : "y" },
      }),
    ),
  ]);

/** To be called inside `describe`. */
export function itJudgesHosts(dataplane: WalkedHost): void {
  it("of host endpoints are the model's, for any policies of any category", () => {
    const count = { allow: 0, deny: 0 };
    const settings = {
      ...DEFAULT_SETTINGS,
      failsafes: {
        ingress: [{ protocol: "tcp", net: undefined, port: 5 }],
        egress: [{ protocol: "udp", net: undefined, port: 3 }],
      },
    } as const;
    fc.assert(
      fc.property(
        resources,
        few("accept", "drop"),
        fc.array(fc.tuple(packet, ends), { minLength: 25, maxLength: 25 }),
        (updates, endpointToHost, packets) => {
          const values = {
            failsafeInboundHostPorts: "tcp:5",
            failsafeOutboundHostPorts: "udp:3",
            defaultEndpointToHostAction: endpointToHost,
          };
          const calculation = new Calculation();
          calculation.graph.configure(resolveConfig([{ source: "test", values }]).config);
          calculation.graph.apply(updates);
          const walk = dataplane.create(calculation.graph.drain(), values);
          assert.deepEqual(calculation.problems, []);
          const evaluator = new PolicyEvaluator({
            ...stateOf(updates),
            hosts: [{ name: HERE, addresses: Object.values(HOST) }],
            settings: { ...settings, endpointToHost: endpointToHost as "accept" },
          });
          for (const [given, [from, to]] of packets) {
            const version = ipVersion(given.source);
            const one: Packet = {
              ...given,
              source: addressOf(from, version),
              destination: addressOf(to, version),
            };
            const expected = evaluator.verdict(one, {
              via: HERE,
              interfaces: { [HERE]: { in: interfaceOf(from), out: interfaceOf(to) } },
            });
            const actual = walk(
              {
                ...one,
                protocol: protocolNumber(one.protocol),
                inInterface: interfaceOf(from),
                outInterface: interfaceOf(to),
              },
              to === "host" ? "in" : from === "host" ? "out" : "through",
              Object.values(HOST),
            );
            count[expected.verdict]++;
            assert.equal(actual, expected.verdict, `${from} to ${to}: ${JSON.stringify([one, expected])}`);
          }
        },
      ),
      { numRuns: Number(process.env["CALYX_RUNS"] ?? 100) },
    );
    // Else the test would say nothing.
    assert.ok(Math.min(...Object.values(count)) > 200, JSON.stringify(count));
  });
}
