/**
 * The flows there are to ask about when nobody says which: from every endpoint to every other one, on the ports that
 * one declares. One that declares none is asked about everything its rules can tell apart, since anything may
 * listen there. Endpoints that no policy tells apart are asked once.
 */

import {
  type EndpointPeer,
  type HostPeer,
  type OutsidePeer,
  type Peer,
  peersOf,
} from "../../../policy/flows/peers.ts";
import { isTunnel, kindsBetween, type Reach } from "../../../policy/flows/reach.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";
import { canonicalProtocol } from "../../../policy/model.ts";
import type { EvaluatedEndpoint, PortOfEndpoint } from "../../../policy/policy-state.ts";
import { type DecidingSteps, decidingSteps } from "./decision.ts";
import { DeclaredFlows } from "./declared-flows.ts";
import { EPHEMERAL } from "./packets.ts";

export interface Flow {
  readonly kind: TrafficKind;
  readonly steps: DecidingSteps;
}

/** All flows between two peers, or within one of several. */
export interface PeerFlows {
  readonly from: Peer;
  readonly to: EndpointPeer;
  readonly flows: readonly Flow[];
}

/** What is asked of a target: the ports it declares, or, where it declares none or `all` is wanted, everything. */
export class FlowPlan {
  readonly endpoints: readonly EndpointPeer[];
  /** Hosts where policies can stand in their way, and the world outside. */
  readonly others: readonly (HostPeer | OutsidePeer)[];
  readonly #reach: Reach;
  readonly #declared = new Map<EndpointPeer, readonly TrafficKind[]>();
  readonly #atOnce: DeclaredFlows | undefined;

  constructor(reach: Reach, { allPorts = false } = {}) {
    this.#reach = reach;
    const { endpoints, hosts, outside } = peersOf([reach.state], declaredText);
    this.endpoints = endpoints;
    this.others = [...hosts, ...outside];
    for (const peer of allPorts ? [] : endpoints) {
      const { ports = [] } = reach.endpoint(peer.ids[0]!) ?? {};
      if (ports.length > 0) this.#declared.set(peer, ports.map(declaredKind));
    }
    // All at once is about packets without a source port.
    if (!reach.asksSourcePorts)
      this.#atOnce = new DeclaredFlows(reach, [...endpoints, ...outside], this.#declared);
  }

  /** Undefined where it is asked about everything. */
  declared(peer: EndpointPeer): readonly TrafficKind[] | undefined {
    return this.#declared.get(peer);
  }

  /** Undefined where nobody sends: an endpoint to itself, or ends without a version in common. */
  between(from: Peer, to: EndpointPeer): PeerFlows | undefined {
    const declared = this.#declared.get(to);
    const known = this.#atOnce?.between(from, to);
    if (declared && known)
      return { from, to, flows: declared.map((kind, i) => ({ kind, steps: known[i]! })) };
    for (const version of [4, 6] as const) {
      const ends = this.#reach.ends(from, to, version);
      if (ends === undefined) continue;
      const kinds = declared ?? kindsBetween(from, to, version, [this.#reach]);
      const flows = kinds.flatMap(kind => {
        const verdict = this.#reach.verdict(...ends, kind);
        return isTunnel(verdict) ? [] : [{ kind, steps: decidingSteps(verdict) }];
      });
      return { from, to, flows };
    }
    return undefined;
  }
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
