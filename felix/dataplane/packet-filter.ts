/**
 * The seam between what the agent wants filtered and the kernel's ways to filter: iptables with ipset now, nftables
 * next to it later. A driver takes differences, remembers them, and brings the kernel there when told.
 *
 * The caller keeps the order that makes updates fail closed: `commit` before routes of new endpoints appear, after
 * routes of removed ones are gone.
 */

import type { Changes } from "../calc/changes.ts";

export interface PacketFilter {
  /** Cheap; nothing happens in the kernel yet. Not while a commit is on its way: it might take rules along, but not their sets. */
  update(changes: Changes): void;
  /** Sets first, then the rules that use them, atomically per table, then sets that nothing uses any more. @throws when the kernel refuses */
  commit(): Promise<void>;
  /** Whether `commit` has anything to do. */
  readonly pending: boolean;
  /** Looks at the kernel again; what differs is repaired by the next commit. */
  resync(what: "rules" | "sets"): Promise<void>;
}
