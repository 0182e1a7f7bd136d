/** What a speaker has been told to announce, and what it is told when that changes (origination.ts). */

import type { Speaker } from "node-bgp";
import type { Cidr } from "../net/cidr.ts";
import type { Origin } from "./origination.ts";

export class Announcements {
  #origins: ReadonlyMap<Cidr, Origin> = new Map();

  origin(prefix: Cidr): Origin | undefined {
    return this.#origins.get(prefix);
  }

  /** Those that leave unless a filter says otherwise. */
  byDefault(): Cidr[] {
    return [...this.#origins].flatMap(([prefix, { byDefault }]) => (byDefault ? [prefix] : []));
  }

  /** The speaker is gone: the next one has been told nothing. */
  forget(): void {
    this.#origins = new Map();
  }

  update(speaker: Speaker, origins: ReadonlyMap<Cidr, Origin>): void {
    const before = this.#origins;
    this.#origins = origins;
    for (const prefix of before.keys()) if (!origins.has(prefix)) speaker.withdraw(prefix);
    let judgedAnew = false;
    for (const [prefix, origin] of origins) {
      const former = before.get(prefix);
      if (preferenceOf(origin) !== preferenceOf(former))
        speaker.announce({ prefix, localPref: preferenceOf(origin) as number });
      // What the policies look at is not all part of the announcement.
      else if (JSON.stringify(origin) !== JSON.stringify(former)) judgedAnew = true;
    }
    if (judgedAnew) speaker.refreshExports();
  }
}

/**
 * With which preference a route of ours competes with what is learned for the same prefix: what somebody else put into the
 * kernel counts less than anything learned, as in bird, where neighbors are told the other thing.
 */
function preferenceOf(origin: Origin | undefined): number | undefined {
  return origin?.kind === "foreign" || origin?.kind === "cluster" ? 0 : origin?.localPref;
}
