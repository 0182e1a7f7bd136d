/**
 * What a member that is not in step has still to be told: a walk over the whole table, and prefixes that changed behind the walk. As bits and a
 * cursor, so that a member that has stopped reading costs an eighth of a byte per prefix, however long and however much changes.
 */

import type { AdvertisedPaths } from "./adj-rib-out.ts";
import { IdSet } from "./id-set.ts";

/** Why it is behind, which says what it may have been told of what the walk has not come to. */
export type BacklogKind =
  /** Nothing: it is new. */
  | "new"
  /** What the group advertises: it asked to hear it again (ROUTE-REFRESH), or reads too slowly. */
  | "resend"
  /** Anything: its group was another. What is not advertised is withdrawn. */
  | "anything"
  /** What its former group advertised, see {@link Told}: only differences are told. */
  | "told";

/** What a member was told by the group it comes from. */
export interface Told {
  readonly paths: AdvertisedPaths;
  /** It reads the same from its new group as from the old one. */
  isSame(before: number, after: number): boolean;
}

export class Backlog {
  readonly kind: BacklogKind;
  /** The next prefix of the walk. */
  cursor: number;
  readonly changed = new IdSet();
  /** Say so when through (RFC 4724 2). */
  readonly endOfRib: boolean;
  readonly told: Told | undefined;
  /** Identifiers of paths that are gone, by prefix (RFC 7911): without, a withdraw names the prefix alone. */
  readonly #gone = new Map<number, Set<number>>();

  constructor(kind: BacklogKind, options: { cursor: number; endOfRib?: boolean; told?: Told }) {
    this.kind = kind;
    this.cursor = options.cursor;
    this.endOfRib = options.endOfRib ?? false;
    this.told = options.told;
  }

  /** A path has changed: its prefix is to be told again, unless the walk comes to it. */
  note(id: number, pathId: number, isGone: boolean): void {
    const isAhead = id >= this.cursor;
    if (isAhead && this.kind !== "resend") return;
    this.changed.add(id);
    if (!isGone || pathId === 0) return;
    const gone = this.#gone.get(id);
    if (gone === undefined) this.#gone.set(id, new Set([pathId]));
    else gone.add(pathId);
  }

  /** Takes the identifiers that may have to be withdrawn for a prefix. */
  takeGone(id: number): Iterable<number> {
    const gone = this.#gone.get(id);
    this.#gone.delete(id);
    return gone ?? [];
  }

  /** What `other` had still to tell is to be told by this one. */
  takeOver(other: Backlog): void {
    while (other.changed.size > 0) this.changed.add(other.changed.shift());
    for (const [id, gone] of other.#gone) this.#gone.set(id, gone);
  }
}
