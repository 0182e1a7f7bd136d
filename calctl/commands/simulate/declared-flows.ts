/**
 * All declared ports of all endpoints asked at once, which is what keeps a thousand pods that no two policies treat alike
 * within seconds: the evaluator walks each wall once, not once for each pair (policy/evaluation/matrix.ts).
 */

import { type IpVersion, ipVersion } from "../../../net/ip.ts";
import type { Decision, Matrix, Target } from "../../../policy/evaluate.ts";
import type { EndpointPeer, Peer } from "../../../policy/flows/peers.ts";
import type { Reach } from "../../../policy/flows/reach.ts";
import type { TrafficKind } from "../../../policy/flows/traffic-kinds.ts";

interface Row {
  readonly matrix: Matrix;
  readonly place: number;
}

interface Column {
  /** Of the first member, and of the second, to whom the first talks. */
  readonly places: readonly number[];
  readonly count: number;
}

export class DeclaredFlows {
  readonly #rows: Record<IpVersion, Map<Peer, Row>> = { 4: new Map(), 6: new Map() };
  readonly #columns: Record<IpVersion, Map<EndpointPeer, Column>> = { 4: new Map(), 6: new Map() };

  /** Which host of several is the sender depends on the target, so hosts are not among the senders. */
  constructor(
    reach: Reach,
    peers: readonly Peer[],
    declared: ReadonlyMap<EndpointPeer, readonly TrafficKind[]>,
  ) {
    for (const version of [4, 6] as const) {
      const targets: Target[] = [];
      for (const [peer, kinds] of declared) {
        const places: number[] = [];
        for (const id of peer.ids.slice(0, 2)) {
          const address = reach.endpoint(id)?.addresses.find(one => ipVersion(one) === version);
          if (address === undefined) continue;
          places.push(targets.length);
          for (const { packet } of kinds)
            targets.push({ address, protocol: packet.protocol, port: packet.destinationPort! });
        }
        if (places.length > 0) this.#columns[version].set(peer, { places, count: kinds.length });
      }
      const senders = peers.flatMap(peer => {
        const address = peer.kind === "hosts" ? undefined : reach.addressOf(peer, version);
        return address === undefined ? [] : [{ peer, address }];
      });
      if (targets.length === 0 || senders.length === 0) continue;
      const matrix = reach.evaluator.matrix(
        senders.map(({ address }) => address),
        targets,
      );
      for (const [place, { peer }] of senders.entries()) this.#rows[version].set(peer, { matrix, place });
    }
  }

  /** In the order of the declared ports; undefined where the pair is not among what was asked. */
  between(from: Peer, to: EndpointPeer): readonly Decision[] | undefined {
    for (const version of [4, 6] as const) {
      const row = this.#rows[version].get(from);
      const column = this.#columns[version].get(to);
      const first = column?.places[from === to ? 1 : 0];
      if (row === undefined || column === undefined || first === undefined) continue;
      return Array.from({ length: column.count }, (_, i) => row.matrix.decision(row.place, first + i));
    }
    return undefined;
  }
}
