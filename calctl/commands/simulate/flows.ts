/**
 * The flows there are to ask about when nobody says which: from every endpoint to every other one, on the ports that
 * one declares. One that declares none is asked about everything its rules can tell apart, since anything may
 * listen there. Endpoints that no policy tells apart are asked once.
 */

import { askInto } from "../../../policy/flows/ask-into.ts";
import { type DecidingSteps, isTunnel } from "../../../policy/flows/deciding-steps.ts";
import {
  type EndpointPeer,
  type HostPeer,
  type OutsidePeer,
  type Peer,
  peersOf,
} from "../../../policy/flows/peers.ts";
import type { Reach } from "../../../policy/flows/reach.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";
import { canonicalProtocol } from "../../../policy/model.ts";
import type { EvaluatedEndpoint, PortOfEndpoint } from "../../../policy/policy-state.ts";
import { EPHEMERAL } from "./packets.ts";

export interface Flow {
  readonly kind: TrafficKind;
  readonly steps: DecidingSteps;
}

/** All flows between two peers, or within one of several. */
export interface PeerFlows {
  readonly from: Peer;
  /** The same array for many senders, where the same is to be said of them. */
  readonly flows: readonly Flow[];
}

export class FlowPlan {
  readonly endpoints: readonly EndpointPeer[];
  /** Those that only send: hosts, and the world outside. */
  readonly others: readonly (HostPeer | OutsidePeer)[];
  readonly #reach: Reach;
  readonly #declared = new Map<EndpointPeer, readonly TrafficKind[]>();

  constructor(reach: Reach, { allPorts = false } = {}) {
    this.#reach = reach;
    const { endpoints, hosts, outside } = peersOf([reach.state], declaredText);
    this.endpoints = endpoints;
    this.others = [...hosts, ...outside];
    for (const peer of allPorts ? [] : endpoints) {
      const { ports = [] } = reach.endpoint(peer.ids[0]!) ?? {};
      if (ports.length > 0) this.#declared.set(peer, ports.map(declaredKind));
    }
  }

  /** Undefined where a target is asked about everything. */
  declared(peer: EndpointPeer): readonly TrafficKind[] | undefined {
    return this.#declared.get(peer);
  }

  /** What each of the senders may send to the target; without those that send nothing: itself, or no IP version in common. */
  into(to: EndpointPeer, senders: readonly Peer[]): PeerFlows[] {
    const declared = this.#declared.get(to);
    const found: PeerFlows[] = [];
    let rest = senders;
    const known = new Map<readonly DecidingSteps[], readonly Flow[]>();
    for (const version of [4, 6] as const) {
      const asked = new Set<Peer>();
      for (const { from, kinds, steps } of askInto([this.#reach], to, rest, version, declared)) {
        const flows = known.get(steps[0]!) ?? flowsOf(kinds, steps[0]!);
        known.set(steps[0]!, flows);
        found.push({ from, flows });
        asked.add(from);
      }
      rest = rest.filter(from => !asked.has(from));
    }
    return found;
  }
}

function flowsOf(kinds: readonly TrafficKind[], steps: readonly DecidingSteps[]): Flow[] {
  const flows: Flow[] = [];
  for (const [i, kind] of kinds.entries()) if (!isTunnel(steps[i]!)) flows.push({ kind, steps: steps[i]! });
  return flows;
}

function declaredKind({ protocol, port }: PortOfEndpoint): TrafficKind {
  const canonical = canonicalProtocol(protocol)!;
  return {
    protocol: canonical,
    destinationPorts: { low: port, high: port },
    packet: { protocol: canonical, sourcePort: EPHEMERAL, destinationPort: port },
  };
}

/** `80/TCP, 53/UDP`. */
export function declaredText({ ports }: EvaluatedEndpoint): string {
  return ports.map(({ protocol, port }) => `${port}/${canonicalProtocol(protocol)}`).join(", ");
}
