/** The datastore as the BGP daemon sees it: the last known version of every resource it looks at. */

import type { BGPConfiguration, BGPFilter, BGPPeer, IPPool, Node } from "../crd-schemas/index.ts";
import type { Query } from "../datastore/key.ts";
import type { Update } from "../datastore/reflector.ts";
import { type Cidr, parseCidr } from "../net/cidr.ts";

/** What a batch of updates touched, so that only what depends on it is recomputed. */
export interface Touched {
  peerings: boolean;
  policies: boolean;
  origination: boolean;
}

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
    const touched: Touched = { peerings: false, policies: false, origination: false };
    for (const update of updates) {
      const value = update.type === "put" ? update.value : undefined;
      const { kind, name } = update.key;
      switch (kind) {
        case "Node":
          put(this.nodes, name, value);
          touched.peerings = true;
          break;
        case "BGPPeer":
          put(this.peers, name, value);
          touched.peerings = true;
          break;
        case "BGPFilter":
          put(this.filters, name, value);
          touched.policies = true;
          break;
        case "BGPConfiguration":
          put(this.configurations, name, value);
          touched.peerings = touched.policies = true;
          break;
        case "IPPool":
          put(this.pools, name, value);
          touched.policies = touched.origination = true;
          break;
        case "BlockAffinity": {
          const block = parseCidr(name);
          if (block === undefined) break;
          // A record without a state is one of the old kind, which is confirmed by being there.
          const confirmed =
            value !== undefined && !value.deleted && (value.state ?? "confirmed") === "confirmed";
          if (confirmed) this.blocks.add(block);
          else this.blocks.delete(block);
          touched.origination = true;
          break;
        }
      }
    }
    return touched;
  }
}

function put<T>(map: Map<string, T>, name: string, value: T | undefined): void {
  if (value === undefined) map.delete(name);
  else map.set(name, value);
}
