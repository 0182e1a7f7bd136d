/**
 * What a comparison found, put together for people and programs: pairs of peers to which the same happens for the same
 * reasons become one change of many to many.
 */

import type { IpVersion } from "../../../net/ip.ts";
import type { Comparison, FlowChange } from "../../../policy/flows/compare.ts";
import type { Peer } from "../../../policy/flows/peers.ts";
import { mergeTraffic, type Traffic, trafficText } from "../../../policy/flows/traffic.ts";
import { type Decisions, decisionsOf } from "./decision.ts";
import { EndpointSets } from "./endpoint-sets.ts";
import type { RuleSources } from "./rule-sources.ts";

export interface Change {
  readonly from: readonly Peer[];
  readonly to: readonly Peer[];
  readonly versions: readonly IpVersion[];
  readonly traffic: readonly Traffic[];
  readonly text: string;
  readonly before: Decisions;
  readonly after: Decisions;
}

export interface Changes {
  readonly opens: readonly Change[];
  readonly closes: readonly Change[];
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly compared: {
    readonly endpoints: number;
    readonly hosts: number;
    /** Blocks that rules name, and what is in none of them. */
    readonly outside: number;
    readonly packets: number;
  };
  /** All endpoints that were compared, to say "all of a namespace". */
  readonly sets: EndpointSets;
}

export function describeChanges(comparison: Comparison, before: RuleSources, after: RuleSources): Changes {
  const { changes, peers, versions, packets, added, removed } = comparison;
  const described = changes.map(change => ({
    ...change,
    text: trafficText(change.kinds, change.all),
    before: decisionsOf(change.before, before),
    after: decisionsOf(change.after, after),
  }));
  const of = (wanted: FlowChange["change"]): Change[] => {
    const chosen = described.filter(({ change }) => change === wanted);
    const alike = Map.groupBy(chosen, one => JSON.stringify([one.text, one.before, one.after]));
    return [...alike.values()].flatMap(members => {
      const { kinds, all, text, before, after } = members[0]!;
      const traffic = mergeTraffic(kinds, all);
      return byVersions(members).flatMap(part =>
        rectangles(part.pairs).map(({ from, to }) => ({
          from,
          to,
          versions: part.versions,
          traffic,
          text: part.versions.length === versions.length ? text : `${text}, IPv${part.versions.join()} only`,
          before,
          after,
        })),
      );
    });
  };
  const ids = peers.endpoints.flatMap(peer => peer.ids);
  return {
    opens: of("opens"),
    closes: of("closes"),
    added,
    removed,
    compared: {
      endpoints: ids.length,
      hosts: peers.hosts.flatMap(peer => peer.names).length,
      outside: peers.outside.length,
      packets,
    },
    sets: new EndpointSets(ids),
  };
}

/** Pairs to which it happens in both versions are one, and apart from those to which it happens in one. */
function byVersions(changes: readonly VersionedPair[]): { versions: IpVersion[]; pairs: Pair[] }[] {
  const ofPair = Map.groupBy(changes, ({ from }) => from);
  const pairs = [...ofPair.values()].flatMap(own => [...Map.groupBy(own, ({ to }) => to).values()]);
  const alike = Map.groupBy(pairs, own => own.map(({ version }) => version).join());
  return [...alike.values()].map(group => ({
    versions: group[0]!.map(({ version }) => version),
    pairs: group.map(([first]) => first!),
  }));
}

interface Pair {
  readonly from: Peer;
  readonly to: Peer;
}

interface VersionedPair extends Pair {
  readonly version: IpVersion;
}

/**
 * Many pairs as few rectangles: {a, b} x {c, d} instead of a-c, a-d, b-c, b-d. Sources that have the same targets are put
 * together: not always the fewest there could be, but what a default deny of a namespace closes is one.
 */
function rectangles(pairs: readonly Pair[]): { readonly from: Peer[]; readonly to: Peer[] }[] {
  const numbers = new Map<Peer, number>();
  for (const { to } of pairs) if (!numbers.has(to)) numbers.set(to, numbers.size);
  const bySource = Map.groupBy(pairs, ({ from }) => from);
  const targets = [...bySource].map(([from, own]) => ({ from, to: [...new Set(own.map(({ to }) => to))] }));
  const alike = Map.groupBy(targets, ({ to }) =>
    to
      .map(peer => numbers.get(peer)!)
      .sort((a, b) => a - b)
      .join(),
  );
  return [...alike.values()].map(rows => ({ from: rows.map(({ from }) => from), to: rows[0]!.to }));
}
