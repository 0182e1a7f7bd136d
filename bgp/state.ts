/**
 * The datastore as the BGP daemon sees it: the last known version of every resource it looks at.
 *
 * Not everybody who can write to the datastore has to validate first: a resource that makes no sense is reported and
 * treated as absent, as felix does, so that no rule above this one has to expect it.
 */

import {
  type BGPConfiguration,
  type BGPFilter,
  type BGPPeer,
  type FelixConfiguration,
  type IPPool,
  type Node,
  validResource,
} from "../crd-schemas/index.ts";
import { type Key, keyText, type Query } from "../datastore/key.ts";
import type { Update } from "../datastore/reflector.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";

/** What a batch of updates touched, so that only what depends on it is recomputed. */
export interface Touched {
  peerings: boolean;
  /** What may leave, and what may go into the kernel. */
  exports: boolean;
  origination: boolean;
  /** Which interfaces are workloads'. */
  interfaces: boolean;
}

export const NOTHING: Touched = {
  peerings: false,
  exports: false,
  origination: false,
  interfaces: false,
};

export function merged(a: Touched, b: Touched): Touched {
  return {
    peerings: a.peerings || b.peerings,
    exports: a.exports || b.exports,
    origination: a.origination || b.origination,
    interfaces: a.interfaces || b.interfaces,
  };
}

export class BgpState {
  readonly nodes = new Map<string, Node>();
  readonly peers = new Map<string, BGPPeer>();
  readonly filters = new Map<string, BGPFilter>();
  readonly configurations = new Map<string, BGPConfiguration>();
  readonly pools = new Map<string, IPPool>();
  /** As they are stored: felix takes of them what it can read. */
  readonly felixConfigurations = new Map<string, FelixConfiguration>();
  /** CIDRs of this node's confirmed affinities. */
  readonly blocks = new Set<Cidr>();
  /** What is wrong with those that are left out, by key. */
  readonly invalid = new Map<string, string>();
  readonly #onInvalid: (key: Key, message: string) => void;

  constructor(onInvalid: (key: Key, message: string) => void = () => {}) {
    this.#onInvalid = onInvalid;
  }

  /** What to follow in the datastore. */
  static queries(nodeName: string): Query[] {
    return [
      { kind: "Node" },
      { kind: "BGPPeer" },
      { kind: "BGPFilter" },
      { kind: "BGPConfiguration" },
      { kind: "IPPool" },
      { kind: "FelixConfiguration" },
      { kind: "BlockAffinity", namespace: `host:${nodeName}` },
    ];
  }

  apply(updates: readonly Update[]): Touched {
    const touched = { ...NOTHING };
    for (const update of updates) {
      const value = this.#valueOf(update);
      const { kind, name } = update.key;
      switch (kind) {
        case "Node": {
          // Heartbeats, tunnel addresses and the like pass here all the time, and mean nothing to BGP.
          const before = this.nodes.get(name);
          put(this.nodes, name, value);
          if (bgpFacts(value) !== bgpFacts(before)) touched.peerings = true;
          if (wireguardFacts(value) !== wireguardFacts(before)) touched.exports = true;
          break;
        }
        case "BGPPeer":
          put(this.peers, name, value);
          touched.peerings = true;
          break;
        case "BGPFilter":
          put(this.filters, name, value);
          touched.peerings = touched.exports = touched.origination = true;
          break;
        case "BGPConfiguration":
          put(this.configurations, name, value);
          touched.peerings = touched.exports = touched.origination = true;
          break;
        case "IPPool":
          put(this.pools, name, value);
          touched.exports = touched.origination = true;
          break;
        case "FelixConfiguration":
          put(this.felixConfigurations, name, value);
          touched.interfaces = true;
          break;
        case "BlockAffinity": {
          const block = parseCidr(name);
          if (block === undefined) break;
          if (value !== undefined && isConfirmed(value)) this.blocks.add(block);
          else this.blocks.delete(block);
          touched.origination = true;
          break;
        }
      }
    }
    return touched;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the kind says which resource it is
  #valueOf(update: Update): any {
    const { key } = update;
    const id = keyText(key);
    const before = this.invalid.get(id);
    this.invalid.delete(id);
    if (update.type === "delete") return undefined;
    if (key.kind === "BlockAffinity" || key.kind === "FelixConfiguration") return update.value;
    try {
      return validResource(update.value);
    } catch (error) {
      const { message } = error as Error;
      this.invalid.set(id, message);
      // Once, however often something else about it changes.
      if (message !== before) this.#onInvalid(key, message);
      return undefined;
    }
  }
}

/** A record without a state is one of the old kind, which is confirmed by being there. */
function isConfirmed(affinity: { state?: string; deleted?: boolean | string } | null): boolean {
  if (affinity === null) return false;
  const { state, deleted } = affinity;
  return deleted !== true && deleted !== "true" && (!state || state === "confirmed");
}

/** What of a node its neighbors go by. */
function bgpFacts(node: Node | undefined): string {
  return JSON.stringify([node?.spec?.bgp, node?.metadata.labels, node !== undefined]);
}

function wireguardFacts(node: Node | undefined): string {
  return `${node?.status?.wireguardPublicKey} ${node?.status?.wireguardPublicKeyV6}`;
}

function put<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}
