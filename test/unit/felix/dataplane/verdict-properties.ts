/**
 * The meaning of the rendered rules: whatever the resources, a packet that walks through them meets the end that the
 * policy model gives it. Resources go through the calculation and a dataplane; the packet walks through what that has
 * made, and through policy/evaluate.ts. Asked of every dataplane, each with its own walk.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { protocolNumber } from "../../../../crd-schemas/index.ts";
import type { Update } from "../../../../datastore/reflector.ts";
import type { Changes } from "../../../../felix/calc/changes.ts";
import { cidr, networkAddress } from "../../../../net/cidr.ts";
import { ip, ipVersion } from "../../../../net/ip.ts";
import { type Packet, PolicyEvaluator, type PolicyState } from "../../../../policy/evaluate.ts";
import type { Direction, Policy } from "../../../../policy/model.ts";
import { resolvePolicy, resolveProfile, resolveTier } from "../../../../policy/resolve.ts";
import {
  Calculation,
  globalNetworkSet,
  globalPolicy,
  type Picture,
  profile,
  workload,
} from "../calc/resources.ts";
import { ADDRESSES, few, NETS, PODS, packet, resources, ruleResource } from "./iptables/arbitrary.ts";
import type { WalkingPacket } from "./iptables/packet-walk.ts";

/** What a policy says by itself: a chain's end, or nothing. */
export type Answer = "allow" | "deny" | "pass" | "nothing";

/** A dataplane whose rules packets can walk through. */
export interface WalkedDataplane {
  /** The rules of one policy. */
  policy(
    policy: Policy,
    direction: Direction,
    sets: Picture["sets"],
  ): (packet: WalkingPacket) => { readonly answer: Answer; readonly logged: number };
  /** All of it, for packets that are forwarded. */
  forward(
    changes: Changes,
  ): Promise<
    (packet: WalkingPacket) => { readonly answer: "allow" | "deny" | undefined; readonly logged: number }
  >;
}

/** The same resources as the evaluator takes them. */
export function stateOf(updates: readonly Update[]): PolicyState {
  // biome-ignore lint/suspicious/noExplicitAny: the kind says which resource it is
  const of = (...kinds: string[]): any[] => {
    const latest = new Map<string, unknown>();
    for (const update of updates) {
      if (update.type === "put" && kinds.includes(update.key.kind)) {
        const { kind, namespace, name } = update.key;
        latest.set(`${kind} ${namespace} ${name}`, update.value);
      }
    }
    return [...latest.values()];
  };
  return {
    policies: of("NetworkPolicy", "GlobalNetworkPolicy").map(resolvePolicy),
    profiles: of("Profile").map(resolveProfile),
    tiers: of("Tier").map(resolveTier),
    hostEndpoints: of("HostEndpoint").map(({ metadata, spec }) => ({
      id: metadata.name,
      labels: metadata.labels ?? {},
      profiles: spec.profiles ?? [],
      node: spec.node,
      interfaceName: spec.interfaceName,
      addresses: spec.expectedIPs ?? [],
      ports: [],
    })),
    endpoints: of("WorkloadEndpoint").map(({ metadata, spec }) => ({
      id: spec.interfaceName,
      node: spec.node,
      labels: metadata.labels,
      profiles: spec.profiles,
      addresses: spec.ipNetworks.map((net: string) => networkAddress(cidr(net))),
      ports: spec.ports ?? [],
    })),
    networkSets: of("NetworkSet", "GlobalNetworkSet").map(({ metadata: { namespace, labels }, spec }) => ({
      labels: { ...labels, ...(namespace && { "projectcalico.org/namespace": namespace }) },
      profiles: namespace ? [`kns.${namespace}`] : [],
      nets: spec.nets,
    })),
  };
}

function walking(packet: Packet): WalkingPacket {
  const at = (address: string) => {
    const i = ADDRESSES[ipVersion(ip(address))].indexOf(address);
    return i < 2 ? `cali${PODS[i]}` : "eth0";
  };
  return {
    ...packet,
    protocol: protocolNumber(packet.protocol),
    inInterface: at(packet.source),
    outInterface: at(packet.destination),
  };
}

/** To be called inside `describe`. */
export function itMeansTheModel(dataplane: WalkedDataplane): void {
  const runs = (usual: number) => ({ numRuns: Number(process.env["CALYX_RUNS"] ?? usual) });

  it("of one policy are the model's, for any rules", () => {
    const count: Record<Answer, number> = { allow: 0, deny: 0, pass: 0, nothing: 0 };
    const me = { labels: { me: "yes", app: "x" }, address: [ADDRESSES[4][0]!, ADDRESSES[6][0]!] };
    const peer = (i: number, more: object) =>
      workload(PODS[i]!, { address: [ADDRESSES[4][i]!, ADDRESSES[6][i]!], profiles: ["open"], ...more });
    const world = [
      profile("open", { ingress: [{ action: "Allow" }], egress: [{ action: "Allow" }] }),
      profile("kns.one", { labelsToApply: { "pcns.team": "a" } }),
      workload("a", { ...me, ports: [{ name: "http", protocol: "TCP", port: 1 }] }),
      peer(1, {
        labels: { app: "y" },
        profiles: ["open", "kns.one"],
        ports: [{ name: "http", protocol: "UDP", port: 3 }],
      }),
      peer(2, { labels: { team: "a" }, ports: [{ name: "dns", protocol: "UDP", port: 5 }] }),
      globalNetworkSet("s", [NETS[4][3]!, NETS[6][3]!], { app: "x" }),
    ];
    fc.assert(
      fc.property(
        fc.array(ruleResource, { minLength: 1, maxLength: 3 }),
        few("ingress", "egress"),
        fc.array(packet, { minLength: 25, maxLength: 25 }),
        (list, direction, packets) => {
          const types = [direction === "ingress" ? "Ingress" : "Egress"];
          const updates = [...world, globalPolicy("p", { selector: "has(me)", types, [direction]: list })];
          const { picture, problems } = new Calculation(...updates);
          assert.deepEqual(problems, []);
          const policy = picture.policies.get("gnp/p")!;
          const evaluator = new PolicyEvaluator(stateOf(updates));
          const walk = dataplane.policy(policy, direction as Direction, picture.sets);
          for (const one of packets) {
            const mine = evaluator
              .verdict(one)
              .directions.find(
                ({ endpoint, direction: asked }) => endpoint === "calia" && asked === direction,
              );
            if (!mine) continue;
            const steps = mine.trace.filter(({ reason }) => reason.kind === "policy");
            const last = steps.at(-1)?.action;
            const expected: Answer = last === undefined || last === "log" ? "nothing" : last;
            const { answer, logged } = walk(walking(one));
            const context = JSON.stringify(one);
            assert.equal(answer, expected, context);
            assert.equal(logged, steps.filter(({ action: what }) => what === "log").length, context);
            count[expected]++;
          }
        },
      ),
      runs(300),
    );
    // Else the test would say nothing.
    assert.ok(Math.min(...Object.values(count)) > 50, JSON.stringify(count));
  });

  it("of everything together are the model's, for any policies", async () => {
    const count = { allow: 0, deny: 0 };
    await fc.assert(
      fc.asyncProperty(
        resources,
        fc.array(packet, { minLength: 20, maxLength: 20 }),
        async (updates, packets) => {
          const { graph, problems } = new Calculation();
          graph.apply(updates);
          const walk = await dataplane.forward(graph.drain());
          assert.deepEqual(problems, []);
          const evaluator = new PolicyEvaluator(stateOf(updates));
          for (const one of packets) {
            const expected = evaluator.verdict(one);
            const stranger = expected.directions.find(({ endpoint }) => endpoint === "calic");
            // What another host's egress denies does not arrive here.
            if (stranger?.direction === "egress" && stranger.verdict === "deny") continue;
            const ours = expected.directions.filter(({ endpoint }) => endpoint !== "calic");
            const verdict = ours.every(each => each.verdict === "allow") ? "allow" : "deny";
            const actual = walk(walking(one));
            count[verdict]++;
            assert.equal(actual.answer, verdict, `${JSON.stringify(one)} of ${JSON.stringify(ours)}`);
            const logs = ours.flatMap(({ trace }) => trace).filter(step => step.action === "log");
            assert.equal(actual.logged, logs.length);
          }
        },
      ),
      runs(60),
    );
    // Else the test would say nothing.
    assert.ok(count.allow > 20 && count.deny > 20, JSON.stringify(count));
  });
}
