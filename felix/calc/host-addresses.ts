/**
 * The set `all-hosts-net`: the addresses of all nodes, and of hosts that the configuration counts among them. IPIP is
 * taken from these only, and masquerading may spare them; where neither is asked for, there is no such set.
 */

import type { IPPool, Node } from "../../crd-schemas/index.ts";
import type { Value } from "../../datastore/datastore.ts";
import type { Key, Kind } from "../../datastore/key.ts";
import { isHostCidr, networkAddress, parseCidr } from "../../net/cidr.ts";
import type { Changes, SetMember } from "./changes.ts";
import type { FelixConfig } from "./config.ts";
import { CountedMembers } from "./counted-members.ts";
import { nodeView } from "./overlay/node-view.ts";
import { encapsulationOf, type OverlayPool, overlayPool } from "./overlay/pools.ts";
import type { GraphPart } from "./part.ts";

export const ALL_HOSTS_NET = "all-hosts-net";

export class HostAddresses implements GraphPart {
  readonly kinds: readonly Kind[] = ["Node", "IPPool"];
  #config: FelixConfig | undefined;
  readonly #pools = new Map<string, OverlayPool>();
  readonly #nodes = new Map<string, readonly SetMember[]>();
  readonly #members = new CountedMembers();

  configure(config: FelixConfig): void {
    this.#config = config;
  }

  set(key: Key, value: Value | undefined): void {
    if (key.kind === "IPPool") {
      const pool = value && overlayPool(value as IPPool);
      if (pool) this.#pools.set(key.name, pool);
      else this.#pools.delete(key.name);
      return;
    }
    const former = this.#nodes.get(key.name) ?? [];
    const now = value ? addressesOf(value as Node) : [];
    for (const address of former) this.#members.remove(ALL_HOSTS_NET, address);
    for (const address of now) this.#members.add(ALL_HOSTS_NET, address);
    if (now.length > 0) this.#nodes.set(key.name, now);
    else this.#nodes.delete(key.name);
  }

  drain(): Partial<Changes> {
    const wanted = this.#isWanted();
    if (wanted && !this.#members.has(ALL_HOSTS_NET)) this.#create();
    else if (!wanted) this.#members.delete(ALL_HOSTS_NET);
    return { sets: this.#members.drain() };
  }

  #isWanted(): boolean {
    if (!this.#config) return false;
    return (
      this.#config.natOutgoingExclusions === "IPPoolsAndHostIPs" ||
      encapsulationOf(this.#pools.values(), this.#config).ipip
    );
  }

  #create(): void {
    this.#members.create(ALL_HOSTS_NET, "net");
    for (const addresses of this.#nodes.values()) {
      for (const address of addresses) this.#members.add(ALL_HOSTS_NET, address);
    }
    for (const text of this.#config?.externalNodesList ?? []) {
      const block = parseCidr(text);
      if (block) this.#members.add(ALL_HOSTS_NET, isHostCidr(block) ? networkAddress(block) : block);
    }
  }
}

/** Of each IP version the one that others send to. */
function addressesOf(node: Node): SetMember[] {
  const { sides } = nodeView(node);
  return [sides[4], sides[6]].flatMap(side => (side ? [side.address] : []));
}
