/** The datastore as the BGP daemon sees it: the last known version of every resource it looks at. */

import type { BGPConfiguration, BGPFilter, BGPPeer, IPPool, Node } from "../crd-schemas/index.ts";
import type { Query } from "../datastore/key.ts";
import type { Update } from "../datastore/reflector.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";

/** What a batch of updates touched, so that only what depends on it is recomputed. */
export interface Touched {
  peerings: boolean;
  /** What may leave, and what may go into the kernel. */
  exports: boolean;
  /** What is let in: the neighbors have to send everything again. */
  imports: boolean;
  origination: boolean;
}

export const NOTHING: Touched = { peerings: false, exports: false, imports: false, origination: false };

export class BgpState {
  readonly nodes = new Map<string, Node>();
  readonly peers = new Map<string, BGPPeer>();
  readonly filters = new Map<string, BGPFilter>();
  readonly configurations = new Map<string, BGPConfiguration>();
  readonly pools = new Map<string, IPPool>();
  /** CIDRs of this node's confirmed affinities. */
  readonly blocks = new Set<Cidr>();

  /** What to follow in the datastore. */
  static queries(nodeName: string): Query[] {
    return [
      { kind: "Node" },
      { kind: "BGPPeer" },
      { kind: "BGPFilter" },
      { kind: "BGPConfiguration" },
      { kind: "IPPool" },
      { kind: "BlockAffinity", namespace: `host:${nodeName}` },
    ];
  }

  apply(updates: readonly Update[]): Touched {
    const touched = { ...NOTHING };
    for (const update of updates) {
      const value = update.type === "put" ? update.value : undefined;
      const { kind, name } = update.key;
      switch (kind) {
        case "Node": {
          // Heartbeats, tunnel addresses and the like pass here all the time, and mean nothing to BGP.
          const before = bgpFacts(this.nodes.get(name));
          put(this.nodes, name, value);
          if (bgpFacts(this.nodes.get(name)) !== before) touched.peerings = true;
          break;
        }
        case "BGPPeer":
          put(this.peers, name, value);
          touched.peerings = true;
          break;
        case "BGPFilter":
          put(this.filters, name, value);
          touched.peerings = touched.exports = touched.imports = true;
          break;
        case "BGPConfiguration":
          put(this.configurations, name, value);
          touched.peerings = touched.exports = touched.origination = true;
          break;
        case "IPPool":
          put(this.pools, name, value);
          touched.exports = touched.origination = true;
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
}

/** A record without a state is one of the old kind, which is confirmed by being there. */
function isConfirmed({ state, deleted }: { state?: string; deleted?: boolean | string }): boolean {
  return deleted !== true && deleted !== "true" && (!state || state === "confirmed");
}

/** What of a node its neighbors go by. */
function bgpFacts(node: Node | undefined): string {
  return JSON.stringify([node?.spec?.bgp, node?.metadata.labels, node !== undefined]);
}

function put<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}
