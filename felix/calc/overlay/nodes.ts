/**
 * The nodes there are, and which of them an address belongs to: of two that claim one, the first by name has it, and
 * the other is as if it had none (calico.md, Appendix D). Nobody else has this host's own.
 */

import type { Ip, IpVersion } from "../../../net/ip.ts";
import type { NodeSide, NodeView } from "./node-view.ts";

export class Nodes {
  readonly #ownName: string;
  readonly #views = new Map<string, NodeView>();
  readonly #holders = new Map<Ip, Set<string>>();
  readonly #onConflict: (loser: string, winner: string, address: Ip) => void;

  constructor(ownName: string, onConflict: (loser: string, winner: string, address: Ip) => void) {
    this.#ownName = ownName;
    this.#onConflict = onConflict;
  }

  /** Names of nodes of which something may be different now. */
  set(name: string, view: NodeView | undefined): Set<string> {
    const touched = new Set([name]);
    const former = this.#views.get(name);
    for (const address of addressesOf(former)) {
      const holders = this.#holders.get(address);
      holders?.delete(name);
      if (holders?.size === 0) this.#holders.delete(address);
      for (const other of holders ?? []) touched.add(other);
    }
    if (view) this.#views.set(name, view);
    else this.#views.delete(name);
    for (const address of addressesOf(view)) {
      const holders = this.#holders.get(address);
      for (const other of holders ?? []) touched.add(other);
      if (holders) holders.add(name);
      else this.#holders.set(address, new Set([name]));
      this.#report(address);
    }
    return touched;
  }

  get own(): NodeView | undefined {
    return this.#views.get(this.#ownName);
  }

  /** Undefined where the node has no address of that version that is its own. */
  side(name: string, version: IpVersion): NodeSide | undefined {
    const side = this.#views.get(name)?.sides[version];
    return side && this.#holderOf(side.address) === name ? side : undefined;
  }

  #holderOf(address: Ip): string | undefined {
    const holders = this.#holders.get(address);
    return holders?.has(this.#ownName) ? this.#ownName : [...(holders ?? [])].sort()[0];
  }

  #report(address: Ip): void {
    const winner = this.#holderOf(address) as string;
    for (const name of this.#holders.get(address) ?? [])
      if (name !== winner) this.#onConflict(name, winner, address);
  }
}

function addressesOf(view: NodeView | undefined): Ip[] {
  return [view?.sides[4]?.address, view?.sides[6]?.address].filter(address => address !== undefined);
}
