/**
 * Who may talk to whom, without saying the same thing twice: endpoints that no policy tells apart are one peer, so
 * are hosts, and so is each part of the world outside that rules name by its addresses.
 */

import { type Cidr, contains } from "../../net/cidr.ts";
import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import type { EvaluatedEndpoint, PolicyState } from "../policy-state.ts";
import { blocksOf, endpointClasses } from "./endpoint-classes.ts";
import { outsideAddresses } from "./outside-addresses.ts";

export interface EndpointPeer {
  readonly kind: "endpoints";
  /** By id, sorted; at least one. */
  readonly ids: readonly string[];
}

export interface HostPeer {
  readonly kind: "hosts";
  /** Sorted; at least one. */
  readonly names: readonly string[];
}

export interface OutsidePeer {
  readonly kind: "outside";
  readonly version: IpVersion;
  /** The smallest block around it that a rule or network set names; undefined for all that none does. */
  readonly block: Cidr | undefined;
  /** One of its addresses, that speaks for all. */
  readonly address: Ip;
}

export type Peer = EndpointPeer | HostPeer | OutsidePeer;

export interface Peers {
  readonly endpoints: readonly EndpointPeer[];
  readonly hosts: readonly HostPeer[];
  readonly outside: readonly OutsidePeer[];
}

/**
 * Of all states together: what any of them tells apart is apart, and only who is in all of them is named.
 * `distinguish` keeps endpoints apart for reasons of the caller's own.
 */
export function peersOf(
  states: readonly PolicyState[],
  distinguish: (endpoint: EvaluatedEndpoint) => string = () => "",
): Peers {
  const classes = states.map(endpointClasses);
  const groups = Map.groupBy(
    (states[0]?.endpoints ?? []).filter(({ id }) => classes.every(known => known.has(id))),
    endpoint => [...classes.map(known => known.get(endpoint.id)), distinguish(endpoint)].join(" "),
  );
  const endpoints = [...groups.values()]
    .map(members => ({ kind: "endpoints" as const, ids: members.map(({ id }) => id).sort() }))
    .sort((a, b) => (a.ids[0]! < b.ids[0]! ? -1 : 1));
  const blocks = [...new Set(states.flatMap(blocksOf))];
  return { endpoints, hosts: hostPeers(states, blocks), outside: outsidePeers(states, blocks) };
}

/** Host endpoints make each host its own case; without them only the blocks that hold its addresses count. */
function hostPeers(states: readonly PolicyState[], blocks: readonly Cidr[]): HostPeer[] {
  const [first, ...others] = states.map(state => new Map(state.hosts?.map(host => [host.name, host])));
  const apart = states.some(state => (state.hostEndpoints ?? []).length > 0);
  const shared = [...(first?.values() ?? [])].filter(
    ({ name, addresses }) => addresses.length > 0 && others.every(known => known.has(name)),
  );
  const groups = Map.groupBy(shared, ({ name, addresses }) =>
    apart ? name : blocks.filter(block => addresses.some(address => contains(block, address))).join(),
  );
  return [...groups.values()].map(members => ({
    kind: "hosts",
    names: members.map(({ name }) => name).sort(),
  }));
}

function outsidePeers(states: readonly PolicyState[], blocks: readonly Cidr[]): OutsidePeer[] {
  const known = states.flatMap(({ endpoints, hosts = [], hostEndpoints = [] }) =>
    [...endpoints, ...hosts, ...hostEndpoints].flatMap(({ addresses }) => addresses),
  );
  const taken = new Set(known);
  const versions = [...new Set(known.map(ipVersion))].sort();
  return versions.flatMap(version =>
    outsideAddresses(blocks, version, taken).map(one => ({ kind: "outside", version, ...one }) as const),
  );
}
