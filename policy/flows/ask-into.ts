/**
 * Everything that senders may send to one target, in one state or in several. Mostly nobody is asked but the two ends, and
 * then a pair costs the looking up of its candidates (evaluation/candidates-of-ends.ts): that is what keeps a thousand
 * endpoints of which no two are treated alike within seconds. Others, such as hosts, are asked together as far as their own
 * rules are the same, since then the same kinds of packets are told apart (evaluation/matrix.ts); where rules ask for
 * source ports, of which a matrix knows nothing, every pair by itself.
 */

import type { Ip, IpVersion } from "../../net/ip.ts";
import type { CandidatesBetween } from "../evaluate.ts";
import { policyKey } from "../model.ts";
import type { Step } from "../verdict.ts";
import { type DecidingSteps, decidingSteps } from "./deciding-steps.ts";
import { askLists, partitionOf } from "./partition.ts";
import type { Peer } from "./peers.ts";
import { kindsBetween, type Reach } from "./reach.ts";
import type { TrafficKind } from "./traffic-kinds.ts";

export interface AskedSender {
  readonly from: Peer;
  readonly kinds: readonly TrafficKind[];
  /** What each state decides about each of the kinds. The same array for senders of whom the same is to be said. */
  readonly steps: readonly (readonly DecidingSteps[])[];
}

type Ends = readonly [source: Ip, destination: Ip];

interface Sender {
  readonly from: Peer;
  /** In each state. */
  readonly ends: readonly Ends[];
}

/**
 * Senders that send nothing are left out: the target itself, where it is a single endpoint, and who has no address of this
 * version. `kinds`: what to ask of everybody; without them it is all that rules tell apart between the two.
 */
export function askInto(
  states: readonly Reach[],
  to: Peer,
  senders: readonly Peer[],
  version: IpVersion,
  kinds?: readonly TrafficKind[],
): AskedSender[] {
  const sending = senders.flatMap((from): Sender[] => {
    const ends = states.flatMap(reach => {
      const found = reach.ends(from, to, version);
      return found ? [found] : [];
    });
    return ends.length === states.length ? [{ from, ends }] : [];
  });
  const [found, rest] = askDirect(states, sending, version, kinds);
  const pairwise = states.some(reach => reach.asksSourcePorts);
  const groups = Map.groupBy(rest, sender => groupOf(sender, states, kinds === undefined, pairwise));
  return found.concat(
    [...groups.values()].flatMap(group => {
      const asked = kinds ?? kindsBetween(group[0]!.from, to, version, states);
      return pairwise ? askPairs(states, group, asked) : askTogether(states, group, asked);
    }),
  );
}

type Answer = Pick<AskedSender, "kinds" | "steps">;

/** Those between whom and the target nobody is asked but the two, and who is left. */
function askDirect(
  states: readonly Reach[],
  senders: readonly Sender[],
  version: IpVersion,
  kinds: readonly TrafficKind[] | undefined,
): [AskedSender[], Sender[]] {
  const answers = new Map<number | string, Answer>();
  const found: AskedSender[] = [];
  const rest: Sender[] = [];
  for (const sender of senders) {
    const between = states.map((reach, state) => reach.evaluator.candidates.between(...sender.ends[state]!));
    if (!between.every(one => one !== undefined)) {
      rest.push(sender);
      continue;
    }
    const key = between.length === 1 ? pairNumber(between[0]!) : between.map(pairNumber).join();
    let answer = answers.get(key);
    if (answer === undefined) {
      answer = answerOf(between, version, kinds);
      answers.set(key, answer);
    }
    found.push({ from: sender.from, kinds: answer.kinds, steps: answer.steps });
  }
  return [found, rest];
}

/** Equal where the candidates are the same. */
function pairNumber({ egress, ingress }: CandidatesBetween): number {
  return ((egress?.number ?? -1) + 1) * 2 ** 26 + (ingress?.number ?? -1) + 1;
}

function answerOf(
  between: readonly CandidatesBetween[],
  version: IpVersion,
  asked: readonly TrafficKind[] | undefined,
): Answer {
  const lists = between.flatMap(({ egress, ingress }) => [egress, ingress]).filter(one => one !== undefined);
  const { kinds, steps } = asked ? askLists(lists, asked) : partitionOf(lists, version);
  let at = 0;
  return {
    kinds,
    steps: between.map(({ egress, ingress }): DecidingSteps[] => {
      const left = egress && steps[at++];
      const right = ingress && steps[at++];
      return kinds.map((_, kind) => bothSteps(left?.[kind], right?.[kind]));
    }),
  };
}

function bothSteps(egress: Step | undefined, ingress: Step | undefined): DecidingSteps {
  const isDenied = egress?.action === "deny" || ingress?.action === "deny";
  return { verdict: isDenied ? "deny" : "allow", egress, ingress };
}

/** Those of one group are asked about the same kinds of packets to the same addresses. */
function groupOf(
  { from, ends }: Sender,
  states: readonly Reach[],
  byRules: boolean,
  alone: boolean,
): unknown {
  if (alone) return from;
  const rules = byRules ? states.map(reach => rulesText(from, reach)) : [];
  return [...ends.map(([, destination]) => destination), ...rules].join(" ");
}

function rulesText(peer: Peer, reach: Reach): string {
  if (peer.kind !== "endpoints") return peer.kind;
  const id = peer.ids[0]!;
  const policies = reach.policies(id, "egress").map(policy => policyKey(policy.id));
  return [...policies, ...(reach.endpoint(id)?.profiles ?? [])].join();
}

function askTogether(
  states: readonly Reach[],
  group: readonly Sender[],
  kinds: readonly TrafficKind[],
): AskedSender[] {
  const matrices = states.map((reach, state) => {
    const [, address] = group[0]!.ends[state]!;
    return reach.evaluator.matrix(
      group.map(({ ends }) => ends[state]![0]),
      kinds.map(({ packet: { protocol, destinationPort: port, icmp } }) => ({
        address,
        protocol,
        ...(port !== undefined && { port }),
        ...(icmp && { icmp }),
      })),
    );
  });
  return group.map(({ from }, row) => ({
    from,
    kinds,
    steps: matrices.map(matrix => kinds.map((_, column) => matrix.decision(row, column))),
  }));
}

function askPairs(
  states: readonly Reach[],
  group: readonly Sender[],
  kinds: readonly TrafficKind[],
): AskedSender[] {
  return group.map(({ from, ends }) => ({
    from,
    kinds,
    steps: states.map((reach, state) =>
      kinds.map(kind => decidingSteps(reach.verdict(...ends[state]!, kind))),
    ),
  }));
}
