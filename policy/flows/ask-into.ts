/**
 * Everything that senders may send to one target, in one state or in several: all senders at once whose own rules are the
 * same, since then the same kinds of packets are told apart (evaluation/matrix.ts). That is what keeps a thousand
 * endpoints that no two policies treat alike within seconds. Where rules ask for source ports, of which a matrix knows
 * nothing, every pair is asked by itself.
 */

import type { Ip, IpVersion } from "../../net/ip.ts";
import { policyKey } from "../model.ts";
import { type DecidingSteps, decidingSteps } from "./deciding-steps.ts";
import type { Peer } from "./peers.ts";
import { kindsBetween, type Reach } from "./reach.ts";
import type { TrafficKind } from "./traffic-kinds.ts";

export interface AskedSender {
  readonly from: Peer;
  readonly kinds: readonly TrafficKind[];
  /** What each state decides about each of the kinds. */
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
  const pairwise = states.some(reach => reach.asksSourcePorts);
  const groups = Map.groupBy(sending, sender => groupOf(sender, states, kinds === undefined, pairwise));
  return [...groups.values()].flatMap(group => {
    const asked = kinds ?? kindsBetween(group[0]!.from, to, version, states);
    return pairwise ? askPairs(states, group, asked) : askTogether(states, group, asked);
  });
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
