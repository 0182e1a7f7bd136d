/** Sets of peers in few words: `all of shop`, `default/a, default/b and 3 more`, `10.0.0.0/8 outside`. */

import type { Peer } from "../../../policy/flows/peers.ts";

const NAMED = 3;

export class EndpointSets {
  readonly #namespaces: ReadonlyMap<string, readonly string[]>;
  readonly #count: number;

  /** `ids`: all endpoints there are, as `namespace/name`. */
  constructor(ids: readonly string[]) {
    this.#namespaces = Map.groupBy(ids, namespaceOf);
    this.#count = ids.length;
  }

  text(peers: readonly Peer[]): string {
    const ids = peers.flatMap(peer => (peer.kind === "endpoints" ? peer.ids : []));
    const hosts = peers.flatMap(peer => (peer.kind === "hosts" ? peer.names : []));
    const outside = peers.flatMap(peer => (peer.kind === "outside" ? [outsideText(peer)] : []));
    return [
      ...this.#endpoints(ids),
      ...(hosts.length === 0 ? [] : [`host${hosts.length === 1 ? "" : "s"} ${some(hosts)}`]),
      ...(outside.length === 0 ? [] : [some(outside)]),
    ].join("; ");
  }

  /** A few columns wide: `all 50 in shop`, `shop/web and 3 more`. */
  short(ids: readonly string[]): string {
    const [first, ...others] = ids;
    const namespace = namespaceOf(first!);
    const isWhole =
      this.#namespaces.get(namespace)?.length === ids.length &&
      ids.every(id => namespaceOf(id) === namespace);
    if (others.length === 0) return first!;
    return isWhole ? `all ${ids.length} in ${namespace}` : `${first} and ${others.length} more`;
  }

  #endpoints(ids: readonly string[]): string[] {
    if (ids.length === 0) return [];
    if (ids.length === this.#count && ids.length > 1) return [`all ${ids.length} endpoints`];
    const whole: string[] = [];
    const rest: string[] = [];
    for (const [namespace, members] of Map.groupBy(ids, namespaceOf)) {
      const all = this.#namespaces.get(namespace)?.length;
      if (members.length === all && all > 1) whole.push(`all ${all} in ${namespace}`);
      else rest.push(...members);
    }
    return [...(whole.length === 0 ? [] : [some(whole)]), ...(rest.length === 0 ? [] : [some(rest)])];
  }
}

export function outsideText({ block, version }: Extract<Peer, { kind: "outside" }>): string {
  return `outside ${block ?? `other IPv${version}`}`;
}

function some(texts: readonly string[]): string {
  if (texts.length <= NAMED + 1) return texts.join(", ");
  return `${texts.slice(0, NAMED).join(", ")} and ${texts.length - NAMED} more`;
}

function namespaceOf(id: string): string {
  return id.slice(0, id.indexOf("/"));
}
