/** The evaluator against a second reading of the specification, and the matrix against the evaluator. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { ip } from "../../../../net/ip.ts";
import { type DirectionVerdict, type Packet, PolicyEvaluator } from "../../../../policy/evaluate.ts";
import { decidingSteps } from "../../../../policy/flows/deciding-steps.ts";
import { policyState } from "../../../../policy/state.ts";
import { ADDRESSES, type Cluster, cluster, packet } from "./arbitrary.ts";
import { type Answer, Naive, type NaivePacket } from "./naive.ts";

const runs = (usual: number) => ({ numRuns: Number(process.env["CALYX_RUNS"] ?? usual) });

function evaluatorOf({ resources, slice }: Cluster): PolicyEvaluator {
  const { state, problems } = policyState([...resources, slice]);
  assert.deepEqual(problems, []);
  return new PolicyEvaluator(state);
}

function packetOf({ source, destination, ...rest }: NaivePacket): Packet {
  return { source: ip(source), destination: ip(destination), ...rest } as Packet;
}

/** Policies and profiles without the kind's prefix and the namespace. */
function answerOf({ endpoint, direction, verdict, trace }: DirectionVerdict): Answer {
  const { reason } = trace.at(-1)!;
  const because = (): string => {
    switch (reason.kind) {
      case "policy":
        return `${reason.policy.split("/").at(-1)}#${reason.rule}`;
      case "profile":
        return `${reason.profile}#${reason.rule}`;
      case "tier-default":
        return `tier ${reason.tier}`;
      default:
        return reason.kind;
    }
  };
  return { who: endpoint, direction, verdict, because: because() };
}

describe("policy/evaluation: any cluster", function () {
  this.timeout(60_000);

  it("is judged as by a naive reading of the specification, for the same reasons", () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(cluster, fc.array(packet, { minLength: 20, maxLength: 20 }), (made, packets) => {
        const evaluator = evaluatorOf(made);
        const naive = new Naive(made.resources, made.slice, made.toHost);
        for (const one of packets) {
          const answers = evaluator.verdict(packetOf(one)).directions.map(answerOf);
          assert.deepEqual(answers, naive.answers(one), JSON.stringify(one));
          for (const { because, verdict } of answers) {
            const sort = because.replace(/^(g|n|kns|open).*#.*/, "$1");
            seen.set(`${verdict} ${sort}`, (seen.get(`${verdict} ${sort}`) ?? 0) + 1);
          }
        }
      }),
      runs(300),
    );
    // Else the test would be about nothing.
    for (const sort of [
      "g",
      "n",
      "kns",
      "tier early",
      "tier gone",
      "no-profile",
      "failsafe",
      "forward-default",
    ])
      assert(
        [...seen.keys()].some(key => key.endsWith(sort)),
        `${sort} never decided`,
      );
  });

  it("has the same verdicts one by one and all at once", () => {
    fc.assert(
      fc.property(cluster, fc.array(packet, { minLength: 5, maxLength: 40 }), (made, packets) => {
        const evaluator = evaluatorOf(made);
        const targets = packets.map(one => {
          const { source: _, destination, ...rest } = packetOf(one);
          return {
            ...rest,
            address: destination,
            ...(rest.destinationPort && { port: rest.destinationPort }),
          };
        });
        const sources = ADDRESSES.flat().map(ip);
        const matrix = evaluator.matrix(sources, targets);
        for (const [s, source] of sources.entries()) {
          for (const [t, one] of packets.entries()) {
            const single = evaluator.verdict({ ...packetOf(one), source });
            assert.equal(
              matrix.allows(s, t),
              single.verdict === "allow",
              `${source} -> ${JSON.stringify(one)}`,
            );
            const denied = single.directions.find(direction => direction.verdict === "deny");
            if (!denied) continue;
            const decision = matrix.decision(s, t)[denied.direction];
            assert.deepEqual(decision, denied.trace.at(-1));
          }
        }
      }),
      runs(150),
    );
  });

  it("is decided by the candidates that two ends leave, where hosts have no part in it", () => {
    let asked = 0;
    fc.assert(
      fc.property(cluster, fc.array(packet, { minLength: 20, maxLength: 40 }), (made, packets) => {
        const evaluator = evaluatorOf(made);
        const all = new PolicyEvaluator(policyState([...made.resources, made.slice]).state, { askAll: true });
        for (const one of packets.map(packetOf)) {
          const between = evaluator.candidates.between(one.source, one.destination);
          if (between === undefined) continue;
          asked++;
          const { egress, ingress } = decidingSteps(all.verdict(one));
          assert.deepEqual(between.egress?.stepOf(one), egress, JSON.stringify(one));
          // What may not leave comes to nobody.
          if (egress?.reason.kind !== "spoofed-source")
            assert.deepEqual(between.ingress?.stepOf(one), ingress, JSON.stringify(one));
        }
      }),
      runs(300),
    );
    assert(asked > 100, `only ${asked}`);
  });
});
