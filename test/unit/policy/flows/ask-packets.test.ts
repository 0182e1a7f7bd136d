import assert from "node:assert/strict";
import { type Ip, ip } from "../../../../net/ip.ts";
import { askPackets } from "../../../../policy/flows/ask-packets.ts";
import { decidingSteps } from "../../../../policy/flows/deciding-steps.ts";
import { Reach } from "../../../../policy/flows/reach.ts";
import type { Packet } from "../../../../policy/packet.ts";
import { policyState } from "../../../../policy/state.ts";

const PODS = Array.from({ length: 50 }, (_, i) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `p${i}`, labels: { role: ["web", "db", "batch"][i % 3] } },
  status: { podIP: `10.65.0.${i + 1}` },
}));
const ADDRESSES: Ip[] = PODS.map(pod => ip(pod.status.podIP));

function reachOf(ports: number[], sourcePorts?: number[]): Reach {
  const rule = {
    action: "Allow",
    protocol: "TCP",
    source: { selector: "role == 'web'", ...(sourcePorts && { ports: sourcePorts }) },
    destination: { ports },
  };
  const policy = {
    apiVersion: "projectcalico.org/v3",
    kind: "NetworkPolicy",
    metadata: { name: "db" },
    spec: { selector: "role == 'db'", ingress: [rule] },
  };
  const { state, problems } = policyState([...PODS, policy]);
  assert.deepEqual(problems, []);
  return new Reach(state);
}

function allPairs(port: number): Packet[] {
  return ADDRESSES.flatMap(source =>
    ADDRESSES.map(
      (destination): Packet => ({
        source,
        destination,
        protocol: "TCP",
        sourcePort: 40000,
        destinationPort: port,
      }),
    ),
  );
}

/** A matrix's steps are those of verdicts; where nobody is asked there are none. */
function assertAsVerdicts(reach: Reach, packets: readonly Packet[]): Set<string> {
  const stepsOf = askPackets(reach, packets);
  const verdicts = new Set<string>();
  for (const [i, packet] of packets.entries()) {
    const { verdict, egress, ingress } = stepsOf(i);
    assert.deepEqual({ verdict, egress, ingress }, { ...decidingSteps(reach.evaluator.verdict(packet)) });
    verdicts.add(verdict);
  }
  return verdicts;
}

describe("policy/flows: many packets", () => {
  it("are answered at once as they are one by one", () =>
    assert.deepEqual([...assertAsVerdicts(reachOf([80]), allPairs(80))].sort(), ["allow", "deny"]));

  it("are answered where they are few of many, each by itself", () => {
    const scattered = Array.from(
      { length: 2500 },
      (_, i): Packet => ({
        source: ADDRESSES[i % 50]!,
        destination: ADDRESSES[(i * 7) % 50]!,
        protocol: "TCP",
        destinationPort: (i % 1000) + 1,
      }),
    );
    assertAsVerdicts(reachOf([80]), scattered);
  });

  it("have source ports where a rule asks for them", () => {
    assert.deepEqual([...assertAsVerdicts(reachOf([80], [40000]), allPairs(80))].sort(), ["allow", "deny"]);
    const allowed = (ports: number[]): number => {
      const stepsOf = askPackets(reachOf([80], ports), allPairs(80));
      return allPairs(80).filter((_, i) => stepsOf(i).verdict === "allow").length;
    };
    assert.ok(allowed([40000]) > allowed([1]));
  });
});
