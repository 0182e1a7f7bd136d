/** Changes as text, closed flows last, where the eye rests; and as JSON, with nothing left out. */

import type { Peer } from "../../../policy/flows/peers.ts";
import { portRangeText } from "../../../policy/flows/port-intervals.ts";
import type { Traffic } from "../../../policy/flows/traffic.ts";
import { jsonText } from "../../output/json.ts";
import type { Change, Changes } from "./changes.ts";
import { type Decisions, decisionText } from "./decision.ts";
import type { EndpointSets } from "./endpoint-sets.ts";

export function changesText(changes: Changes): string {
  const { opens, closes, added, removed, compared, sets } = changes;
  const lines = [
    ...section("opens", opens, sets),
    ...section("closes", closes, sets),
    ...only("new, so all of its flows are", added),
    ...only("gone, and all of its flows", removed),
    opens.length + closes.length === 0 ? "No flow opens, no flow closes." : totals(changes),
    `Compared on every protocol and port that rules tell apart (${compared.packets} packets): ` +
      `${counted(compared.endpoints, "endpoint")}, ${counted(compared.hosts, "host")}, ${counted(compared.outside, "part")} of the world outside.`,
  ];
  return `${lines.join("\n")}\n`;
}

function section(verb: string, changes: readonly Change[], sets: EndpointSets): string[] {
  return changes.flatMap(({ from, to, text, before, after }) => [
    `${verb} ${sets.text(from)} -> ${sets.text(to)}`,
    `  ${text}`,
    `  before: ${decidedText(before)}`,
    `  after:  ${decidedText(after)}`,
    "",
  ]);
}

/** What denied; of what was allowed, what allowed it at each end where somebody was asked. */
function decidedText({ verdict, egress, ingress }: Decisions): string {
  const ends = { egress, ingress };
  const said = (["egress", "ingress"] as const).flatMap(direction => {
    const decision = ends[direction];
    return decision?.verdict === verdict ? [`${direction} by ${decisionText(decision)}`] : [];
  });
  return `${verdict}, ${said.length === 0 ? "as nobody is asked" : said.join(", ")}`;
}

function only(what: string, ids: readonly string[]): string[] {
  return ids.length === 0 ? [] : [`${ids.join(", ")}: ${what}`, ""];
}

function totals({ opens, closes }: Changes): string {
  return `Flows open between ${counted(pairs(opens), "pair")}, close between ${pairs(closes)}.`;
}

/** Of single endpoints, hosts and parts of the world outside, each counted once. */
function pairs(changes: readonly Change[]): number {
  const targets = new Map<Peer, Set<Peer>>();
  for (const { from, to } of changes)
    for (const source of from) {
      const known = targets.get(source) ?? new Set();
      for (const target of to) known.add(target);
      targets.set(source, known);
    }
  let count = 0;
  for (const [source, own] of targets)
    for (const target of own) count += size(source) * (size(target) - (source === target ? 1 : 0));
  return count;
}

function size(peer: Peer): number {
  if (peer.kind === "outside") return 1;
  return peer.kind === "hosts" ? peer.names.length : peer.ids.length;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** The shape is what scripts build on: docs/policy.md. */
export function changesJson({ opens, closes, added, removed, compared }: Changes): string {
  const plain = ({ from, to, versions, traffic, text, before, after }: Change) => ({
    from: from.flatMap(peerNames),
    to: to.flatMap(peerNames),
    versions,
    traffic: traffic.map(trafficFields),
    text,
    before,
    after,
  });
  return jsonText({ opens: opens.map(plain), closes: closes.map(plain), added, removed, compared });
}

function peerNames(peer: Peer): string[] {
  switch (peer.kind) {
    case "endpoints":
      return [...peer.ids];
    case "hosts":
      return peer.names.map(name => `host:${name}`);
    case "outside":
      return [`outside:${peer.block ?? `other-ipv${peer.version}`}`];
  }
}

function trafficFields({ protocol, ports, sourcePorts, icmp }: Traffic): object {
  return {
    protocol,
    ...(ports && { ports: ports.map(portRangeText) }),
    ...(sourcePorts && { sourcePorts: sourcePorts.map(portRangeText) }),
    ...(icmp && { icmp }),
  };
}
