/**
 * Whether anybody has changed rules or sets since it was last asked, at little cost: a number for each that is another one then.
 * nf_tables counts commits; the tables of iptables-legacy and the headers of ipsets are looked at.
 *
 * A set is known by its size here: a member replaced by another is found by the refresh interval only.
 */

import { Ipset } from "../../linux/ipset/ipset.ts";
import type { NamespaceRef } from "../../linux/namespace.ts";
import { RulesetGeneration } from "../../linux/nf-tables/generation.ts";
import { XtablesGeneration } from "../../linux/xtables.ts";

/** A look that took so long is not repeated for {@link REST} times as long: a kernel that counts millions of members must do other things. */
const LONG_MS = 5;
const REST = 50;

export class OutsideChanges {
  readonly #nfTables: RulesetGeneration;
  readonly #xtables: XtablesGeneration;
  readonly #ipset: Ipset;
  readonly #rules = new Changing();
  readonly #sets = new Changing();

  private constructor(nfTables: RulesetGeneration, xtables: XtablesGeneration, ipset: Ipset) {
    this.#nfTables = nfTables;
    this.#xtables = xtables;
    this.#ipset = ipset;
  }

  /** @throws where the process is not permitted to look */
  static open(options: { readonly namespace?: NamespaceRef } = {}): OutsideChanges {
    return new OutsideChanges(
      RulesetGeneration.open(options),
      XtablesGeneration.open(options),
      Ipset.open(options),
    );
  }

  close(): void {
    this.#nfTables.close();
    this.#xtables.close();
    this.#ipset.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** What cannot be looked at, because this kernel has none of it, does not change. */
  generation(of: "rules" | "sets"): number {
    if (of === "rules")
      return this.#rules.see(
        () => `${attempt(() => this.#nfTables.read())} ${attempt(() => this.#xtables.read())}`,
      );
    return this.#sets.see(() =>
      attempt(() => {
        const headers = this.#ipset
          .headers()
          .map(({ name, elements, type, maxElements }) => [name, type, maxElements, elements].join(" "));
        return headers.sort().join("\n");
      }),
    );
  }
}

/** Counts how often something looked different. */
class Changing {
  #seen: string | undefined;
  #generation = 0;
  #restUntil = 0;

  see(look: () => unknown): number {
    const begun = performance.now();
    if (begun < this.#restUntil) return this.#generation;
    const now = String(look());
    const took = performance.now() - begun;
    if (took > LONG_MS) this.#restUntil = begun + REST * took;
    if (now !== this.#seen) {
      this.#seen = now;
      this.#generation++;
    }
    return this.#generation;
  }
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
