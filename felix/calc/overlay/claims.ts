/**
 * Which node a prefix is at, out of all that say something about it. In the order in which they are believed: an address's
 * entry in its block (the node that uses it), the tunnel address of a node, the block's affinity.
 */

import type { Cidr } from "../../../net/cidr.ts";

const SOURCES = ["address", "tunnel", "block"] as const;
export type ClaimSource = (typeof SOURCES)[number];

export interface Claim {
  readonly source: ClaimSource;
  readonly node: string;
}

export class Claims {
  /** Of two nodes with one tunnel address, the first by name has it. */
  readonly #byPrefix = new Map<Cidr, Map<ClaimSource, Set<string>>>();
  readonly #byNode = new Map<string, Map<Cidr, number>>();

  add(prefix: Cidr, { source, node }: Claim): void {
    const bySource = getOrCreate(this.#byPrefix, prefix, () => new Map());
    const nodes = getOrCreate(bySource, source, () => new Set());
    if (nodes.has(node)) return;
    nodes.add(node);
    const prefixes = getOrCreate(this.#byNode, node, () => new Map());
    prefixes.set(prefix, (prefixes.get(prefix) ?? 0) + 1);
  }

  remove(prefix: Cidr, { source, node }: Claim): void {
    const bySource = this.#byPrefix.get(prefix);
    const nodes = bySource?.get(source);
    if (!bySource || !nodes?.delete(node)) return;
    if (nodes.size === 0) bySource.delete(source);
    if (bySource.size === 0) this.#byPrefix.delete(prefix);
    const prefixes = this.#byNode.get(node) as Map<Cidr, number>;
    const count = (prefixes.get(prefix) ?? 0) - 1;
    if (count > 0) prefixes.set(prefix, count);
    else prefixes.delete(prefix);
    if (prefixes.size === 0) this.#byNode.delete(node);
  }

  of(prefix: Cidr): Claim | undefined {
    const bySource = this.#byPrefix.get(prefix);
    for (const source of SOURCES) {
      const nodes = bySource?.get(source);
      if (nodes) return { source, node: [...nodes].sort()[0] as string };
    }
    return undefined;
  }

  /** Nodes that have it as their tunnel address. */
  tunnelsAt(prefix: Cidr): Iterable<string> {
    return this.#byPrefix.get(prefix)?.get("tunnel") ?? [];
  }

  prefixesOf(node: string): Iterable<Cidr> {
    return this.#byNode.get(node)?.keys() ?? [];
  }

  prefixes(): Iterable<Cidr> {
    return this.#byPrefix.keys();
  }
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
