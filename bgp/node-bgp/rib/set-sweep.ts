/** Frees attribute sets nobody refers to any more, a step at a time: first every prefix says what it refers to, then the rest goes. */

import type { AttributeTable } from "./attribute-table.ts";
import type { FamilyRoutes } from "./family-routes.ts";

const MARK_STEP = 8192;
const FREE_STEP = 4096;

/**
 * Prefixes may change while the marking goes on. A reference only ever moves between places of one prefix, and all places of a prefix are
 * looked at together; new references come from the table, which keeps what it is asked for meanwhile.
 */
export class SetSweep {
  readonly #sets: AttributeTable;
  readonly #families: readonly FamilyRoutes[];
  #phase: "idle" | "mark" | "free" = "idle";
  #family = 0;
  #at = 1;

  constructor(sets: AttributeTable, families: readonly FamilyRoutes[]) {
    this.#sets = sets;
    this.#families = families;
  }

  /** Returns false where there is nothing to do. */
  step(): boolean {
    switch (this.#phase) {
      case "idle":
        if (!this.#sets.wantsSweep) return false;
        this.#sets.beginSweep();
        this.#phase = "mark";
        this.#family = 0;
        this.#at = 1;
        return true;
      case "mark":
        this.#at = this.#families[this.#family]!.markSets(this.#at, MARK_STEP);
        if (this.#at > 0) return true;
        this.#at = 1;
        this.#family++;
        if (this.#family === this.#families.length) this.#phase = "free";
        return true;
      case "free":
        this.#at = this.#sets.sweep(this.#at, FREE_STEP);
        if (this.#at === 0) this.#phase = "idle";
        return true;
    }
  }
}
