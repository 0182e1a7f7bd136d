/** All flows as a matrix, with the world outside among the sources, and what it comes to below. */

import type { Reach } from "../../../policy/flows/reach.ts";
import { trafficText } from "../../../policy/flows/traffic.ts";
import { declaredText, type FlowPlan, type PeerFlows } from "./flows.ts";
import { type MatrixCell, matrixText } from "./matrix-text.ts";
import { packetText } from "./packets.ts";
import { peerText } from "./peer-text.ts";

export function flowMatrix(plan: FlowPlan, reach: Reach): string {
  const peers = [...plan.endpoints, ...plan.others];
  const entries = peers.map(peer => {
    const name = peerText(peer);
    if (peer.kind !== "endpoints") return { name };
    return { name, ports: plan.declared(peer) ? declaredText(reach.endpoint(peer.ids[0]!)!) : "any" };
  });
  return matrixText({
    entries,
    cell: (from, to) => {
      const target = peers[to]!;
      const found = target.kind === "endpoints" ? plan.between(peers[from]!, target) : undefined;
      return found && cellOf(found, plan.declared(found.to) !== undefined);
    },
  });
}

function cellOf({ flows }: PeerFlows, declared: boolean): MatrixCell {
  const kinds = flows.map(({ kind }) => kind);
  const open = flows.filter(({ verdict }) => verdict.verdict === "allow").map(({ kind }) => kind);
  if (open.length === 0) return { open: "none" };
  if (open.length === kinds.length) return { open: "all" };
  const what = declared ? open.map(({ packet }) => packetText(packet)).join(", ") : trafficText(open, kinds);
  return { open: "some", what };
}
