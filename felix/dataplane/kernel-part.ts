/**
 * Something of this host's that the dataplane brings where the calculation says, beside the packet filter: a driver for
 * links, routes or queues. It takes differences, remembers them, and acts when told; what it could not do stays pending.
 */

import type { KernelEvent } from "../../linux/events.ts";
import type { Changes } from "../calc/changes.ts";

export interface KernelPart {
  /** Cheap; nothing happens in the kernel yet. */
  update(changes: Changes): void;
  /** Whether there is something to do, or to try again. */
  readonly pending: boolean;
  /** Takes away what may not outlast the rules in force. To be called before rules change. */
  applyRemovals(): void;
  /** Everything else. To be called when rules are in force. */
  applyAdditions(): void;
  /** What was told is complete: what an earlier run left and nobody wants is removed from now on. */
  sweep(): void;
  /** Whether something is to be repaired. */
  noteEvents(events: readonly KernelEvent[]): boolean;
  /** Looks at the kernel again; what differs is repaired by the next two calls. */
  resync(): void;
}
