/**
 * What a change of policy changes: every flow that the old and the new state judge differently.
 *
 * Not a sample. Peers (peers.ts) and kinds of packets (traffic-kinds.ts) are cut so finely that no rule of either
 * state tells apart what is within one, so one packet for each pair of peers and kind of packet answers for all
 * there are. Ports that nobody declares and protocols that nobody names are among them.
 *
 * The cost is pairs of peers x kinds of packets, where only pairs are asked at whose ends something changed.
 */

import type { IpVersion } from "../../net/ip.ts";
import type { Direction } from "../model.ts";
import type { PolicyState } from "../policy-state.ts";
import { type AskedSender, askInto } from "./ask-into.ts";
import { type DecidingSteps, isTunnel } from "./deciding-steps.ts";
import { type Peer, type Peers, peersOf } from "./peers.ts";
import { Reach } from "./reach.ts";
import { sameApart, samePolicies } from "./sameness.ts";
import type { TrafficKind } from "./traffic-kinds.ts";

/** Packets of these kinds passed before or pass after, not both. */
export interface FlowChange {
  readonly change: "opens" | "closes";
  readonly from: Peer;
  readonly to: Peer;
  readonly version: IpVersion;
  readonly kinds: readonly TrafficKind[];
  /** All kinds that were asked about between the two. */
  readonly all: readonly TrafficKind[];
  /** On the first of the kinds; they are one change only where the same rules decided all. */
  readonly before: DecidingSteps;
  readonly after: DecidingSteps;
}

export interface Comparison {
  readonly changes: readonly FlowChange[];
  readonly peers: Peers;
  /** IP versions in which there was somebody to ask about. */
  readonly versions: readonly IpVersion[];
  /** How many packets were asked about in each state. */
  readonly packets: number;
  /** Endpoints that are in one state only: what becomes of their flows goes without saying. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** `staged`: the state after is taken as if all its staged policies were carried out. */
export function compareStates(before: PolicyState, after: PolicyState, { staged = false } = {}): Comparison {
  const old = new Reach(before);
  const next = new Reach(after, { staged });
  const peers = peersOf([old.state, next.state]);
  const all: Peer[] = [...peers.endpoints, ...peers.hosts, ...peers.outside];
  const asked = askedPairs(old, next, all);
  const changes: FlowChange[] = [];
  const versions = new Set<IpVersion>();
  let packets = 0;
  for (const to of all) {
    const senders = all.filter(from => asked(from, to));
    for (const version of senders.length === 0 ? [] : ([4, 6] as const)) {
      for (const { from, kinds, steps } of askInto([old, next], to, senders, version)) {
        packets += kinds.length;
        versions.add(version);
        changes.push(...pairChanges(from, to, version, kinds, steps));
      }
    }
  }
  return {
    changes,
    peers,
    versions: [...versions].sort(),
    packets,
    added: onlyIn(after, old),
    removed: onlyIn(before, next),
  };
}

function onlyIn({ endpoints }: PolicyState, other: Reach): string[] {
  return endpoints.flatMap(({ id }) => (other.endpoint(id) === undefined ? [id] : [])).sort();
}

/**
 * Where only policies differ, the verdict can only differ where other policies are asked at one of the ends, or on
 * hosts on the way. Between two ends that are neither endpoints nor governed hosts nobody is asked.
 */
function askedPairs(old: Reach, next: Reach, peers: readonly Peer[]): (from: Peer, to: Peer) => boolean {
  const governed = [old, next].some(({ state }) => (state.hostEndpoints ?? []).length > 0);
  const isEnd = ({ kind }: Peer): boolean => kind === "endpoints" || (governed && kind === "hosts");
  const everywhere =
    !sameApart(old.state, next.state) || !samePolicies(old.policiesAtHosts, next.policiesAtHosts);
  const touched = (direction: Direction): Set<Peer> =>
    new Set(
      peers.filter(peer => {
        if (everywhere) return true;
        if (peer.kind !== "endpoints") return false;
        const id = peer.ids[0]!;
        return !samePolicies(old.policies(id, direction), next.policies(id, direction));
      }),
    );
  const senders = touched("egress");
  const receivers = touched("ingress");
  return (from, to) => (isEnd(from) || isEnd(to)) && (senders.has(from) || receivers.has(to));
}

function pairChanges(
  from: Peer,
  to: Peer,
  version: IpVersion,
  kinds: readonly TrafficKind[],
  steps: AskedSender["steps"],
): FlowChange[] {
  const asked = kinds
    .map((kind, i) => ({ kind, before: steps[0]![i]!, after: steps[1]![i]! }))
    .filter(({ before, after }) => !isTunnel(before) || !isTunnel(after));
  const every = asked.map(({ kind }) => kind);
  const found = asked.flatMap(({ kind, before, after }) => {
    if (before.verdict === after.verdict) return [];
    const change: FlowChange["change"] = after.verdict === "allow" ? "opens" : "closes";
    return [{ change, kind, before, after }];
  });
  const byReason = Map.groupBy(found, ({ change, before, after }) =>
    JSON.stringify([change, decidedBy(before), decidedBy(after)]),
  );
  return [...byReason.values()].map(members => {
    const { change, before, after } = members[0]!;
    return { change, from, to, version, kinds: members.map(({ kind }) => kind), all: every, before, after };
  });
}

/** The reasons alone. */
function decidedBy({ egress, ingress }: DecidingSteps): unknown {
  return [egress?.reason, ingress?.reason];
}
