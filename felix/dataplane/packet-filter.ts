/**
 * The seam between what the agent wants filtered and the kernel's ways to filter: iptables with ipset, or
 * nftables. A driver takes differences, remembers them, and brings the kernel there when told.
 *
 * The caller keeps the order that makes updates fail closed: `commit` before routes of new endpoints appear, after
 * routes of removed ones are gone.
 */

import type { Direction } from "../../policy/model.ts";
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
  /** How often each rule of a policy or profile has matched since it was last written, over both IP versions. */
  counters(): Promise<readonly RuleCounter[]>;
  /** Lets go of what was opened or started; what is in the kernel stays. Nothing of it writes to the kernel afterwards. */
  close?(): void | Promise<void>;
}

/** A rule of the model by where it stands, as the evaluator's reasons name it. */
export interface RuleCounter {
  /** `policy`: its key (`np/default/allow-web`); `profile`: its name. */
  readonly kind: "policy" | "profile";
  readonly name: string;
  readonly direction: Direction;
  readonly rule: number;
  readonly packets: number;
  readonly bytes: number;
}
