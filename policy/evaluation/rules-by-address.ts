/**
 * Which of many rules match an address at one end, as far as that does not depend on ports. Rules that ask for the same are
 * asked about once, and those that ask for blocks are found by the address.
 */

import { type Ip, type IpVersion, ipVersion } from "../../net/ip.ts";
import { type Membership, matchesAddress } from "../match.ts";
import type { EntityMatch, Rule } from "../model.ts";
import { Bits } from "./bits.ts";
import { NetTable } from "./net-table.ts";

interface Alike {
  readonly entity: EntityMatch;
  readonly numbers: number[];
}

export class RulesByAddress {
  readonly #membership: Membership;
  readonly #ofVersion: Readonly<Record<IpVersion, Bits>>;
  /** Without those that ask nothing of the address. */
  readonly #unasked: Bits;
  readonly #withBlocks = new NetTable<Alike>();
  readonly #others: Alike[] = [];
  readonly #known = new Map<Ip, Bits>();

  /** Rules that only log decide nothing, and are left out. */
  constructor(rules: readonly Rule[], end: "source" | "destination", membership: Membership) {
    this.#membership = membership;
    const decides = (version: IpVersion) => (i: number) =>
      rules[i]!.action !== "log" && (rules[i]!.ipVersion ?? version) === version;
    this.#ofVersion = { 4: Bits.where(rules.length, decides(4)), 6: Bits.where(rules.length, decides(6)) };
    this.#unasked = Bits.none(rules.length);
    const alike = new Map<string, Alike>();
    for (const [number, rule] of rules.entries()) {
      const entity = rule[end];
      const asked = textOf(entity);
      if (asked === "") {
        this.#unasked.add(number);
        continue;
      }
      const known = alike.get(asked);
      if (known) known.numbers.push(number);
      else alike.set(asked, this.#kept({ entity, numbers: [number] }));
    }
  }

  /** By number; not to be changed by who asks. */
  matching(address: Ip): Bits {
    let bits = this.#known.get(address);
    if (bits === undefined) {
      bits = this.#unasked.copy();
      for (const { entity, numbers } of [...this.#others, ...this.#withBlocks.containing(address)])
        if (matchesAddress(entity, address, this.#membership)) for (const number of numbers) bits.add(number);
      bits.and(this.#ofVersion[ipVersion(address)]);
      this.#known.set(address, bits);
    }
    return bits;
  }

  #kept(alike: Alike): Alike {
    for (const block of alike.entity.nets) this.#withBlocks.add(block, alike);
    if (alike.entity.nets.length === 0) this.#others.push(alike);
    return alike;
  }
}

/** Equal where the same is asked of the address; empty where nothing is. */
function textOf({ nets, notNets, selector, notSelector, service }: EntityMatch): string {
  const sets = [selector, notSelector, service?.withPorts ? undefined : service];
  if (nets.length + notNets.length === 0 && sets.every(set => set === undefined)) return "";
  return JSON.stringify([nets, notNets, sets.map(set => set?.id ?? "")]);
}
