/** All flows as a matrix, with hosts and the world outside among the sources. */

import type { Peer } from "../../../policy/flows/peers.ts";
import type { Reach } from "../../../policy/flows/reach.ts";
import { trafficText } from "../../../policy/flows/traffic.ts";
import { alikeGroups, type Cell, NOBODY } from "./alike.ts";
import { EndpointSets, outsideText } from "./endpoint-sets.ts";
import { declaredText, type Flow, type FlowPlan } from "./flows.ts";
import { type MatrixCell, matrixText } from "./matrix-text.ts";
import { packetText } from "./packets.ts";

/** Up to here every peer has its own line; above, those to which it comes to the same share one. */
const LINES = 30;

export function flowMatrix(plan: FlowPlan, reach: Reach): string {
  const peers: readonly Peer[] = [...plan.endpoints, ...plan.others];
  const cells = cellsOf(plan, peers);
  const portsOf = peers.map(peer => portsText(peer, plan, reach));
  const groups =
    peers.length <= LINES
      ? peers.map((_, i) => [i])
      : alikeGroups(peers.length, numbered(cells), i => `${peers[i]!.kind} ${portsOf[i] ?? ""}`);
  const sets = new EndpointSets(plan.endpoints.flatMap(({ ids }) => ids));
  return matrixText({
    entries: groups.map(members => {
      const name = nameOf(
        members.map(i => peers[i]!),
        sets,
      );
      const ports = portsOf[members[0]!];
      return ports === undefined ? { name } : { name, ports };
    }),
    cell: (from, to) => {
      const [a, b] = [groups[from]!, groups[to]!];
      // Within a group one talks to another, where a single endpoint would have only itself.
      return cells[a[0]!]![from === to && b.length > 1 ? b[1]! : b[0]!];
    },
  });
}

function nameOf(members: readonly Peer[], sets: EndpointSets): string {
  const ids = members.flatMap(peer => (peer.kind === "endpoints" ? peer.ids : []));
  if (ids.length > 0) return sets.short(ids);
  const [first] = members;
  const name =
    first!.kind === "outside"
      ? outsideText(first!)
      : `host ${first!.kind === "hosts" ? first!.names[0] : ""}`;
  const count = members.reduce((sum, peer) => sum + (peer.kind === "hosts" ? peer.names.length : 1), 0);
  return count === 1 ? name : `${name} and ${count - 1} more`;
}

/** Undefined for what is no target. */
function portsText(peer: Peer, plan: FlowPlan, reach: Reach): string | undefined {
  if (peer.kind !== "endpoints") return undefined;
  return plan.declared(peer) ? declaredText(reach.endpoint(peer.ids[0]!)!) : "any";
}

/** By sender and target; undefined where nobody is asked. */
function cellsOf(plan: FlowPlan, peers: readonly Peer[]): (MatrixCell | undefined)[][] {
  const places = new Map(peers.map((peer, place) => [peer, place]));
  const cells = peers.map(() => new Array<MatrixCell | undefined>(peers.length));
  for (const [column, to] of peers.entries()) {
    if (to.kind !== "endpoints") continue;
    const isDeclared = plan.declared(to) !== undefined;
    const known = new Map<readonly Flow[], MatrixCell>();
    for (const { from, flows } of plan.into(to, peers)) {
      const cell = known.get(flows) ?? flowsCell(flows, isDeclared);
      known.set(flows, cell);
      cells[places.get(from)!]![column] = cell;
    }
  }
  return cells;
}

const NONE: MatrixCell = { open: "none" };
const ALL: MatrixCell = { open: "all" };

function flowsCell(flows: readonly Flow[], declared: boolean): MatrixCell {
  const open = flows.flatMap(({ steps, kind }) => (steps.verdict === "allow" ? [kind] : []));
  if (open.length === 0) return NONE;
  if (open.length === flows.length) return ALL;
  const kinds = flows.map(({ kind }) => kind);
  const what = declared ? open.map(({ packet }) => packetText(packet)).join(", ") : trafficText(open, kinds);
  return { open: "some", what };
}

/** Each different cell as a number: they are compared more often than they are made. */
function numbered(cells: readonly (readonly (MatrixCell | undefined)[])[]): Cell {
  const known = new Map<string, number>();
  const rows = cells.map(row =>
    Uint32Array.from(row, cell => {
      if (cell === undefined) return NOBODY;
      const text = `${cell.open} ${cell.what ?? ""}`;
      const number = known.get(text) ?? known.size + 1;
      known.set(text, number);
      return number;
    }),
  );
  return (from, to) => rows[from]![to]!;
}
